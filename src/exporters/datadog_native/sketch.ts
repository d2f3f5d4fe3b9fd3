import { completeBuckets } from '../../otlp/explicit_buckets.ts'
import type { ExplicitBuckets } from '../../otlp/explicit_buckets.ts'
import type { ExponentialHistogramPoint, HistogramPoint } from '../../otlp/points.ts'

/*
 * The sketch in which the Datadog Agent sends distributions: counts of values by key, and a key is the rounded logarithm of
 * a value, so that every value is off by at most 1/128 of itself. Sources: datadog-agent, pkg/util/quantile (config.go,
 * agent.go, ddsketch.go) for keys and bins; pkg/opentelemetry-mapping-go/otlp/metrics/default_mapper.go for histograms.
 * Where it differs from the Agent on purpose: docs/decisions/0070-sketches.md and 0188-sketches-within-extremes.md.
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

/**
 * A distribution of at least one and at most `MAX_COUNT` values: no bin has a key below that of `min` or above that of
 * `max`, and the average lies between them. It stays as it is until `reuseSketches`.
 */
export class Sketch {
  constructor(
    /** Bins in ascending order of key, each key once. They stand from `start` to `end` between those of other sketches. */
    public keys: Int16Array,
    /** What each bin counts, at the same places; at least 1. */
    public counts: Int32Array,
    public start: number,
    public end: number,
    public count: number,
    public sum: number,
    public min: number,
    public max: number,
  ) {}

  /** Between the extremes, even if the sum was rounded or a sender's figures contradict each other. */
  get average(): number {
    return within(this.sum / this.count, this.min, this.max)
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
    return bins.finish(count, this.sum + other.sum, Math.min(this.min, other.min), Math.max(this.max, other.max))
  }
}

/** The first key of a sparse bucket that gets a value is looked for in steps of so many keys. */
const STRIDE = 32
/** Bins of the sketches that share two arrays: arrays of their own would cost more than what is in them. */
const SHARED_BINS = 16_384
/** Of these arrays so many are kept, which is 6 MiB. */
const MAX_PAIRS = 64
const MAX_SKETCHES = 20_000

interface Pair {
  readonly keys: Int16Array
  readonly counts: Int32Array
}

/** Collects the bins of one sketch after the other, each from the lowest key to the highest. */
class Bins {
  private keys: Int16Array = new Int16Array(SHARED_BINS)
  private counts: Int32Array = new Int32Array(SHARED_BINS)
  private start = 0
  private end = 0
  /** Pairs of arrays that are used again once nobody needs the sketches in them. */
  private readonly pairs: Pair[] = [{ keys: this.keys, counts: this.counts }]
  private pair = 0
  /** The same of the sketches themselves: a batch has so many of them at a time that they would outlive it as garbage. */
  private readonly sketches: Sketch[] = []
  private made = 0

  /** Nobody needs any sketch that was made so far. */
  reuse(): void {
    this.pair = 0
    this.made = 0
    this.keys = this.pairs[0].keys
    this.counts = this.pairs[0].counts
    this.start = this.end = 0
  }

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
    if (end === this.keys.length) this.moveOn(1)
    this.keys[this.end] = key
    this.counts[this.end++] = count
  }

  /**
   * Adds the values of a bucket, spread evenly from `lower` to `upper`. A key gets as many as lie between it and the next; keys
   * that would get less than one are passed over. `lowerKey`: not lower than any before. Source: datadog-agent,
   * pkg/util/quantile/agent.go.
   */
  spread(lower: number, upper: number, lowerKey: number, upperKey: number, count: number): void {
    const most = Math.min(count, upperKey - lowerKey + 1)
    if (this.end + most > this.keys.length) this.moveOn(most)
    const { keys, counts } = this
    let { end } = this
    // Only the first key may be there already.
    const there = end > this.start && keys[end - 1] === lowerKey
    let counted = there ? counts[--end] : 0
    const distance = upper - lower
    /** A little less than what one of the values takes, so that most keys need no division. */
    const step = (distance / count) * 0.999999
    let left = count
    let key = lowerKey
    let value = valueOf(lowerKey)
    let carried = 0
    let nearest = value + step
    let next = lowerKey
    while (next + STRIDE <= upperKey && valueOf(next + STRIDE) < nearest) next += STRIDE
    while (++next <= upperKey) {
      const nextValue = valueOf(next)
      if (nextValue < nearest) continue
      const share = ((nextValue - value) / distance) * count
      if (share < 1) continue
      let here = Math.floor(share)
      if (share > 1) carried += share - here
      if (carried > 1) {
        here++
        carried--
      }
      if (here >= left) break
      keys[end] = key
      counts[end++] = counted + here
      counted = 0
      left -= here
      key = next
      value = nextValue
      nearest = value + step
    }
    keys[end] = key
    counts[end++] = counted + left
    this.end = end
  }

  /** `count`: that of all bins, of which there is at least one. */
  finish(count: number, sum: number, min: number, max: number): Sketch {
    const { keys, counts, end } = this
    if (end - this.start + Math.floor(count / MAX_BIN_COUNT) > MAX_BINS) this.collapse()
    const { start } = this
    this.start = end
    const sketch = this.sketches[this.made]
    if (sketch === undefined) return this.newSketch(new Sketch(keys, counts, start, end, count, sum, min, max))
    this.made++
    sketch.keys = keys
    sketch.counts = counts
    sketch.start = start
    sketch.end = end
    sketch.count = count
    sketch.sum = sum
    sketch.min = min
    sketch.max = max
    return sketch
  }

  private newSketch(sketch: Sketch): Sketch {
    if (this.sketches.length < MAX_SKETCHES) this.made = this.sketches.push(sketch)
    return sketch
  }

  /**
   * The same where figures may be missing: the sum, or an extreme, which is infinite then. `lowest` and `highest` stand in for
   * the extremes unless the average lies beyond them.
   */
  toSketch(
    count: number,
    sum: number | undefined,
    least: number,
    greatest: number,
    lowest: number,
    highest: number,
  ): Sketch {
    const average = sum === undefined ? lowest : sum / count
    const max = greatest === Infinity ? Math.max(highest, average, least) : greatest
    const min = least === -Infinity ? Math.min(lowest, average, max) : least
    return this.finish(count, sum ?? within(this.sum(), count * min, count * max), min, max)
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

  private nextPair(): Pair {
    if (this.pair + 1 < this.pairs.length) return this.pairs[++this.pair]
    const pair = newPair(SHARED_BINS)
    if (this.pairs.length < MAX_PAIRS) this.pair = this.pairs.push(pair) - 1
    return pair
  }

  /** Takes the bins of the sketch at hand to new arrays; the old ones belong to the sketches before. */
  private moveOn(more: number): void {
    const { keys, counts, start, end } = this
    const length = Math.max(SHARED_BINS, 2 * (end - start + more))
    const next = length === SHARED_BINS ? this.nextPair() : newPair(length)
    this.keys = next.keys
    this.counts = next.counts
    this.keys.set(keys.subarray(start, end))
    this.counts.set(counts.subarray(start, end))
    this.start = 0
    this.end = end - start
  }
}

