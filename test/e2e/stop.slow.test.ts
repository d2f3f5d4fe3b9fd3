import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { main, startCommand, startProcess, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { eventsOf } from '../kit/events.ts'

const yaml = (exporter: string, more = ''): string => `
${more}
receivers: { host_metrics: { collection_interval: 100ms, initial_delay: 0s, scrapers: { load: } } }
exporters: { ${exporter} }
service:
  shutdown_timeout: 500ms
  telemetry: { metrics: { level: none } }
  pipelines: { metrics: { receivers: [host_metrics], exporters: [${exporter.split(':', 1)[0]}] } }
`

async function start(files: Readonly<Record<string, string>>): Promise<RunningCommand> {
  const folder = await temporaryFolder(files)
  execFileSync('mkfifo', [folder.path('fifo')])
  return startCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
}

/** An exporter that sends to nobody and, when it stops, does this. */
const exporterThat = (stops: string): string => `
import { readFile } from 'node:fs/promises'
export default {
  kind: 'exporter', type: 'hanging', summary: 'Hangs.', config: {},
  create: ({ onStop }) => {
    onStop(() => ${stops})
    return { encode: (batch) => [{ items: batch.pointCount }], send: () => Promise.resolve() }
  },
}`

describe('the stop', () => {
  it('ends a second after shutdown_timeout where a component does not stop, and says which', async () => {
    const command = await start({
      'pipeline.yaml': yaml('hanging:', 'modules: [./hanging.mjs]'),
      'hanging.mjs': exporterThat('new Promise(() => {})'),
    })
    await command.logged('started')
    command.kill('SIGTERM')
    await command.logged('stopping')
    const since = performance.now()
    await expect(command.ended).resolves.toBe(0)
    expect(performance.now() - since).toBeLessThan(4000)
    expect(command.stderr()).toMatch(/"event":"stop_timeout","hanging":"exporters\.hanging"/)
    expect(command.stderr()).toMatch(/Data points of exporter hanging: handed in (\d+) = sent \1\n/)
  })

  it('says of each pipeline how much was still in its processors', async () => {
    const command = await start({
      'pipeline.yaml': yaml('debug:', 'modules: [./hanging.mjs]\nprocessors: { hanging: }')
        .replace(
          'metrics: { receivers',
          'metrics/a: { receivers: [host_metrics], exporters: [debug], processors: [hanging] }, metrics/b: { receivers',
        )
        .replace(/exporters: \[debug\] \}$/m, 'exporters: [debug], processors: [hanging] }'),
      'hanging.mjs': `export default { kind: 'processor', type: 'hanging', summary: 'Hangs.', config: {},
        create: () => () => { console.error('It hangs.'); return new Promise(() => {}) } }`,
    })
    await command.waitFor('It hangs.')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    for (const pipeline of ['metrics/a', 'metrics/b']) {
      const points = new RegExp(`in the processors of a pipeline .*"pipeline":"${pipeline}","items":(\\d+)`)
      const [, lost] = points.exec(command.stderr()) ?? []
      expect(command.stderr()).toContain(
        `pipeline ${pipeline}: accepted ${lost} = handed on 0 + dropped(shutdown) ${lost}`,
      )
    }
  })

  it('ends also where the file system does not answer a component, which nothing can interrupt', async () => {
    const command = await start({
      'pipeline.yaml': yaml('hanging:', 'modules: [./hanging.mjs]'),
      'hanging.mjs': exporterThat("readFile('fifo')"),
    })
    await command.logged('started')
    command.kill('SIGTERM')
    await command.logged('stopping')
    const since = performance.now()
    await expect(command.ended).resolves.toBe('SIGKILL')
    expect(performance.now() - since).toBeLessThan(5000)
    expect(command.stderr()).toMatch(/"event":"stop_timeout","hanging":"exporters\.hanging"/)
    expect(command.stderr()).toMatch(/Data points of exporter hanging: handed in (\d+) = sent \1\n/)
  })

  it('ends where the folder of a queue can never be made', async () => {
    const exporter = 'otlp_http: { endpoint: "http://127.0.0.1:1", sending_queue: { directory: /proc/nope } }'
    const command = await start({ 'pipeline.yaml': yaml(exporter) })
    await command.logged('queue_disk_failed')
    await command.logged('request_retried')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toMatch(/handed in (\d+) = sent 0 \+ dropped\(shutdown\) \1\n/)
  })
})

