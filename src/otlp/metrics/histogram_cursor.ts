import { fieldEnd, varintEnd } from '../wire/wire_format.ts'
import type { MetricType } from './metric_type.ts'
import { PointCursor } from './point_cursor.ts'

const HISTOGRAMS: readonly MetricType[] = ['histogram']

/**
 * Walks the points of histograms with explicit bounds that have no exemplars, no flags, and a finite sum if any. Its
 * twin with objects is `histogramPoint` in codec/points.ts; it pays for the benchmark rows of histograms.
 */
export class HistogramCursor extends PointCursor {
  /** The position of the point. */
  pointStart = 0
  pointEnd = 0
  /** The positions of its fields behind their tags; -1 for an absent one. */
  countAt = -1
  sumAt = -1
  minAt = -1
  maxAt = -1
  /** The positions of the buckets and the bounds, eight bytes each. */
  bucketsStart = 0
  bucketsEnd = 0
  boundsStart = 0
  boundsEnd = 0

  constructor() {
    super(HISTOGRAMS)
  }

  /** Whether every count is less than 2^53. */
  isExact(): boolean {
    if (uint64(this.view, this.countAt) > Number.MAX_SAFE_INTEGER) return false
    for (let at = this.bucketsStart; at < this.bucketsEnd; at += 8) {
      if (uint64(this.view, at) > Number.MAX_SAFE_INTEGER) return false
    }
    return true
  }

  /** Whether extremes can be bounded by its buckets. */
  hasBoundedExtremes(): boolean {
    const { view, minAt, maxAt, bucketsStart, bucketsEnd, boundsStart, boundsEnd } = this
    if (minAt >= 0 && !Number.isFinite(view.getFloat64(minAt, true))) return false
    if (maxAt >= 0 && !Number.isFinite(view.getFloat64(maxAt, true))) return false
    if (bucketsEnd - bucketsStart !== boundsEnd - boundsStart + 8) return false
    return boundsEnd === boundsStart || view.getFloat64(boundsEnd - 8, true) !== Infinity
  }

  protected point(end: number): boolean {
    const { bytes } = this
    let at = this.at
    this.pointStart = at
    this.pointEnd = this.at = end
    this.attributesStart = this.attributesEnd = 0
    this.bucketsStart = this.bucketsEnd = this.boundsStart = this.boundsEnd = 0
    this.startAt = this.timeAt = this.countAt = this.sumAt = this.minAt = this.maxAt = -1
    while (at < end) {
      switch (bytes[at]) {
        case 0x4a: // repeated KeyValue attributes = 9;
          at = this.attribute(at)
          if (at < 0) return false
          continue
        case 0x32: // repeated fixed64 bucket_counts = 6;
          if (this.bucketsEnd !== 0) return false
          this.bucketsStart = varintEnd(bytes, at + 1)
          at = this.bucketsEnd = fieldEnd(bytes, at + 1)
          continue
        case 0x3a: // repeated double explicit_bounds = 7;
          if (this.boundsEnd !== 0) return false
          this.boundsStart = varintEnd(bytes, at + 1)
          at = this.boundsEnd = fieldEnd(bytes, at + 1)
          continue
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

/** The number at a position; beyond 2^53 an approximation. */
export function uint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true)
}

/** The number at a place; NaN where there is none. */
export function double(view: DataView, at: number): number {
  return at < 0 ? NaN : view.getFloat64(at, true)
}

/** A sum or an extreme for which NaN says that it was not taken. */
export function taken(figure: number): number | undefined {
  return Number.isNaN(figure) ? undefined : figure
}
