import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { aggregate } from '../../../src/otlp/metrics/aggregate.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import {
  ExponentialHistogramPoint,
  NO_RECORDED_VALUE,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import type { ExponentialHistogramPointFields, NumberPointFields } from '../../../src/otlp/metrics/points.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'
import {
  at,
  counter,
  counting,
  differences,
  histogram,
  LATER,
  LONG_AGO,
  SECOND,
  values,
} from '../../kit/differences.ts'

describe('the difference of a cumulative sum', () => {
  it('starts at the point before, is a delta, and stays an int', () => {
    const { metrics, points, dropped } = differences(
      { initialValue: 'auto' },
      counter(at(10, 100)),
      counter(at(20, 130)),
      counter(at(35, 130)),
    )
    expect(values(points)).toEqual([
      [30, 10n, 20n],
      [0, 20n, 35n],
    ])
    expect(metrics.map(({ temporality, monotonic }) => [temporality, monotonic])).toEqual([
      ['delta', true],
      ['delta', true],
    ])
    expect((points as NumberPoint[]).every(({ isInt }) => isInt)).toBe(true)
    expect(dropped).toEqual({ first_value: 1 })
  })

  it('is exact beyond 2^53', () => {
    const { points } = differences(
      { initialValue: 'drop' },
      counter(at(10, 9_223_372_036_854_775_000n)),
      counter(at(20, 9_223_372_036_854_775_807n)),
    )
    expect(values(points)).toEqual([[807, 10n, 20n]])
  })

  it('keeps the series of different attributes apart', () => {
    const point = (value: number, seconds: number, cpu: string) =>
      at(seconds, value, { attributes: Attributes.of({ cpu }) })
    const { points } = differences(
      { initialValue: 'auto' },
      counter(point(1, 10, 'a'), point(100, 10, 'b')),
      counter(point(2, 20, 'a'), point(300, 20, 'b')),
    )
    expect(values(points)).toEqual([
      [1, 10n, 20n],
      [200, 10n, 20n],
    ])
  })

  it('takes the same attributes in another order for the same series', () => {
    const { points } = differences(
      { initialValue: 'auto' },
      counter(at(10, 1, { attributes: Attributes.of({ a: 1, b: 'x' }) })),
      counter(at(20, 5, { attributes: Attributes.of({ b: 'x', a: 1 }) })),
    )
    expect(values(points)).toEqual([[4, 10n, 20n]])
  })

  it('passes on gauges, delta sums and sums that go up and down as they are', () => {
    const batch = MetricBatch.of({
      metrics: [
        { name: 'g', type: 'gauge', points: [new NumberPoint(at(1, 1))] },
        { name: 'd', type: 'sum', temporality: 'delta', monotonic: true, points: [new NumberPoint(at(1, 1))] },
        { name: 'u', type: 'sum', temporality: 'cumulative', monotonic: false, points: [new NumberPoint(at(1, 1))] },
      ],
    })
    expect(new CumulativeToDelta({ initialValue: 'drop' }).apply(batch, counting().account)).toBe(batch)
  })
})

describe('the first value', () => {
  const old = counter(at(10, 100))
  const young = counter({ value: 7, isInt: true, startTimeUnixNano: LATER, timeUnixNano: LATER + 5n * SECOND })

  it('is withheld by auto when the counter is older than the process, and sent when it is younger', () => {
    expect(differences({ initialValue: 'auto' }, old)).toMatchObject({ points: [], dropped: { first_value: 1 } })
    const { points, dropped } = differences({ initialValue: 'auto' }, young)
    expect(points).toMatchObject([{ value: 7, startTimeUnixNano: LATER }])
    expect(dropped).toEqual({})
  })

  it('is always sent by keep and never by drop', () => {
    expect(differences({ initialValue: 'keep' }, old).points).toMatchObject([
      { value: 100, startTimeUnixNano: LONG_AGO },
    ])
    expect(differences({ initialValue: 'drop' }, young)).toMatchObject({ points: [], dropped: { first_value: 1 } })
  })

  it('is withheld by auto when the counter says that it started this very moment', () => {
    const zero = counter({ value: 0, startTimeUnixNano: LATER, timeUnixNano: LATER })
    expect(differences({ initialValue: 'auto' }, zero).dropped).toEqual({ first_value: 1 })
  })
})

