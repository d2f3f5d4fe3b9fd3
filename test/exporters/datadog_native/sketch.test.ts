import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { sketchOfHistogram } from '../../../src/exporters/datadog_native/sketch/explicit_sketch.ts'
import { sketchOfExponential } from '../../../src/exporters/datadog_native/sketch/exponential_sketch.ts'
import { MAX_COUNT, Sketch } from '../../../src/exporters/datadog_native/sketch/sketch.ts'
import type { SketchRefusal } from '../../../src/exporters/datadog_native/sketch/sketch.ts'
import { keyOf } from '../../../src/exporters/datadog_native/sketch/sketch_keys.ts'
import { writeSketches } from '../../../src/exporters/datadog_native/sketch/sketch_payload.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { ExponentialHistogramPoint, HistogramPoint } from '../../../src/otlp/metrics/points.ts'
import type { ExponentialHistogramPointFields, HistogramPointFields } from '../../../src/otlp/metrics/points.ts'
import { binsText, encodeSketchSeries, readSketches, valueAtRank } from '../../kit/sketch_payload.ts'
import type { ReceivedDogsketch } from '../../kit/sketch_payload.ts'

/** The promise: a value is found again within this part of itself. */
const ACCURACY = 1 / 128

/** What arrives of a sketch. */
function arrived(sketch: Sketch | SketchRefusal): ReceivedDogsketch {
  if (!(sketch instanceof Sketch)) throw new Error(`refused: ${sketch}`)
  const encoded = encodeSketchSeries({ metric: 'm', host: undefined, tags: [] })
  const [received] = readSketches(writeSketches([{ encoded, timestamp: 1, sketch }]).bytes)
  return received.dogsketches[0]
}

function explicit(fields: HistogramPointFields): Sketch | SketchRefusal {
  const count = fields.count ?? fields.bucketCounts?.reduce<number>((sum, each) => sum + Number(each), 0)
  return sketchOfHistogram(new HistogramPoint({ ...fields, count }))
}

function exponential(fields: ExponentialHistogramPointFields): Sketch | SketchRefusal {
  const buckets = [...(fields.positive?.bucketCounts ?? []), ...(fields.negative?.bucketCounts ?? [])]
  const count = fields.count ?? buckets.reduce<number>((sum, each) => sum + Number(each), Number(fields.zeroCount ?? 0))
  return sketchOfExponential(new ExponentialHistogramPoint({ ...fields, count }))
}

/** `count` values from `lower` to `upper`, as a bucket of its own. */
function bucket(lower: number, upper: number, count: number): Sketch | SketchRefusal {
  return explicit({ bucketCounts: [0, count, 0], explicitBounds: [lower, upper] })
}

function total({ n }: ReceivedDogsketch): number {
  return n.reduce((sum, each) => sum + each, 0)
}

describe('keys', () => {
  // Source: the Agent's tests and those of the collector's datadog receiver.
  it.each([
    [1, 1338],
    [2, 1383],
    [3, 1409],
    [4, 1427],
    [5, 1442],
    [6, 1454],
    [100, 1635],
    [0.001, 892],
    [1e9, 2675],
    [-1, -1338],
    [-100, -1635],
    [0, 0],
    [1e-9, 1],
    [9e-10, 0],
    [-9e-10, 0],
    [Number.MIN_VALUE, 0],
    [1e211, 32_674],
    [1e300, 32_766],
    [-Number.MAX_VALUE, -32_766],
  ])('of %d is %d', (value, key) => {
    expect(keyOf(value)).toBe(key)
  })

  it('stand for values within the accuracy, from 1e-9 to 1e211 and below zero alike', () => {
    fc.assert(
      fc.property(fc.double({ min: -9, max: 211, noNaN: true }), fc.boolean(), (power, negative) => {
        const value = (negative ? -1 : 1) * 10 ** power
        const found = valueAtRank(arrived(bucket(value, value, 1)), 0)
        expect(Math.abs(found - value)).toBeLessThanOrEqual(Math.abs(value) * ACCURACY)
      }),
    )
  })
})

