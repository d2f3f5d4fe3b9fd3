import { cp } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { main, runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { until } from '../kit/until.ts'

/** What a component may do where no call of the pipeline can catch it. `file`: whether a stack leads to its file. */
const failures: Readonly<Record<string, { code: string; error: string; file: boolean }>> = {
  'throws in a timer': { code: `setTimeout(() => { throw new Error('late') }, 300)`, error: 'late', file: true },
  'rejects a promise that nobody awaits': {
    code: `setInterval(() => { Promise.reject(new Error('alone')) }, 5)`,
    ...{ error: 'alone', file: true },
  },
  'lets an emitter fail that nobody listens to': {
    code: `setTimeout(() => new EventEmitter().emit('error', new Error('unheard')), 300)`,
    ...{ error: 'unheard', file: true },
  },
  'lets a socket fail that nobody listens to': { code: 'connect(1, "127.0.0.1")', error: 'ECONNREFUSED', file: false },
  'throws null': { code: 'setTimeout(() => { throw null }, 300)', error: 'null', file: false },
  'throws what has no text': {
    code: 'setTimeout(() => { throw { get stack() { throw 1 }, get message() { throw 2 } } }, 300)',
    ...{ error: 'without a message', file: false },
  },
  'removes the listeners of the process': {
    code: `process.removeAllListeners('uncaughtException'); setTimeout(() => { throw new Error('unguarded') }, 300)`,
    ...{ error: 'unguarded', file: true },
  },
  'calls process.exit': { code: 'setTimeout(() => process.exit(0), 300)', error: 'process.exit(0)', file: true },
}

const processor = (body: string): string => `
import { EventEmitter } from 'node:events'
import { connect } from 'node:net'
export default {
  kind: 'processor', type: 'bad_one', summary: 'Bad.', config: {},
  create() {
    let begun = false
    return (batch) => {
      if (!begun) { begun = true; ${body} }
      return batch
    }
  },
}`

const yaml = (module: string, service = ''): string => `
modules: [${module}]
receivers: { host_metrics: { collection_interval: 100ms, scrapers: { load: } } }
processors: { bad_one: }
exporters: { debug: }
service:
  shutdown_timeout: 3s
  ${service}
  pipelines: { metrics: { receivers: [host_metrics], processors: [bad_one], exporters: [debug] } }
`

describe('a failure outside every call of the pipeline', () => {
  it.each(Object.entries(failures))(
    'drains it, ends with 70 and names the component and the file where a processor %s',
    async (_what, { code, error, file }) => {
      const folder = await temporaryFolder({ 'own.mjs': processor(code), 'pipeline.yaml': yaml('./own.mjs') })
      const { code: exit, stderr } = await runCommand(['--config', folder.path('pipeline.yaml')])
      expect({ exit, stderr }).toMatchObject({ exit: 70 })
      expect(stderr).toContain(error)
      if (file) expect(stderr).toContain(`ERROR: bad_one: A component failed outside the calls of the pipeline`)
      const own = folder.path('own.mjs')
      expect(stderr).toContain(`{"event":"crashed",${file ? `"file":"${own}:` : `"perhaps":"bad_one (${own})"`}`)
      expect(stderr.match(/"event":"crashed"/g)).toHaveLength(1)
      const [, accepted, handedOn] = /pipeline metrics: accepted (\d+) = handed on (\d+)$/m.exec(stderr) ?? []
      expect(accepted).toBe(handedOn)
      expect(stderr).toContain(`exporter debug: handed in ${accepted} = sent ${accepted}`)
    },
  )

  it('names a file of TypeScript that the module imports, and every component of the type', async () => {
    const folder = await temporaryFolder({
      'own.ts': `
import { fail } from './inner/fail.ts'
export default {
  kind: 'processor', type: 'bad_one', summary: 'Bad.', config: {},
  create: () => (batch: unknown) => { fail(); return batch },
}`,
      'inner/fail.ts': `
export const fail = (): void => void setTimeout((): void => { throw new Error('inner') }, 300)`,
      'pipeline.yaml': yaml('./own.ts')
        .replace('bad_one: }', 'bad_one: , bad_one/2: }')
        .replace('[bad_one]', '[bad_one, bad_one/2]'),
    })
    const { code, stderr } = await runCommand(['--config', folder.path('pipeline.yaml')])
    expect({ code, stderr }).toMatchObject({ code: 70 })
    expect(stderr).toContain('ERROR: bad_one, bad_one/2: A component failed outside')
    expect(stderr).toContain(folder.path('inner/fail.ts'))
  })
})

describe('a promise that never settles', () => {
  it('costs the batch after service.processor_timeout, counted, and the next batch passes', async () => {
    const folder = await temporaryFolder({
      'own.mjs': processor('return new Promise(() => {})'),
      'pipeline.yaml': yaml('./own.mjs', 'processor_timeout: 500ms'),
    })
    const json = ['--set', 'service.telemetry.logs.encoding=json']
    const command = startCommand(['--config', folder.path('pipeline.yaml'), ...json])
    await command.logged('processor_timeout')
    await until(() => command.stdout().includes('load_average'))
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    expect(command.stderr()).toMatch(
      /pipeline metrics: accepted \d+ = handed on \d+ \+ dropped\(processor_timeout\) 3$|dropped\(processor_timeout\) 3/m,
    )
  })
})

describe('a processor that does not answer', () => {
  it('shows on /status with the reason after 30 s, and not before', async () => {
    const health = 'health: { address: "127.0.0.1:0" }\n  processor_timeout: 0s'
    const folder = await temporaryFolder({
      'own.mjs': processor('return new Promise(() => {})'),
      'pipeline.yaml': yaml('./own.mjs', health),
    })
    const command = startCommand([
      '--config',
      folder.path('pipeline.yaml'),
      '--set',
      'service.telemetry.logs.encoding=json',
    ])
    const url = `http://${await command.address('health')}/status`
    const status = async (): Promise<unknown> => {
      const answer = (await (await request(url)).body.json()) as { components: Record<string, unknown> }
      return answer.components['processors.bad_one']
    }
    expect(await status()).toMatchObject({ status: 'StatusOK' })
    await until(async () => ((await status()) as { status: string }).status === 'StatusRecoverableError')
    expect(await status()).toMatchObject({ error: 'It has not answered on a batch for 30 s.' })
  }, 90_000)
})

describe('a package that imports heka-pipeline, beside a copy of its own', () => {
  const packages: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    ESM: {
      'package.json': '{ "name": "heka-acme", "type": "module", "exports": "./index.js" }',
      'index.js': `import { MetricBatch, NumberPoint } from 'heka-pipeline'\nexport default BODY`,
    },
    CommonJS: {
      'package.json': '{ "name": "heka-acme", "main": "./index.js" }',
      'index.js': `const { MetricBatch, NumberPoint } = require('heka-pipeline')\nmodule.exports = BODY`,
    },
    TypeScript: {
      'package.json': '{ "name": "heka-acme", "type": "module", "exports": "./index.ts" }',
      'index.ts': `import { MetricBatch, NumberPoint, type ProcessBatch } from 'heka-pipeline'\nexport default BODY`,
    },
  }
  const body = `[
  { kind: 'receiver', type: 'acme', summary: 'A.',
    config: { collection_interval: { doc: 'x.', format: 'duration', default: '1s' } },
    async *create() {
      for (const value of [1, 2]) {
        const points = [new NumberPoint({ value, timeUnixNano: BigInt(Date.now()) * 1000000n })]
        yield MetricBatch.of({ metrics: [{ name: 'acme.up', type: 'gauge', points }] })
      }
    } },
  { kind: 'processor', type: 'remake', summary: 'A.', config: {}, create: () => (batch) => MetricBatch.merge([batch, MetricBatch.fromResources([])]) },
]`

  it.each(Object.entries(packages))('is given the copy that runs: %s', async (_kind, files) => {
    const installed = Object.entries(files).map(([name, text]) => [
      `node_modules/heka-acme/${name}`,
      text.replace('BODY', body),
    ])
    const folder = await temporaryFolder({
      ...(Object.fromEntries(installed) as Record<string, string>),
      'pipeline.yaml': `
modules: [heka-acme]
receivers: { acme: , host_metrics: { scrapers: { load: } } }
processors: { remake: }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [acme, host_metrics], processors: [remake], exporters: [debug] } } }
`,
    })
    const root = fileURLToPath(new URL('../..', import.meta.url))
    const copy = folder.path('node_modules/heka-pipeline')
    await cp(dirname(dirname(main)), join(copy, 'dist'), { recursive: true })
    await cp(join(root, 'package.json'), join(copy, 'package.json'))
    const { code, stdout, stderr } = await runCommand(['--config', 'pipeline.yaml', '--once'], {
      cwd: folder.path('.'),
    })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(stdout).toMatch(/acme\.up +2/)
  })
})