const bins = new Bins()

function newPair(length: number): Pair {
  return { keys: new Int16Array(length), counts: new Int32Array(length) }
}

/**
 * Lets go of all sketches that were made so far: their bins are overwritten by those of the next. For who makes many of them
 * for a batch and needs none after it.
 */
export function reuseSketches(): void {
  bins.reuse()
}

/** How many bins are written for a key that counts so much. */
function binsOf(count: number): number {
  return Math.ceil(count / MAX_BIN_COUNT)
}

/** What a histogram with explicit bounds says, as a point or in any other form. */
export type ExplicitHistogram = Pick<HistogramPoint, 'sum' | 'min' | 'max'> & ExplicitBuckets

/**
 * The sketch of a histogram of differences. The count is that of the buckets; sum, minimum and maximum are exact where the
 * histogram has them. The values of a bucket are spread over its keys as evenly as the Agent does it, but never beyond the
 * minimum or maximum. Where a bucket has no bound on one side, all its values are placed as close to the other bound as
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
  bins.begin()
  let lowest = -Infinity
  let highest = Infinity
  /** The most, and the least, that the values of the buckets before can add up to. */
  let before = 0
  let leastBefore = 0
  for (let index = 0; index < bucketCounts.length; index++) {
    const count = Number(bucketCounts[index])
    if (count === 0) continue
    const from = index === 0 ? -Infinity : bounds[index - 1]
    const to = index === bounds.length ? Infinity : bounds[index]
    // Most buckets are like this, and are cheap.
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
      // The bucket (0, upper] holds no zero, and to start there would say that most of its values are.
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
 * Spreads the values of a bucket without an upper bound, which add up to at most `sum`, up to the maximum: one of all time may
 * lie above all of them. None reaches farther than the sum allows, and where it says that most lie near the lower bound, only one does.
 */
function spreadOpen(lower: number, max: number, lowerKey: number, count: number, sum: number): void {
  const greatest = within(sum - (count - 1) * lower, lower, max)
  const greatestKey = greatest === lower ? lowerKey : keyOf(greatest)
  const average = (sum - greatest) / (count - 1)
  if (average >= (lower + greatest) / 2) return bins.spread(lower, greatest, lowerKey, greatestKey, count)
  const end = average > lower ? 2 * average - lower : lower
  bins.spread(lower, end, lowerKey, end === lower ? lowerKey : keyOf(end), count - 1)
  bins.add(greatestKey, 1)
}

/** What all buckets count together; `undefined` when the buckets and bounds do not make a histogram. */
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

/** The least that the values of the buckets above `index` can add up to. */
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

/** A single value is its sum, wherever its bucket is. */
function sketchOfValue(sum: number, least: number, greatest: number): Sketch {
  const value = within(sum, least, greatest)
  bins.begin()
  bins.add(keyOf(value), 1)
  return bins.finish(1, sum, value, value)
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
  const sum = finite(histogram.sum)
  const least = finite(histogram.min) ?? -Infinity
  const greatest = finite(histogram.max) ?? Infinity
  if (total === 1 && sum !== undefined) return sketchOfValue(sum, least, greatest)
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

/** The middle, as the Agent takes it, of what has a key, where only its part of a bucket is known. */
function middleOf(key: number): number {
  const low = (valueOf(Math.abs(key)) / HALF_STEP) * (1 + (GAMMA - 1) / (GAMMA + 1))
  return key < 0 ? -low : low
}

/** What has been given to keys so far, in parts of values, and how many whole values of it have been counted. */
interface Spread {
  /** All values lie between these. */
  readonly least: number
  readonly greatest: number
  readonly leastKey: number
  readonly greatestKey: number
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

/** The number from `least` to `greatest` that is nearest to `value`. */
function within(value: number, least: number, greatest: number): number {
  const above = value < least ? least : value
  return above > greatest ? greatest : above
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
