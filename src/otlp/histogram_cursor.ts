import { Attributes } from './attributes.ts'
import { Encoded } from './message.ts'
import type { Source } from './message.ts'
import type { Metric } from './metrics.ts'
import { readAttributeFields } from './wire.ts'

/**
 * Walks the points of histograms with explicit bounds as they stand on the wire, without making an object for any of them. It
 * takes points that hold finite numbers, and times, in the way encoders write them; for anything else the objects are there.
 */
export class HistogramCursor {
  /** Whether `next` ended because there were no more points. */
  complete = false
  view: DataView = new DataView(new ArrayBuffer(0))
  /** Where the point is. */
  start = 0
  end = 0
  /** Where its attributes are; 0 and 0 when it has none. */
  attributesStart = 0
  attributesEnd = 0
  /** Where its fields begin behind their tags; -1 for one that is not there. */
  startAt = -1
  timeAt = -1
  countAt = -1
  sumAt = -1
  minAt = -1
  maxAt = -1
  /** Where the buckets and the bounds are, eight bytes each. */
  bucketsStart = 0
  bucketsEnd = 0
  boundsStart = 0
  boundsEnd = 0
  private source: Source | undefined
  private bytes: Buffer = Buffer.alloc(0)
  private at = 0
  private dataEnd = 0

  /** Goes to the front of the metric's points; `false` when they are not there as bytes. */
  open({ encoded, shape }: Metric): boolean {
    this.complete = false
    if (encoded === undefined || shape?.type !== 'histogram') return false
    const { source } = encoded
    this.source = source
    this.bytes = source.bytes
    this.view = source.view
    this.at = shape.dataStart
    this.dataEnd = shape.dataEnd
    return true
  }

  /** Goes to the next point; `false` when there is none, or none that it can read: `complete` tells which. */
  next(): boolean {
    const { bytes } = this
    while (this.at < this.dataEnd) {
      if (bytes[this.at++] === 0x0a) return this.point()
      // The temporality, in one byte.
      this.at++
    }
    this.complete = true
    return false
  }

  /** Whether it can read all points of the metric, and every one has a time. */
  reads(metric: Metric): boolean {
    if (!this.open(metric)) return false
    while (this.next()) {
      if (this.view.getUint32(this.timeAt, true) === 0 && this.view.getUint32(this.timeAt + 4, true) === 0) return false
    }
    return this.complete
  }

  attributes(): Attributes {
    if (this.attributesEnd === 0) return Attributes.empty
    return Attributes.fromWire(
      new Encoded(this.source as Source, this.attributesStart, this.attributesEnd, readAttributeFields),
    )
  }

  /** Whether every count is less than 2^53. */
  isExact(): boolean {
    if (uint64(this.view, this.countAt) > Number.MAX_SAFE_INTEGER) return false
    for (let at = this.bucketsStart; at < this.bucketsEnd; at += 8) {
      if (uint64(this.view, at) > Number.MAX_SAFE_INTEGER) return false
    }
    return true
  }

  time(): bigint {
    return this.view.getBigUint64(this.timeAt, true)
  }

  begin(): bigint {
    return this.startAt < 0 ? 0n : this.view.getBigUint64(this.startAt, true)
  }

  private point(): boolean {
    const { bytes } = this
    let length = bytes[this.at++]
    if (length > 127) {
      if (bytes[this.at] > 127) return false
      length = (length & 127) | (bytes[this.at++] << 7)
    }
    let at = this.at
    const end = at + length
    this.start = at
    this.end = this.at = end
    this.attributesStart = this.attributesEnd = 0
    this.bucketsStart = this.bucketsEnd = this.boundsStart = this.boundsEnd = 0
    this.startAt = this.timeAt = this.countAt = this.sumAt = this.minAt = this.maxAt = -1
    while (at < end) {
      switch (bytes[at]) {
        case 0x4a: // repeated KeyValue attributes = 9;
          if (bytes[at + 1] > 127 || (this.attributesEnd !== 0 && this.attributesEnd !== at)) return false
          if (this.attributesEnd === 0) this.attributesStart = at
          at += 2 + bytes[at + 1]
          this.attributesEnd = at
          continue
        case 0x32: // repeated fixed64 bucket_counts = 6;
        case 0x3a: {
          // repeated double explicit_bounds = 7;
          const tag = bytes[at++]
          let packed = bytes[at++]
          if (packed > 127) {
            if (bytes[at] > 127) return false
            packed = (packed & 127) | (bytes[at++] << 7)
          }
          if (tag === 0x32) {
            if (this.bucketsEnd !== 0) return false
            this.bucketsStart = at
            this.bucketsEnd = at + packed
          } else {
            if (this.boundsEnd !== 0) return false
            this.boundsStart = at
            this.boundsEnd = at + packed
          }
          at += packed
          continue
        }
        case 0x11: // fixed64 start_time_unix_nano = 2;
          if (this.startAt >= 0) return false
          this.startAt = at + 1
          break
        case 0x19: // fixed64 time_unix_nano = 3;
          if (this.timeAt >= 0) return false
          this.timeAt = at + 1
          break
        case 0x21: // fixed64 count = 4;
          if (this.countAt >= 0) return false
          this.countAt = at + 1
          break
        case 0x29: // optional double sum = 5;
          if (this.sumAt >= 0) return false
          this.sumAt = at + 1
          break
        case 0x59: // optional double min = 11;
          if (this.minAt >= 0) return false
          this.minAt = at + 1
          break
        case 0x61: // optional double max = 12;
          if (this.maxAt >= 0) return false
          this.maxAt = at + 1
          break
        default:
          return false
      }
      at += 9
    }
    return this.countAt >= 0 && this.timeAt >= 0 && this.finite(this.sumAt)
  }

  private finite(at: number): boolean {
    return at < 0 || Number.isFinite(this.view.getFloat64(at, true))
  }
}

/** The number at a place; beyond 2^53 only close to it. */
export function uint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true)
}