describe('buckets with bounds', () => {
  // Source: datadog-agent, pkg/util/quantile/agent_test.go.
  it.each([
    [10, 20, 4, '1487:1 1502:1 1514:1 1524:1'],
    [-10, 10, 4, '-1487:1 -1442:1 -1067:1 1442:1'],
  ])('from %d to %d with %d values are spread as the Agent does', (lower, upper, count, expected) => {
    expect(binsText(arrived(bucket(lower, upper, count)))).toBe(expected)
  })

  it('with a million values are spread as the Agent does', () => {
    const text = binsText(arrived(bucket(1e3, 1e5, 1e6 - 1)))
    expect(text).toMatch(/^1784:158 1785:162 1786:164 1787:166 1788:170 /)
    expect(text).toContain(' 1926:1437 1927:1459 1928:1482 1929:1506 ')
    expect(text).toMatch(/ 2077:14933 2078:15167 2079:15403 2080:8942$/)
  })

  it('with more than 65,535 values in a key become several bins of it, the rest first', () => {
    const text = binsText(arrived(bucket(1e3, 1e4, 1e7 - 1)))
    expect(text).toMatch(/^1784:17485 1785:17758 /)
    expect(text).toContain(' 1869:65314 1870:799 1870:65535 1871:1835 1871:65535 ')
    expect(text).toContain(' 1914:152 1914:65535 1914:65535 1915:2202 1915:65535 1915:65535 ')
    expect(text).toMatch(/ 1932:17411$/)
  })

  it('that go on from one another share a key once', () => {
    const sketch = arrived(explicit({ bucketCounts: [3, 2, 0, 4], explicitBounds: [100, 100.1, 200] }))
    expect(binsText(sketch)).toBe('1635:5 1680:4')
  })

  it('are placed at the bound they have when they have only one, or begin at zero', () => {
    const at = (bucketCounts: number[], explicitBounds: number[]): string =>
      binsText(arrived(explicit({ bucketCounts, explicitBounds })))
    expect(at([7, 0], [100])).toBe('1635:7')
    expect(at([0, 7], [100])).toBe('1635:7')
    expect(at([0, 7, 0], [0, 100])).toBe('1635:7')
    expect(at([0, 3, 0], [-100, 0])).toMatch(/^-1635:1 /)
    expect(at([5, 7], [0])).toBe('0:12')
    expect(at([0, 2, 0], [1, Infinity])).toBe('1338:2')
    expect(at([0, 2, 0], [-Infinity, 1])).toBe('1338:2')
  })

  it('without a bound on one side lie as close to the other as count, sum and the other buckets allow', () => {
    const at = (bucketCounts: number[], sum: number, more: HistogramPointFields = {}): ReceivedDogsketch =>
      arrived(explicit({ bucketCounts, explicitBounds: [5, 10, 25], sum, ...more }))
    expect(at([9, 0, 0, 0], 27)).toMatchObject({ avg: 3, min: 3, max: 5, k: [1409], n: [9] })
    expect(at([9, 0, 0, 0], -900)).toMatchObject({ avg: -100, min: -100, max: 5, k: [-1635], n: [9] })
    expect(at([0, 0, 0, 9], 900)).toMatchObject({ avg: 100, min: 25, max: 100, k: [1635], n: [9] })
    // The two of the second bucket are at most 20 of the 220.
    expect(at([0, 2, 0, 2], 220)).toMatchObject({ min: 5, max: 100, avg: 55, n: [1, 1, 2] })
    expect(at([0, 2, 0, 2], 60)).toMatchObject({ min: 5, max: 25, avg: 15 })
    expect(at([4, 0, 0, 5], 300)).toMatchObject({ min: 5, max: 56, k: [1442, 1598], n: [4, 5] })
    // With one extreme known, the other side is still open.
    expect(at([0, 0, 0, 9], 900, { min: 40 })).toMatchObject({ min: 40, max: 100, k: [1635] })
    expect(at([9, 0, 0, 0], 27, { max: 4 })).toMatchObject({ min: 3, max: 4, k: [1409] })
  })

  it('above zero alone lie where the sum says if it is less than their bound', () => {
    const fields = { bucketCounts: [0, 20, 0], explicitBounds: [0, 5] }
    expect(arrived(explicit({ ...fields, sum: 20 }))).toMatchObject({ min: 0, max: 5, avg: 1, k: [1338], n: [20] })
    expect(arrived(explicit({ ...fields, sum: 100 }))).toMatchObject({ min: 0, max: 5, avg: 5, k: [1442], n: [20] })
    expect(arrived(explicit(fields))).toMatchObject({ min: 0, max: 5, k: [1442], n: [20] })
  })

  it('never hold a value beyond a known extreme', () => {
    const explicitBounds = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]
    const only = (at: number): number[] => [...explicitBounds, Infinity].map((_bound, index) => (index === at ? 20 : 0))
    const keys = (at: number, sum: number, min: number, max: number): readonly number[] =>
      arrived(explicit({ bucketCounts: only(at), explicitBounds, sum, min, max })).k
    // Seconds in bounds made for milliseconds, values above the last bound, and values in a part of their bucket.
    for (const [at, sum, min, max] of [
      [1, 0.0728, 0.001, 0.01],
      [15, 600_000, 12_000, 60_000],
      [7, 2480, 120, 130],
    ]) {
      const found = keys(at, sum, min, max)
      expect(found[0]).toBe(keyOf(min))
      expect(found.at(-1)).toBeLessThanOrEqual(keyOf(max))
      expect(found.at(-1)).toBeGreaterThanOrEqual(keyOf(max) - 4)
    }
  })

  it('above the last bound reach no farther than the sum allows, though a maximum of all time lies far above', () => {
    const above = (sum: number): ReceivedDogsketch =>
      arrived(explicit({ bucketCounts: [0, 0, 10], explicitBounds: [5, 10], sum, max: 60 }))
    // One of ten may be 20 at most if they add up to 110 and each is more than 10.
    expect(above(110)).toMatchObject({ max: 60, k: [keyOf(10), keyOf(20)], n: [9, 1] })
    // With 160, one may be 60, and nine lie around 11.
    const { k, n } = above(160)
    expect([k.at(-1), n.at(-1)]).toEqual([keyOf(60), 1])
    expect(k.at(-2)).toBeLessThanOrEqual(keyOf(12.3))
    // With 350 they may lie anywhere.
    expect(above(350).k.length).toBe(10)
  })

  it('keep count, sum and average exact, and take the extremes that are known, else the bounds of what holds values', () => {
    const fields = { bucketCounts: [0, 2, 1, 0, 0], explicitBounds: [5, 10, 25, 50], sum: 30.1 + 0.2 }
    expect(arrived(explicit(fields))).toMatchObject({ cnt: 3, sum: 30.1 + 0.2, avg: (30.1 + 0.2) / 3, min: 5, max: 25 })
    expect(arrived(explicit({ ...fields, min: 6, max: 20 }))).toMatchObject({ min: 6, max: 20 })
    expect(arrived(explicit({ ...fields, min: NaN, max: Infinity }))).toMatchObject({ min: 5, max: 25 })
  })

  it('believe the sum where it contradicts their bounds, and the known extremes where it contradicts them', () => {
    const fields = { bucketCounts: [0, 2, 0], explicitBounds: [5, 10] }
    expect(arrived(explicit({ ...fields, sum: 2 }))).toMatchObject({ sum: 2, avg: 1, min: 1, max: 10 })
    expect(arrived(explicit({ ...fields, sum: 60 }))).toMatchObject({ sum: 60, avg: 30, min: 5, max: 30 })
    expect(arrived(explicit({ ...fields, sum: 60, max: 8 }))).toMatchObject({ sum: 60, avg: 8, min: 5, max: 8 })
    // 0.1 + 0.1 + 0.1 is more than three times 0.1.
    const tenths = { bucketCounts: [3, 0], explicitBounds: [1], sum: 0.1 + 0.1 + 0.1, min: 0.1, max: 0.1 }
    expect(arrived(explicit(tenths))).toMatchObject({ sum: 0.1 + 0.1 + 0.1, avg: 0.1, min: 0.1, max: 0.1 })
  })

  it('give the sum where the histogram knows none', () => {
    const { sum, cnt } = arrived(explicit({ bucketCounts: [10, 0], explicitBounds: [100] }))
    expect(cnt).toBe(10)
    expect(Math.abs(sum - 1000)).toBeLessThanOrEqual(1000 * ACCURACY)
    const infinite = arrived(explicit({ bucketCounts: [10, 0], explicitBounds: [100], sum: NaN }))
    expect(infinite.sum).toBe(sum)
  })

  it('that hold a single value know it by their sum', () => {
    const fields = { bucketCounts: [0, 1, 0], explicitBounds: [5, 10], sum: 7 }
    const single = { cnt: 1, sum: 7, avg: 7, min: 7, max: 7, k: [1464], n: [1] }
    expect(arrived(explicit(fields))).toMatchObject(single)
    expect(arrived(explicit({ ...fields, min: 7, max: 7 }))).toMatchObject(single)
    expect(arrived(explicit({ ...fields, bucketCounts: [0, 0, 1], sum: 700 }))).toMatchObject({ max: 700, avg: 700 })
    expect(arrived(explicit({ count: 1, sum: 7 }))).toMatchObject(single)
    // Of a sum that was subtracted from a large one, the last digits are lost.
    expect(arrived(explicit({ ...fields, sum: 7.5, max: 7 }))).toMatchObject({ sum: 7.5, avg: 7, min: 7, max: 7 })
  })

  it('end at +Inf, or lack the last one: they are as if they were complete', () => {
    const complete = { count: 6, sum: 30, bucketCounts: [1, 2, 3], explicitBounds: [1, 2] }
    const expected = arrived(explicit(complete))
    expect(expected).toMatchObject({ cnt: 6, sum: 30, n: [2, 1, 3] })
    for (const same of [
      { ...complete, explicitBounds: [1, 2, Infinity] },
      { ...complete, explicitBounds: [1, 2, Infinity], bucketCounts: [1, 2, 3, 0] },
      { ...complete, bucketCounts: [1, 2] },
    ]) {
      expect(arrived(explicit(same))).toEqual(expected)
    }
    expect(arrived(explicit({ ...complete, count: 3, bucketCounts: [1, 2] })).cnt).toBe(3)
    expect(arrived(explicit({ count: 3, sum: 6, bucketCounts: [3], explicitBounds: [Infinity] })).avg).toBe(2)
    expect(arrived(explicit({ count: 3, sum: 6, bucketCounts: [0], explicitBounds: [1] })).avg).toBe(2)
    expect(explicit({ count: 0, bucketCounts: [0, 0], explicitBounds: [1, 2] })).toBe('no_observations')
  })

  it('do not care what the histogram before was', () => {
    const first = binsText(arrived(bucket(1, 3, 10)))
    bucket(2, 1, 1)
    bucket(2, 4, 10)
    expect(binsText(arrived(bucket(1, 3, 10)))).toBe(first)
  })
})

