import { Attributes } from '../common/attributes.ts'
import { Encoded, viewOf } from '../wire/lazy_message.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { fieldEnd } from '../wire/wire_format.ts'
import type { MetricType } from './metric_type.ts'
import type { Metric } from './metric.ts'
import { readAttributeRun } from '../common/attributes_codec.ts'

const SECOND = 1_000_000_000n
const NO_BYTES: Buffer = Buffer.alloc(0)
const NO_VIEW = viewOf(NO_BYTES)

/**
 * Walks the points of a metric as they stand on the wire, without making an object for any of them. It takes points that are
 * written in the way encoders do; for anything else the objects are there. It holds the request that it reads until it is closed.
 */
export abstract class PointCursor {
  /** Whether `next` ended because there were no more points. */
  complete = false
  view = NO_VIEW
  /** The position of the point's attributes; 0 and 0 if it has none. */
  attributesStart = 0
  attributesEnd = 0
  /** The positions of the point's times behind their tags; -1 for an absent start. */
  startAt = -1
  timeAt = -1
  protected bytes = NO_BYTES
  /** Whether there is certainly nothing behind the attributes of a number point. */
  protected attributesLast = false
  /** The start of the next field of the metric's data. */
  protected at = 0
  private dataEnd = 0
  private source: EncodedRequest | undefined
  /** The last time that was turned into seconds, and what came out: most points of a batch have the same. */
  private lastLow = 0
  private lastHigh = 0
  private lastSeconds = 0
  /** The same for the time since a start. */
  private last = { low: 0, high: 0, startLow: 0, startHigh: 0, elapsed: 0 }

  constructor(private readonly types: readonly MetricType[]) {}

  /** Reads the one point from `start` to `end` of a request; `false` if it cannot. */
  openPoint(source: EncodedRequest, start: number, end: number): boolean {
    this.source = source
    this.bytes = source.bytes
    this.view = source.view
    this.attributesLast = source.plainNumbers
    this.at = start
    return this.point(end)
  }

  /** Moves to the first of the metric's points; `false` if they are not bytes, or are of other types. */
  open({ encoded, layout }: Metric): boolean {
    this.complete = false
    if (encoded === undefined || layout === undefined || !this.types.includes(layout.type)) return false
    const { source } = encoded
    this.source = source
    this.bytes = source.bytes
    this.view = source.view
    this.attributesLast = source.plainNumbers
    this.at = layout.dataStart
    this.dataEnd = layout.dataEnd
    return true
  }

  /** Lets go of the request. */
  close(): void {
    this.source = undefined
    this.bytes = NO_BYTES
    this.view = NO_VIEW
  }

  /** Moves to the next point; `false` if there is none, or none that it can read: `complete` says which. */
  next(): boolean {
    const { bytes } = this
    while (this.at < this.dataEnd) {
      if (bytes[this.at++] === 0x0a) {
        // `fieldEnd`, for the rows of `NumberPointCursor`.
        let length = bytes[this.at] & 127
        for (let shift = 7; bytes[this.at++] > 127; shift += 7) length |= (bytes[this.at] & 127) << shift
        return this.point(this.at + length)
      }
      // Temporality and monotonicity, in one byte each.
      this.at++
    }
    this.complete = true
    return false
  }

  /** Whether it can read all points of the metric, and every one has a time. */
  reads(metric: Metric): boolean {
    if (!this.open(metric)) return false
    while (this.next()) {
      if (this.view.getInt32(this.timeAt, true) === 0 && this.view.getInt32(this.timeAt + 4, true) === 0) return false
    }
    return this.complete
  }

  attributes(): Attributes {
    if (this.attributesEnd === 0) return Attributes.empty
    const { source, attributesStart, attributesEnd } = this
    return Attributes.fromWire(new Encoded(source as EncodedRequest, attributesStart, attributesEnd, readAttributeRun))
  }

  /** The `bytesIdentity` of the attributes, without making the attributes. */
  bytesIdentity(): string {
    return this.bytes.toString('latin1', this.attributesStart, this.attributesEnd)
  }

  time(): bigint {
    return this.view.getBigUint64(this.timeAt, true)
  }

  start(): bigint {
    return this.startAt < 0 ? 0n : this.view.getBigUint64(this.startAt, true)
  }

  /** The lower 32 bits of the start, 0 if there is none. */
  lowStart(): number {
    return this.startAt < 0 ? 0 : this.view.getInt32(this.startAt, true)
  }

  /** The lower 32 bits of the nanoseconds since 1970. */
  lowTime(): number {
    return this.view.getInt32(this.timeAt, true)
  }

  /** Whole seconds since 1970. */
  seconds(): number {
    const low = this.view.getInt32(this.timeAt, true)
    const high = this.view.getInt32(this.timeAt + 4, true)
    if (low !== this.lastLow || high !== this.lastHigh) {
      this.lastLow = low
      this.lastHigh = high
      this.lastSeconds = Number(this.time() / SECOND)
    }
    return this.lastSeconds
  }

  /** Nanoseconds from the start to the time; 0 if there is no start before the time. */
  elapsed(): number {
    if (this.startAt < 0) return 0
    const { view, startAt, timeAt, last } = this
    const startLow = view.getInt32(startAt, true)
    const startHigh = view.getInt32(startAt + 4, true)
    const low = view.getInt32(timeAt, true)
    const high = view.getInt32(timeAt + 4, true)
    if (low !== last.low || high !== last.high || startLow !== last.startLow || startHigh !== last.startHigh) {
      const start = this.start()
      const time = this.time()
      last.low = low
      last.high = high
      last.startLow = startLow
      last.startHigh = startHigh
      last.elapsed = start === 0n || start >= time ? 0 : Number(time - start)
    }
    return last.elapsed
  }

  /** Reads the point from `at` to `end`, and moves behind it; `false` if it cannot. */
  protected abstract point(end: number): boolean

  /** Reads the attribute whose tag is at `at`; returns its end, or -1 if it does not follow the last one. */
  protected attribute(at: number): number {
    if (this.attributesEnd === 0) this.attributesStart = at
    else if (this.attributesEnd !== at) return -1
    return (this.attributesEnd = fieldEnd(this.bytes, at + 1))
  }
}
