import type { Clock } from '../../time/clock.ts'
import { doubled } from '../wire/bytes_index.ts'
import { viewOf } from '../wire/lazy_message.ts'
import { Senders } from './senders.ts'
import { readSenders, writeSenders } from './senders_state.ts'
import { NUMBER_AND_TIME, POINT_TIME, POINT_TIMES, WHOLE_NUMBER } from './point_memory.ts'
import type { SeriesMemory } from './series_memory.ts'

/*
 * The saved state of series, in 32-bit words as they are in memory: the version, then item after item. Each begins with
 * its kind and, above that, the number of its subject, which is valid until another item assigns it again:
 *
 *   METRIC      its length in bytes, then these, padded to whole words: its name in a `MetricIndex`
 *   SERIES      its metric, milliseconds since it was seen, the length of its attributes in bytes, then these
 *   INT DOUBLE  value, time and start, two words each
 *   NUMBER      value and time; kind and start are as they were
 *   HISTOGRAM   the number of words of its numbers, time and start, then the numbers of a `HistogramMemory`
 *   BUCKETS     the same without the start and, in the numbers, without the bounds, which are as they were
 *   SENDERS     its length in bytes, then these: the senders of the series whose point comes before, see `writeSenders`
 *   POINT       the same if its last point is none of the above; the point is included
 *
 * Version 1 identified a scope by its name and version, and attributes by their bytes.
 */
const VERSION = 2
const METRIC = 0
const SERIES = 1
const INT = 2
const DOUBLE = 3
const NUMBER = 4
const HISTOGRAM = 5
const BUCKETS = 6
const SENDERS = 7
const POINT = 8
const KIND_BITS = 4
const NONE = -1
/** Words of the value and times of a point. */
const MOST_PLACES = 6

/** Unchanged series written per call, or four times as many as have changed. */
const SLICE = 1000

/** Writes and restores the memory of series; the `ExporterState` of `CumulativeToDelta`. */
export class DeltaState {
  /** The number of the checkpoint; 0 if none was asked for. */
  #checkpoint = 0
  /** By number of a series or metric: the checkpoint in which it was named. */
  #named = new Int32Array(64)
  #namedMetrics = new Int32Array(64)
  /** Series that have changed, times two; plus one for those that began again. */
  #changed = new Int32Array(64)
  #changes = 0
  /** The next series to be written although it may not have changed. */
  #next = 0
  #words = new Int32Array(1024)
  #used = 0

  constructor(
    private readonly memory: SeriesMemory,
    private readonly clock: Clock,
  ) {}

  /** Notes that a series has another point, which differs from the one before only in its time and values. */
  change(series: number): void {
    this.#note(series * 2)
  }

  /** Notes that a series has another point, which differs from the one before in more. */
  begin(series: number): void {
    this.#note(series * 2 + 1)
  }