describe('histograms without buckets', () => {
  // Source of the first: datadog-agent, pkg/util/quantile/agent_test.go.
  it('are spread from minimum to maximum', () => {
    expect(arrived(explicit({ count: 2, sum: 12, min: 0, max: 10 }))).toMatchObject({
      ...{ cnt: 2, sum: 12, min: 0, max: 10 },
      ...{ k: [0, 1442], n: [1, 1] },
    })
    expect(binsText(arrived(explicit({ bucketCounts: [2], sum: 12, min: 0, max: 10 })))).toBe('0:1 1442:1')
  })

  it('lie at what is known of them: minimum, maximum or average', () => {
    expect(arrived(explicit({ count: 4, min: 100 }))).toMatchObject({ k: [1635], n: [4], min: 100 })
    expect(arrived(explicit({ count: 4, min: 10, sum: 400 }))).toMatchObject({ k: [1635], n: [4], min: 10, max: 100 })
    expect(arrived(explicit({ count: 4, max: 100 }))).toMatchObject({ k: [1635], n: [4], max: 100 })
    expect(arrived(explicit({ count: 4, sum: 400 }))).toMatchObject({ k: [1635], n: [4], sum: 400, avg: 100 })
    expect(explicit({ count: 4 })).toBe('no_buckets')
    expect(explicit({ count: 4, sum: NaN })).toBe('no_buckets')
  })
})

