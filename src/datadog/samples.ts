import { doubled } from '../otlp/wire/bytes_index.ts'
import { nanosecondsBetween } from './sent_seconds.ts'
import type { SentSeconds } from './sent_seconds.ts'

const NONE = -1
const SECOND = 1_000_000_000

/** Samples of series, each in one second, in order of arrival. The object is used again for every batch. */
export class Moments {
  /** By sample: the number of its series, and its second since 1970. */
  series = new Int32Array(64)
  timestamps = new Float64Array(64)
  count = 0
  /** By series: its first sample, if that belongs to this batch and to this series. */
  private first = new Int32Array(64)
  /** The samples after the first of a series, by series and second. */
  private readonly later = new Map<number, Map<number, number>>()

  clear(): void {
    this.count = 0
    if (this.repeated) this.later.clear()
  }

  /** Whether a series has several samples. */
  get repeated(): boolean {
    return this.later.size > 0
  }

  /** The sample of a series in a second; -1 if there is none. */
  find(series: number, timestamp: number): number {
    const first = this.firstOf(series)
    if (first < 0 || this.timestamps[first] === timestamp) return first
    return this.later.get(series)?.get(timestamp) ?? NONE
  }

  add(series: number, timestamp: number): number {
    const first = this.firstOf(series)
    const index = this.count++
    if (index === this.series.length) this.grow()
    this.series[index] = series
    this.timestamps[index] = timestamp
    if (first < 0) {
      while (series >= this.first.length) this.first = doubled(this.first)
      this.first[series] = index
    } else {
      let seconds = this.later.get(series)
      if (seconds === undefined) this.later.set(series, (seconds = new Map<number, number>()))
      seconds.set(timestamp, index)
    }
    return index
  }

  protected grow(): void {
    this.series = doubled(this.series)
    this.timestamps = doubled(this.timestamps)
  }

  private firstOf(series: number): number {
    if (series >= this.first.length) return NONE
    const first = this.first[series]
    return first < this.count && this.series[first] === series ? first : NONE
  }
}

/** How several values of one series and second are combined. */
export type Kept = 'sum' | 'latest' | 'least' | 'greatest'

/** The fate of counts whose second was taken. */
export interface Settled {
  /** A sample, and the one of another second that it was added to. */
  readonly joined: readonly (readonly [index: number, into: number])[]
  /** Those that were moved, each with its own original second. */
  readonly moved: ReadonlyMap<number, number>
  /** Samples for which no second was left. */
  readonly lost: readonly number[]
}

/** Values of counts and gauges. */
export class Samples extends Moments {
  values = new Float64Array(64)
  /** The nanoseconds that a count covers, 0 if that is not known; NaN for a gauge. */
  covered = new Float64Array(64)
  /** The lower 32 bits of the nanoseconds since 1970: enough to order values within a second. */
  times = new Int32Array(64)
  /** The source of the value; for a sum, one of its sources. */
  origins = new Int32Array(64)
  /** The seconds of `covered` that are sent to Datadog; 0 for none. */
  intervals = new Float64Array(64)

  /**
   * Adds a sample. If its series already has one in that second, it is combined with that by `kept`, and the result
   * covers the time of both; returns the source of the earlier value, -1 if there was none.
   */
  put(
    series: number,
    timestamp: number,
    value: number,
    time: number,
    covered: number,
    kept: Kept,
    origin: number,
  ): number {
    const same = this.find(series, timestamp)
    if (same < 0) {
      const index = this.add(series, timestamp)
      this.values[index] = value
      this.covered[index] = covered
      this.times[index] = time
      this.origins[index] = origin
      return NONE
    }
    const before = this.origins[same]
    const later = nanosecondsBetween(this.times[same], time)
    if (kept === 'sum') {
      this.values[same] += value
      this.covered[same] = together(this.covered[same], covered, later)
    } else if (kept === 'least') this.values[same] = Math.min(this.values[same], value)
    else if (kept === 'greatest') this.values[same] = Math.max(this.values[same], value)
    else if (later >= 0) {
      this.values[same] = value
      this.origins[same] = origin
    }
    if (later > 0) this.times[same] = time
    return before
  }

  /**
   * Gives every count a second in which its series was not sent: its own, or the result of `SentSeconds.move`.
   * Remembers the seconds. Runs from the last to the first, so that for each it is known which one it can be added to.
   */
  settle(sent: SentSeconds): Settled {
    const order = this.repeated ? fromTheLast(this.timestamps, this.count) : undefined
    const placed = order && new Map<number, number>()
    const joined: [number, number][] = []
    const lost: number[] = []
    const moved = new Map<number, number>()
    for (let position = 0; position < this.count; position++) {
      const index = order === undefined ? position : order[position]
      const series = this.series[index]
      const timestamp = this.timestamps[index]
      if (Number.isNaN(this.covered[index])) sent.takeGauge(series, timestamp, this.times[index])
      else if (sent.takeCount(series, timestamp)) placed?.set(series, index)
      else {
        const target = placed?.get(series)
        const limit = target === undefined ? Infinity : this.timestamps[target]
        const second = sent.move(series, timestamp, limit)
        if (Number.isNaN(second)) lost.push(index)
        else if (target !== undefined && second === limit) {
          this.join(index, target, (moved.get(target) ?? limit) - timestamp)
          joined.push([index, target])
        } else {
          moved.set(index, timestamp)
          this.timestamps[index] = second
          placed?.set(series, index)
        }
      }
    }
    return { joined, moved, lost }
  }

  /** Removes samples, once all are settled. */
  remove(indices: readonly number[]): void {
    const gone = new Set(indices)
    let kept = 0
    for (let index = 0; index < this.count; index++) {
      if (gone.has(index)) continue
      for (const values of [this.series, this.timestamps, this.values, this.covered, this.times, this.origins]) {
        values[kept] = values[index]
      }
      kept++
    }
    this.count = kept
  }

  /** Adds a count to another whose own second is `seconds` later. */
  private join(index: number, into: number, seconds: number): void {
    const about = seconds * SECOND
    const later = about + nanosecondsBetween(this.times[index] + about, this.times[into])
    this.values[into] += this.values[index]
    this.covered[into] = together(this.covered[index], this.covered[into], later)
  }

  protected override grow(): void {
    super.grow()
    this.values = doubled(this.values)
    this.covered = doubled(this.covered)
    this.times = doubled(this.times)
    this.origins = doubled(this.origins)
    this.intervals = doubled(this.intervals)
  }
}

/** The time that two counts cover together, if the second ends `later` nanoseconds after the first. */
function together(first: number, second: number, later: number): number {
  if (first === 0 || second === 0) return 0
  return Math.max(0, later) - Math.min(-first, later - second)
}

function fromTheLast(timestamps: Float64Array, count: number): Uint32Array {
  return new Uint32Array(count).map((_, index) => index).sort((left, right) => timestamps[right] - timestamps[left])
}
