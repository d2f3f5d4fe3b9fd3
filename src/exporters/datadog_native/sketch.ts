import type { ExponentialHistogramPoint, HistogramPoint } from '../../otlp/points.ts'

/*
 * The sketch in which the Datadog Agent sends distributions: counts of values by key, and a key is the rounded logarithm of
 * a value, so that every value is off by at most 1/128 of itself. Sources: datadog-agent, pkg/util/quantile (config.go,
 * agent.go, ddsketch.go) for keys and bins; pkg/opentelemetry-mapping-go/otlp/metrics/default_mapper.go for histograms.
 * Where it differs from the Agent on purpose: docs/decisions/0070-sketches.md.
 */

/** Two neighbouring keys are this factor apart. */
const GAMMA = 1 + 2 / 128
const LN_GAMMA = Math.log1p(2 / 128)
const HALF_STEP = Math.sqrt(GAMMA)
/** The key of 1. */
const BIAS = 1338
/** The Agent's 32,767 means infinity, and no value is. */
const MAX_KEY = 32_766
const MAX_BINS = 4096
/** What one bin counts at most; more become several bins of the same key. */
export const MAX_BIN_COUNT = 65_535
/** Values that one sketch counts at most. */
export const MAX_COUNT = MAX_BINS * MAX_BIN_COUNT
/** Smaller values have the key 0. */
const SMALLEST = GAMMA ** (1 - BIAS)

/** Why a histogram cannot become a sketch, as the reason under which its point is counted as dropped. */
export type SketchRefusal = 'no_observations' | 'no_buckets' | 'malformed_histogram' | 'bucket_count_too_high'

/** The key of a finite value; keys of negative values are those of their opposites, negated. */
export function keyOf(value: number): number {
  const magnitude = Math.abs(value)
  if (magnitude < SMALLEST) return 0
  const key = Math.min(Math.max(Math.round(Math.log(magnitude) / LN_GAMMA) + BIAS, 1), MAX_KEY)
  return value < 0 ? -key : key
}

/** The values that the keys from 0 on stand for: a power costs far more than a look. */
const values = new Float64Array(MAX_KEY + 2)
for (let key = 1; key < values.length; key++) values[key] = GAMMA ** (key - BIAS)

/** The value that a key stands for. */
function valueOf(key: number): number {
  return key < 0 ? -values[-key] : values[key]
}

/** A distribution of at least one and at most `MAX_COUNT` values. Immutable. */
export class Sketch {
  constructor(
    /** Bins in ascending order of key, each key once. They stand from `start` to `end` between those of other sketches. */
    readonly keys: Int16Array,
    /** What each bin counts, at the same places; at least 1. */
    readonly counts: Uint32Array,
    readonly start: number,
    readonly end: number,
    readonly count: number,
    readonly sum: number,
    readonly min: number,
    readonly max: number,
  ) {}

  get average(): number {
    return this.sum / this.count
  }

  /** Both as one, the same whichever comes first; `undefined` when a sketch cannot hold so many values. */
  mergedWith(other: Sketch): Sketch | undefined {
    const count = this.count + other.count
    if (count > MAX_COUNT) return undefined
    bins.begin()
    let left = this.start
    let right = other.start
    while (left < this.end || right < other.end) {
      const fromLeft = right === other.end || (left < this.end && this.keys[left] <= other.keys[right])
      if (fromLeft) bins.add(this.keys[left], this.counts[left++])
      else bins.add(other.keys[right], other.counts[right++])
    }
    return bins.toSketch(count, this.sum + other.sum, Math.min(this.min, other.min), Math.max(this.max, other.max))
  }
}

/** Bins of the sketches that share two arrays: arrays of their own would cost more than what is in them. */
const SHARED_BINS = 16_384

/** Collects the bins of one sketch after the other, each from the lowest key to the highest. */
class Bins {
  private keys = new Int16Array(SHARED_BINS)
  private counts = new Uint32Array(SHARED_BINS)
  private start = 0
  private end = 0

  /** What was collected before, and did not become a sketch, is forgotten. */
  begin(): void {
    this.end = this.start
  }

