import type { HistogramPoint } from '../../../otlp/metrics/points.ts'
import { keyOf, valueOf } from './sketch_keys.ts'

/*
 * The sketch in which the Datadog Agent sends distributions: counts of values by key. Source: datadog-agent,
 * pkg/util/quantile (agent.go, ddsketch.go). Intentional differences from the Agent: docs/decisions/0070-sketches.md
 * and 0188-sketches-within-extremes.md.
 */

const MAX_BINS = 4096
/** The most that one bin counts; more become several bins of the same key. */
export const MAX_BIN_COUNT = 65_535
/** The most values that one sketch counts. */
export const MAX_COUNT = MAX_BINS * MAX_BIN_COUNT

/** Why a histogram cannot become a sketch, as the reason under which its point is counted as dropped. */
export type SketchRefusal = 'no_observations' | 'no_buckets' | 'malformed_histogram' | 'bucket_count_too_high'

/**
 * A distribution of at least one and at most `MAX_COUNT` values: no bin has a key below that of `min` or above that of
 * `max`, and the average lies between them. It is valid until `Bins.reuse`.
 */
export class Sketch {
  start = 0
  end = 0
  count = 0
  // Doubles from the start, so that V8 never changes the representation of these fields.
  sum = NaN
  min = NaN
  max = NaN

  constructor(
    /** Bins in ascending order of key, each key once. They are from `start` to `end`, between those of other sketches. */
    public keys: Int16Array,
    /** The count of each bin, at the same positions; at least 1. */
    public counts: Int32Array,
  ) {}

  /** Between the extremes, even if the sum was rounded or a sender's figures contradict each other. */
  get average(): number {
    return within(this.sum / this.count, this.min, this.max)
  }

  /** The sum of both, the same in either order; `undefined` if a sketch cannot hold so many values. */
  mergedWith(other: Sketch): Sketch | undefined {
    const count = this.count + other.count
    if (count > MAX_COUNT) return undefined
    const { bins } = current
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

/** The step in which the first key of a sparse bucket that gets a value is searched for. */
const STRIDE = 32
/** The bins of many sketches share two arrays: arrays of their own would cost more than their contents. */
const SHARED_BINS = 16_384
/** The number of such arrays that are kept, which is 6 MiB. */
const MAX_PAIRS = 64
const MAX_SKETCHES = 20_000

interface Pair {
  readonly keys: Int16Array
  readonly counts: Int32Array
}

/** Collects the bins of one sketch after the other, each from the lowest key to the highest. */
export class Bins {
  private keys: Int16Array = new Int16Array(SHARED_BINS)
  private counts: Int32Array = new Int32Array(SHARED_BINS)
  private start = 0
  private end = 0
  /** Pairs of arrays that are used again once their sketches are no longer needed. */
  private readonly pairs: Pair[] = [{ keys: this.keys, counts: this.counts }]
  private pair = 0
  /** The same for the sketch objects: a batch has so many of them at a time that they would outlive it as garbage. */
  private readonly sketches: Sketch[] = []
  private made = 0

  /** No sketch that was made so far is needed any more. */
  reuse(): void {
    this.pair = 0
    this.made = 0
    this.keys = this.pairs[0].keys
    this.counts = this.pairs[0].counts
    this.start = this.end = 0
  }

  /** Forgets bins that were collected before and did not become a sketch. */
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
   * Adds the values of a bucket, spread evenly from `lower` to `upper`. A key gets the values between it and the next;
   * keys that would get less than one are skipped. `lowerKey`: not lower than any before. Source: datadog-agent,
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
    /** Slightly less than the range of one value, so that most keys need no division. */
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
    const sketch = this.sketches[this.made++] ?? this.newSketch()
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

  private newSketch(): Sketch {
    const sketch = new Sketch(this.keys, this.counts)
    if (this.sketches.length < MAX_SKETCHES) this.sketches.push(sketch)
    return sketch
  }

  /**
   * The same if figures may be missing: the sum, or an extreme, which is infinite then. `lowest` and `highest` stand in
   * for the extremes unless the average lies beyond them.
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

  /** Moves the counts of the lowest bins to the next ones as long as there are more bins than may be written. */
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

  /** Moves the bins of the current sketch to new arrays; the old ones belong to earlier sketches. */
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

/** The bins that the next sketches go to. An exporter that makes many for a batch, and needs none after it, sets its own. */
export const current = { bins: new Bins() }

function newPair(length: number): Pair {
  return { keys: new Int16Array(length), counts: new Int32Array(length) }
}

/** How many bins are written for a key with this count. */
function binsOf(count: number): number {
  return Math.ceil(count / MAX_BIN_COUNT)
}

/** A single value is its sum, wherever its bucket is. */
export function sketchOfValue(sum: number, least: number, greatest: number): Sketch {
  const value = within(sum, least, greatest)
  const { bins } = current
  bins.begin()
  bins.add(keyOf(value), 1)
  return bins.finish(1, sum, value, value)
}

/** The number from `least` to `greatest` that is nearest to `value`. */
export function within(value: number, least: number, greatest: number): number {
  const above = value < least ? least : value
  return above > greatest ? greatest : above
}

export function contradictory({ min, max }: Pick<HistogramPoint, 'min' | 'max'>): boolean {
  return min !== undefined && max !== undefined && min > max
}

/** NaN if one of them is not a count. */
export function sumOfCounts(counts: ArrayLike<number | bigint>): number {
  let sum = 0
  for (let index = 0; index < counts.length; index++) {
    const count = Number(counts[index])
    sum += Number.isInteger(count) && count >= 0 ? count : NaN
  }
  return sum
}

export function finite(value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined
}
