import { describe, expect, it } from '@jest/globals'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Settings } from '../../src/component/settings.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import tagMerge from '../../src/processors/tag_merge.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { Temporality } from '../../src/otlp/metrics/metric_type.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import { sum, testProcessor } from '../../src/testing.ts'
import { cleanups } from '../kit/cleanups.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

/*
 * Series that differ in one attribute until it is taken away: by a processor before the exporter, by the exporter's
 * tags, or because the exporter does not send it.
 */

const NOON = 1_767_268_800
const at = (seconds: number): bigint => BigInt(NOON + seconds) * 1_000_000_000n
const BOOT = at(-1000)

/** Each pod's distributions, the second round ten seconds after the first; `on`: where the attribute is. */
function round(number: number, temporality: Temporality, on: 'point' | 'resource'): MetricBatch {
  const metrics = (pod: number): MetricFields[] => {
    const total = temporality === 'cumulative' ? number : 1
    const base = {
      timeUnixNano: at(10 * number),
      startTimeUnixNano: temporality === 'cumulative' ? BOOT : at(10 * number - 10),
      ...(on === 'point' && { attributes: Attributes.of({ pod: `p${pod}` }) }),
    }
    const count = total * pod
    const figures = { ...base, count, sum: 3 * count }
    return [
      {
        ...{ name: 'duration', type: 'histogram', temporality },
        points: [new HistogramPoint({ ...figures, bucketCounts: [0, count, 0], explicitBounds: [2, 4] })],
      },
      {
        ...{ name: 'size', type: 'exponential_histogram', temporality },
        points: [
          new ExponentialHistogramPoint({ ...figures, scale: pod, positive: { offset: pod, bucketCounts: [count] } }),
        ],
      },
      {
        ...{ name: 'latency', type: 'summary' },
        points: [new SummaryPoint({ ...figures, startTimeUnixNano: BOOT, count: number * pod, sum: 3 * number * pod })],
      },
    ]
  }
  return MetricBatch.of(
    ...[1, 2].map((pod) => ({ resource: on === 'resource' ? { pod: `p${pod}` } : {}, metrics: metrics(pod) })),
  )
}

/** Two rounds of it through a `tag_merge` in front, if `before`, to an exporter that leaves the attribute out. */
async function delivered(
  component: ExporterComponent<Settings, Batch>,
  settings: string,
  { temporality, on, before }: { temporality: Temporality; on: 'point' | 'resource'; before: boolean },
) {
  const intake: Intake = await startIntake()
  const exporter = await testExporter(
    component,
    `${component.type}: { endpoint: "${intake.url}", api_key: good-key, ${settings} }`,
  )
  const processor = await testProcessor(tagMerge, 'tag_merge: { tags: ["pod:all"] }')
  cleanups.push(() => processor.stop())
  const rounds = [round(1, temporality, on), round(2, temporality, on)]
  const batches = before ? await Promise.all(rounds.map((batch) => processor.process(batch))) : rounds
  const balance = await exporter.deliver(...batches)
  const warned = exporter.logs.filter(({ level }) => level === 'warn').map(({ fields }) => fields)
  return { intake, balance, warned }
}

const ways = (['delta', 'cumulative'] as const).flatMap((temporality) => [
  { temporality, on: 'point' as const, before: true, by: 'a processor', settings: '' },
  { temporality, on: 'point' as const, before: false, by: "the exporter's tags", settings: 'tags: ["pod:all"]' },
  {
    ...{ temporality, on: 'resource' as const, before: false, by: 'resource_attributes' },
    settings: 'resource_attributes: { exclude: [pod] }',
  },
])