  /** `key`: not lower than any before. */
  add(key: number, count: number): void {
    const { end } = this
    if (end > this.start && this.keys[end - 1] === key) {
      this.counts[end - 1] += count
      return
    }
    if (end === this.keys.length) this.moveOn()
    this.keys[this.end] = key
    this.counts[this.end++] = count
  }

  /** `count`: that of all bins, of which there is at least one. What is undefined is told by the bins. */
  toSketch(count: number, sum: number | undefined, min: number | undefined, max: number | undefined): Sketch {
    const { keys, counts, end } = this
    const lowest = min ?? valueOf(keys[this.start])
    const highest = max ?? valueOf(keys[end - 1])
    const total = sum ?? this.sum()
    if (end - this.start + Math.floor(count / MAX_BIN_COUNT) > MAX_BINS) this.collapse()
    const sketch = new Sketch(keys, counts, this.start, end, count, total, lowest, highest)
    this.start = end
    return sketch
  }

  private sum(): number {
    let sum = 0
    for (let index = this.start; index < this.end; index++) sum += this.counts[index] * valueOf(this.keys[index])
    return sum
  }

  /** Moves what the lowest bins count to the next as long as there are more than may be written. */
  private collapse(): void {
    const { counts } = this
    let written = 0
    for (let index = this.start; index < this.end; index++) written += binsOf(counts[index])
    for (; written > MAX_BINS; this.start++) {
      const lower = counts[this.start]
      const higher = counts[this.start + 1]
      written += binsOf(lower + higher) - binsOf(lower) - binsOf(higher)
      counts[this.start + 1] = lower + higher
    }
  }

  /** Takes the bins of the sketch at hand to new arrays; the old ones belong to the sketches before. */
  private moveOn(): void {
    const { keys, counts, start, end } = this
    const length = Math.max(SHARED_BINS, 2 * (end - start))
    this.keys = new Int16Array(length)
    this.counts = new Uint32Array(length)
    this.keys.set(keys.subarray(start, end))
    this.counts.set(counts.subarray(start, end))
    this.start = 0
    this.end = end - start
  }
}

const bins = new Bins()

/** How many bins are written for a key that counts so much. */
function binsOf(count: number): number {
  return Math.ceil(count / MAX_BIN_COUNT)
}

/** What a histogram with explicit bounds says, as a point or in any other form. */
export type ExplicitHistogram = Pick<HistogramPoint, 'count' | 'sum' | 'min' | 'max'> & {
  readonly bucketCounts: ArrayLike<number | bigint>
  readonly explicitBounds: ArrayLike<number>
}

/**
 * The sketch of a histogram of differences: the values of a bucket are spread over its keys as evenly as the Agent does. Count
 * is that of the buckets, sum, minimum and maximum are exact where the histogram knows them.
 */
export function sketchOfHistogram(histogram: ExplicitHistogram): Sketch | SketchRefusal {
  const { bucketCounts, explicitBounds: bounds } = histogram
  const total = countInBuckets(histogram)
  if (total === undefined || contradictory(histogram)) return 'malformed_histogram'
  // One bucket without a bound says no more than none.
  if (bucketCounts.length < 2) return withoutBuckets(histogram)
  if (total > MAX_COUNT) return 'bucket_count_too_high'
  if (total === 0) return Number(histogram.count) === 0 ? 'no_observations' : 'malformed_histogram'
  const keys = keysOf(bounds) as Int16Array
  bins.begin()
  let lowest: number | undefined
  let highest = 0
  for (let index = 0; index < bucketCounts.length; index++) {
    const count = Number(bucketCounts[index])
    if (count === 0) continue
    const lower = index === 0 ? -Infinity : bounds[index - 1]
    const upper = index === bounds.length ? Infinity : bounds[index]
    lowest ??= lower
    highest = upper
    if (upper === Infinity) {
      if (lower === -Infinity || lower === Infinity) return 'malformed_histogram'
      bins.add(keys[index - 1], count)
    } else if (lower === -Infinity || lower === 0) {
      if (upper === -Infinity) return 'malformed_histogram'
      // The bucket (0, upper] holds no zero, and to start there would say that most of its values are.
      bins.add(keys[index], count)
    } else interpolate(lower, upper, keys[index - 1], keys[index], count)
  }
  return bins.toSketch(
    total,
    finite(histogram.sum),
    finite(histogram.min) ?? finite(lowest),
    finite(histogram.max) ?? finite(highest),
  )
}

