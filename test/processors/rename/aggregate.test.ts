import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { Metric } from '../../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { gauge, sum } from '../../../src/testing.ts'
import { at, joined, renaming } from './renaming.ts'

function exemplar(value: number) {
  const none = new Uint8Array()
  return { filteredAttributes: Attributes.empty, timeUnixNano: 1n, value, isInt: false, spanId: none, traceId: none }
}

function labels(values: Record<string, string>) {
  return { ...at, attributes: Attributes.of(values) }
}

async function aggregated(type: string, ...metrics: readonly Metric[]): Promise<Metric> {
  const operation = `{ action: aggregate_labels, label_set: [zone], aggregation_type: ${type} }`
  const { metrics: results } = await renaming([`{ include: a, operations: [${operation}] }`], ...metrics)
  return results[0]
}

function values({ points }: Metric): unknown[] {
  return points.map((point) => point.kind === 'number' && [point.value, point.isInt])
}

describe('rename: aggregation of numbers', () => {
  it.each([
    ['count', [[1n], [2n]], [2, true]],
    ['count', [[0.5]], [1, true]],
    ['median', [[5n], [2n ** 60n + 1n], [2n ** 61n]], [2n ** 60n + 1n, true]],
    ['median', [[9n], [1n], [4n], [3n]], [3.5, false]],
    ['median', [[9n], [0.5], [1e300]], [9, true]],
    ['median', [[7n]], [7, true]],
    ['min', [[NaN], [1n]], [NaN, false]],
    ['min', [[1n], [NaN]], [NaN, false]],
    ['max', [[1n], [NaN]], [NaN, false]],
    ['max', [[2n ** 60n], [2n ** 60n + 1n], [5]], [2n ** 60n + 1n, true]],
    ['sum', [[2n ** 62n], [2n ** 62n], [-(2n ** 62n)]], [2n ** 62n, true]],
    ['sum', [[2n ** 62n], [2n ** 62n]], [2 ** 63, false]],
    ['mean', [[2n ** 62n], [2n ** 62n]], [2 ** 62, false]],
  ])('makes the %s of %j', async (type, given, expected) => {
    const metric = joined(...given.map(([value], index) => gauge('a', value, { pod: `${index}` }, at)))
    expect(values(await aggregated(type, metric))).toEqual([expected])
    expect(values(await aggregated(type, metric.withPoints(metric.points.toReversed())))).toEqual([expected])
  })

  it('leaves points without a value out of every aggregation', async () => {
    const none = [new NumberPoint(labels({ pod: 'c' })), new NumberPoint({ ...labels({ pod: 'd' }), flags: 1 })]
    const metric = joined(gauge('a', 4n, { pod: 'a' }, at), gauge('a', 6n, { pod: 'b' }, at))
    for (const [type, value] of Object.entries({ min: 4, mean: 5, count: 2 })) {
      const result = await aggregated(type, metric.withPoints([...none, ...metric.points]))
      expect(result.points.filter((point) => (point as NumberPoint).value !== undefined)).toMatchObject([{ value }])
    }
  })

  it('does not call a count of series monotonic, which goes up and down', async () => {
    const metric = joined(sum('a', 4n, { pod: 'a' }, at), sum('a', 6n, { pod: 'b' }, at))
    expect(await aggregated('count', metric)).toMatchObject({ temporality: 'cumulative', monotonic: false })
    expect(await aggregated('max', metric)).toMatchObject({ temporality: 'cumulative', monotonic: true })
  })
})