describe('what cannot be a sketch', () => {
  it.each<[string, HistogramPointFields, SketchRefusal]>([
    ['no observations', { bucketCounts: [0, 0], explicitBounds: [1] }, 'no_observations'],
    ['neither observations nor buckets', { count: 0, sum: 0 }, 'no_observations'],
    ['an empty bucket without bounds', { bucketCounts: [0] }, 'no_observations'],
    ['bounds that do not ascend', { bucketCounts: [1, 1, 1], explicitBounds: [2, 1] }, 'malformed_histogram'],
    ['a bound that is no number', { bucketCounts: [1, 1, 1], explicitBounds: [1, NaN] }, 'malformed_histogram'],
    ['a first bound that is no number', { bucketCounts: [1, 1], explicitBounds: [NaN] }, 'malformed_histogram'],
    ['two counts too few', { bucketCounts: [1, 1], explicitBounds: [1, 2, 3] }, 'malformed_histogram'],
    ['a count without its bound', { bucketCounts: [1, 1, 1], explicitBounds: [1] }, 'malformed_histogram'],
    [
      'a last count missing, but more in the others',
      { count: 1, bucketCounts: [1, 1], explicitBounds: [1, 2] },
      'malformed_histogram',
    ],
    ['observations in no bucket', { count: 5, bucketCounts: [0, 0], explicitBounds: [1] }, 'malformed_histogram'],
    ['a negative count', { bucketCounts: [2, -1], explicitBounds: [1] }, 'malformed_histogram'],
    ['half an observation', { bucketCounts: [2, 0.5], explicitBounds: [1] }, 'malformed_histogram'],
    [
      'a minimum above the maximum',
      { bucketCounts: [2, 0], explicitBounds: [1], min: 1, max: 0 },
      'malformed_histogram',
    ],
    ['values above infinity', { bucketCounts: [0, 0, 1], explicitBounds: [1, Infinity] }, 'malformed_histogram'],
    ['values above infinity alone', { bucketCounts: [0, 1], explicitBounds: [Infinity] }, 'malformed_histogram'],
    ['values at minus infinity', { bucketCounts: [1, 0], explicitBounds: [-Infinity] }, 'malformed_histogram'],
    ['infinity twice', { bucketCounts: [1, 0, 1, 0], explicitBounds: [1, Infinity, Infinity] }, 'malformed_histogram'],
    ['too many values', { bucketCounts: [MAX_COUNT, 1], explicitBounds: [1] }, 'bucket_count_too_high'],
    ['more than 2^31 in a bucket', { bucketCounts: [0, 2 ** 31 + 1], explicitBounds: [1] }, 'bucket_count_too_high'],
    ['more than 2^53 in a bucket', { bucketCounts: [2n ** 60n, 0], explicitBounds: [1] }, 'bucket_count_too_high'],
    ['too many values without buckets', { count: 2 ** 31, sum: 1 }, 'bucket_count_too_high'],
  ])('%s', (_title, fields, refusal) => {
    expect(explicit(fields)).toBe(refusal)
  })

  it.each<[string, ExponentialHistogramPointFields, SketchRefusal]>([
    ['no observations', { positive: { offset: 3, bucketCounts: [0, 0] } }, 'no_observations'],
    ['no buckets at all', {}, 'no_observations'],
    ['observations in no bucket', { count: 2 }, 'malformed_histogram'],
    ['a negative count', { negative: { offset: 0, bucketCounts: [-1] } }, 'malformed_histogram'],
    ['a negative count of zeros', { zeroCount: -1 }, 'malformed_histogram'],
    ['too many values', { zeroCount: 1, positive: { offset: 0, bucketCounts: [MAX_COUNT] } }, 'bucket_count_too_high'],
    ['more than 2^31 in a bucket', { negative: { offset: 0, bucketCounts: [2 ** 31 + 1] } }, 'bucket_count_too_high'],
    ['more than 2^53 zeros', { zeroCount: 2n ** 60n }, 'bucket_count_too_high'],
  ])('of exponential histograms: %s', (_title, fields, refusal) => {
    expect(exponential(fields)).toBe(refusal)
  })

  it('is not what disagrees with its own count: the buckets are believed', () => {
    const sketch = arrived(explicit({ count: 100, bucketCounts: [4, 0], explicitBounds: [1], sum: 8 }))
    expect(sketch).toMatchObject({ cnt: 4, n: [4], sum: 8, avg: 2 })
  })
})

