import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { aggregate } from '../../../src/otlp/metrics/aggregate.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { Temporality } from '../../../src/otlp/metrics/metric_type.ts'
import type { MetricFields } from '../../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import type { DataPoint, ExponentialHistogramPointFields } from '../../../src/otlp/metrics/points.ts'

const NOON = 1_767_268_800_000_000_000n
const MILLISECOND = 1_000_000n

/** The points that are left of these, all of one series, and how many became part of another. */
function left(
  type: MetricFields['type'],
  points: readonly DataPoint[],
  options: { temporality?: Temporality; resolution?: bigint } = {},
) {
  const { temporality = 'delta', resolution = 1n } = options
  let merged = 0
  const account = { merged: (count: number) => void (merged += count), dropped: () => expect('nothing').toBe('lost') }
  const batch = aggregate(MetricBatch.of({ metrics: [{ name: 'm', type, temporality, points }] }), account, {
    resolution,
  })
  return { points: [...batch.metrics()].flatMap(({ metric }) => metric.points), merged }
}

const histogram = (fields: object) => new HistogramPoint({ timeUnixNano: NOON, explicitBounds: [1, 2], ...fields })
const exponential = (fields: ExponentialHistogramPointFields) =>
  new ExponentialHistogramPoint({ timeUnixNano: NOON, ...fields })

describe('numbers of one series at one time', () => {
  const sum = (...values: (number | bigint)[]) => {
    const points = values.map((value) => new NumberPoint({ value, isInt: true, timeUnixNano: NOON }))
    return (left('sum', points).points as NumberPoint[]).map(({ value, isInt }) => [value, isInt])
  }

  it('are added exactly up to the largest int, and are a double beyond it, never a negative int', () => {
    expect(sum(2n ** 62n, 2n ** 62n - 1n)).toEqual([[2n ** 63n - 1n, true]])
    expect(sum(2n ** 62n, 2n ** 62n)).toEqual([[2 ** 63, false]])
    expect(sum(-(2n ** 63n), -1)).toEqual([[-(2 ** 63), false]])
  })
})

describe('histograms of one series at one time', () => {
  it.each(['delta', 'cumulative'] as const)('are added where their bounds are the same, %s', (temporality) => {
    const { points, merged } = left(
      'histogram',
      [
        histogram({ startTimeUnixNano: NOON - 2n, count: 3, sum: 4, min: 0, max: 2, bucketCounts: [1, 2, 0] }),
        histogram({
          startTimeUnixNano: NOON - 1n,
          count: 2n ** 60n,
          sum: 1,
          min: 1,
          max: 9,
          bucketCounts: [0, 0, 2n ** 60n],
        }),
      ],
      { temporality },
    )
    expect(merged).toBe(1)
    expect(points[0]).toMatchObject({
      startTimeUnixNano: NOON - 2n,
      count: 2n ** 60n + 3n,
      ...{ sum: 5, min: 0, max: 9, bucketCounts: [1, 2, 2n ** 60n] },
    })
  })

  it('stay as they are when another counted nothing, whatever its bounds or scale', () => {
    const known = { count: 1, sum: 2, min: 2, max: 2 }
    const pairs = [
      [histogram({ ...known, bucketCounts: [0, 1, 0] }), histogram({ count: 0, explicitBounds: [], bucketCounts: [] })],
      [
        exponential({ ...known, scale: 5, positive: { offset: 31, bucketCounts: [1] } }),
        exponential({ count: 0, scale: -3, zeroThreshold: 8 }),
      ],
    ] as const
    for (const [some, none] of pairs) {
      for (const points of [
        [some, none],
        [none, some],
      ]) {
        expect(left(some.kind, points)).toMatchObject({ merged: 1, points: [some] })
      }
    }
  })

  it('know only what all of them know', () => {
    const { points } = left('histogram', [
      histogram({ count: 1, sum: 4, max: 4, bucketCounts: [0, 0, 1] }),
      histogram({ count: 1, max: 3, bucketCounts: [0, 0, 1] }),
    ])
    expect(points[0]).toMatchObject({ count: 2, sum: undefined, min: undefined, max: 4 })
  })

  it('are added, and complete, however they say what is above their last bound', () => {
    const without = histogram({ count: 6, bucketCounts: [1, 2] })
    const endless = histogram({ count: 6, bucketCounts: [1, 2, 3], explicitBounds: [1, 2, Infinity] })
    const complete = histogram({ count: 6, bucketCounts: [1, 2, 3] })
    for (const points of [
      [without, without],
      [endless, endless],
      [without, complete],
      [complete, endless],
      [endless, without],
    ]) {
      expect(left('histogram', points)).toMatchObject({
        merged: 1,
        points: [{ count: 12, bucketCounts: [2, 4, 6], explicitBounds: [1, 2] }],
      })
    }
  })

  it('stay apart where their bounds differ', () => {
    const two = [
      histogram({ count: 1, bucketCounts: [0, 0, 1] }),
      histogram({ count: 1, bucketCounts: [0, 1], explicitBounds: [1] }),
    ]
    expect(left('histogram', two)).toEqual({ points: two, merged: 0 })
  })

  it('of which one says that it has no value stay apart', () => {
    const two = [histogram({ count: 1, bucketCounts: [0, 0, 1] }), histogram({ flags: 1 })]
    expect(left('histogram', two)).toEqual({ points: two, merged: 0 })
  })

  it('that are totals at different times of one second are one, the latest', () => {
    const two = [histogram({ count: 1 }), histogram({ count: 2, timeUnixNano: NOON + MILLISECOND })]
    const options = { temporality: 'cumulative', resolution: 1_000_000_000n } as const
    expect(left('histogram', two, options).points).toEqual([two[1]])
    expect(left('histogram', two, { ...options, temporality: 'delta' }).points[0]).toMatchObject({ count: 3 })
  })
})

