import { describe, expect, it } from '@jest/globals'
import { runCommand, temporaryFolder } from '../kit/command.ts'

/** Runs a component of a user's own, in `module.mjs`, once, beside the load of this host and with an exporter that prints. */
async function runOnce(kind: 'receiver' | 'processor' | 'exporter', create: string) {
  const interval = kind === 'receiver' ? `collection_interval: { doc: 'x.', format: 'duration', default: '1s' }` : ''
  const own = (given: typeof kind): string => (kind === given ? 'own' : '')
  const folder = await temporaryFolder({
    'module.mjs': `
import { MetricBatch } from 'heka-pipeline'
export default { kind: '${kind}', type: 'own', summary: 'Own.', config: { ${interval} }, ${create} }`,
    'pipeline.yaml': `
modules: [./module.mjs]
receivers: { host_metrics: { scrapers: { load: } }, ${own('receiver')} }
processors: { ${own('processor')} }
exporters: { debug: , ${own('exporter')} }
service:
  pipelines:
    metrics: { receivers: [host_metrics, ${own('receiver')}], processors: [${own('processor')}], exporters: [debug, ${own('exporter')}] }
`,
  })
  return runCommand(['--config', folder.path('pipeline.yaml'), '--once'])
}

describe('a component of a user’s own', () => {
  it('may give plain objects for points, as a processor and as a receiver', async () => {
    const spread = await runOnce('processor', 'create: () => (batch) => batch.mapPoints((p) => ({ ...p, value: 3 }))')
    expect(spread).toMatchObject({ code: 0 })
    expect(spread.stdout).toMatch(/system\.cpu\.load_average\.1m +3 +\{thread\}/)
    const point = '{ value: 42, attributes: { a: "b" }, timeUnixNano: BigInt(Date.now()) * 1000000n }'
    const batch = `MetricBatch.of({ metrics: [{ name: 'own.up', type: 'gauge', points: [${point}] }] })`
    const plain = await runOnce('receiver', `async *create() { yield ${batch}; yield ${batch} }`)
    expect(plain).toMatchObject({ code: 0 })
    expect(plain.stdout).toMatch(/own\.up +42 +a=b/)
  })

  it.each([
    ['processor', 'create: () => (batch) => batch.mapMetrics((m) => m.with({ type: "guage" }))', 'processor_error'],
    [
      'receiver',
      'async *create() { yield MetricBatch.of({ metrics: [{ name: "system.x", type: "guage", points: [{ value: 1 }] }] }); yield 5 }',
      'receiver_error',
    ],
    [
      'exporter',
      'create: () => ({ prepare: (batch) => batch.mapMetrics((m) => m.with({ type: "guage" })), encode: () => [], send: async () => {} })',
      'exporter_error',
    ],
  ] as const)('loses nothing unnamed where it hands over something wrong: a %s', async (kind, create, reason) => {
    const { code, stderr } = await runOnce(kind, create)
    expect({ code, stderr }).toMatchObject({ code: 1 })
    expect(stderr).toMatch(
      /ERROR: own: The (processor|receiver|exporter) failed.*"error":".*metric \\?"system\..*type must be one of gauge, sum, /s,
    )
    expect(stderr).toMatch(new RegExp(`dropped\\(${reason}\\) \\d+`))
  })

  it.each([
    [
      'no number of points',
      'encode: (batch) => [{ bytes: 1 }], send: async () => {}',
      'whole number from 0, not nothing',
    ],
    [
      'a number of bytes below 0',
      'encode: (batch) => [{ items: batch.itemCount, bytes: -1 }], send: async () => {}',
      'the `bytes` of a request must be a whole number from 0, not a number, -1',
    ],
    [
      'bytes that are no number',
      'encode: (batch) => [{ items: batch.itemCount, bytes: NaN }], send: async () => {}',
      'the `bytes` of a request must be a whole number from 0, not a number, NaN',
    ],
    [
      'nothing in place of requests',
      'encode: () => {}, send: async () => {}',
      'must return requests, at once: a list of them, or a generator; not nothing',
    ],
    [
      'a promise of requests',
      'async encode() { throw new Error("x") }, send: async () => {}',
      'must return requests, at once',
    ],
    [
      'requests of more points than it was given',
      'encode: (batch) => [{ items: batch.pointCount + 5, bytes: 1 }], send: async () => {}',
      'must not hold more items than it was given',
    ],
    [
      'no state',
      'encode: () => [], send: async () => {}, state: { beginCheckpoint() {}, changes() {}, restore() {} }',
      'unaccounted',
    ],
  ])('does not end the process where an exporter hands over %s', async (_what, exporter, message) => {
    const { code, stderr } = await runOnce('exporter', `create: () => ({ ${exporter} })`)
    expect({ code, stderr }).toMatchObject({ code: 1 })
    expect(stderr).toMatch(/ERROR: own: /)
    expect(stderr).toContain(message)
    expect(stderr).toMatch(/exporter own: handed in (\d+) = sent 0 \+ dropped\((exporter_error|unaccounted)\) \1\b/)
  })
})