describe('as many values and keys as a sketch holds', () => {
  it('fit into 4,096 bins', () => {
    const sketch = arrived(explicit({ bucketCounts: [MAX_COUNT, 0], explicitBounds: [1] }))
    expect(sketch.n).toHaveLength(4096)
    expect(new Set(sketch.n)).toEqual(new Set([65_535]))
    expect(sketch.cnt).toBe(MAX_COUNT)
  })

  it('make one of the lowest bins when there are more, and lose none', () => {
    const powers = Array.from({ length: 6000 }, (_, index) => (1 + 1 / 64) ** (index - 1000))
    const explicitBounds = powers.flatMap((value) => [value * (1 - 1e-9), value])
    const bucketCounts = [0, ...powers.flatMap(() => [2, 0])]
    const sketch = arrived(explicit({ bucketCounts, explicitBounds }))
    expect(sketch.k).toHaveLength(4096)
    expect(sketch.k.at(-1)).toBe(keyOf(powers[5999]))
    expect(sketch.n[0]).toBe(2 * (6000 - 4095))
    expect(sketch).toMatchObject({ cnt: 12_000, min: explicitBounds[0], max: powers[5999] })
    expect(total(sketch)).toBe(12_000)
  })

  it('stay within the limits whatever the counts are', () => {
    const counts = fc.array(fc.oneof(fc.nat(10), fc.nat(200_000), fc.nat(30_000_000)), { minLength: 2, maxLength: 9 })
    fc.assert(
      fc.property(counts, (bucketCounts) => {
        const explicitBounds = bucketCounts.slice(1).map((_count, index) => 0.1 * 10 ** index)
        const sketch = explicit({ bucketCounts, explicitBounds })
        fc.pre(sketch instanceof Sketch)
        const { k, n, cnt } = arrived(sketch)
        expect(k.length).toBe(n.length)
        expect(k.length).toBeLessThanOrEqual(4096)
        expect(Math.max(...n)).toBeLessThanOrEqual(65_535)
        expect(n.reduce((sum, each) => sum + each, 0)).toBe(cnt)
        expect([...k].sort((left, right) => left - right)).toEqual(k)
      }),
      { numRuns: 50 },
    )
  })
})

/** What the Agent says of the key of 1, with a relative error of its own: (2 * gamma / (1 + gamma)) / sqrt(gamma). */
const MIDDLE_OF_1: unknown = expect.closeTo(0.9999699532773395, 12)
const MIDDLE_OF_MINUS_1: unknown = expect.closeTo(-0.9999699532773395, 12)

describe('exponential histograms', () => {
  it('spread each bucket over the keys it overlaps', () => {
    // One bucket, (1, 2]: the keys from 1 to 2, the first and the last of them by half.
    const { k, n, ...rest } = arrived(
      exponential({ scale: 0, positive: { offset: 0, bucketCounts: [6400] }, sum: 9600 }),
    )
    expect([k[0], k.at(-1)]).toEqual([1338, 1383])
    expect(rest).toMatchObject({ cnt: 6400, sum: 9600, avg: 1.5 })
    // A key next to 1 is 1/64 wide.
    expect(n[1]).toBeGreaterThanOrEqual(100)
    expect(n[1]).toBeLessThanOrEqual(103)
    expect(n[0]).toBeLessThanOrEqual(51)
  })

  it('keep zeros between what is below and above them', () => {
    const sketch = arrived(
      exponential({
        ...{ scale: 20, zeroCount: 5, sum: 0 },
        positive: { offset: 0, bucketCounts: [2] },
        negative: { offset: 0, bucketCounts: [3] },
      }),
    )
    expect(binsText(sketch)).toBe('-1338:3 0:5 1338:2')
    expect(sketch).toMatchObject({ cnt: 10, min: MIDDLE_OF_MINUS_1, max: MIDDLE_OF_1, sum: 0, avg: 0 })
  })

  it('know a single value by their sum', () => {
    const single = exponential({ scale: 0, positive: { offset: 6, bucketCounts: [1] }, sum: 100 })
    expect(arrived(single)).toMatchObject({ cnt: 1, sum: 100, avg: 100, min: 100, max: 100, k: [1635], n: [1] })
  })

  it('of values too small for a key count them as zeros, and too large ones in the highest', () => {
    const buckets = { offset: -1_000_000, bucketCounts: [3] }
    expect(binsText(arrived(exponential({ scale: 2, positive: buckets, negative: buckets })))).toBe('0:6')
    const large = { offset: 1_000_000, bucketCounts: [3] }
    expect(binsText(arrived(exponential({ scale: 2, positive: large, negative: large })))).toBe('-32766:3 32766:3')
  })

  it.each([-2_147_483_648, -11, -10, 20, 60, 2_147_483_647])('of scale %d lose nothing', (scale) => {
    const buckets = { offset: -2, bucketCounts: [1, 2, 3, 4] }
    const sketch = arrived(exponential({ scale, zeroCount: 7, positive: buckets, negative: buckets, sum: 1 }))
    expect(sketch.cnt).toBe(27)
    expect(total(sketch)).toBe(27)
  })

  it('take the extremes that are known, else the outermost keys', () => {
    const fields = { scale: 20, positive: { offset: 0, bucketCounts: [2] } }
    expect(arrived(exponential(fields))).toMatchObject({ min: MIDDLE_OF_1, max: MIDDLE_OF_1 })
    expect(arrived(exponential({ ...fields, sum: 2 }))).toMatchObject({ min: MIDDLE_OF_1, avg: 1, max: 1 })
    expect(arrived(exponential({ ...fields, min: 0.99, max: 1.01 }))).toMatchObject({ min: 0.99, max: 1.01 })
  })

  it('never hold a value beyond a known extreme', () => {
    // (8, 64] at the scale of -1 and so on, but all values lie between 20 and 21.
    const positive = { offset: 1, bucketCounts: [6, 4] }
    const sketch = arrived(exponential({ scale: -1, positive, sum: 205, min: 20, max: 21 }))
    expect(sketch).toMatchObject({ cnt: 10, min: 20, max: 21 })
    expect(sketch.k[0]).toBe(keyOf(20))
    expect(sketch.k.at(-1)).toBe(keyOf(21))
    expect(total(sketch)).toBe(10)
    const below = arrived(exponential({ scale: -1, negative: positive, sum: -205, min: -21, max: -20 }))
    expect(below.k).toEqual(sketch.k.map((key) => -key).reverse())
    // Zeros of a threshold are no nearer to zero than the minimum.
    expect(binsText(arrived(exponential({ zeroCount: 3, sum: 0.3, min: 0.1, max: 0.1 })))).toBe(`${keyOf(0.1)}:3`)
  })

  it('that are cumulative become sketches of what was counted in between, once they are differences', () => {
    const SECOND = 1_000_000_000n
    const point = (seconds: bigint, fields: ExponentialHistogramPointFields): MetricBatch =>
      MetricBatch.of({
        metrics: [
          {
            ...{ name: 'latency', type: 'exponential_histogram', temporality: 'cumulative' },
            points: [
              new ExponentialHistogramPoint({ startTimeUnixNano: SECOND, timeUnixNano: seconds * SECOND, ...fields }),
            ],
          },
        ],
      })
    const differences = new CumulativeToDelta({ initialValue: 'drop' })
    const account = { created: () => undefined, merged: () => undefined, dropped: () => undefined }
    differences.apply(
      point(10n, { count: 5, sum: 6.5, scale: 21, positive: { offset: 0, bucketCounts: [4, 1] }, min: 1, max: 1000 }),
      account,
    )
    // Coarser by one, and three more: two of them in the bucket there was.
    const later = differences.apply(
      point(20n, { count: 8, sum: 9.5, scale: 20, positive: { offset: 0, bucketCounts: [7, 1] }, min: 1, max: 1000 }),
      account,
    )
    const [{ metric }] = later.metrics()
    const sketch = arrived(sketchOfExponential(metric.points[0] as ExponentialHistogramPoint))
    expect(sketch).toMatchObject({ cnt: 3, sum: 3, min: MIDDLE_OF_1, max: 1, k: [1338], n: [3] })
  })
})