describe('exponential histograms of one series at one time', () => {
  it('are added at the coarser scale', () => {
    const { points } = left('exponential_histogram', [
      exponential({ count: 4, sum: 5, scale: 1, positive: { offset: 0, bucketCounts: [1, 1, 1, 1] } }),
      exponential({ count: 3, sum: 2, scale: 0, zeroCount: 1, positive: { offset: 1, bucketCounts: [2] } }),
    ])
    expect(points[0]).toMatchObject({
      ...{ count: 7, sum: 7, scale: 0, zeroCount: 1 },
      positive: { offset: 0, bucketCounts: [2, 4] },
    })
  })

  it('take what lies within the wider zero threshold for zero', () => {
    const { points } = left('exponential_histogram', [
      exponential({ count: 2, scale: 0, positive: { offset: -3, bucketCounts: [1, 0, 0, 1] } }),
      exponential({ count: 1, scale: 0, zeroCount: 1, zeroThreshold: 0.5 }),
    ])
    expect(points[0]).toMatchObject({
      ...{ count: 3, zeroCount: 2, zeroThreshold: 0.5 },
      positive: { offset: 0, bucketCounts: [1] },
    })
  })

  it('of any scale and offset count together what each of them counted, in few buckets, in either order', () => {
    const counts = fc.array(fc.nat(9), { minLength: 1, maxLength: 5 })
    const side = fc.record({ offset: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), bucketCounts: counts })
    const point = fc
      .record({ scale: fc.integer({ min: -10, max: 20 }), zeroCount: fc.nat(9), positive: side, negative: side })
      .map((fields) => {
        const all = [...fields.positive.bucketCounts, ...fields.negative.bucketCounts, fields.zeroCount]
        return exponential({ ...fields, count: all.reduce((sum, count) => sum + count, 0) })
      })
    const total = ({ positive, negative, zeroCount }: ExponentialHistogramPoint): number =>
      [...(positive?.bucketCounts ?? []), ...(negative?.bucketCounts ?? []), zeroCount].reduce<number>(
        (sum, count) => sum + Number(count),
        0,
      )
    const written = (...points: ExponentialHistogramPoint[]): Uint8Array =>
      MetricBatch.of({ metrics: [{ name: 'written', type: 'exponential_histogram', points }] }).toOtlp()
    fc.assert(
      fc.property(point, point, (first, second) => {
        const [one] = left('exponential_histogram', [first, second]).points as ExponentialHistogramPoint[]
        const [other] = left('exponential_histogram', [second, first]).points as ExponentialHistogramPoint[]
        expect(one.count).toBe(Number(first.count) + Number(second.count))
        expect(total(one)).toBe(one.count)
        expect(one.positive?.bucketCounts.length).toBeLessThanOrEqual(160)
        // What was read of them may differ: of two, one may be empty, and the other stays the object it was.
        expect(written(other)).toEqual(written(one))
      }),
    )
  })
})

describe('summaries of one series', () => {
  const summary = (count: number, timeUnixNano = NOON) =>
    new SummaryPoint({
      ...{ timeUnixNano, count, sum: 10 * count, attributes: Attributes.of({ a: 1 }) },
      quantileValues: [{ quantile: 0.5, value: count }],
    })

  it('are added at one time, and the quantiles of the last stay', () => {
    expect(left('summary', [summary(1), summary(2)]).points[0]).toMatchObject({
      ...{ count: 3, sum: 30 },
      quantileValues: [{ quantile: 0.5, value: 2 }],
    })
  })

  it('stay apart at different times of a second', () => {
    const two = [summary(1), summary(2, NOON + MILLISECOND)]
    expect(left('summary', two, { temporality: 'unspecified', resolution: 1_000_000_000n }).merged).toBe(0)
  })
})
