import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { Metric } from '../../../src/otlp/metrics/metric.ts'
import type { Temporality } from '../../../src/otlp/metrics/metric_type.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import cumulativeToDelta from '../../../src/processors/cumulative_to_delta.ts'
import rename from '../../../src/processors/rename.ts'
import { gauge, sum, testProcessor } from '../../../src/testing.ts'
import { at, renaming } from './renaming.ts'

const exemplar = {
  filteredAttributes: Attributes.empty,
  timeUnixNano: 1n,
  value: 0.5,
  isInt: false,
  spanId: new Uint8Array(),
  traceId: new Uint8Array(),
}

const histogram = new HistogramPoint({
  ...at,
  count: 6,
  sum: 11,
  min: 0.5,
  max: 7,
  explicitBounds: [1, 5],
  bucketCounts: [3, 2, 1],
  exemplars: [exemplar],
})

function metric(type: Metric['type'], temporality: Temporality, ...points: Metric['points']): Metric {
  return new Metric({ name: 'latency', unit: 's', type, temporality, points })
}

function scaled(factor: number, ...metrics: readonly Metric[]) {
  const operation = `{ action: experimental_scale_value, experimental_scale: ${factor} }`
  return renaming(
    [`{ include: ^lat, match_type: regexp, new_name: new, new_unit: ms, operations: [${operation}] }`],
    ...metrics,
  )
}