  #note(change: number): void {
    if (this.#checkpoint === 0) return
    if (this.#changes === this.#changed.length) this.#changed = doubled(this.#changed)
    this.#changed[this.#changes++] = change
  }

  /** Forgets the series for which `isGone` returns true, and their numbers; returns how many points of theirs were withheld. */
  forgetAll(isGone: (series: number) => boolean): number {
    const withheld = this.memory.forgetAll(isGone, (series) => {
      if (series < this.#named.length) this.#named[series] = 0
    })
    this.#namedMetrics.fill(0)
    return withheld
  }

  beginCheckpoint(): void {
    // Changed series that were not written yet stay first in line: the earlier records do not have their changes.
    this.#checkpoint += 1
    this.#next = 0
  }

  changes(): { bytes: Uint8Array; all: boolean } {
    const { series } = this.memory
    const now = this.clock.monotonic() | 0
    this.#used = 0
    this.#put(VERSION)
    for (let index = 0; index < this.#changes; index++) {
      const number = this.#changed[index] >> 1
      if (!this.memory.knows(number)) continue
      const named = this.#name(number, now)
      this.#tell(number, { whole: named || (this.#changed[index] & 1) === 1 })
    }
    let left = Math.max(SLICE, this.#changes * 4)
    this.#changes = 0
    for (; left > 0 && this.#next < series.end; this.#next++) {
      if (!this.memory.knows(this.#next) || !this.#name(this.#next, now)) continue
      this.#tell(this.#next, { whole: true })
      left--
    }
    const bytes = this.#used === 1 ? new Uint8Array() : new Uint8Array(this.#words.slice(0, this.#used).buffer)
    return { bytes, all: this.#next >= series.end }
  }

  forget(): void {
    this.forgetAll(() => true)
  }

  restore(checkpoints: readonly (readonly { readonly bytes: Uint8Array; readonly age: number }[])[]): void {
    try {
      for (const records of checkpoints) {
        const metrics: number[] = []
        const series: number[] = []
        for (const { bytes, age } of records) this.#take(bytes, this.clock.monotonic() - age, metrics, series)
      }
    } catch (error) {
      this.forget()
      throw error
    }
  }

  /** Names a series, and its metric, unless that was done; returns whether it did. */
  #name(number: number, now: number): boolean {
    const { metrics, series, points } = this.memory
    while (number >= this.#named.length) this.#named = doubled(this.#named)
    if (this.#named[number] === this.#checkpoint) return false
    this.#named[number] = this.#checkpoint
    const owner = series.owner(number)
    while (owner >= this.#namedMetrics.length) this.#namedMetrics = doubled(this.#namedMetrics)
    if (this.#namedMetrics[owner] !== this.#checkpoint) {
      this.#namedMetrics[owner] = this.#checkpoint
      this.#head(METRIC, owner)
      this.#putBytes(Buffer.from(metrics.identity(owner)))
    }
    this.#head(SERIES, number)
    this.#put(owner)
    this.#put(Math.max(0, points.age(number, now)))
    this.#putBytes(series.bytes(number))
    return true
  }

  #tell(series: number, what: { readonly whole: boolean }): void {
    const last = this.memory.isElsewhere(series) ? this.memory.last(series) : undefined
    if (last === undefined) this.#tellPoint(series, what)
    if (!what.whole && last === undefined) return
    const senders = this.memory.sendersOf(series) ?? (last && new Senders(last))
    if (senders === undefined) return
    if (last !== undefined) senders.last = last
    this.#head(last === undefined ? SENDERS : POINT, series)
    this.#putBytes(writeSenders(senders))
  }

  #tellPoint(series: number, { whole }: { readonly whole: boolean }): void {
    const { points, histograms } = this.memory
    const numbers = whole ? histograms.numbers(series) : histograms.counts(series)
    if (numbers === undefined) this.#head(whole ? (points.isInt(series) ? INT : DOUBLE) : NUMBER, series)
    else {
      this.#head(whole ? HISTOGRAM : BUCKETS, series)
      this.#put(numbers.length * 2)
    }
    this.#reserve(MOST_PLACES)
    const number = whole ? WHOLE_NUMBER : NUMBER_AND_TIME
    const times = whole ? POINT_TIMES : POINT_TIME
    this.#used = points.copy(series, numbers === undefined ? number : times, this.#words, this.#used)
    if (numbers === undefined) return
    this.#reserve(numbers.length * 2)
    this.#words.set(new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2), this.#used)
    this.#used += numbers.length * 2
  }

  #head(kind: number, number: number): void {
    this.#put((number << KIND_BITS) | kind)
  }

  #put(word: number): void {
    this.#reserve(1)
    this.#words[this.#used++] = word
  }

  #putBytes(bytes: Uint8Array): void {
    this.#put(bytes.length)
    const places = Math.ceil(bytes.length / 4)
    this.#reserve(places)
    this.#words[this.#used + places - 1] = 0
    new Uint8Array(this.#words.buffer).set(bytes, this.#used * 4)
    this.#used += places
  }

  #reserve(places: number): void {
    while (this.#used + places > this.#words.length) this.#words = doubled(this.#words)
  }

  /** Restores records of a time on the monotonic clock. */
  #take(bytes: Uint8Array, time: number, metrics: number[], series: number[]): void {
    if (bytes.length === 0) return
    const words = new Int32Array(bytes.length / 4)
    const copy = Buffer.from(words.buffer)
    copy.set(bytes)
    if (words[0] !== VERSION) throw new Error(`it is of version ${words[0]}, not ${VERSION}`)
    const bytesAt = (at: number): Buffer => copy.subarray((at + 1) * 4, (at + 1) * 4 + words[at])
    /** The series that was named last, and when it was seen. */
    let named = -1
    let seen = time
    for (let at = 1; at < words.length;) {
      const kind = words[at] & ((1 << KIND_BITS) - 1)
      const number = words[at++] >> KIND_BITS
      if (kind === METRIC) metrics[number] = this.memory.metrics.numberOfIdentity(bytesAt(at).toString())
      else if (kind === SERIES) {
        const attributes = bytesAt(at + 2)
        const now = this.clock.monotonic() | 0
        const place = [metrics[words[at]], viewOf(attributes), 0, attributes.length] as const
        series[number] = this.memory.mayRestore ? this.memory.find(...place, now) : this.memory.series.find(...place)
        named = number
        seen = time - words[at + 1]
      } else if (series[number] >= 0) {
        this.memory.points.see(series[number], (number === named ? seen : time) | 0)
        this.#takePoint(kind, series[number], words, at, bytesAt)
        if (!this.memory.isWithinLimit) {
          this.memory.forget(series[number])
          series[number] = NONE
        }
      }
      at += placesOf(kind, words, at)
    }
  }

  #takePoint(kind: number, series: number, words: Int32Array, at: number, bytesAt: (at: number) => Buffer): void {
    const { points, histograms } = this.memory
    if (kind === INT || kind === DOUBLE || kind === HISTOGRAM) this.memory.isPlain(series)
    switch (kind) {
      case INT:
        return points.takeInt(series, words, at)
      case DOUBLE:
        return points.takeDouble(series, words, at)
      case NUMBER:
        return points.take(series, NUMBER_AND_TIME, words, at)
      case HISTOGRAM:
        points.take(series, POINT_TIMES, words, at + 1)
        return histograms.take(series, numbersAt(words, at + 5, words[at]))
      case BUCKETS:
        points.take(series, POINT_TIME, words, at + 1)
        return histograms.takeCounts(series, numbersAt(words, at + 3, words[at]))
      case POINT:
      case SENDERS: {
        const senders = readSenders(bytesAt(at))
        if (kind === POINT) this.memory.remember(series, senders.last)
        this.memory.rememberSenders(series, senders)
      }
    }
  }
}

function numbersAt(words: Int32Array, from: number, length: number): Float64Array {
  return new Float64Array(words.slice(from, from + length).buffer)
}

/** How many places an item takes behind its first. */
function placesOf(kind: number, words: Int32Array, at: number): number {
  switch (kind) {
    case METRIC:
    case SENDERS:
    case POINT:
      return 1 + Math.ceil(words[at] / 4)
    case SERIES:
      return 3 + Math.ceil(words[at + 2] / 4)
    case NUMBER:
      return 4
    case HISTOGRAM:
      return 5 + words[at]
    case BUCKETS:
      return 3 + words[at]
    default:
      return 6
  }
}
