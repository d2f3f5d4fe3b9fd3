import { doubled } from '../wire/bytes_index.ts'
import type { NumberPointCursor } from '../metrics/number_cursor.ts'
import type { RememberedNumber } from './difference.ts'
import { narrow } from '../wire/fields.ts'
import { MISSED_INTERVALS, nextInterval, UNKNOWN_INTERVAL } from '../common/remembered_bytes.ts'

/*
 * The memory of a series, in 32-bit words: when it was last seen and at what interval (0: not known), in milliseconds,
 * its value (a double or an int, as on the wire), its time and start (64 bits each), and two small numbers.
 */
const SEEN = 0
const INTERVAL = 1
const VALUE = 2
const TIME = 4
const START = 6
const PASS = 8
const KIND = 9
const STRIDE = 10
/** Bytes that a series takes, as the array grows twofold. */
export const POINT_BYTES = 60

const NOTHING = 0
const DOUBLE = 1
const INT = 2
/** The value is no number and is remembered elsewhere. */
const OTHER = 3

/** Places of a series that are copied together. */
interface Places {
  readonly first: number
  readonly end: number
}
/** A number with its time, or with its start as well. */
export const NUMBER_AND_TIME: Places = { first: VALUE, end: START }
export const WHOLE_NUMBER: Places = { first: VALUE, end: PASS }
/** The time of a point whose value is remembered elsewhere, or its start as well. */
export const POINT_TIME: Places = { first: TIME, end: START }
export const POINT_TIMES: Places = { first: TIME, end: PASS }

/** Where the times of a point are; `startAt`: -1 when it has no start. */
interface Times {
  readonly view: DataView
  readonly timeAt: number
  readonly startAt: number
}

/** The last points and times of many series, by number, in one array instead of an object for each. */
export class PointMemory {
  #places = new Int32Array(64 * STRIDE)
  #doubles = new Float64Array(this.#places.buffer)

  /** Makes room for a series that nothing is known of yet. */
  clear(series: number): void {
    while ((series + 1) * STRIDE > this.#places.length) {
      this.#places = doubled(this.#places)
      this.#doubles = new Float64Array(this.#places.buffer)
    }
    this.#places.fill(0, series * STRIDE, (series + 1) * STRIDE)
  }

  knows(series: number): boolean {
    return this.#places[series * STRIDE + KIND] !== NOTHING
  }

