import { describe, expect, it } from '@jest/globals'
import type { ProcessBatch } from '../../src/component/processor.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { ResourceMetrics, ScopeMetrics } from '../../src/otlp/metrics/metric.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint } from '../../src/otlp/metrics/points.ts'
import type { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { Scope } from '../../src/otlp/common/resource.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import { Lifetime } from '../../src/pipeline/graph/lifetime.ts'
import { Telemetry } from '../../src/pipeline/telemetry/telemetry.ts'
import cumulativeToDelta from '../../src/processors/cumulative_to_delta.ts'
import { gauge, sum, testProcessor } from '../../src/testing.ts'
import { thisMachine } from '../../src/pipeline/machine.ts'

const SECOND = 1_000_000_000n
const START = 1_700_000_000n * SECOND

/** Cumulative metrics of every type that can be converted, `seconds` after the start, each with a count of `value`. */
function cumulative(seconds: number, value: number, startTimeUnixNano = START): MetricBatch {
  const times = { startTimeUnixNano, timeUnixNano: START + BigInt(seconds) * SECOND }
  const histogram: MetricFields = {
    name: 'latency',
    type: 'histogram',
    temporality: 'cumulative',
    points: [new HistogramPoint({ ...times, count: value, sum: value, bucketCounts: [value], max: 9 })],
  }
  const positive = { offset: 0, bucketCounts: [value] }
  const exponential: MetricFields = {
    name: 'size',
    type: 'exponential_histogram',
    temporality: 'cumulative',
    points: [new ExponentialHistogramPoint({ ...times, count: value, positive, max: 9 })],
  }
  return MetricBatch.of({ metrics: [sum('requests', value, {}, times), histogram, exponential] })
}

/** What is left of the batches, metric by metric: name, temporality, and the count and times of each point. */
async function converted(settings: string, ...batches: readonly MetricBatch[]) {
  const { process, balance, stop } = await testProcessor(cumulativeToDelta, `cumulative_to_delta: ${settings}`)
  const metrics = []
  for (const batch of batches) {
    for (const { metric } of (await process(batch)).metrics()) {
      const counts = metric.points.map((point) => (point.kind === 'number' ? point.value : point.count))
      metrics.push([metric.name, metric.temporality, ...counts])
    }
  }
  await stop()
  return { metrics, balance: balance() }
}

describe('cumulative_to_delta', () => {
  it('turns sums and histograms of both kinds into what was counted in between', async () => {
    const { metrics, balance } = await converted('', cumulative(10, 5), cumulative(20, 12), cumulative(30, 12))
    expect(metrics).toEqual([
      ['requests', 'delta', 7],
      ['latency', 'delta', 7],
      ['size', 'delta', 7],
      ['requests', 'delta', 0],
      ['latency', 'delta', 0],
      ['size', 'delta', 0],
    ])
    expect(balance).toMatchObject({ accepted: 9, filtered: 3, handed_on: 6, dropped: {} })
  })

  it('starts a difference at the point before, and leaves the extremes of all time out', async () => {
    const { process } = await testProcessor(cumulativeToDelta, 'cumulative_to_delta:')
    await process(cumulative(10, 5))
    const points = [...(await process(cumulative(20, 12))).metrics()].flatMap(({ metric }) => metric.points)
    expect(points.map(({ startTimeUnixNano }) => startTimeUnixNano)).toEqual(Array(3).fill(START + 10n * SECOND))
    expect(points.slice(1)).toMatchObject([{ max: undefined }, { max: undefined }])
  })

  it('passes on what is no cumulative count, in the very same batch', async () => {
    const batch = MetricBatch.of({
      metrics: [
        gauge('gauge', NaN),
        sum('up_down', 1, {}, { monotonic: false }),
        sum('delta', 1, {}, { temporality: 'delta' }),
        { name: 'none', type: 'none' },
      ],
    })
    const { process } = await testProcessor(cumulativeToDelta, 'cumulative_to_delta:')
    expect(await process(batch)).toBe(batch)
  })

  it.each([
    ['{ include: { metrics: [requests, other] } }', ['requests']],
    ['{ include: { match_type: regexp, metrics: ["^si", "quest"] } }', ['requests', 'size']],
    ['{ exclude: { metrics: [requests] } }', ['latency', 'size']],
    ['{ exclude: { match_type: regexp, metrics: [e$] } }', ['requests', 'latency']],
    ['{ include: { match_type: regexp, metrics: [e] }, exclude: { metrics: [size] } }', ['requests', 'latency']],
    ['{ include: { metric_types: [sum, exponentialhistogram] } }', ['requests', 'size']],
    ['{ include: { metrics: [requests, latency], metric_types: [histogram] } }', ['latency']],
    ['{ exclude: { metric_types: [histogram] } }', ['requests', 'size']],
    ['{ exclude: { metrics: [requests], metric_types: [histogram] } }', ['size']],
    ['{ include: { match_type: regexp, metrics: [e] }, exclude: { metric_types: [sum] } }', ['latency', 'size']],
  ])('with %s converts what is chosen and passes on the rest', async (settings, names) => {
    const { metrics, balance } = await converted(settings, cumulative(10, 5), cumulative(20, 12))
    expect(metrics.filter(([, temporality]) => temporality === 'delta').map(([name]) => name)).toEqual(names)
    const others = metrics.filter(([, temporality]) => temporality === 'cumulative').map(([, , count]) => count)
    expect(others).toEqual([...Array<number>(3 - names.length).fill(5), ...Array<number>(3 - names.length).fill(12)])
    expect(balance).toMatchObject({ filtered: names.length })
  })

  it.each([
    ['keep', [5, 7]],
    ['drop', [7]],
    ['auto', [7]],
  ])('with initial_value %s gives %j of a counter that is older than the process', async (initialValue, counts) => {
    const { metrics } = await converted(`{ initial_value: ${initialValue} }`, cumulative(10, 5), cumulative(20, 12))
    expect(metrics.filter(([name]) => name === 'requests').map(([, , count]) => count)).toEqual(counts)
  })

  it('sends the first value of a counter that is younger than the process', async () => {
    const younger = BigInt(Date.now()) * 1_000_000n
    const { metrics } = await converted('', cumulative(1_000_000_000, 5, younger))
    expect(metrics.map(([, , count]) => count)).toEqual([5, 5, 5])
  })

  it('takes a count that falls for a new beginning, once the next point goes on from there', async () => {
    const batches = [cumulative(10, 5), cumulative(20, 3), cumulative(30, 4)]
    expect((await converted('{ initial_value: drop }', ...batches)).metrics.map(([, , count]) => count)).toEqual([
      1, 1, 1,
    ])
    const kept = await converted('{ initial_value: keep }', ...batches)
    expect(kept.metrics.filter(([name]) => name === 'size').map(([, , count]) => count)).toEqual([5, 4])
  })

  it('withholds what is late or comes twice', async () => {
    const late = [cumulative(20, 5), cumulative(10, 4), cumulative(20, 5), cumulative(30, 8)]
    const { metrics, balance } = await converted('', ...late)
    expect(metrics.map(([, , count]) => count)).toEqual([3, 3, 3])
    expect(balance).toMatchObject({ accepted: 12, filtered: 9, handed_on: 3, dropped: {} })
  })

  it('counts what it withholds by reason', async () => {
    const text = `
receivers: { host_metrics: { scrapers: { load: } } }
processors: { cumulative_to_delta/d: { initial_value: drop } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [cumulative_to_delta/d], exporters: [debug] } } }
`
    const { processors } = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
    const telemetry = new Telemetry()
    const lifetime = new Lifetime({ debug() {}, info() {}, warn() {}, error() {} })
    const { id, component, config } = processors.get('cumulative_to_delta/d')!
    const context = lifetime.context(component, {
      id,
      config: config as never,
      telemetry,
      ...thisMachine,
    })
    lifetime.begin()
    const process = component.create(context) as ProcessBatch
    for (const batch of [cumulative(20, 5), cumulative(10, 4), cumulative(20, 5), cumulative(30, 1)])
      void process(batch, { filtered() {} })
    await lifetime.stop()
    const withheld = (reason: string) => `withheld_points{component="cumulative_to_delta/d",reason="${reason}"}`
    expect(telemetry.counters()).toEqual({
      [withheld('first_value')]: 3,
      [withheld('out_of_order')]: 3,
      [withheld('duplicate_timestamp')]: 3,
      [withheld('counter_reset')]: 3,
    })
  })

  it('keeps counters apart whose scopes differ only in an attribute', async () => {
    const { process } = await testProcessor(cumulativeToDelta, 'cumulative_to_delta:')
    const scoped = (warehouse: string, seconds: number, value: number): ScopeMetrics =>
      new ScopeMetrics({
        scope: new Scope({ name: 'Shop.Orders', version: '1', attributes: Attributes.of({ warehouse }) }),
        metrics: [
          sum('orders', value, {}, { startTimeUnixNano: START, timeUnixNano: START + BigInt(seconds) * SECOND }),
        ],
      })
    const arrived = []
    for (const round of [0, 1, 2]) {
      const scopes = [scoped('a', round * 10 + 10, 10 + round), scoped('b', round * 10 + 10, 1000 + round * 5)]
      const request = MetricBatch.fromResources([new ResourceMetrics({ scopes })]).toOtlp()
      const differences = await process(MetricBatch.fromOtlp(request))
      for (const { metric, scope } of differences.metrics()) {
        arrived.push([scope.attributes.get('warehouse'), ...metric.points.map((point) => (point as NumberPoint).value)])
      }
    }
    expect(arrived).toEqual([
      ['a', 1],
      ['b', 5],
      ['a', 1],
      ['b', 5],
    ])
  })

  it('names each metric once that more than four senders share', async () => {
    const settings = 'cumulative_to_delta: { initial_value: keep }'
    const { process, logs, balance } = await testProcessor(cumulativeToDelta, settings)
    const from = (second: number, value: number, start: number): MetricBatch => {
      const times = { startTimeUnixNano: START + BigInt(start), timeUnixNano: START + BigInt(second) * SECOND }
      return MetricBatch.of({ metrics: [sum('requests', value, {}, times), sum('errors', value, {}, times)] })
    }
    const known = [from(20, 100, 1), from(30, 50, 2), from(40, 101, 1), from(50, 30, 3), from(60, 20, 4)]
    for (const batch of [...known, from(70, 10, 5), from(80, 11, 5)]) await process(batch)
    expect(balance()).toMatchObject({ accepted: 14, filtered: 6 })
    const named = logs.map(({ message, fields }) => [message.includes('service.instance.id'), fields])
    expect(named).toEqual([
      [true, { metric: 'requests' }],
      [true, { metric: 'errors' }],
    ])
  })

  it('forgets a series after max_staleness', async () => {
    const { process } = await testProcessor(cumulativeToDelta, 'cumulative_to_delta: { max_staleness: 20ms }')
    await process(cumulative(10, 5))
    const forgotten = performance.now() + 25
    while (performance.now() < forgotten) await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await process(cumulative(20, 12))).pointCount).toBe(0)
    expect((await process(cumulative(30, 13))).pointCount).toBe(3)
  })

  it.each([
    ['{ include: { match_type: regexp } }', 'include.metrics: must name a metric, or metric_types a type'],
    ['{ exclude: { metrics: [], metric_types: [] } }', 'exclude.metrics: must name a metric, or metric_types a type'],
    [
      '{ include: { metric_types: [sum, gauge] } }',
      'include.metric_types[1]: must be `sum`, `histogram` or `exponentialhistogram`',
    ],
    ['{ exclude: { match_type: regexp, metrics: [a, "("] } }', 'exclude.metrics[1]: is not a regular expression'],
    ['{ include: { match_type: glob, metrics: [a] } }', 'include.match_type: must be `strict` or `regexp`'],
    ['{ initial_value: zero }', 'initial_value: must be `auto`, `keep` or `drop`'],
    ['{ max_staleness: 3600 }', 'max_staleness: must be a time'],
  ])('refuses %s', async (settings, message) => {
    await expect(testProcessor(cumulativeToDelta, `cumulative_to_delta: ${settings}`)).rejects.toThrow(message)
  })
})