describe('a component that is given something and uses it wrongly', () => {
  const create = (kind: string, body: string): string => `
export default { kind: '${kind}', type: 'own', summary: 'Own.',
  config: { collection_interval: { doc: 'x.', format: 'duration', default: '1s' } }, create({ deliver, listen, meter, onStop, rxjs }) { ${body} } }`
  const configuration = (receiver: string, processor = ''): string => `
modules: [./own.mjs]
receivers: { host_metrics: { scrapers: { load: } }, ${receiver} }
processors: { ${processor} }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics, ${receiver}], processors: [${processor}], exporters: [debug] } } }
`
  it.each([
    ['meter.createCounter("seen")', '`createCounter` of seen must be given texts, `{ description, unit }`'],
    ['meter.createCounter({ name: "seen" })', '`createCounter` must be given a name, not an object'],
    ['meter.createCounter("seen", { description: "x." }).add("1")', '`add` of the counter seen must be given a finite'],
    [
      'meter.createCounter("seen", { description: "x." }).add(-1)',
      '`add` of the counter seen must be given a finite number, 0 or more, not a number, -1',
    ],
    ['onStop(meter)', '`onStop` must be given a function, not an object'],
  ])('is a mistake where `create` calls %s', async (call, message) => {
    const module = create('processor', `${call}; return (batch) => batch`)
    const folder = await temporaryFolder({ 'own.mjs': module, 'pipeline.yaml': configuration('', 'own') })
    const { code, stderr } = await runCommand(['--once', '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect({ code, stderr }).toMatchObject({ code: 78 })
    expect(stderr).toContain(`pipeline.yaml:4:15 processors.own: its \`create\` failed: ${message}`)
  })

  it('is a mistake where an exporter has a `state` that cannot be restored', async () => {
    const state = '{ beginCheckpoint() {}, changes: () => ({ bytes: new Uint8Array(), all: true }) }'
    const folder = await temporaryFolder({
      'own.mjs': create('exporter', `return { encode: () => [], send: async () => {}, state: ${state} }`),
      'pipeline.yaml': configuration('').replaceAll('debug', 'own'),
    })
    const { code, stderr } = await runCommand(['validate', '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect({ code, stderr }).toMatchObject({ code: 78 })
    expect(stderr).toContain(
      'exporters.own: the `state` of its exporter must have the functions `beginCheckpoint`, `changes` and `restore`; it has no `restore`',
    )
  })

  it.each([
    ['listen({ port: "abc" })', 'the `host` given to `listen` must be a text, not nothing'],
    [
      'listen({ host: "", port: "abc" })',
      'the `port` given to `listen` must be a whole number from 0 to 65535, not a string',
    ],
    ['deliver(5)', 'its batch: must be a MetricBatch, not a number, 5'],
  ])('is named, where nobody awaits the promise of %s', async (call, message) => {
    const own = create('receiver', `return new rxjs.Observable(() => { ${call} })`)
    const folder = await temporaryFolder({ 'own.mjs': own, 'pipeline.yaml': configuration('own') })
    const { code, stderr } = await runCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect({ code, stderr }).toMatchObject({ code: 70 })
    expect(stderr).toContain('own: A component failed outside the calls of the pipeline; the pipeline stops.')
    expect(stderr).toContain(message)
    expect(stderr).toContain(`"file":"${folder.path('own.mjs')}:3:`)
  })
})

describe('process.exit in a module', () => {
  const component = (body: string): string =>
    `export default { kind: 'processor', type: 'own', summary: 'Own.', config: {}, ${body} }`
  const yaml = `
modules: [./own.mjs]
receivers: { host_metrics: { scrapers: { load: } } }
processors: { own: }
exporters: { debug: { nope: 1 } }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [own], exporters: [debug] } } }
`
  it.each([
    ['while it is loaded', 'process.exit(3)', yaml, '2:11 modules[0]: cannot be loaded: process.exit(3) was called.'],
    [
      'in `check`',
      component('*check() { process.exit(3) }, create: () => (batch) => batch'),
      yaml,
      '4:15 processors.own: its check failed: process.exit(3) was called.',
    ],
    [
      'in `create`',
      component('create() { process.exit(3) }'),
      yaml.replace('{ nope: 1 }', ''),
      '4:15 processors.own: its `create` failed: process.exit(3) was called.',
    ],
  ])('is a mistake beside all others: %s', async (_where, module, text, message) => {
    const folder = await temporaryFolder({ 'own.mjs': module, 'pipeline.yaml': text })
    for (const command of ['validate', '--once']) {
      const { code, stderr } = await runCommand([command, '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
      expect({ code, stderr }).toMatchObject({ code: 78 })
      expect(stderr).toContain(`pipeline.yaml:${message}`)
      if (text === yaml) expect(stderr).toMatch(/exporters\.debug\.nope: .*\n\n2 mistakes/)
    }
  })

  it('is not alone: what fails outside a call while a module is loaded is said with its place', async () => {
    const folder = await temporaryFolder({
      'own.mjs': `setTimeout(() => { throw new Error('late') }); await new Promise((go) => setTimeout(go, 5000))`,
      'pipeline.yaml': yaml,
    })
    const { code, stderr } = await runCommand(['validate', '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect({ code, stderr }).toEqual({ code: 70, stderr: `heka-pipeline: ${folder.path('own.mjs')}:1:26: late\n` })
  })
})
