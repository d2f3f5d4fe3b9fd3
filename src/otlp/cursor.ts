import { Attributes } from './attributes.ts'
import { Encoded } from './message.ts'
import type { Source } from './message.ts'
import type { Metric } from './metrics.ts'
import { readAttributeFields } from './wire.ts'

const SECOND = 1_000_000_000n

/**
 * Walks the points of gauges and sums as they stand on the wire, without making an object for any of them. It takes points
 * that hold attributes, times and a finite value only, in the way encoders write them; for anything else the objects are
 * there.
 */
export class NumberPointCursor {
  /** Whether `next` ended because there were no more points. */
  complete = false
  /** Where the attributes of the point are; 0 and 0 when it has none. */
  attributesStart = 0
  attributesEnd = 0
  /** Where the fields of the point begin behind their tags; -1 for one that is not there. */
  valueAt = -1
  startAt = -1
  timeAt = -1
  isInt = false
  source: Source | undefined
  view: DataView = new DataView(new ArrayBuffer(0))
  private bytes: Buffer = Buffer.alloc(0)
  private at = 0
  private end = 0
  /** The last time that was turned into seconds, and what came out: most points of a batch have the same. */
  private lastLow = 0
  private lastHigh = 0
  private lastSeconds = 0
  /** The same for the time from a start. */
  private last: { low: number; high: number; startLow: number; startHigh: number; elapsed: number | undefined } = {
    low: 0,
    high: 0,
    startLow: 0,
    startHigh: 0,
    elapsed: undefined,
  }

  /** Goes to the front of the metric's points; `false` when they are not there as bytes. */
  open({ encoded, shape }: Metric): boolean {
    this.complete = false
    if (encoded === undefined || shape === undefined) return false
    if (shape.type !== 'gauge' && shape.type !== 'sum') return false
    const { source } = encoded
    this.source = source
    this.bytes = source.bytes
    this.view = source.view
    this.at = shape.dataStart
    this.end = shape.dataEnd
    return true
  }

  /** Goes to the next point; `false` when there is none, or none that it can read: `complete` tells which. */
  next(): boolean {
    const { bytes } = this
    while (this.at < this.end) {
      if (bytes[this.at++] === 0x0a) return this.point(this.at + this.length())
      // Temporality and monotonicity, in one byte each.
      this.at++
    }
    this.complete = true
    return false
  }

  /** Whether it can read all points of the metric, and every one has a time. */
  reads(metric: Metric): boolean {
    if (!this.open(metric)) return false
    while (this.next()) if (this.hasNoTime()) return false
    return this.complete
  }

  private hasNoTime(): boolean {
    return this.view.getUint32(this.timeAt, true) === 0 && this.view.getUint32(this.timeAt + 4, true) === 0
  }

  attributes(): Attributes {
    if (this.attributesEnd === 0) return Attributes.empty
    const { source, attributesStart, attributesEnd } = this
    return Attributes.fromWire(new Encoded(source as Source, attributesStart, attributesEnd, readAttributeFields))
  }

  /** The value as a number, which an int beyond 2^53 only comes close to. */
  value(): number {
    return this.isInt ? Number(this.view.getBigInt64(this.valueAt, true)) : this.view.getFloat64(this.valueAt, true)
  }

  /** The value as a point holds it. */
  exactValue(): number | bigint {
    if (!this.isInt) return this.view.getFloat64(this.valueAt, true)
    const exact = this.view.getBigInt64(this.valueAt, true)
    const value = Number(exact)
    return Number.isSafeInteger(value) ? value : exact
  }

  time(): bigint {
    return this.view.getBigUint64(this.timeAt, true)
  }

  start(): bigint {
    return this.startAt < 0 ? 0n : this.view.getBigUint64(this.startAt, true)
  }

  /** Whole seconds since 1970. */
  seconds(): number {
    const low = this.view.getUint32(this.timeAt, true)
    const high = this.view.getUint32(this.timeAt + 4, true)
    if (low !== this.lastLow || high !== this.lastHigh) {
      this.lastLow = low
      this.lastHigh = high
      this.lastSeconds = Number(this.time() / SECOND)
    }
    return this.lastSeconds
  }

  /** Nanoseconds from the start to the time; `undefined` when there is no start before it. */
  elapsed(): number | undefined {
    if (this.startAt < 0) return undefined
    const { view, startAt, timeAt, last } = this
    const startLow = view.getUint32(startAt, true)
    const startHigh = view.getUint32(startAt + 4, true)
    const low = view.getUint32(timeAt, true)
    const high = view.getUint32(timeAt + 4, true)
    if (low !== last.low || high !== last.high || startLow !== last.startLow || startHigh !== last.startHigh) {
      const start = this.start()
      const time = this.time()
      const elapsed = start === 0n || start >= time ? undefined : Number(time - start)
      this.last = { low, high, startLow, startHigh, elapsed }
    }
    return this.last.elapsed
  }

  private length(): number {
    const { bytes } = this
    let length = bytes[this.at] & 127
    for (let shift = 7; bytes[this.at++] > 127; shift += 7) length |= (bytes[this.at] & 127) << shift
    return length
  }

  private point(end: number): boolean {
    const { bytes, view } = this
    let at = this.at
    this.attributesStart = this.attributesEnd = 0
    this.startAt = this.timeAt = this.valueAt = -1
    while (at < end) {
      switch (bytes[at]) {
        case 0x3a: // repeated KeyValue attributes = 7;
          if (bytes[at + 1] > 127 || (this.attributesEnd !== 0 && this.attributesEnd !== at)) return false
          if (this.attributesEnd === 0) this.attributesStart = at
          at += 2 + bytes[at + 1]
          this.attributesEnd = at
          continue
        case 0x11: // fixed64 start_time_unix_nano = 2;
          if (this.startAt >= 0) return false
          this.startAt = at + 1
          break
        case 0x19: // fixed64 time_unix_nano = 3;
          if (this.timeAt >= 0) return false
          this.timeAt = at + 1
          break
        case 0x21: // double as_double = 4;
        case 0x31: // sfixed64 as_int = 6;
          if (this.valueAt >= 0) return false
          this.valueAt = at + 1
          this.isInt = bytes[at] === 0x31
          break
        default:
          return false
      }
      at += 9
    }
    this.at = at
    if (this.valueAt < 0 || this.timeAt < 0) return false
    return this.isInt || Number.isFinite(view.getFloat64(this.valueAt, true))
  }
}