  /** Milliseconds since the series was seen, on the clock of `see`. */
  age(series: number, now: number): number {
    return (now - this.#places[series * STRIDE + SEEN]) | 0
  }

  /** `now`: milliseconds of `Clock.monotonic`, as an int of 32 bits. Ages of more than 24 days appear smaller. */
  see(series: number, now: number): void {
    const places = this.#places
    const at = series * STRIDE
    const gap = (now - places[at + SEEN]) | 0
    // The first occurrence after `clear` says nothing about an interval.
    if (gap > 0 && places[at + KIND] !== NOTHING) places[at + INTERVAL] = nextInterval(places[at + INTERVAL], gap)
    places[at + SEEN] = now
  }

  /** Whether the series has missed enough to be forgotten for another, or nothing is known of it anyway. */
  mayGo(series: number, now: number): boolean {
    const interval = this.#places[series * STRIDE + INTERVAL]
    return this.age(series, now) > MISSED_INTERVALS * (interval === 0 ? UNKNOWN_INTERVAL : interval)
  }

  /** Marks the series; `false` if it already has this mark. */
  mark(series: number, pass: number): boolean {
    const at = series * STRIDE + PASS
    if (this.#places[at] === pass) return false
    this.#places[at] = pass
    return true
  }

  /** `undefined` if nothing is known, or the value is not a number. */
  get(series: number): RememberedNumber | undefined {
    const at = series * STRIDE
    const kind = this.#places[at + KIND]
    if (kind === NOTHING || kind === OTHER) return undefined
    const isInt = kind === INT
    const value = isInt ? narrow(this.#signed(at + VALUE)) : this.#doubles[(at + VALUE) / 2]
    return { kind: 'number', isInt, value, ...this.times(series) }
  }

  times(series: number): { timeUnixNano: bigint; startTimeUnixNano: bigint } {
    const at = series * STRIDE
    return {
      timeUnixNano: BigInt.asUintN(64, this.#signed(at + TIME)),
      startTimeUnixNano: BigInt.asUintN(64, this.#signed(at + START)),
    }
  }

  set(series: number, point: RememberedNumber): void {
    const at = series * STRIDE
    const { value, isInt } = point
    if (isInt) this.#write(at + VALUE, BigInt(value ?? 0))
    else this.#doubles[(at + VALUE) / 2] = Number(value ?? 0)
    this.setTimes(series, point)
    this.#places[at + KIND] = isInt ? INT : DOUBLE
  }

  /** For a point whose value is remembered elsewhere. */
  setTimes(
    series: number,
    { timeUnixNano, startTimeUnixNano }: Pick<RememberedNumber, 'timeUnixNano' | 'startTimeUnixNano'>,
  ): void {
    const at = series * STRIDE
    if (this.knows(series)) this.#moveOn(at, Number(BigInt.asIntN(32, timeUnixNano)), Number(timeUnixNano >> 32n) | 0)
    this.#write(at + TIME, timeUnixNano)
    this.#write(at + START, startTimeUnixNano)
    this.#places[at + KIND] = OTHER
  }

  /** Whether a remembered number is an int. */
  isInt(series: number): boolean {
    return this.#places[series * STRIDE + KIND] === INT
  }

  /** Copies these places to `at` in `to`; returns where they end there. */
  copy(series: number, { first, end }: Places, to: Int32Array, at: number): number {
    const own = series * STRIDE
    for (let place = first; place < end; place++) to[at++] = this.#places[own + place]
    return at
  }

  /** Takes over what `copy` gave; a number is of the kind that it was before. */
  take(series: number, { first, end }: Places, from: Int32Array, at: number): void {
    const own = series * STRIDE
    for (let place = first; place < end; place++) this.#places[own + place] = from[at++]
    if (first === TIME) this.#places[own + KIND] = OTHER
  }

  /** Takes over a `WHOLE_NUMBER` that `copy` gave for an int. */
  takeInt(series: number, from: Int32Array, at: number): void {
    this.take(series, WHOLE_NUMBER, from, at)
    this.#places[series * STRIDE + KIND] = INT
  }

  /** Takes over a `WHOLE_NUMBER` that `copy` gave for a double. */
  takeDouble(series: number, from: Int32Array, at: number): void {
    this.take(series, WHOLE_NUMBER, from, at)
    this.#places[series * STRIDE + KIND] = DOUBLE
  }

  forget(series: number): void {
    this.#places[series * STRIDE + KIND] = NOTHING
  }

  /** Whether the point at these times is a later one of the same run: it has the same start, and a time other than that. */
  precedes(series: number, { view, timeAt, startAt }: Times): boolean {
    if (startAt < 0) return false
    const places = this.#places
    const at = series * STRIDE
    const startLow = view.getInt32(startAt, true)
    const startHigh = view.getInt32(startAt + 4, true)
    if (startLow !== places[at + START] || startHigh !== places[at + START + 1]) return false
    if (startLow === 0 && startHigh === 0) return false
    const low = view.getInt32(timeAt, true)
    const high = view.getInt32(timeAt + 4, true)
    if (startLow === low && startHigh === high) return false
    const beforeHigh = places[at + TIME + 1]
    return high === beforeHigh ? low >>> 0 > places[at + TIME] >>> 0 : high >>> 0 > beforeHigh >>> 0
  }

  /**
   * The difference between the cursor's point and the remembered one; NaN unless the point continues from that and has
   * grown. Beyond 2^53 a difference is left to the code that counts exactly.
   */
  differenceTo(series: number, cursor: NumberPointCursor): number {
    const { view, isInt, valueAt } = cursor
    const places = this.#places
    const at = series * STRIDE
    if (places[at + KIND] !== (isInt ? INT : DOUBLE) || !this.precedes(series, cursor)) return NaN
    if (!isInt) {
      const difference = view.getFloat64(valueAt, true) - this.#doubles[(at + VALUE) / 2]
      return difference >= 0 ? difference : NaN
    }
    const difference =
      (view.getInt32(valueAt + 4, true) - places[at + VALUE + 1]) * 4294967296 +
      (view.getUint32(valueAt, true) - (places[at + VALUE] >>> 0))
    return difference >= 0 && difference <= Number.MAX_SAFE_INTEGER ? difference : NaN
  }

  /**
   * Takes over the number at these places, and writes the difference and where it starts in their stead. Runs for each point of the row
   * `cumulative to delta` of `npm run bench`, so its parameters have no names.
   */
  replace(series: number, view: DataView, valueAt: number, startAt: number, timeAt: number, difference: number): void {
    const places = this.#places
    const at = series * STRIDE
    places[at + VALUE] = view.getInt32(valueAt, true)
    places[at + VALUE + 1] = view.getInt32(valueAt + 4, true)
    this.replaceTimes(series, view, timeAt, view, startAt)
    if (places[at + KIND] === DOUBLE) view.setFloat64(valueAt, difference, true)
    else {
      view.setUint32(valueAt, difference % 4294967296, true)
      view.setUint32(valueAt + 4, Math.floor(difference / 4294967296), true)
    }
  }

  /** Writes the remembered time as the start in `out`, and takes over the time in `view`. */
  replaceTimes(series: number, view: DataView, timeAt: number, out: DataView, startAt: number): void {
    const places = this.#places
    const at = series * STRIDE
    const timeLow = view.getInt32(timeAt, true)
    const timeHigh = view.getInt32(timeAt + 4, true)
    out.setInt32(startAt, places[at + TIME], true)
    out.setInt32(startAt + 4, places[at + TIME + 1], true)
    this.#moveOn(at, timeLow, timeHigh)
    places[at + TIME] = timeLow
    places[at + TIME + 1] = timeHigh
  }

  /** Takes over the number at these places as the first of its series. */
  begin(series: number, point: Times & { readonly valueAt: number; readonly isInt: boolean }): void {
    const at = series * STRIDE
    this.#places[at + VALUE] = point.view.getInt32(point.valueAt, true)
    this.#places[at + VALUE + 1] = point.view.getInt32(point.valueAt + 4, true)
    this.beginTimes(series, point)
    this.#places[at + KIND] = point.isInt ? INT : DOUBLE
  }

  /** `begin` for a point whose value is remembered elsewhere. */
  beginTimes(series: number, { view, timeAt, startAt }: Times): void {
    const at = series * STRIDE
    this.#places[at + START] = startAt < 0 ? 0 : view.getInt32(startAt, true)
    this.#places[at + START + 1] = startAt < 0 ? 0 : view.getInt32(startAt + 4, true)
    this.#places[at + TIME] = view.getInt32(timeAt, true)
    this.#places[at + TIME + 1] = view.getInt32(timeAt + 4, true)
    this.#places[at + KIND] = OTHER
  }

  /** Includes the time between a point and the next in the interval, because delayed data comes all at once. 2^20 ns are about a millisecond. */
  #moveOn(at: number, timeLow: number, timeHigh: number): void {
    const places = this.#places
    const gap = ((timeHigh - places[at + TIME + 1]) << 12) + (timeLow >>> 20) - (places[at + TIME] >>> 20)
    if (gap > places[at + INTERVAL]) places[at + INTERVAL] = gap
  }

  #signed(at: number): bigint {
    return (BigInt(this.#places[at + 1]) << 32n) | BigInt(this.#places[at] >>> 0)
  }

  #write(at: number, value: bigint): void {
    this.#places[at] = Number(BigInt.asIntN(32, value))
    this.#places[at + 1] = Number(BigInt.asIntN(32, value >> 32n))
  }
}