describe('rename: aggregation of histograms and summaries', () => {
  function histogram(fields: object, values: Record<string, string>): HistogramPoint {
    return new HistogramPoint({ explicitBounds: [1, 5], ...labels(values), ...fields })
  }
  const of = (type: Metric['type'], ...points: readonly DataPoint[]): Metric =>
    new Metric({ name: 'a', type, temporality: 'cumulative', points })

  it.each(['sum', 'mean', 'count'])('adds histograms (%s)', async (type) => {
    const one = { count: 3, sum: 9, min: 0.5, max: 8, bucketCounts: [1, 1, 1], startTimeUnixNano: 7n }
    const two = { count: 2n ** 60n, sum: 4, min: 2, max: 2, bucketCounts: [0, 2n ** 60n, 0], startTimeUnixNano: 5n }
    const result = await aggregated(
      type,
      of(
        'histogram',
        histogram({ ...one, exemplars: [exemplar(8)] }, { pod: 'a', zone: 'x' }),
        histogram({ ...two, exemplars: [exemplar(2)] }, { zone: 'x', pod: 'b' }),
        histogram(two, { pod: 'c', zone: 'y' }),
      ),
    )
    expect(result.points).toMatchObject([
      {
        startTimeUnixNano: 5n,
        count: 2n ** 60n + 3n,
        sum: 13,
        min: 0.5,
        max: 8,
        bucketCounts: [1, 2n ** 60n + 1n, 1],
        exemplars: [{ value: 8 }, { value: 2 }],
      },
      { count: 2n ** 60n, startTimeUnixNano: 5n },
    ])
    expect(result.points.map(({ attributes }) => attributes.toObject())).toEqual([{ zone: 'x' }, { zone: 'y' }])
  })

  it('takes the extremes of those that counted something', async () => {
    const result = await aggregated(
      'sum',
      of(
        'histogram',
        histogram({ count: 0, sum: 0, bucketCounts: [0, 0, 0], startTimeUnixNano: 3n }, { pod: 'idle' }),
        histogram({ count: 1, sum: 4, min: 4, max: 4, bucketCounts: [0, 1, 0] }, { pod: 'a' }),
        histogram({ count: 0, explicitBounds: [], bucketCounts: [] }, { pod: 'new' }),
      ),
    )
    expect(result.points).toMatchObject([{ count: 1, sum: 4, min: 4, max: 4, bucketCounts: [0, 1, 0] }])
  })

  it('keeps histograms of other bounds, of other times and without a value apart', async () => {
    const point = { count: 1, sum: 1, bucketCounts: [1, 0, 0] }
    const result = await aggregated(
      'sum',
      of(
        'histogram',
        histogram(point, { pod: 'a' }),
        histogram({ ...point, explicitBounds: [2, 3] }, { pod: 'b' }),
        histogram(point, { pod: 'c' }),
        histogram({ ...point, explicitBounds: [2, 3] }, { pod: 'd' }),
        histogram({ ...point, timeUnixNano: 1n }, { pod: 'e' }),
        histogram({ flags: 1 }, { pod: 'f' }),
        histogram({ flags: 1 }, { pod: 'g' }),
      ),
    )
    expect(result.points).toMatchObject([
      { count: 2, explicitBounds: [1, 5] },
      { count: 2, explicitBounds: [2, 3] },
      { count: 1, timeUnixNano: 1n },
      { hasValue: false },
    ])
  })

  it('adds exponential histograms at the coarser scale', async () => {
    const point = (scale: number, offset: number, bucketCounts: number[], pod: string) => {
      const count = bucketCounts.reduce((left, right) => left + right)
      return new ExponentialHistogramPoint({ ...labels({ pod }), count, scale, positive: { offset, bucketCounts } })
    }
    const empty = new ExponentialHistogramPoint({ ...labels({ pod: 'idle' }), count: 0, scale: -10 })
    const points = [empty, point(1, 2, [1, 2, 3], 'a'), point(0, 0, [4, 5], 'b')]
    for (const order of [points, points.toReversed()]) {
      const result = await aggregated('sum', of('exponential_histogram', ...order))
      expect(result.points).toMatchObject([{ count: 15, scale: 0, positive: { offset: 0, bucketCounts: [4, 8, 3] } }])
    }
  })

  it('adds the counts and sums of summaries, whose quantiles cannot be added', async () => {
    const quantileValues = [{ quantile: 0.5, value: 2 }]
    const point = (count: number, zone: string, pod: string) =>
      new SummaryPoint({
        ...labels({ zone, pod }),
        count,
        sum: count * 2,
        quantileValues: count === 0 ? [] : quantileValues,
      })
    const result = await aggregated(
      'sum',
      of('summary', point(2, 'x', 'a'), point(3, 'x', 'b'), point(1, 'y', 'a'), point(0, 'y', 'b'), point(7, 'z', 'a')),
    )
    expect(result.points).toMatchObject([
      { count: 5, sum: 10, quantileValues: [] },
      { count: 1, sum: 2, quantileValues },
      { count: 7, sum: 14, quantileValues },
    ])
  })

  it('makes one label value of several', async () => {
    const point = { count: 1, sum: 1, bucketCounts: [1, 0, 0] }
    const operation =
      '{ action: aggregate_label_values, label: code, aggregated_values: ["200", "204"], new_value: ok, aggregation_type: sum }'
    const { metrics, balance } = await renaming(
      [`{ include: a, operations: [${operation}] }`],
      of(
        'histogram',
        histogram(point, { code: '200' }),
        histogram(point, { code: '204' }),
        histogram(point, { code: '500' }),
        histogram(point, {}),
      ),
    )
    expect(metrics[0].points).toMatchObject([{ count: 2 }, { count: 1 }, { count: 1 }])
    expect(metrics[0].points.map(({ attributes }) => attributes.get('code'))).toEqual(['ok', '500', undefined])
    expect(balance()).toMatchObject({ accepted: 4, merged: 1, handed_on: 3 })
  })
})