/** What all buckets count together; `undefined` when the buckets and bounds do not make a histogram. */
export function countInBuckets({ bucketCounts, explicitBounds }: ExplicitHistogram): number | undefined {
  if (bucketCounts.length === 0) return 0
  if (bucketCounts.length !== explicitBounds.length + 1 || keysOf(explicitBounds) === undefined) return undefined
  const count = sumOfCounts(bucketCounts)
  return Number.isNaN(count) ? undefined : count
}

/** The values lie anywhere between minimum and maximum; what is known of only one point lies there. */
function withoutBuckets(histogram: ExplicitHistogram): Sketch | SketchRefusal {
  const { bucketCounts } = histogram
  const count = Number(bucketCounts.length === 0 ? histogram.count : bucketCounts[0])
  if (!Number.isInteger(count) || count < 0) return 'malformed_histogram'
  if (count === 0) return Number(histogram.count) === 0 ? 'no_observations' : 'malformed_histogram'
  if (count > MAX_COUNT) return 'bucket_count_too_high'
  const [sum, min, max] = [finite(histogram.sum), finite(histogram.min), finite(histogram.max)]
  const place = min ?? max ?? (sum === undefined ? undefined : sum / count)
  if (place === undefined) return 'no_buckets'
  bins.begin()
  if (min !== undefined && max !== undefined) interpolate(min, max, keyOf(min), keyOf(max), count)
  else bins.add(keyOf(place), count)
  return bins.toSketch(count, sum, min, max)
}

/**
 * Spreads the values of a bucket evenly from its lower bound to its upper one. A key gets as many as lie between it and the
 * next; keys that would get less than one are passed over. Source: datadog-agent, pkg/util/quantile/agent.go.
 */
function interpolate(lower: number, upper: number, lowerKey: number, upperKey: number, count: number): void {
  const distance = upper - lower
  /** A little less than what one of the values takes, so that most keys need no division. */
  const step = (distance / count) * 0.999999
  let left = count
  let key = lowerKey
  let value = valueOf(lowerKey)
  let carried = 0
  for (let next = lowerKey + 1; next <= upperKey; next++) {
    const nextValue = valueOf(next)
    if (nextValue - value < step) continue
    const share = ((nextValue - value) / distance) * count
    if (share < 1) continue
    let here = Math.floor(share)
    if (share > 1) carried += share - here
    if (carried > 1) {
      here++
      carried--
    }
    if (here >= left) break
    bins.add(key, here)
    left -= here
    key = next
    value = nextValue
  }
  bins.add(key, left)
}

/** The keys of the bounds asked for last: most histograms of a batch have the same, and a logarithm is dear. */
let known: { readonly bounds: Float64Array; readonly keys: Int16Array | undefined } = {
  bounds: new Float64Array(),
  keys: new Int16Array(),
}

/** The key of each bound; `undefined` when they do not ascend. */
function keysOf(bounds: ArrayLike<number>): Int16Array | undefined {
  if (!sameNumbers(bounds, known.bounds)) {
    let ascend = !Number.isNaN(bounds[0])
    for (let index = 1; index < bounds.length; index++) ascend &&= bounds[index] >= bounds[index - 1]
    known = { bounds: Float64Array.from(bounds), keys: ascend ? Int16Array.from(bounds, keyOf) : undefined }
  }
  return known.keys
}

function sameNumbers(left: ArrayLike<number>, right: ArrayLike<number>): boolean {
  if (left.length !== right.length) return false
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false
  return true
}

/** What an exponential histogram says, as a point or in any other form. */
export type ExponentialHistogram = Pick<
  ExponentialHistogramPoint,
  'count' | 'sum' | 'min' | 'max' | 'scale' | 'zeroCount'
> & {
  readonly positive: ExponentialBuckets | undefined
  readonly negative: ExponentialBuckets | undefined
}

export interface ExponentialBuckets {
  readonly offset: number
  readonly bucketCounts: ArrayLike<number | bigint>
}

const NO_BUCKETS: ExponentialBuckets = { offset: 0, bucketCounts: [] }
/** Beyond it a power of e is no number any more. */
const MAX_LN_BASE = 1500