describe('a counter that begins anew', () => {
  it('is seen by a smaller value', () => {
    const { points, dropped } = differences(
      { initialValue: 'auto' },
      counter(at(10, 100)),
      counter(at(20, 5)),
      counter(at(30, 9)),
    )
    expect(values(points)).toEqual([[9, 10n, 30n]])
    expect(dropped).toEqual({ first_value: 1 })
  })

  it('is seen by a new start, even with a larger value, and counted from zero where the start is known to be later', () => {
    const restarted = { startTimeUnixNano: LATER, timeUnixNano: LATER + 10n * SECOND }
    const { points, dropped } = differences(
      { initialValue: 'auto' },
      counter(at(10, 100)),
      counter({ value: 150, ...restarted }),
    )
    expect(points).toMatchObject([{ value: 150, startTimeUnixNano: LATER }])
    expect(dropped).toEqual({ first_value: 1 })
  })

  it('counts from the point before with keep when its start did not move', () => {
    const { points } = differences(
      { initialValue: 'keep' },
      counter(at(10, 100)),
      counter(at(20, 5)),
      counter(at(30, 7)),
    )
    expect(values(points)).toEqual([
      [100, 0n, 10n],
      [7, 10n, 30n],
    ])
  })

  it('is not seen in a counter that never tells its start', () => {
    const { points } = differences(
      { initialValue: 'auto' },
      counter(at(10, 1, { startTimeUnixNano: 0n })),
      counter(at(20, 3, { startTimeUnixNano: 0n })),
    )
    expect(values(points)).toEqual([[2, 10n, 20n]])
  })
})

describe('points that cannot be used', () => {
  it('are counted when late or sent twice, and leave the series as it was', () => {
    const { points, dropped } = differences(
      { initialValue: 'auto' },
      counter(at(20, 100)),
      counter(at(10, 90)),
      counter(at(20, 100)),
      counter(at(30, 104)),
    )
    expect(values(points)).toEqual([[4, 20n, 30n]])
    expect(dropped).toEqual({ first_value: 1, out_of_order: 1, duplicate_timestamp: 1 })
  })

  it('are counted when they hold no finite value', () => {
    const { metrics, dropped } = differences(
      { initialValue: 'keep' },
      counter(
        at(10, NaN, { isInt: false }),
        at(10, Infinity, { isInt: false }),
        at(10, 1, { flags: NO_RECORDED_VALUE }),
      ),
    )
    expect(metrics).toEqual([])
    expect(dropped).toEqual({ not_finite: 2, no_recorded_value: 1 })
  })
})

const OTHER = { name: 'other', type: 'sum', temporality: 'cumulative', monotonic: true } as const

