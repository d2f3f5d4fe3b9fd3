import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { delay } from 'rxjs'
import { defineComponent } from '../src/component/define.ts'
import type { ProcessorComponent } from '../src/component/processor.ts'
import { LogBatch } from '../src/otlp/logs/batch.ts'
import { MetricBatch } from '../src/otlp/metrics/batch.ts'
import { TraceBatch } from '../src/otlp/traces/batch.ts'
import { loadModule } from '../src/pipeline/modules/load.ts'
import { gauge, logRecord, span, sum, testComponent, testProcessor } from '../src/testing.ts'

const folder = fileURLToPath(new URL('../config/custom-processor', import.meta.url))
const loadProcessor = async (file: string) => (await loadModule(file, folder))[0] as ProcessorComponent

const load = MetricBatch.of({ metrics: [gauge('load', 1), gauge('load', 2)] })

/** A processor that does with each batch what `create` says. */
const processor = (create: ProcessorComponent['create'], changes?: ProcessorComponent['changes']) =>
  defineComponent({ kind: 'processor', type: 'probe', summary: 'Probes.', changes, config: {}, create })

afterEach(() => {
  jest.useRealTimers()
})

describe('testProcessor', () => {
  it('tests a processor of log records', async () => {
    const errors = defineComponent({
      ...{
        kind: 'processor',
        type: 'errors',
        signals: ['logs'],
        changes: 'filters',
        summary: 'Keeps errors.',
        config: {},
      },
      create: () => (batch) => batch.filterRecords(({ severityNumber }) => severityNumber >= 17),
    })
    const { process, balance } = await testProcessor(errors, 'errors:')
    const records = [logRecord('It failed.', { job: 'a' }, { severityNumber: 17 }), logRecord('It works.')]
    const left = await process(LogBatch.of({ records }))
    expect([...left.records()].map(({ record }) => [record.body, record.attributes.toObject()])).toEqual([
      ['It failed.', { job: 'a' }],
    ])
    expect(balance()).toMatchObject({ accepted: 2, filtered: 1, handed_on: 1 })
  })

  it('tests a processor of several signals with that of the pipeline', async () => {
    const marks = defineComponent({
      ...{ kind: 'processor', type: 'marks', signals: ['metrics', 'traces'], summary: 'Marks resources.', config: {} },
      create: () => (batch) =>
        batch.mapResources((resource) => resource.withAttributes(resource.attributes.with({ marked: true }))),
    })
    const { process } = await testProcessor(marks, 'marks:', { signal: 'traces' })
    const [left] = (
      await process(TraceBatch.of({ spans: [span('GET /', { route: '/' }, { kind: 'server' })] }))
    ).spans()
    expect(left.resource.attributes.toObject()).toEqual({ marked: true })
    expect(left.span).toMatchObject({ name: 'GET /', kind: 'server', traceId: expect.stringMatching(/^[0-9a-f]{32}$/) })
    expect(left.span.endTimeUnixNano).toBe(left.span.startTimeUnixNano)
    await expect(process(MetricBatch.empty as never)).rejects.toThrow(
      "The batch is of metrics; give testProcessor { signal: 'metrics' } with it.",
    )
  })

  it('says how many spans a fault has cost', async () => {
    const failing = defineComponent({
      ...{ kind: 'processor', type: 'failing', signals: ['traces'], summary: 'Fails.', config: {} },
      create: () => (batch) => batch.mapSpans((each) => each.with({ kind: 'srv' as never })),
    })
    const { process } = await testProcessor(failing, 'failing:')
    await expect(process(TraceBatch.of({ spans: [span('a'), span('b')] }))).rejects.toThrow(
      /2 spans were lost:\n.*kind must be/,
    )
  })

  it('tests a processor in five lines', async () => {
    const { process } = await testProcessor(
      await loadProcessor('scale.js'),
      'scale: { metric_names: [load], factor: 100, unit: "%" }',
    )
    const [scaled] = (await process(MetricBatch.of({ metrics: [gauge('load', 0.25)] }))).metrics()
    expect(scaled.metric).toMatchObject({ name: 'load', unit: '%', points: [{ value: 25 }] })
  })

  it('resolves with what an asynchronous processor returns, in order', async () => {
    const { process } = await testProcessor(
      processor(() => async (batch) => batch.mapMetrics((metric) => metric.withName('slow'))),
      'probe:',
    )
    const results = await Promise.all([process(load), process(MetricBatch.of({ metrics: [gauge('other', 3)] }))])
    expect(results.map(({ pointCount }) => pointCount)).toEqual([2, 1])
  })

  it('resolves with an empty batch when nothing comes out, and counts it', async () => {
    const { process, balance } = await testProcessor(
      processor(() => () => undefined, 'filters'),
      'probe:',
    )
    expect((await process(load)).pointCount).toBe(0)
    expect(balance()).toMatchObject({ accepted: 2, filtered: 2, handed_on: 0 })
  })

  it('rejects with the cause when a processor throws, and goes on with the next batch', async () => {
    let calls = 0
    const { process, balance } = await testProcessor(
      processor(() => (batch) => {
        calls += 1
        if (calls === 1) throw new Error('out of luck')
        return batch
      }),
      'probe:',
    )
    await expect(process(load)).rejects.toThrow(/2 data points were lost:[^]*out of luck/)
    expect(await process(load)).toBe(load)
    expect(balance()).toMatchObject({ accepted: 4, dropped: { processor_error: 2 }, handed_on: 2 })
  })

  it('rejects when points vanish that the processor did not declare', async () => {
    const { process } = await testProcessor(
      processor(() => () => undefined),
      'probe:',
    )
    await expect(process(load)).rejects.toThrow('2 data points were lost')
  })

  it('refuses wrong settings with all mistakes, as a pipeline does', async () => {
    const scale = await loadProcessor('scale.js')
    await expect(testProcessor(scale, 'scale: { metric_names: load, factor: ten, unti: "%" }')).rejects.toMatchObject({
      name: 'ConfigError',
      problems: [{ path: 'scale.metric_names' }, { path: 'scale.factor' }, { path: 'scale.unti', suggestion: 'unit' }],
    })
  })

  it('hands over what an operator keeps, later and when it is stopped', async () => {
    jest.useFakeTimers()
    const { process, emitted, stop, balance } = await testProcessor(
      processor(() => ({ operator: (batches) => batches.pipe(delay(1000)) }), 'holds'),
      'probe:',
    )
    expect((await process(load)).pointCount).toBe(0)
    expect(balance()).toMatchObject({ held: 2, handed_on: 0 })
    jest.advanceTimersByTime(1000)
    expect(emitted).toEqual([load])
    await stop()
    expect(balance()).toMatchObject({ accepted: 2, held: 0, handed_on: 2, dropped: {} })
  })
})