describe('a stop that a component blocks', () => {
  const blocking = (body: string): string => `
import { execFileSync } from 'node:child_process'
export default {
  kind: 'processor', type: 'blocking', summary: 'Blocks.', config: {},
  create: () => async (batch) => {
    console.error('It blocks.')
    ${body}
    return batch
  },
}`
  const processing = yaml('debug:', 'modules: [./blocking.mjs]\nprocessors: { blocking: }').replace(
    'exporters: [debug]',
    'processors: [blocking], exporters: [debug]',
  )
  const line =
    /^heka-pipeline: A signal came \d+ s ago, and a call that does not end keeps the process from stopping(.*)\. The process/m

  it.each([
    ['a loop', 'for (;;);', 70, '7:5'],
    ['a regular expression', "void /(x+x+)+y/.test('x'.repeat(99))", 70, '7:21'],
    ['promises without end', 'for (;;) await 0', 70, undefined],
    ['a call of the system', "execFileSync('sleep', ['99'])", 'SIGKILL', undefined],
  ])(
    'ends the process a few seconds after shutdown_timeout, and says where it is: %s',
    async (_what, body, code, place) => {
      const folder = await temporaryFolder({ 'pipeline.yaml': processing, 'blocking.mjs': blocking(body) })
      const command = startCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
      await command.waitFor('It blocks.')
      const since = performance.now()
      command.kill('SIGTERM')
      await expect(command.ended).resolves.toBe(code)
      expect(performance.now() - since).toBeGreaterThan(5000)
      expect(performance.now() - since).toBeLessThan(15_000)
      const [, where] = line.exec(command.stderr()) ?? []
      const file = folder.path('blocking.mjs')
      const calledLast = `; the component that was called last is processors.blocking (${file})`
      // The question may meet the loop in the file, or between two of its promises.
      if (body.includes('await') && where !== calledLast) expect(where).toMatch(`: ${file}:`)
      else expect(where).toBe(place === undefined ? calledLast : `: ${file}:${place}`)
      expect(command.stderr()).not.toMatch(/debugger|deprecat/i)
    },
  )

  it('ends at once with a second signal', async () => {
    const folder = await temporaryFolder({ 'pipeline.yaml': processing, 'blocking.mjs': blocking('for (;;);') })
    const command = startCommand(['--config', 'pipeline.yaml', '--set', 'service.shutdown_timeout=60s'], {
      cwd: folder.path('.'),
    })
    await command.waitFor('It blocks.')
    command.kill('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 200))
    command.kill('SIGINT')
    await expect(command.ended).resolves.toBe(70)
    expect(command.stderr()).toMatch(line)
  })

  it('stops in good order where the call ends after all, before it is too late', async () => {
    const body = 'const end = performance.now() + 6300; while (performance.now() < end);'
    const folder = await temporaryFolder({ 'pipeline.yaml': processing, 'blocking.mjs': blocking(body) })
    const command = startCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    await command.waitFor('It blocks.')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toMatch(/pipeline metrics: accepted (\d+) = handed on \1\n/)
    expect(command.stderr()).not.toMatch(line)
  })
})

describe('a signal during the start', () => {
  it('ends the process at once, with 0', async () => {
    const command = await start({
      'pipeline.yaml': yaml('hanging:', 'modules: [./hanging.mjs]'),
      'hanging.mjs': "console.error('loading'); await new Promise((resolve) => setTimeout(resolve, 9000))",
    })
    await command.waitFor('loading')
    const since = performance.now()
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(performance.now() - since).toBeLessThan(5000)
    expect(eventsOf(command.stderr())).toEqual([])
  })

  it('is taken before anything else is loaded', () => {
    const entry = readFileSync(main, 'utf8')
    const [, ...imported] = Array.from(
      entry.matchAll(/^import\s*(?:[^'"]*from\s*)?["']([^"']+)["']/gm),
      ([, path]) => path,
    )
    const texts = imported.map((path) => readFileSync(new URL(path, pathToFileURL(main)), 'utf8'))
    expect(texts.join()).toContain('SIGTERM')
    expect(entry.length + texts.join().length).toBeLessThan(4000)
  })

  // Only root may make a process 1.
  const canBeFirst = process.platform === 'linux' && process.getuid?.() === 0
  const itAsFirst = canBeFirst ? it : it.skip
  itAsFirst.each(['SIGTERM', 'SIGINT'])(
    '%s ends process 1, which the kernel keeps it from without a listener',
    async (signal) => {
      const folder = await temporaryFolder({
        'pipeline.yaml': yaml('debug:'),
        'preload.mjs': "process.on('newListener', (name) => name === 'SIGTERM' && console.error('It listens.'))",
      })
      const node = [process.execPath, '--import', folder.path('preload.mjs'), main, '-c', folder.path('pipeline.yaml')]
      const command = startProcess('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', ...node])
      await command.waitFor('It listens.')
      const children = readFileSync(`/proc/${command.pid}/task/${command.pid}/children`, 'utf8')
      process.kill(Number(children), signal)
      await expect(command.ended).resolves.toBe(0)
      expect(command.stderr()).toBe('It listens.\n')
    },
  )
})