/** Deterministic numbers from 0 to 1. */
function randomNumbers(seed: number, count: number): number[] {
  let state = seed
  return Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  })
}

const COUNT = 1000
const seeds = fc.integer()
const inputs: [string, fc.Arbitrary<readonly number[]>][] = [
  ['uniform', seeds.map((seed) => randomNumbers(seed, COUNT).map((each) => each * 1000))],
  [
    'normal',
    seeds.map((seed) => {
      const numbers = randomNumbers(seed, 2 * COUNT)
      return numbers
        .slice(COUNT)
        .map((each, index) => 5 + 20 * Math.sqrt(-2 * Math.log(1 - each)) * Math.cos(2 * Math.PI * numbers[index]))
    }),
  ],
  ['exponential', seeds.map((seed) => randomNumbers(seed, COUNT).map((each) => -Math.log(1 - each) / 50))],
  [
    'adversarial',
    fc
      .array(
        fc.oneof(
          fc.double({ min: -1e200, max: 1e200, noNaN: true }),
          fc.double({ min: -211, max: 211, noNaN: true }).map((power) => 10 ** power),
          fc.double({ min: -9, max: 211, noNaN: true }).map((power) => -(10 ** power)),
          fc.constantFrom(0, 1, -1, 1e-9, 1.0078125, 1e211, 5e-324),
          fc.integer({ min: -1300, max: 20_000 }).map((step) => (1 + 1 / 64) ** (step + 0.5)),
        ),
        { minLength: 1, maxLength: 300 },
      )
      // To a test -0 is not 0.
      .map((data) => data.map((value) => value + 0)),
  ],
]

/** What a histogram knows that has a bucket for each value, with nothing else in it. */
function ofValues(data: readonly number[]): Sketch {
  const counts = new Map<number, number>()
  for (const value of data) counts.set(value, (counts.get(value) ?? 0) + 1)
  const distinct = [...counts].sort(([left], [right]) => left - right)
  const explicitBounds = distinct.flatMap(([value]) => [value, value])
  const bucketCounts = [0, ...distinct.flatMap(([, count]) => [count, 0])]
  const [min, max, sum] = [distinct[0][0], distinct[distinct.length - 1][0], sumOf(data)]
  const sketch = explicit({ explicitBounds, bucketCounts, min, max, sum })
  if (!(sketch instanceof Sketch)) throw new Error(`refused: ${sketch}`)
  return sketch
}

function sumOf(data: readonly number[]): number {
  return data.reduce((sum, value) => sum + value, 0)
}

const RANKS = [0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1]

/** Every quantile is within `accuracy` of the value itself; those too small for a key are zeros. */
function expectQuantiles(sketch: ReceivedDogsketch, data: readonly number[], accuracy: number): void {
  const sorted = [...data].sort((left, right) => left - right)
  for (const quantile of RANKS) {
    const rank = Math.round(quantile * (sorted.length - 1))
    const distance = Math.abs(valueAtRank(sketch, rank) - sorted[rank])
    expect(distance).toBeLessThanOrEqual(Math.max(Math.abs(sorted[rank]) * accuracy, 1.01e-9))
  }
}