describe('testComponent', () => {
  it('gives the context of the pipeline: log, onStop, signal and what is delivered', async () => {
    const cleanups: string[] = []
    const delivered: MetricBatch[] = []
    const receiver = defineComponent({
      kind: 'receiver',
      type: 'probe',
      summary: 'Probes.',
      config: { name: { doc: 'A name.', format: 'string', default: '${env:PROBE}' } },
      async *create({ config, log, deliver, onStop, signal }) {
        onStop(() => void cleanups.push('first'))
        onStop(() => void cleanups.push(`second, aborted: ${signal.aborted}`))
        log.info('Started.', { name: config.name })
        await deliver(load)
        yield load
      },
    })
    const { created, logs, stop } = await testComponent(receiver, 'probe: { name: "${env:PROBE}" }', {
      deliver: async (batch) => void delivered.push(batch),
      env: { PROBE: 'given' },
    })
    const emitted = []
    for await (const batch of created as AsyncIterable<MetricBatch>) emitted.push(batch)
    await stop()
    await stop()
    expect(emitted).toEqual([load])
    expect(delivered).toEqual([load])
    expect(logs).toEqual([{ level: 'info', message: 'Started.', fields: { name: 'given' } }])
    expect(cleanups).toEqual(['second, aborted: true', 'first'])
  })
})

describe('a component whose create is wrong', () => {
  it('is refused with what is wrong, as in the pipeline', async () => {
    const late = { kind: 'processor', type: 'late', summary: 'Is late.', config: {}, create: async () => {} }
    await expect(testProcessor(late as never, 'late:')).rejects.toThrow(
      'not a promise of it; it cannot be asynchronous',
    )
  })
})

describe('the custom processor rate', () => {
  const at = (seconds: number, value: number, device = 'eth0') =>
    sum('io', value, { device }, { unit: 'By', timeUnixNano: BigInt(seconds) * 1_000_000_000n, startTimeUnixNano: 1n })
  const values = (batch: MetricBatch | undefined) =>
    Array.from(batch?.metrics() ?? [], ({ metric }) =>
      metric.points.map((point) => [point.attributes.get('device'), point.kind === 'number' && point.value]),
    ).flat()

  it('gives the change per second from window to window, and lets everything else pass at once', async () => {
    jest.useFakeTimers()
    const { process, emitted, stop } = await testProcessor(await loadProcessor('rate.ts'), 'rate: { window: 10s }')
    const feed = (...metrics: ReturnType<typeof at>[]) => process(MetricBatch.of({ metrics }))
    const passed = await feed(at(0, 100), gauge('load', 1))
    expect(Array.from(passed.metrics(), ({ metric }) => metric.name)).toEqual(['load'])
    await feed(at(5, 200), at(5, 7, 'lo'))
    jest.advanceTimersByTime(10_000)
    expect(values(emitted.at(-1))).toEqual([['eth0', 20]])
    const [{ metric }] = emitted.at(-1)?.metrics() ?? []
    expect(metric).toMatchObject({ name: 'io', type: 'gauge', unit: 'By/s' })

    await feed(at(15, 500), at(15, 8, 'lo'))
    jest.advanceTimersByTime(10_000)
    expect(values(emitted.at(-1))).toEqual([
      ['eth0', 30],
      ['lo', 0.1],
    ])

    // Back to zero: no rate for that window, then from there.
    await feed(at(25, 40), at(25, 18, 'lo'))
    jest.advanceTimersByTime(10_000)
    expect(values(emitted.at(-1))).toEqual([['lo', 1]])
    await feed(at(35, 90), at(35, 18, 'lo'))
    await stop()
    expect(values(emitted.at(-1))).toEqual([
      ['eth0', 5],
      ['lo', 0],
    ])
  })
})