describe('rename: scale', () => {
  it('scales all there is in a histogram', async () => {
    const [result] = (await scaled(1000, metric('histogram', 'cumulative', histogram))).metrics
    expect(result).toMatchObject({ name: 'new', unit: 'ms' })
    expect(result.points).toMatchObject([
      {
        count: 6,
        sum: 11_000,
        min: 500,
        max: 7000,
        explicitBounds: [1000, 5000],
        bucketCounts: [3, 2, 1],
        exemplars: [{ value: 500 }],
      },
    ])
  })

  it('turns a histogram around when the factor is below 0', async () => {
    const [result] = (await scaled(-2, metric('histogram', 'delta', histogram))).metrics
    expect(result.points).toMatchObject([
      { sum: -22, min: -14, max: -1, explicitBounds: [-10, -2], bucketCounts: [1, 2, 3], exemplars: [{ value: -1 }] },
    ])
  })

  it('leaves unknown what a histogram does not say', async () => {
    const point = new HistogramPoint({ ...at, count: 1, bucketCounts: [1] })
    const [result] = (await scaled(1000, metric('histogram', 'delta', point))).metrics
    expect(result.points).toMatchObject([{ count: 1, sum: undefined, min: undefined, max: undefined }])
  })

  it('scales the sum and the quantiles of a summary', async () => {
    const point = new SummaryPoint({
      ...at,
      count: 4,
      sum: 3,
      quantileValues: [
        { quantile: 0, value: 0.25 },
        { quantile: 0.75, value: 2 },
      ],
    })
    const [up] = (await scaled(1000, metric('summary', 'unspecified', point))).metrics
    expect(up.points).toMatchObject([
      {
        count: 4,
        sum: 3000,
        quantileValues: [
          { quantile: 0, value: 250 },
          { quantile: 0.75, value: 2000 },
        ],
      },
    ])
    const [down] = (await scaled(-1, metric('summary', 'unspecified', point))).metrics
    expect(down.points).toMatchObject([
      {
        sum: -3,
        quantileValues: [
          { quantile: 0.25, value: -2 },
          { quantile: 1, value: -0.25 },
        ],
      },
    ])
  })

  it('moves the buckets of an exponential histogram by the nearest whole number of them', async () => {
    const point = new ExponentialHistogramPoint({
      ...at,
      count: 6,
      sum: 20,
      min: -3,
      max: 9,
      scale: 3,
      zeroCount: 1,
      zeroThreshold: 0.5,
      positive: { offset: 4, bucketCounts: [1, 2] },
      negative: { offset: -8, bucketCounts: [2] },
      exemplars: [exemplar],
    })
    // log2(1000) * 2^3 = 79.7
    const [up] = (await scaled(1000, metric('exponential_histogram', 'delta', point))).metrics
    expect(up.points).toMatchObject([
      {
        sum: 20_000,
        min: -3000,
        max: 9000,
        scale: 3,
        zeroCount: 1,
        zeroThreshold: 512,
        positive: { offset: 84, bucketCounts: [1, 2] },
        negative: { offset: 72, bucketCounts: [2] },
        exemplars: [{ value: 500 }],
      },
    ])
    const [down] = (await scaled(-0.5, metric('exponential_histogram', 'cumulative', point))).metrics
    expect(down.points).toMatchObject([
      {
        sum: -10,
        min: -4.5,
        max: 1.5,
        positive: { offset: -16, bucketCounts: [2] },
        negative: { offset: -4, bucketCounts: [1, 2] },
      },
    ])
  })

  it('keeps counts within half a bucket of where they belong, whatever the factor and the scale', async () => {
    for (const factor of [1000, 0.001, 1 / 60, 8, 1.1]) {
      for (const scale of [-1, 0, 3, 8]) {
        const point = new ExponentialHistogramPoint({
          ...at,
          count: 1,
          scale,
          positive: { offset: 3, bucketCounts: [1] },
        })
        const [result] = (await scaled(factor, metric('exponential_histogram', 'delta', point))).metrics
        const [{ positive }] = result.points as ExponentialHistogramPoint[]
        const ofBuckets = 2 ** (2 ** -scale)
        const off = (ofBuckets ** (positive?.offset ?? NaN) / (ofBuckets ** 3 * factor)) ** 2
        expect(off).toBeLessThanOrEqual(ofBuckets * (1 + 1e-9))
        expect(off).toBeGreaterThanOrEqual((1 / ofBuckets) * (1 - 1e-9))
      }
    }
  })

  /** Cumulative exports of one histogram, whose scale becomes coarser after the first: the count, the scale, the buckets. */
  const exports: readonly [number, number, number, readonly number[]][] = [
    [6, 4, 3, [1, 1, 1, 1, 1, 1]],
    [9, 3, 1, [1, 3, 3, 2]],
  ]

  it.each([
    [1024, 'new', 'ms'],
    [1000, 'latency', 's'],
  ])('counts nothing twice when a cumulative one scaled by %d becomes coarser', async (factor, name, unit) => {
    const operation = `{ action: experimental_scale_value, experimental_scale: ${factor} }`
    const renaming = await testProcessor(
      rename,
      `rename: { transforms: [{ include: latency, new_name: new, new_unit: ms, operations: [${operation}] }] }`,
    )
    // Where every first value counts, a histogram that seemed to have begun again would count in full.
    const differences = await testProcessor(cumulativeToDelta, 'cumulative_to_delta: { initial_value: keep }')
    const out = []
    for (const [index, [count, scale, offset, bucketCounts]] of exports.entries()) {
      const point = new ExponentialHistogramPoint({
        timeUnixNano: at.timeUnixNano + BigInt(index),
        startTimeUnixNano: 1n,
        count,
        scale,
        positive: { offset, bucketCounts },
      })
      const batch = MetricBatch.of({ metrics: [metric('exponential_histogram', 'cumulative', point)] })
      out.push(...(await differences.process(await renaming.process(batch))).metrics())
    }
    const given = out.map(({ metric }) => [
      metric.name,
      metric.unit,
      (metric.points[0] as ExponentialHistogramPoint).count,
    ])
    expect(given).toEqual([
      [name, unit, 6],
      [name, unit, 3],
    ])
  })

  it('leaves a cumulative exponential histogram that cannot be scaled as it was, copies none, and says so', async () => {
    const point = new ExponentialHistogramPoint({
      ...at,
      count: 1,
      scale: 2,
      positive: { offset: 1, bucketCounts: [1] },
    })
    const given = metric('exponential_histogram', 'cumulative', point)
    const { metrics, logs, balance } = await scaled(1000, given)
    expect(metrics).toMatchObject([{ name: 'latency', unit: 's', points: [{ positive: { offset: 1 } }] }])
    expect(logs).toMatchObject([{ level: 'warn', fields: { metric: 'latency', factor: 1000 } }])
    expect(logs[0].message).toMatch('put cumulative_to_delta in front of this processor')
    expect(balance()).toMatchObject({ accepted: 1, handed_on: 1, merged: 0, filtered: 0, created: 0 })
    const operations = [
      '{ action: delete_label_value, label: a, label_value: b }',
      '{ action: experimental_scale_value, experimental_scale: 3 }',
    ]
    for (const action of ['insert', 'combine, aggregation_type: sum']) {
      const { metrics } = await renaming(
        [
          `{ include: latency, action: ${action}, new_name: copy, new_unit: ms, operations: [${operations.join(', ')}] }`,
        ],
        given,
      )
      expect(metrics).toMatchObject([{ name: 'latency', unit: 's' }])
    }
  })

  it('gives neither name nor unit to a metric whose data it does not know', async () => {
    const { metrics } = await scaled(1000, metric('none', 'unspecified'), gauge('other', 1))
    expect(metrics).toMatchObject([{ name: 'latency', unit: 's' }, { name: 'other' }])
  })

  it('no longer calls a counter monotonic when the factor is below 0', async () => {
    const [up] = (await scaled(2, sum('latency', 1, {}, at))).metrics
    const [down] = (await scaled(-2, sum('latency', 1, {}, at))).metrics
    expect([up.monotonic, down.monotonic]).toEqual([true, false])
  })

  it('scales the exemplars of numbers, and leaves points without a value', async () => {
    const points = [
      new NumberPoint({ ...at, value: 2n, exemplars: [{ ...exemplar, value: 2n ** 60n, isInt: true }] }),
      new NumberPoint({ ...at, flags: 1 }),
    ]
    const [result] = (await scaled(3, metric('gauge', 'unspecified', ...points))).metrics
    expect(result.points).toMatchObject([
      { value: 6, isInt: true, exemplars: [{ value: 3n * 2n ** 60n, isInt: true }] },
      { value: undefined, hasValue: false },
    ])
  })

  it('scales only the data points whose labels match', async () => {
    const points = ['s', 'ms'].map((unit) => new NumberPoint({ ...at, value: 3n, attributes: Attributes.of({ unit }) }))
    const transform =
      '{ include: latency, experimental_match_labels: { unit: s }, operations: [{ action: experimental_scale_value, experimental_scale: 1000 }, { action: update_label, label: unit, value_actions: [{ value: s, new_value: ms* }] }] }'
    const { metrics, balance } = await renaming([transform], metric('gauge', 'unspecified', ...points))
    const values = metrics[0].points.map((point) => [point.attributes.get('unit'), (point as NumberPoint).value])
    expect(values).toEqual([
      ['ms', 3],
      ['ms*', 3000],
    ])
    expect(balance()).toMatchObject({ accepted: 2, handed_on: 2 })
  })
})