/**
 * The sketch of an exponential histogram of differences. The values of a bucket are spread over the keys that overlap it, in
 * proportion; what is left of a value is carried on to the next key. Count, sum, minimum and maximum as of `sketchOfHistogram`.
 * A cumulative histogram has to be made differences first (`CumulativeToDelta`).
 */
export function sketchOfExponential(histogram: ExponentialHistogram): Sketch | SketchRefusal {
  const { positive = NO_BUCKETS, negative = NO_BUCKETS } = histogram
  if (contradictory(histogram)) return 'malformed_histogram'
  const zeros = Number(histogram.zeroCount)
  const total = sumOfCounts(positive.bucketCounts) + sumOfCounts(negative.bucketCounts) + sumOfCounts([zeros])
  if (!(total <= MAX_COUNT)) return total > MAX_COUNT ? 'bucket_count_too_high' : 'malformed_histogram'
  if (total === 0) return Number(histogram.count) === 0 ? 'no_observations' : 'malformed_histogram'
  const [sum, min, max] = [finite(histogram.sum), finite(histogram.min), finite(histogram.max)]
  bins.begin()
  if (total === 1 && sum !== undefined) {
    bins.add(keyOf(sum), 1)
    return bins.toSketch(1, sum, min ?? sum, max ?? sum)
  }
  const lnBase = Math.min(Math.LN2 * 2 ** -histogram.scale, MAX_LN_BASE)
  const spread = { given: 0, counted: 0, lowest: 0, highest: 0 }
  for (let index = negative.bucketCounts.length - 1; index >= 0; index--) {
    const count = Number(negative.bucketCounts[index])
    if (count > 0) spreadBucket(negative.offset + index, lnBase, -1, count, spread)
  }
  give(0, zeros, spread)
  for (let index = 0; index < positive.bucketCounts.length; index++) {
    const count = Number(positive.bucketCounts[index])
    if (count > 0) spreadBucket(positive.offset + index, lnBase, 1, count, spread)
  }
  return bins.toSketch(total, sum, min ?? middleOf(spread.lowest), max ?? middleOf(spread.highest))
}

/** The middle, as the Agent takes it, of what has a key, where only its part of a bucket is known. */
function middleOf(key: number): number {
  const low = (valueOf(Math.abs(key)) / HALF_STEP) * (1 + (GAMMA - 1) / (GAMMA + 1))
  return key < 0 ? -low : low
}

/** What has been given to keys so far, in parts of values, and how many whole values of it have been counted. */
interface Spread {
  given: number
  counted: number
  /** The first and the last key that were given any. */
  lowest: number
  highest: number
}

/** Gives the key its part of a bucket; the bins count whole values, of which none may be lost. `key`: not lower than any before. */
function give(key: number, part: number, spread: Spread): void {
  if (part > 0) {
    if (spread.given === 0) spread.lowest = key
    spread.highest = key
  }
  spread.given += part
  const count = Math.round(spread.given) - spread.counted
  if (count <= 0) return
  spread.counted += count
  bins.add(key, count)
}

/** Spreads bucket `index`, (base^index, base^(index + 1)], over its keys, or over their negatives from the last to the first. */
function spreadBucket(index: number, lnBase: number, sign: 1 | -1, count: number, spread: Spread): void {
  const first = Math.min(Math.max(Math.floor((index * lnBase) / LN_GAMMA + BIAS + 0.5), 0), MAX_KEY)
  const last = Math.min(Math.max(Math.ceil(((index + 1) * lnBase) / LN_GAMMA + BIAS + 0.5) - 1, first), MAX_KEY)
  const whole = spread.given + count
  if (first < last) {
    const lower = Math.exp(index * lnBase)
    const upper = Math.min(Math.exp((index + 1) * lnBase), Number.MAX_VALUE)
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

function contradictory({ min, max }: Pick<HistogramPoint, 'min' | 'max'>): boolean {
  return min !== undefined && max !== undefined && min > max
}

/** NaN when one of them is no count. */
function sumOfCounts(counts: ArrayLike<number | bigint>): number {
  let sum = 0
  for (let index = 0; index < counts.length; index++) {
    const count = Number(counts[index])
    sum += Number.isInteger(count) && count >= 0 ? count : NaN
  }
  return sum
}

function finite(value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined
}
