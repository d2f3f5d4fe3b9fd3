import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { boundedExtremes } from '../../../src/otlp/delta/extremes.ts'
import { ExponentialHistogramPoint, HistogramPoint } from '../../../src/otlp/metrics/points.ts'
import type { ExponentialHistogramPointFields, HistogramPointFields } from '../../../src/otlp/metrics/points.ts'

const explicit = (fields: HistogramPointFields) => boundedExtremes(new HistogramPoint(fields))
const exponential = (fields: ExponentialHistogramPointFields) => boundedExtremes(new ExponentialHistogramPoint(fields))

describe('the extremes of all time, in a difference of explicit buckets', () => {
  const BOUNDS = { explicitBounds: [0, 5, 10, 25] }

  it('are kept where they lie in the buckets that counted', () => {
    const extremes = { min: 5.1, max: 5.3 }
    expect(explicit({ ...BOUNDS, ...extremes, bucketCounts: [0, 0, 4, 0, 0] })).toEqual(extremes)
  })

  it('are the bounds of the buckets that counted where they were reached before', () => {
    const extremes = { min: 1, max: 40 }
    expect(explicit({ ...BOUNDS, ...extremes, bucketCounts: [0, 0, 4, 0, 0] })).toEqual({ min: 5, max: 10 })
    expect(explicit({ ...BOUNDS, ...extremes, bucketCounts: [0, 1, 4, 0, 0] })).toEqual({ min: 1, max: 10 })
    expect(explicit({ ...BOUNDS, ...extremes, bucketCounts: [0, 0, 0, 2, 1] })).toEqual({ min: 10, max: 40 })
    expect(explicit({ ...BOUNDS, ...extremes, bucketCounts: [2, 0, 0, 0, 0], min: -3 })).toEqual({ min: -3, max: 0 })
  })

  it('are kept where no bucket says where the values lie', () => {
    expect(explicit({ count: 3, min: 1, max: 40 })).toEqual({ min: 1, max: 40 })
    expect(explicit({ ...BOUNDS, bucketCounts: [0, 0, 0, 0, 0], min: 1, max: 40 })).toEqual({ min: 1, max: 40 })
    expect(explicit({ ...BOUNDS, bucketCounts: [1, 2], min: 1, max: 40 })).toEqual({ min: 1, max: 40 })
  })

  it('are left out where the point has none', () => {
    const bucketCounts = [0, 0, 4, 0, 0]
    expect(explicit({ ...BOUNDS, bucketCounts })).toEqual({})
    expect(explicit({ ...BOUNDS, bucketCounts, max: 7 })).toEqual({ max: 7 })
    expect(explicit({ ...BOUNDS, bucketCounts, min: NaN, max: Infinity })).toEqual({})
  })

  it('never leave the range of the point itself, and stay contradictory if they are', () => {
    const bucketCounts = [0, 0, 4, 0, 0]
    expect(explicit({ ...BOUNDS, bucketCounts, min: 1, max: 5 })).toEqual({ min: 5, max: 5 })
    expect(explicit({ ...BOUNDS, bucketCounts, min: 1, max: 4 })).toEqual({ min: 4, max: 4 })
    expect(explicit({ ...BOUNDS, bucketCounts, min: 9, max: 4 })).toEqual({ min: 9, max: 4 })
  })

  it('are known of a last bucket that ends at +Inf, or that only the count tells of', () => {
    const extremes = { min: 1, max: 40 }
    expect(explicit({ explicitBounds: [5, Infinity], bucketCounts: [0, 2], ...extremes })).toEqual({ min: 5, max: 40 })
    expect(explicit({ count: 2, explicitBounds: [5], bucketCounts: [0], ...extremes })).toEqual({ min: 5, max: 40 })
    expect(explicit({ count: 2, explicitBounds: [5], bucketCounts: [2], ...extremes })).toEqual({ min: 1, max: 5 })
  })
})

