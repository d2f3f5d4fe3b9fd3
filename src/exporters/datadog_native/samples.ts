import { grown } from '../../otlp/bytes_index.ts'
import type { BytesIndex } from '../../otlp/bytes_index.ts'
import type { Sketch } from './sketch.ts'
import type { SketchSample } from './sketch_payload.ts'

const NONE = -1

/** Samples of series, each in one second, in the order in which they came. Used again for every batch. */
class Moments {
  /** By sample: the number of its series, and its second since 1970. */
  series = new Int32Array(64)
  timestamps = new Float64Array(64)
  count = 0
  /** By series: its first sample, if that is of this batch and of this series. */
  private first = new Int32Array(64)
  /** The samples behind the first of a series, by series and second. */
  private readonly later = new Map<number, Map<number, number>>()

  clear(): void {
    this.count = 0
    if (this.repeated) this.later.clear()
  }

  /** Whether a series has several samples. */
  get repeated(): boolean {
    return this.later.size > 0
  }

  /** The sample of a series in a second; -1 when there is none. */
  protected find(series: number, timestamp: number): number {
    const first = this.firstOf(series)
    if (first < 0 || this.timestamps[first] === timestamp) return first
    return this.later.get(series)?.get(timestamp) ?? NONE
  }

  protected add(series: number, timestamp: number): number {
    const first = this.firstOf(series)
    const index = this.count++
    if (index === this.series.length) this.grow()
    this.series[index] = series
    this.timestamps[index] = timestamp
    if (first < 0) {
      while (series >= this.first.length) this.first = grown(this.first)
      this.first[series] = index
    } else {
      let seconds = this.later.get(series)
      if (seconds === undefined) this.later.set(series, (seconds = new Map<number, number>()))
      seconds.set(timestamp, index)
    }
    return index
  }

  protected grow(): void {
    this.series = grown(this.series)
    this.timestamps = grown(this.timestamps)
  }

  private firstOf(series: number): number {
    if (series >= this.first.length) return NONE
    const first = this.first[series]
    return first < this.count && this.series[first] === series ? first : NONE
  }
}

/** What is kept of several values of one series and second. */
export type Kept = 'sum' | 'latest' | 'least' | 'greatest'

/** Values of counts and gauges. */
export class Samples extends Moments {
  values = new Float64Array(64)
  /** The nanoseconds that a count covers, 0 when that is not known; NaN for a gauge. */
  covered = new Float64Array(64)
  /** The lower 32 bits of the nanoseconds since 1970: enough to tell what is later within a second. */
  times = new Int32Array(64)
  /** What is told to Datadog of `covered`, in seconds; 0 for nothing. */
  intervals = new Float64Array(64)

  /**
   * Adds a sample; returns `false` when its series has one in that second already, of which it becomes a part by `kept`. What is
   * added covers the time of both.
   */
  put(series: number, timestamp: number, value: number, time: number, covered: number, kept: Kept): boolean {
    const same = this.find(series, timestamp)
    if (same < 0) {
      const index = this.add(series, timestamp)
      this.values[index] = value
      this.covered[index] = covered
      this.times[index] = time
      return true
    }
    const later = nanosecondsBetween(this.times[same], time)
    if (kept === 'sum') {
      this.values[same] += value
      this.covered[same] = together(this.covered[same], covered, later)
    } else if (kept === 'least') this.values[same] = Math.min(this.values[same], value)
    else if (kept === 'greatest') this.values[same] = Math.max(this.values[same], value)
    else if (later >= 0) this.values[same] = value
    if (later > 0) this.times[same] = time
    return false
  }

  protected override grow(): void {
    super.grow()
    this.values = grown(this.values)
    this.covered = grown(this.covered)
    this.times = grown(this.times)
    this.intervals = grown(this.intervals)
  }
}

/** From one time to another of the same second, of both of which only the lower 32 bits are known. */
export function nanosecondsBetween(earlier: number, later: number): number {
  return (later - earlier) | 0
}

/** What two counts cover together, of which the second ends `later` nanoseconds after the first. */
function together(first: number, second: number, later: number): number {
  if (first === 0 || second === 0) return 0
  return Math.max(0, later) - Math.min(-first, later - second)
}

/** Distributions. */
export class SketchSamples extends Moments {
  private readonly sketches: Sketch[] = []

  /** Adds a sketch; returns `false` when its series has one in that second already, with which it is merged. */
  put(series: number, timestamp: number, sketch: Sketch): boolean {
    const same = this.find(series, timestamp)
    const merged = same < 0 ? undefined : this.sketches[same].mergedWith(sketch)
    // What does not fit into one sketch stays two, which Datadog merges.
    if (merged === undefined) this.sketches[this.add(series, timestamp)] = sketch
    else this.sketches[same] = merged
    return merged === undefined
  }

  override clear(): void {
    super.clear()
    this.sketches.length = 0
  }

  /** The samples as they are written. `known` holds their series. */
  written(known: BytesIndex): readonly SketchSample[] {
    return this.sketches.map((sketch, index) => ({
      encoded: known.bytes(this.series[index]),
      timestamp: this.timestamps[index],
      sketch,
    }))
  }
}
