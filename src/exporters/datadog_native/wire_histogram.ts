import { HistogramCursor, uint64 } from '../../otlp/histogram_cursor.ts'
import type { Explicit } from './histograms.ts'

/** The point of a histogram at which its cursor stands. Used again for every point. */
export class WireHistogram implements Explicit {
  readonly cursor = new HistogramCursor()
  readonly kind = 'histogram'
  count = 0
  sum: number | undefined
  min: number | undefined
  max: number | undefined
  bucketCounts: Float64Array = new Float64Array()
  explicitBounds: Float64Array = new Float64Array()
  /** Takes over what the point says. */
  read(): void {
    const { cursor } = this
    const { view, bucketsStart, bucketsEnd, boundsStart, boundsEnd } = cursor
    this.count = uint64(view, cursor.countAt)
    this.sum = double(view, cursor.sumAt)
    this.min = double(view, cursor.minAt)
    this.max = double(view, cursor.maxAt)
    this.bucketCounts = ofLength(this.bucketCounts, (bucketsEnd - bucketsStart) / 8)
    for (let index = 0, at = bucketsStart; at < bucketsEnd; index++, at += 8)
      this.bucketCounts[index] = uint64(view, at)
    this.explicitBounds = ofLength(this.explicitBounds, (boundsEnd - boundsStart) / 8)
    for (let index = 0, at = boundsStart; at < boundsEnd; index++, at += 8) {
      this.explicitBounds[index] = view.getFloat64(at, true)
    }
  }
}

function double(view: DataView, at: number): number | undefined {
  return at < 0 ? undefined : view.getFloat64(at, true)
}

/** Most histograms of a batch have as many buckets as the one before. */
function ofLength(array: Float64Array, length: number): Float64Array {
  return array.length === length ? array : new Float64Array(length)
}
