import { completeBuckets } from '../../../otlp/metrics/explicit_buckets.ts'
import type { ExplicitBuckets } from '../../../otlp/metrics/explicit_buckets.ts'
import type { HistogramPoint } from '../../../otlp/metrics/points.ts'
import { contradictory, current, finite, MAX_COUNT, sketchOfValue, sumOfCounts, within } from './sketch.ts'
import type { Sketch, SketchRefusal } from './sketch.ts'
import { keyOf } from './sketch_keys.ts'

/*
 * The values of a histogram with explicit bounds as a sketch. Source: datadog-agent,
 * pkg/opentelemetry-mapping-go/otlp/metrics/default_mapper.go.
 */

/** The data of a histogram with explicit bounds, as a point or in any other form. */
export type ExplicitHistogram = Pick<HistogramPoint, 'sum' | 'min' | 'max'> & ExplicitBuckets

/**
 * The sketch of a histogram of differences. The count is that of the buckets; sum, minimum and maximum are exact if the
 * histogram has them. The values of a bucket are spread over its keys as evenly as the Agent does it, but never beyond
 * the minimum or maximum. If a bucket has a bound on one side only, all its values are placed as close to that bound as
 * the sum allows.
 */
export function sketchOfHistogram(histogram: ExplicitHistogram): Sketch | SketchRefusal {
  const buckets = histogram.bucketCounts.length === 0 ? oneBucket(histogram) : completeBuckets(histogram)
  const { bucketCounts, explicitBounds: bounds } = buckets
  const total = countInBuckets(buckets)
  if (total === undefined || contradictory(histogram)) return 'malformed_histogram'
  if (total > MAX_COUNT) return 'bucket_count_too_high'
  if (total === 0) return Number(histogram.count) === 0 ? 'no_observations' : 'malformed_histogram'
  const sum = finite(histogram.sum)
  const least = finite(histogram.min) ?? -Infinity
  const greatest = finite(histogram.max) ?? Infinity
  if (total === 1 && sum !== undefined) return sketchOfValue(sum, least, greatest)
  const keys = keysOf(bounds) as Int16Array
  const { bins } = current
  bins.begin()
  let lowest = -Infinity
  let highest = Infinity
  /** The largest, and the smallest, possible sum of the values in earlier buckets. */
  let before = 0
  let leastBefore = 0
  for (let index = 0; index < bucketCounts.length; index++) {
    const count = Number(bucketCounts[index])
    if (count === 0) continue
    const from = index === 0 ? -Infinity : bounds[index - 1]
    const to = index === bounds.length ? Infinity : bounds[index]
    // Most buckets are like this, and take little time.
    const inner = from > 0 && from >= least && to <= greatest && to < Infinity
    let lower = inner ? from : within(from, least, greatest)
    const upper = inner ? to : within(to, least, greatest)
    highest = upper
    if (inner) bins.spread(from, to, keys[index - 1], keys[index], count)
    else if (upper === Infinity) {
      const average = sum === undefined ? lower : (sum - before) / count
      highest = average > lower ? average : lower
      if (highest === -Infinity) return 'no_buckets'
      if (lower === -Infinity) lower = highest
      bins.add(highest === from ? keys[index - 1] : keyOf(highest), count)
    } else if (lower === -Infinity || (lower === 0 && from === 0)) {
      // The bucket (0, upper] holds no zero, and starting there would place most of its values at zero.
      const average =
        sum === undefined || lowest > -Infinity ? upper : (sum - leastSumAbove(index, buckets, greatest)) / count
      const place = average > lower && average < upper ? average : upper
      if (lower === -Infinity) lower = place
      bins.add(place === to ? keys[index] : keyOf(place), count)
    } else {
      const lowerKey = lower === from ? keys[index - 1] : keyOf(lower)
      const isOpen = to === Infinity && bounds.length > 0 && sum !== undefined && count > 1
      if (isOpen) spreadOpen(lower, upper, lowerKey, count, sum - leastBefore)
      else {
        const upperKey = upper === to ? keys[index] : upper === lower ? lowerKey : keyOf(upper)
        bins.spread(lower, upper, lowerKey, upperKey, count)
      }
    }
    if (lowest === -Infinity) lowest = lower
    before += count * upper
    leastBefore += count * lower
  }
  return bins.toSketch(total, sum, least, greatest, lowest, highest)
}

/**
 * Spreads the values of a bucket without an upper bound, which add up to at most `sum`, up to the maximum: one of all
 * time may lie above all of them. No value goes beyond what the sum allows; if the sum shows that most values lie near
 * the lower bound, only one reaches the maximum.
 */
function spreadOpen(lower: number, max: number, lowerKey: number, count: number, sum: number): void {
  const greatest = within(sum - (count - 1) * lower, lower, max)
  const greatestKey = greatest === lower ? lowerKey : keyOf(greatest)
  const average = (sum - greatest) / (count - 1)
  const { bins } = current
  if (average >= (lower + greatest) / 2) return bins.spread(lower, greatest, lowerKey, greatestKey, count)
  const end = average > lower ? 2 * average - lower : lower
  bins.spread(lower, end, lowerKey, end === lower ? lowerKey : keyOf(end), count - 1)
  bins.add(greatestKey, 1)
}

/** The count of all buckets together; `undefined` if the buckets and bounds do not form a histogram. */
export function countInBuckets({ bucketCounts, explicitBounds }: ExplicitBuckets): number | undefined {
  const bounds = explicitBounds.length
  if (bucketCounts.length !== bounds + 1 || keysOf(explicitBounds) === undefined) return undefined
  // No value is below -Infinity or above +Infinity.
  if (bounds > 0 && explicitBounds[0] === -Infinity && bucketCounts[0] > 0) return undefined
  if (bounds > 0 && explicitBounds[bounds - 1] === Infinity && bucketCounts[bounds] > 0) return undefined
  const count = sumOfCounts(bucketCounts)
  return Number.isNaN(count) ? undefined : count
}

/** A histogram without buckets has its values anywhere. */
function oneBucket({ count }: ExplicitHistogram): ExplicitBuckets {
  return { count, bucketCounts: [count], explicitBounds: [] }
}

/** The smallest possible sum of the values in buckets above `index`. */
function leastSumAbove(
  index: number,
  { bucketCounts, explicitBounds: bounds }: ExplicitBuckets,
  greatest: number,
): number {
  let sum = 0
  for (let above = index + 1; above < bucketCounts.length; above++) {
    const bound = bounds[above - 1]
    sum += Number(bucketCounts[above]) * (bound > greatest ? greatest : bound)
  }
  return sum
}

/** The keys of the last bounds: most histograms of a batch have the same bounds, and a logarithm is slow. */
let known: { readonly bounds: Float64Array; readonly keys: Int16Array | undefined } = {
  bounds: new Float64Array(),
  keys: new Int16Array(),
}

/** The key of each bound; `undefined` if they do not ascend. */
function keysOf(bounds: ArrayLike<number>): Int16Array | undefined {
  if (!sameNumbers(bounds, known.bounds)) {
    let ascend = !Number.isNaN(bounds[0])
    // No bucket lies between two equal infinities; their difference is NaN.
    for (let index = 1; index < bounds.length; index++) ascend &&= bounds[index] - bounds[index - 1] >= 0
    known = { bounds: Float64Array.from(bounds), keys: ascend ? Int16Array.from(bounds, keyOf) : undefined }
  }
  return known.keys
}

function sameNumbers(left: ArrayLike<number>, right: ArrayLike<number>): boolean {
  if (left.length !== right.length) return false
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false
  return true
}