describe('what is remembered', () => {
  it('is forgotten when a series sends nothing for longer than the ttl', async () => {
    const clock = new VirtualClock(Date.now())
    const engine = new CumulativeToDelta({ initialValue: 'auto', ttl: 20, clock })
    const { account, counted } = counting()
    engine.apply(counter(at(10, 1)), account)
    expect(engine.size).toBe(1)
    await clock.advance(25)
    engine.apply(MetricBatch.empty, account)
    expect(engine.size).toBe(0)
    engine.apply(counter(at(20, 2)), account)
    expect(counted.dropped).toEqual({ first_value: 2 })
  })

  it('is bounded', () => {
    const { engine, dropped } = differences(
      { initialValue: 'auto', maxSeries: 2 },
      counter(...['a', 'b', 'c'].map((name) => at(10, 1, { attributes: Attributes.of({ name }) }))),
    )
    expect(engine.size).toBe(2)
    expect(dropped).toEqual({ first_value: 2, too_many_series: 1 })
  })

  const asBytes = (batch: MetricBatch) => MetricBatch.fromOtlp(batch.toOtlp())
  const asTheyAre = (batch: MetricBatch) => batch
  const latency = ({ timeUnixNano, startTimeUnixNano, attributes }: NumberPointFields) =>
    histogram({
      timeUnixNano,
      startTimeUnixNano,
      attributes,
      count: 2,
      sum: 2,
      bucketCounts: [1, 1],
      explicitBounds: [1],
    })
  it.each([
    ['a counter in objects', counter, asTheyAre],
    ['a counter in bytes', counter, asBytes],
    ['a histogram in objects', latency, asTheyAre],
    ['a histogram in bytes', latency, asBytes],
  ])('counts what finds no room, and takes it for nothing new once it finds some: %s', async (_name, one, read) => {
    const clock = new VirtualClock(Date.now())
    const engine = new CumulativeToDelta({ initialValue: 'auto', ttl: 50, maxSeries: 2, clock })
    const { account, counted } = counting()
    const other = at(0, 1, { attributes: Attributes.of({ is: 'other' }) })
    const known = (seconds: number) => engine.apply(read(one(at(seconds, 7))), account)
    const late = (seconds: number) =>
      engine.apply(read(one(at(seconds, 7, { attributes: Attributes.of({ is: 'late' }) }))), account)
    engine.apply(MetricBatch.of({ metrics: [{ ...OTHER, points: [new NumberPoint(other)] }] }), account)
    known(10)
    late(10)
    expect(counted.dropped).toEqual({ first_value: 2, too_many_series: 1 })
    for (const seconds of [20, 30, 40]) {
      await clock.advance(30)
      known(seconds)
    }
    expect(late(50).pointCount).toBe(0)
    expect(counted.dropped).toEqual({ first_value: 3, too_many_series: 1 })
    expect(engine.size).toBe(2)
  })
})

describe('the difference of a cumulative histogram', () => {
  const base = { startTimeUnixNano: LONG_AGO, explicitBounds: [1, 5] }

  it('is taken bucket by bucket, without the minimum and maximum of all time', () => {
    const { metrics, points } = differences(
      { initialValue: 'auto' },
      histogram({
        ...base,
        timeUnixNano: LONG_AGO + SECOND,
        count: 3,
        sum: 6,
        bucketCounts: [1, 1, 1],
        min: 0,
        max: 9,
      }),
      histogram({
        ...base,
        timeUnixNano: LONG_AGO + 2n * SECOND,
        count: 8,
        sum: 16,
        bucketCounts: [1, 4, 3],
        min: 0,
        max: 9,
      }),
    )
    expect(metrics[0].temporality).toBe('delta')
    expect(points).toMatchObject([
      {
        count: 5,
        sum: 10,
        bucketCounts: [0, 3, 2],
        min: undefined,
        max: undefined,
        startTimeUnixNano: LONG_AGO + SECOND,
      },
    ])
  })

  it('begins anew when a bucket goes back or the bounds change', () => {
    const { points, dropped } = differences(
      { initialValue: 'auto' },
      histogram({ ...base, timeUnixNano: LONG_AGO + SECOND, count: 3, bucketCounts: [1, 1, 1] }),
      histogram({ ...base, timeUnixNano: LONG_AGO + 2n * SECOND, count: 3, bucketCounts: [0, 2, 1] }),
      histogram({
        ...base,
        explicitBounds: [1, 6],
        timeUnixNano: LONG_AGO + 3n * SECOND,
        count: 4,
        bucketCounts: [0, 3, 1],
      }),
    )
    expect(points).toEqual([])
    // The second is withheld, and given up when the third has fallen again.
    expect(dropped).toEqual({ first_value: 1, counter_reset: 1 })
  })
})