describe.each(inputs)('of %s data', (_name, arbitrary) => {
  it('a sketch knows every quantile within its accuracy, and count, sum and extremes exactly', () => {
    fc.assert(
      fc.property(arbitrary, (data) => {
        const sketch = arrived(ofValues(data))
        expectQuantiles(sketch, data, ACCURACY * (1 + 1e-9))
        const sum = sumOf(data)
        expect(sketch).toMatchObject({ cnt: data.length, sum, avg: sum / data.length })
        expect([sketch.min, sketch.max]).toEqual([Math.min(...data), Math.max(...data)])
        expect(total(sketch)).toBe(data.length)
      }),
      { numRuns: 30 },
    )
  })

  it('sketches merge into the same whichever comes first, which knows the quantiles of both', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (one, other) => {
        const [left, right] = [ofValues(one), ofValues(other)]
        const merged = arrived(left.mergedWith(right) as Sketch)
        expect(merged).toEqual(arrived(right.mergedWith(left) as Sketch))
        expectQuantiles(merged, [...one, ...other], ACCURACY * (1 + 1e-9))
        expect(merged.cnt).toBe(one.length + other.length)
        expect(merged.sum).toBe(sumOf(one) + sumOf(other))
        expect([merged.min, merged.max]).toEqual([Math.min(...one, ...other), Math.max(...one, ...other)])
        expect(arrived(left)).toEqual(arrived(ofValues(one)))
      }),
      { numRuns: 30 },
    )
  })
})

describe.each(inputs.slice(0, 3))('an exponential histogram of %s data', (_name, arbitrary) => {
  it('becomes a sketch within the widths of its buckets and of the keys, of exact count and sum', () => {
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: -2, max: 8 }), (data, scale) => {
        const base = 2 ** (2 ** -scale)
        const side = (values: readonly number[]): ExponentialHistogramPointFields['positive'] => {
          const indexes = values.map((value) => Math.ceil(Math.log2(value) * 2 ** scale) - 1)
          if (indexes.length === 0) return undefined
          const offset = Math.min(...indexes)
          const bucketCounts = new Array<number>(Math.max(...indexes) - offset + 1).fill(0)
          for (const index of indexes) bucketCounts[index - offset]++
          return { offset, bucketCounts }
        }
        const sum = sumOf(data)
        const sketch = arrived(
          exponential({
            ...{ scale, sum },
            zeroCount: data.filter((value) => value === 0).length,
            positive: side(data.filter((value) => value > 0)),
            negative: side(data.filter((value) => value < 0).map((value) => -value)),
          }),
        )
        expect(sketch).toMatchObject({ cnt: data.length, sum, avg: sum / data.length })
        expect(total(sketch)).toBe(data.length)
        expectQuantiles(sketch, data, base * (1 + ACCURACY) - 1 + 1e-9)
      }),
      { numRuns: 30 },
    )
  })
})

describe('an explicit histogram', () => {
  it('becomes a sketch whose quantiles lie in the bucket of the value, of exact count and sum', () => {
    const explicitBounds = [-50, -10, 0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000]
    const edges = [-Infinity, ...explicitBounds, Infinity]
    fc.assert(
      fc.property(fc.array(fc.double({ min: -200, max: 2000, noNaN: true }), { minLength: 1 }), (data) => {
        const bucketOf = (value: number): number => explicitBounds.filter((bound) => bound < value).length
        const bucketCounts = edges.slice(1).map((_edge, at) => data.filter((value) => bucketOf(value) === at).length)
        const sum = sumOf(data)
        const sketch = arrived(explicit({ bucketCounts, explicitBounds, sum }))
        expect(sketch).toMatchObject({ cnt: data.length, sum, avg: sum / data.length })
        expect(total(sketch)).toBe(data.length)
        const sorted = [...data].sort((left, right) => left - right)
        for (const quantile of RANKS) {
          const rank = Math.round(quantile * (sorted.length - 1))
          const found = valueAtRank(sketch, rank)
          const at = bucketOf(sorted[rank])
          const slack = Math.abs(found) * ACCURACY
          expect(found).toBeGreaterThanOrEqual(edges[at] - slack)
          expect(found).toBeLessThanOrEqual(edges[at + 1] + slack)
        }
      }),
    )
  })
})

/** What every sketch holds to, whatever the histogram was. */
function expectInOrder({ cnt, n, k, min, max, avg }: ReceivedDogsketch): void {
  expect(n.reduce((sum, each) => sum + each, 0)).toBe(cnt)
  expect([min, max, avg].every(Number.isFinite)).toBe(true)
  expect(min).toBeLessThanOrEqual(avg)
  expect(avg).toBeLessThanOrEqual(max)
  expect(k[0]).toBeGreaterThanOrEqual(keyOf(min))
  expect(k[k.length - 1]).toBeLessThanOrEqual(keyOf(max))
}

const EXTREMES = ['min', 'max'] as const
const someValues = fc.array(
  fc.oneof(
    fc.double({ min: -200, max: 2000, noNaN: true }),
    fc.double({ min: 4.9, max: 5.1, noNaN: true }),
    fc.constantFrom(0, 0.1, 5, 10, -10, 1e-12, 1e6),
  ),
  { minLength: 1, maxLength: 40 },
)
const someBounds = fc
  .uniqueArray(
    fc.oneof(fc.constantFrom(-10, 0, 5, 10, 25, 100, 1000), fc.double({ min: -50, max: 500, noNaN: true })),
    {
      maxLength: 12,
    },
  )
  .map((bounds) => bounds.sort((left, right) => left - right))