describe('the extremes of all time, in a difference of exponential buckets', () => {
  const extremes = { min: -1000, max: 1000 }

  it('are the bounds of the buckets that counted where they were reached before', () => {
    const buckets = { offset: -1, bucketCounts: [0, 2, 0, 3, 0] }
    expect(exponential({ ...extremes, positive: buckets })).toEqual({ min: 1, max: 8 })
    expect(exponential({ ...extremes, negative: buckets })).toEqual({ min: -8, max: -1 })
    expect(exponential({ ...extremes, positive: buckets, negative: buckets })).toEqual({ min: -8, max: 8 })
    expect(exponential({ ...extremes, positive: buckets, min: 1.5, max: 6 })).toEqual({ min: 1.5, max: 6 })
    expect(exponential({ ...extremes, scale: 1, positive: buckets })).toEqual({ min: 1, max: 2 ** 1.5 })
  })

  it('reach from zero, or from the zero threshold, where there were zeros', () => {
    const positive = { offset: 0, bucketCounts: [2] }
    expect(exponential({ ...extremes, zeroCount: 1, positive })).toEqual({ min: 0, max: 2 })
    expect(exponential({ ...extremes, zeroCount: 1, negative: positive })).toEqual({ min: -2, max: 0 })
    expect(exponential({ ...extremes, zeroCount: 1, zeroThreshold: 0.5 })).toEqual({ min: -0.5, max: 0.5 })
  })

  it('are kept where no bucket counted', () => {
    expect(exponential(extremes)).toEqual(extremes)
    expect(exponential({ ...extremes, positive: { offset: 3, bucketCounts: [0] } })).toEqual(extremes)
  })

  it('hold for bounds that no number can hold', () => {
    const buckets = { offset: 2_000_000_000, bucketCounts: [1] }
    expect(exponential({ ...extremes, scale: -10, positive: buckets })).toEqual({ min: 1000, max: 1000 })
    expect(exponential({ min: 1, max: 2, scale: 2_147_483_647, positive: buckets })).toEqual({ min: 1, max: 1 })
  })
})

describe('bounded extremes', () => {
  it('enclose every value that was counted, and lie within those of all time', () => {
    const value = fc.double({ min: -60, max: 60, noNaN: true })
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1 }),
        fc.array(value),
        fc.integer({ min: -2, max: 6 }),
        (now, before, scale) => {
          const all = [...now, ...before]
          const [min, max] = [Math.min(...all), Math.max(...all)]
          const explicitBounds = [-50, -10, 0, 5, 10, 25]
          const bucketCounts = new Array<number>(7).fill(0)
          for (const each of now) bucketCounts[explicitBounds.filter((bound) => bound < each).length]++
          const side = (values: readonly number[]) => {
            const counts = new Map<number, number>()
            for (const each of values) {
              const index = Math.ceil(Math.log2(each) * 2 ** scale) - 1
              counts.set(index, (counts.get(index) ?? 0) + 1)
            }
            const offset = Math.min(...counts.keys())
            const width = Math.max(...counts.keys()) - offset + 1
            return {
              offset,
              bucketCounts: Array.from({ length: width }, (_, index) => counts.get(offset + index) ?? 0),
            }
          }
          const small = 1e-9
          const [positive, negative] = [now.filter((each) => each > small), now.filter((each) => each < -small)]
          const zeroCount = now.length - positive.length - negative.length
          for (const bounded of [
            explicit({ min, max, bucketCounts, explicitBounds }),
            exponential({
              ...{ min, max, scale, zeroCount, zeroThreshold: small },
              positive: positive.length === 0 ? undefined : side(positive),
              negative: negative.length === 0 ? undefined : side(negative.map((each) => -each)),
            }),
          ]) {
            const [least, greatest] = [bounded.min as number, bounded.max as number]
            expect(least).toBeGreaterThanOrEqual(min)
            expect(greatest).toBeLessThanOrEqual(max)
            const hair = 1e-12 * 60
            expect(Math.min(...now)).toBeGreaterThanOrEqual(least - hair)
            expect(Math.max(...now)).toBeLessThanOrEqual(greatest + hair)
          }
        },
      ),
    )
  })
})