describe('a sum that is not a number', () => {
  const times = (second: number) => ({
    startTimeUnixNano: LONG_AGO,
    timeUnixNano: LONG_AGO + BigInt(second) * SECOND,
  })
  const sums = [10, NaN, 35, 36]

  it('costs its own window only, in a histogram', () => {
    const batches = sums.map((sum, index) =>
      histogram({ ...times(index + 1), count: index + 1, sum, bucketCounts: [index + 1], explicitBounds: [] }),
    )
    for (const read of [(batch: MetricBatch) => batch, (batch: MetricBatch) => MetricBatch.fromOtlp(batch.toOtlp())]) {
      const { points } = differences({ initialValue: 'drop' }, ...batches.map(read))
      expect(points).toMatchObject([
        { count: 1, sum: NaN },
        { count: 1, sum: 25 },
        { count: 1, sum: 1 },
      ])
    }
  })

  it('costs its own window only, in an exponential histogram and in a summary', () => {
    const batches = sums.map((sum, index) => {
      const fields = { ...times(index + 1), count: index + 1, sum }
      const exponential = new ExponentialHistogramPoint({ ...fields, zeroCount: index + 1 })
      return MetricBatch.of({
        metrics: [
          { name: 'e', type: 'exponential_histogram', temporality: 'cumulative', points: [exponential] },
          { name: 's', type: 'summary', points: [new SummaryPoint(fields)] },
        ],
      })
    })
    const { points } = differences({ initialValue: 'drop', summaries: true }, ...batches)
    const of = (kind: string) => points.filter((point) => point.kind === kind)
    const expected = [{ sum: NaN }, { sum: 25 }, { sum: 1 }]
    expect(of('exponential_histogram')).toMatchObject(expected)
    expect(of('summary')).toMatchObject([{ sum: 0 }, ...expected])
  })
})

describe('the points of one request', () => {
  const bytes = (batch: MetricBatch): MetricBatch => MetricBatch.fromOtlp(batch.toOtlp())

  it('may stand newest first', () => {
    for (const read of [(batch: MetricBatch) => batch, bytes]) {
      const { points, dropped } = differences(
        { initialValue: 'auto' },
        read(counter(at(30, 130), at(20, 115), at(10, 100))),
        read(counter(at(50, 160), at(40, 150))),
      )
      expect(values(points)).toEqual([
        [15, 20n, 30n],
        [15, 10n, 20n],
        [10, 40n, 50n],
        [20, 30n, 40n],
      ])
      expect(dropped).toEqual({ first_value: 1 })
    }
  })

  it('may stand newest first in a metric that comes several times, and among other metrics', () => {
    const metric = (name: string, ...points: readonly NumberPointFields[]) => {
      const fields = { name, type: 'sum', temporality: 'cumulative', monotonic: true } as const
      return { ...fields, points: points.map((point) => new NumberPoint(point)) }
    }
    const batch = MetricBatch.of(
      { metrics: [metric('a', at(40, 140), at(20, 120)), metric('b', at(10, 1))] },
      { metrics: [metric('b', at(20, 3)), metric('a', at(30, 130), at(10, 100))] },
    )
    for (const read of [(one: MetricBatch) => one, bytes]) {
      const { metrics, dropped } = differences({ initialValue: 'drop' }, read(batch))
      expect(metrics.map(({ name, points }) => [name, values(points)])).toEqual([
        [
          'a',
          [
            [10, 30n, 40n],
            [20, 10n, 20n],
          ],
        ],
        ['b', [[2, 10n, 20n]]],
        ['a', [[10, 20n, 30n]]],
      ])
      expect(dropped).toEqual({ first_value: 2 })
    }
  })

  it('may stand newest first in histograms', () => {
    const point = (second: number, count: number) => ({
      startTimeUnixNano: LONG_AGO,
      timeUnixNano: LONG_AGO + BigInt(second) * SECOND,
      count,
      bucketCounts: [count],
    })
    const batch = histogram(point(30, 7), point(10, 2), point(20, 3))
    for (const read of [(one: MetricBatch) => one, bytes]) {
      const { points, dropped } = differences({ initialValue: 'drop' }, read(batch))
      expect(points).toMatchObject([{ count: 4 }, { count: 1 }])
      expect(dropped).toEqual({ first_value: 1 })
    }
  })
})