/** Histograms of both kinds of the same values, which know their sum or not, and their extremes or not. */
const histograms = fc
  .record({
    data: someValues,
    explicitBounds: someBounds,
    scale: fc.integer({ min: -3, max: 8 }),
    known: fc.subarray(['sum', ...EXTREMES] as const),
  })
  .map(({ data, explicitBounds, scale, known }) => {
    const figures = { sum: sumOf(data), min: Math.min(...data), max: Math.max(...data) }
    const told = Object.fromEntries(known.map((figure) => [figure, figures[figure]]))
    const bucketCounts = [...explicitBounds, Infinity].map(
      (upper, at) => data.filter((value) => value <= upper && (at === 0 || value > explicitBounds[at - 1])).length,
    )
    const side = (sign: 1 | -1): ExponentialHistogramPointFields['positive'] => {
      const indexes = data
        .filter((value) => sign * value > 1e-9)
        .map((value) => Math.ceil(Math.log2(sign * value) * 2 ** scale) - 1)
      const offset = Math.min(...indexes)
      const counts = Array.from({ length: indexes.length && Math.max(...indexes) - offset + 1 }, () => 0)
      for (const index of indexes) counts[index - offset]++
      return indexes.length === 0 ? undefined : { offset, bucketCounts: counts }
    }
    const zeroCount = data.filter((value) => Math.abs(value) <= 1e-9).length
    return {
      ...{ data, known, figures },
      explicit: explicit({ ...told, bucketCounts, explicitBounds }),
      exponential: exponential({ ...told, scale, zeroCount, positive: side(1), negative: side(-1) }),
    }
  })

describe('whatever is known of a histogram', () => {
  it('its sketch has every value between minimum and maximum, the average too, and keeps count and known figures', () => {
    fc.assert(
      fc.property(histograms, ({ data, known, figures, ...both }) => {
        for (const sketch of [both.explicit, both.exponential]) {
          if (sketch === 'no_buckets') {
            expect(known).toEqual([])
            continue
          }
          const received = arrived(sketch)
          expectInOrder(received)
          expect(received.cnt).toBe(data.length)
          const single = data.length === 1 && known.includes('sum')
          for (const figure of single ? (['sum', ...EXTREMES] as const) : known) {
            expect(received[figure]).toBe(figures[figure])
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('an open bucket reaches no further than the values that are in it', () => {
    fc.assert(
      fc.property(someValues, someBounds, (data, explicitBounds) => {
        fc.pre(explicitBounds.length > 0)
        const bucketCounts = [...explicitBounds, Infinity].map(
          (upper, at) => data.filter((value) => value <= upper && (at === 0 || value > explicitBounds[at - 1])).length,
        )
        const { min, max } = arrived(explicit({ bucketCounts, explicitBounds, sum: sumOf(data) }))
        const hair = 1e-9 * Math.max(...data.map(Math.abs), 1)
        const [first, last] = [explicitBounds[0], explicitBounds[explicitBounds.length - 1]]
        if (min < first) expect(min).toBeGreaterThanOrEqual(Math.min(...data) - hair)
        if (max > last) expect(max).toBeLessThanOrEqual(Math.max(...data) + hair)
      }),
      { numRuns: 300 },
    )
  })

  it('merged sketches still have every value, and the average, between minimum and maximum', () => {
    fc.assert(
      fc.property(fc.array(histograms, { minLength: 2, maxLength: 5 }), (several) => {
        const sketches = several
          .flatMap((each) => [each.explicit, each.exponential])
          .filter((sketch) => sketch instanceof Sketch)
        fc.pre(sketches.length > 0)
        const merged = sketches.reduce((left, right) => left.mergedWith(right) as Sketch)
        const received = arrived(merged)
        expectInOrder(received)
        expect(received.cnt).toBe(sumOf(sketches.map(({ count }) => count)))
        expect(received.sum).toBe(sketches.map(({ sum }) => sum).reduce((left, right) => left + right))
        expect(received.min).toBe(Math.min(...sketches.map(({ min }) => min)))
        expect(received.max).toBe(Math.max(...sketches.map(({ max }) => max)))
      }),
      { numRuns: 200 },
    )
  })

  it('figures that contradict each other break none of it', () => {
    const figure = fc.option(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { nil: undefined })
    const counts = fc.array(fc.nat(5), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(counts, counts, fc.record({ sum: figure, min: figure, max: figure }), (some, others, figures) => {
        const explicitBounds = some.slice(1).map((_count, index) => 10 * (index - 2))
        const sides = { positive: { offset: -2, bucketCounts: some }, negative: { offset: 1, bucketCounts: others } }
        for (const sketch of [
          explicit({ bucketCounts: some, explicitBounds, ...figures }),
          exponential({ ...sides, zeroCount: others[0], ...figures }),
        ]) {
          if (sketch instanceof Sketch) expectInOrder(arrived(sketch))
          else expect(['no_observations', 'no_buckets', 'malformed_histogram']).toContain(sketch)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('merging', () => {
  it('adds up the bins of equal keys, also beyond what one bin counts', () => {
    const sketch = bucket(1e3, 1e4, 1e7 - 1) as Sketch
    const text = binsText(arrived(sketch.mergedWith(sketch) as Sketch))
    // Source: datadog-agent, pkg/util/quantile/agent_test.go.
    expect(text).toMatch(/^1784:34970 1785:35516 /)
    expect(text).toContain(' 1824:65018 1825:497 1825:65535 1826:1531 1826:65535 ')
    expect(text).toMatch(/ 1931:65535 1932:34822$/)
  })

  it('is refused when one sketch cannot hold both', () => {
    const large = explicit({ bucketCounts: [MAX_COUNT, 0], explicitBounds: [1] }) as Sketch
    const small = bucket(1, 2, 1) as Sketch
    expect(large.mergedWith(small)).toBeUndefined()
    expect(small.mergedWith(large)).toBeUndefined()
  })
})
