import type { ExponentialHistogramPoint } from '../../../otlp/metrics/points.ts'
import { contradictory, current, finite, MAX_COUNT, sketchOfValue, sumOfCounts, within } from './sketch.ts'
import type { Sketch, SketchRefusal } from './sketch.ts'
import { BIAS, GAMMA, keyOf, LN_GAMMA, valueOf } from './sketch_keys.ts'

/*
 * The values of an exponential histogram as a sketch. Source: datadog-agent,
 * pkg/opentelemetry-mapping-go/otlp/metrics/default_mapper.go.
 */

/** The data of an exponential histogram, as a point or in any other form. */
type ExponentialHistogram = Pick<ExponentialHistogramPoint, 'count' | 'sum' | 'min' | 'max' | 'scale' | 'zeroCount'> & {
  readonly positive: ExponentialBuckets | undefined
  readonly negative: ExponentialBuckets | undefined
}

interface ExponentialBuckets {
  readonly offset: number
  readonly bucketCounts: ArrayLike<number | bigint>
}

const HALF_STEP = Math.sqrt(GAMMA)
const NO_BUCKETS: ExponentialBuckets = { offset: 0, bucketCounts: [] }
/** Beyond it, a power of e is no longer finite. */
const MAX_LN_BASE = 1500

/**
 * The sketch of an exponential histogram of differences. The values of a bucket are spread over the keys that overlap
 * it, in proportion; a fraction of a value is carried on to the next key. Count, sum, minimum and maximum as in
 * `sketchOfHistogram`. A cumulative histogram has to be turned into differences first (`CumulativeToDelta`).
 */
export function sketchOfExponential(histogram: ExponentialHistogram): Sketch | SketchRefusal {
  const { positive = NO_BUCKETS, negative = NO_BUCKETS } = histogram
  if (contradictory(histogram)) return 'malformed_histogram'
  const zeros = Number(histogram.zeroCount)
  const total = sumOfCounts(positive.bucketCounts) + sumOfCounts(negative.bucketCounts) + sumOfCounts([zeros])
  if (!(total <= MAX_COUNT)) return total > MAX_COUNT ? 'bucket_count_too_high' : 'malformed_histogram'
  if (total === 0) return Number(histogram.count) === 0 ? 'no_observations' : 'malformed_histogram'
  const sum = finite(histogram.sum)
  const least = finite(histogram.min) ?? -Infinity
  const greatest = finite(histogram.max) ?? Infinity
  if (total === 1 && sum !== undefined) return sketchOfValue(sum, least, greatest)
  const { bins } = current
  bins.begin()
  const lnBase = Math.min(Math.LN2 * 2 ** -histogram.scale, MAX_LN_BASE)
  const [leastKey, greatestKey] = [keyOf(least), keyOf(greatest)]
  const spread = { least, greatest, leastKey, greatestKey, given: 0, counted: 0, lowest: 0, highest: 0 }
  for (let index = negative.bucketCounts.length - 1; index >= 0; index--) {
    const count = Number(negative.bucketCounts[index])
    if (count > 0) spreadBucket(negative.offset + index, lnBase, -1, count, spread)
  }
  give(within(0, leastKey, greatestKey), zeros, spread)
  for (let index = 0; index < positive.bucketCounts.length; index++) {
    const count = Number(positive.bucketCounts[index])
    if (count > 0) spreadBucket(positive.offset + index, lnBase, 1, count, spread)
  }
  return bins.toSketch(total, sum, least, greatest, middleOf(spread.lowest), middleOf(spread.highest))
}

/** The middle of a key's range, as the Agent takes it, if only its part of a bucket is known. */
function middleOf(key: number): number {
  const low = (valueOf(Math.abs(key)) / HALF_STEP) * (1 + (GAMMA - 1) / (GAMMA + 1))
  return key < 0 ? -low : low
}

/** The total given to keys so far, in fractions of values, and the whole values of it that have been counted. */
interface Spread {
  /** All values lie between these. */
  readonly least: number
  readonly greatest: number
  readonly leastKey: number
  readonly greatestKey: number
  given: number
  counted: number
  /** The first and the last key that got any. */
  lowest: number
  highest: number
}

/** Gives a key its part of a bucket; the bins count whole values, and none may be lost. `key`: not lower than any before. */
function give(key: number, part: number, spread: Spread): void {
  if (part > 0) {
    if (spread.given === 0) spread.lowest = key
    spread.highest = key
  }
  spread.given += part
  const count = Math.round(spread.given) - spread.counted
  if (count <= 0) return
  spread.counted += count
  current.bins.add(key, count)
}

/** Spreads bucket `index`, (base^index, base^(index + 1)], over its keys, or over their negatives from the last to the first. */
function spreadBucket(index: number, lnBase: number, sign: 1 | -1, count: number, spread: Spread): void {
  const { least, greatest, leastKey, greatestKey } = spread
  const leastHere = sign > 0 ? leastKey : -greatestKey
  const greatestHere = sign > 0 ? greatestKey : -leastKey
  const first = within(Math.floor((index * lnBase) / LN_GAMMA + BIAS + 0.5), Math.max(leastHere, 0), greatestHere)
  const last = within(Math.ceil(((index + 1) * lnBase) / LN_GAMMA + BIAS + 0.5) - 1, first, greatestHere)
  const whole = spread.given + count
  const lower = Math.max(Math.exp(index * lnBase), sign > 0 ? least : -greatest)
  const upper = Math.min(Math.exp((index + 1) * lnBase), sign > 0 ? greatest : -least, Number.MAX_VALUE)
  if (first < last && lower < upper) {
    const density = count / (upper - lower)
    for (let step = 0; step < last - first; step++) {
      const key = sign > 0 ? first + step : last - step
      const from = key === first ? lower : valueOf(key) / HALF_STEP
      const to = key === last ? upper : valueOf(key + 1) / HALF_STEP
      give(sign * key, Math.min(density * (to - from), whole - spread.given), spread)
    }
  }
  // The last key gets the rest, so that rounding loses nothing.
  give(sign > 0 ? last : -first, whole - spread.given, spread)
}