describe('the difference of a cumulative exponential histogram', () => {
  function exponential(...points: readonly ExponentialHistogramPointFields[]): MetricBatch {
    const metric = { name: 'size', type: 'exponential_histogram', temporality: 'cumulative' } as const
    const made = points.map((point, index) => {
      const timeUnixNano = LONG_AGO + BigInt(index + 1) * SECOND
      return new ExponentialHistogramPoint({ startTimeUnixNano: LONG_AGO, timeUnixNano, ...point })
    })
    return MetricBatch.of({ metrics: [{ ...metric, points: made }] })
  }

  const base = {
    count: 6,
    sum: 20,
    min: 0,
    max: 9,
    scale: 1,
    zeroCount: 1,
    positive: { offset: 2, bucketCounts: [1, 2] },
    negative: { offset: -1, bucketCounts: [2] },
  }

  it('is taken bucket by bucket, wherever the buckets begin, without the extremes of all time', () => {
    const { metrics, points } = differences(
      { initialValue: 'drop' },
      exponential(base, {
        ...base,
        count: 14,
        sum: 50,
        zeroCount: 2,
        positive: { offset: 0, bucketCounts: [1, 0, 2, 2, 3] },
        negative: { offset: -2, bucketCounts: [1, 3] },
      }),
    )
    expect(metrics).toMatchObject([{ type: 'exponential_histogram', temporality: 'delta' }])
    expect(points).toMatchObject([
      {
        startTimeUnixNano: LONG_AGO + SECOND,
        count: 8,
        sum: 30,
        min: undefined,
        max: undefined,
        scale: 1,
        zeroCount: 1,
        positive: { offset: 0, bucketCounts: [1, 0, 1, 0, 3] },
        negative: { offset: -2, bucketCounts: [1, 1] },
      },
    ])
  })

  it('is taken at the scale of the later, to which the earlier is brought', () => {
    const { points } = differences(
      { initialValue: 'drop' },
      exponential(
        { count: 7, scale: 2, positive: { offset: -3, bucketCounts: [1, 2, 0, 4] } },
        // At scale 0 the indices -3 to 0 are -1, -1, -1 and 0.
        { count: 12, scale: 0, positive: { offset: -1, bucketCounts: [5, 4, 3] } },
      ),
    )
    expect(points).toMatchObject([{ count: 5, scale: 0, positive: { offset: -1, bucketCounts: [2, 0, 3] } }])
  })

  it('counts as zero what a wider zero threshold takes in', () => {
    const { points } = differences(
      { initialValue: 'drop' },
      exponential(
        // Bucket i of scale 1 ends at 2^((i + 1) / 2): those up to index 1 lie within 2.
        { count: 8, scale: 1, zeroCount: 1, positive: { offset: 0, bucketCounts: [1, 2, 4] } },
        { count: 10, scale: 1, zeroCount: 5, zeroThreshold: 2, positive: { offset: 2, bucketCounts: [5] } },
      ),
    )
    expect(points).toMatchObject([
      { count: 2, zeroCount: 1, zeroThreshold: 2, positive: { offset: 2, bucketCounts: [1] } },
    ])
  })

  it.each<[string, Partial<typeof base> & { zeroThreshold?: number }]>([
    ['the count goes back', { count: 5 }],
    ['the zero count goes back', { zeroCount: 0 }],
    ['a bucket goes back', { positive: { offset: 2, bucketCounts: [4, 1] } }],
    ['a bucket is gone', { positive: { offset: 3, bucketCounts: [9] } }],
    ['the negative buckets are gone', { negative: undefined }],
    ['it becomes finer', { scale: 2 }],
  ])('begins anew when %s', (_title, change) => {
    const { points, dropped } = differences({ initialValue: 'drop' }, exponential(base, { ...base, ...change }))
    expect(points).toEqual([])
    expect(dropped).toEqual({ first_value: 1, counter_reset: 1 })
  })

  it('begins anew when the zero threshold shrinks', () => {
    const { dropped } = differences({ initialValue: 'drop' }, exponential({ ...base, zeroThreshold: 0.1 }, base))
    expect(dropped).toEqual({ first_value: 1, counter_reset: 1 })
  })

  it('has the extremes that were reached in it, when asked for', () => {
    const extremes = (min: number | undefined, max: number) => ({ ...base, min, max })
    const { points } = differences(
      { initialValue: 'keep', extremes: 'reached' },
      exponential(extremes(2, 8), extremes(2, 9), extremes(1, 9), extremes(undefined, 9), extremes(0, 10)),
    )
    expect(points.map((point) => (point.kind === 'exponential_histogram' ? [point.min, point.max] : []))).toEqual([
      [2, 8],
      [undefined, 9],
      [1, undefined],
      [undefined, undefined],
      [undefined, 10],
    ])
  })

  it('keeps a first value as it is, without the extremes', () => {
    const { points } = differences({ initialValue: 'keep' }, exponential(base))
    expect(points).toMatchObject([{ ...base, min: undefined, max: undefined, startTimeUnixNano: LONG_AGO }])
  })

  it('is what was recorded in between, for any values, scales and zero thresholds', () => {
    const value = fc.double({ min: 1e-3, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 30 }),
        fc.array(value, { maxLength: 30 }),
        fc.integer({ min: -2, max: 6 }),
        fc.nat(4),
        fc.constantFrom(0, 2 ** -8, 1, 2 ** 4),
        (before, between, scale, coarser, threshold) => {
          const first = record(before, scale + coarser, 0)
          const second = record([...before, ...between], scale, threshold)
          const { points } = differences({ initialValue: 'drop' }, exponential(first, second))
          const expected = record(between, scale, threshold)
          expect(points).toHaveLength(1)
          const [point] = points as ExponentialHistogramPoint[]
          expect([point.count, point.zeroCount, counts(point)]).toEqual([
            expected.count,
            expected.zeroCount,
            counts(new ExponentialHistogramPoint(expected)),
          ])
        },
      ),
    )
  })

  /** The histogram of some positive values, by its definition. A threshold is a bound of a bucket at every scale from -2 on. */
  function record(values: readonly number[], scale: number, zeroThreshold: number): ExponentialHistogramPointFields {
    // The bucket at the finest scale, made coarser, so that rounding is the same everywhere.
    const indices = values
      .filter((each) => each > zeroThreshold)
      .map((each) => Math.floor((Math.ceil(Math.log2(each) * 2 ** 10) - 1) / 2 ** (10 - scale)))
    const offset = Math.min(...indices, 0)
    const bucketCounts = Array<number>(Math.max(...indices, 0) - offset + 1).fill(0)
    for (const index of indices) bucketCounts[index - offset]++
    const zeroCount = values.length - indices.length
    return { count: values.length, scale, zeroCount, zeroThreshold, positive: { offset, bucketCounts } }
  }

  function counts({ positive }: ExponentialHistogramPoint): unknown[] {
    return (positive?.bucketCounts ?? [])
      .map((count, position) => [(positive?.offset ?? 0) + position, count] as const)
      .filter(([, count]) => count !== 0)
  }
})