describe.each(ways)('$temporality distributions of two pods that $by makes one series', ({ settings, ...way }) => {
  // Of cumulative ones the first round is withheld.
  const seconds = way.temporality === 'delta' ? [10, 20] : [20]

  it('are one distribution with the differences of both at Datadog', async () => {
    const { intake, warned, balance } = await delivered(datadogNative, settings, way)
    const counted = (name: string) =>
      intake
        .sketches()
        .filter(({ metric }) => metric === name)
        .flatMap(({ dogsketches }) => dogsketches.map(({ ts, cnt, sum }) => [ts - NOON, cnt, sum]))
    expect(counted('duration')).toEqual(seconds.map((second) => [second, 3, 9]))
    expect(counted('size')).toEqual(seconds.map((second) => [second, 3, 9]))
    const series = intake.series().map(({ metric, points }) => [metric, ...points.flat()])
    expect(series).toEqual([
      ['latency.count', NOON + 20, 3],
      ['latency.sum', NOON + 20, 9],
    ])
    // Nothing of them is lost.
    expect(warned).toEqual([])
    expect(Object.keys(balance.dropped)).toEqual(['first_value'])
  })

  it('are one count for each bucket with mode counters', async () => {
    const { intake } = await delivered(datadogNative, `histograms: { mode: counters }, ${settings}`, way)
    const buckets = intake.series().filter(({ metric }) => metric === 'duration.bucket')
    const within = buckets.filter(({ tags }) => tags.includes('lower_bound:2.0'))
    expect(within.map(({ points }) => points.flat())).toEqual(seconds.map((second) => [NOON + second, 3]))
    expect(buckets).toHaveLength(3 * seconds.length)
  })

  it('are one of each over OTLP', async () => {
    const { intake, warned } = await delivered(datadogOtlp, settings, way)
    interface Sent {
      resourceMetrics: {
        scopeMetrics: { metrics: Record<string, { dataPoints: { count: string; sum: number }[] }>[] }[]
      }[]
    }
    const points = (data: string) =>
      intake.requests
        .flatMap(({ body }) => (body as Sent).resourceMetrics)
        .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
        .flatMap((metric) => metric[data]?.dataPoints ?? [])
        .map(({ count, sum }) => [Number(count), sum])
    expect(points('histogram')).toEqual(seconds.map(() => [3, 9]))
    expect(points('exponentialHistogram')).toEqual(seconds.map(() => [3, 9]))
    expect(points('summary')).toEqual([
      [3, 9],
      [6, 18],
    ])
    expect(warned).toEqual([])
  })
})

describe.each([datadogNative, datadogOtlp] as readonly ExporterComponent<Settings, Batch>[])('$type', (component) => {
  it.each([
    ['k8s.pod.uid', { 'k8s.pod.name': 'web-0' }],
    ['container.image.id', {}],
    ['service.instance.id', { 'aws.ecs.launchtype': 'fargate', 'aws.ecs.task.arn': 'arn:aws:ecs:1' }],
  ])('never takes one counter for another of the same tags that differs in %s', async (attribute, resource) => {
    const intake = await startIntake()
    const exporter = await testExporter(
      component,
      `${component.type}: { endpoint: "${intake.url}", api_key: good-key }`,
    )
    const scrape = (instance: string, value: number, seconds: number): MetricBatch =>
      MetricBatch.of({
        resource: { ...resource, [attribute]: instance },
        metrics: [sum('requests', value, {}, { timeUnixNano: at(seconds), startTimeUnixNano: BOOT })],
      })
    const { dropped } = await exporter.deliver(
      ...[scrape('a', 1000, 0), scrape('b', 7, 1), scrape('a', 1010, 10), scrape('b', 9, 11)],
    )
    expect(dropped).toEqual({ first_value: 2 })
    expect(intake.requests).toHaveLength(2)
    if (component.type !== 'datadog_native') return
    expect(intake.series().map(({ points }) => points.flat())).toEqual([
      [NOON + 10, 10],
      [NOON + 11, 2],
    ])
    const [first, second] = intake.series()
    expect(first.tags).toEqual(second.tags)
    expect(first.tags.join()).not.toContain(attribute)
  })

  it('forgets a counter that sends nothing for delta_ttl', async () => {
    const intake = await startIntake()
    const settings = `endpoint: "${intake.url}", api_key: good-key, delta_ttl: 20ms`
    const exporter = await testExporter(component, `${component.type}: { ${settings} }`)
    const total = (value: number, seconds: number): MetricBatch =>
      MetricBatch.of({
        metrics: [
          sum('requests', value, {}, { timeUnixNano: at(seconds), startTimeUnixNano: BOOT }),
          round(value, 'cumulative', 'point').resources[0].scopes[0].metrics[0],
        ],
      })
    await exporter.deliver(total(1, 10))
    const forgotten = performance.now() + 25
    while (performance.now() < forgotten) await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await exporter.deliver(total(2, 20))).dropped).toEqual({ first_value: 4 })
  })
})