describe('any run of a counter', () => {
  it('adds up to its last value when every first value is kept, whatever restarts in between', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ add: fc.nat(1000), restart: fc.boolean() }), { minLength: 1 }), (steps) => {
        let total = 0
        let value = 0
        let start = LONG_AGO
        const batches = steps.map(({ add, restart }, index) => {
          const timeUnixNano = LONG_AGO + BigInt(index + 1) * SECOND
          if (restart && index > 0) {
            value = 0
            start = timeUnixNano - SECOND / 2n
          }
          value += add
          total += add
          return counter({ value, isInt: true, timeUnixNano, startTimeUnixNano: start })
        })
        const { points, dropped } = differences({ initialValue: 'keep' }, ...batches)
        expect((points as NumberPoint[]).reduce((sum, point) => sum + Number(point.value), 0)).toBe(total)
        expect(dropped).toEqual({})
      }),
    )
  })
})

describe('aggregate', () => {
  const options = { resolution: 1n }

  it('adds the points of a sum that are one series at the very same time', () => {
    const { account, counted } = counting()
    const batch = counter(at(10, 1), at(10, 2), at(11, 4))
    const merged = aggregate(batch, account, options)
    expect([...merged.metrics()][0].metric.points).toMatchObject([{ value: 3 }, { value: 4 }])
    expect([counted.merged, merged.pointCount]).toEqual([1, 2])
  })

  it('keeps the latest of a gauge within a second, wherever it stands', () => {
    const { account, counted } = counting()
    const points = [at(10, 1, { timeUnixNano: LONG_AGO + 900n }), at(10, 2, { timeUnixNano: LONG_AGO + 100n })]
    const batch = MetricBatch.of(
      ...points.map((point) => ({
        metrics: [{ name: 'g', type: 'gauge', points: [new NumberPoint(point)] } as const],
      })),
    )
    const merged = aggregate(batch, account, { resolution: SECOND })
    expect([...merged.metrics()].flatMap(({ metric }) => metric.points)).toMatchObject([{ value: 1 }])
    expect(counted.merged).toBe(1)
  })

  it('adds what went up and down where it is left of several series at one time, and keeps the latest of one source', () => {
    const metric = { name: 'u', type: 'sum', temporality: 'cumulative', monotonic: false } as const
    const batch = MetricBatch.of({
      metrics: [
        {
          ...metric,
          points: [
            new NumberPoint(at(10, 3)),
            new NumberPoint(at(10, 3)),
            new NumberPoint(at(10, 4, { timeUnixNano: LONG_AGO + 10n * SECOND + 1n })),
          ],
        },
      ],
    })
    const value = (resolution: bigint) =>
      ([...aggregate(batch, counting().account, { resolution }).metrics()][0].metric.points as NumberPoint[]).map(
        (point) => point.value,
      )
    expect(value(1n)).toEqual([6, 4])
    expect(value(SECOND)).toEqual([4])
  })

  it('returns the same batch when every point is alone', () => {
    const batch = counter(at(10, 1), at(11, 2))
    expect(aggregate(batch, counting().account, options)).toBe(batch)
  })

  it('keeps one point object that stands in two series in both', () => {
    const point = new NumberPoint(at(10, 5))
    const metric = { name: 'g', type: 'gauge', points: [point, point] } as const
    const batch = MetricBatch.of({ resource: { a: 1 }, metrics: [metric] }, { resource: { a: 2 }, metrics: [metric] })
    const { account, counted } = counting()
    expect(aggregate(batch, account, options).pointCount).toBe(2)
    expect(counted.dropped).toEqual({ overwritten: 2 })
  })
})

describe('identity', () => {
  const attributes = fc.dictionary(
    fc.string({ maxLength: 3 }),
    fc.oneof(fc.string({ maxLength: 3 }), fc.integer(), fc.double(), fc.boolean()),
    { maxKeys: 4 },
  )

  it('is the same for the same attributes in any order', () => {
    fc.assert(
      fc.property(attributes, (values) => {
        const reversed = Object.fromEntries(Object.entries(values).reverse())
        expect(Attributes.of(values).identity).toBe(Attributes.of(reversed).identity)
      }),
    )
  })

  it('differs where a key, a value or the kind of a value differs', () => {
    const texts = [
      {},
      { a: '1' },
      { a: 1 },
      { a: true },
      { a: 'true' },
      { b: '1' },
      { a: '1', b: '2' },
      { a: '1b', '2': '' },
      { a: 1.5 },
      { a: '' },
    ]
    expect(new Set(texts.map((values) => Attributes.of(values).identity)).size).toBe(texts.length)
  })
})
