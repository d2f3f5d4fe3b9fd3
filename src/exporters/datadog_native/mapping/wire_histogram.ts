import { double, HistogramCursor, taken, uint64 } from '../../../otlp/metrics/histogram_cursor.ts'
import type { Explicit } from './histograms.ts'

const NOTHING: Float64Array = new Float64Array()

/** The histogram point at the position of a cursor. The object is used again for every point. */
export class WireHistogram implements Explicit {
  readonly cursor = new HistogramCursor()
  readonly kind = 'histogram'
  count = 0
  /** NaN if the point has none: a field that may be `undefined` would be an object for each number. */
  private ownSum = NaN
  private ownMin = NaN
  private ownMax = NaN
  bucketCounts = NOTHING
  explicitBounds = NOTHING

  get sum(): number | undefined {
    return taken(this.ownSum)
  }

  get min(): number | undefined {
    return taken(this.ownMin)
  }

  get max(): number | undefined {
    return taken(this.ownMax)
  }

  /** Takes over the data of the point. */
  read(): void {
    const { cursor } = this
    const { view, bucketsStart, bucketsEnd, boundsStart, boundsEnd } = cursor
    this.count = uint64(view, cursor.countAt)
    this.ownSum = double(view, cursor.sumAt)
    this.ownMin = double(view, cursor.minAt)
    this.ownMax = double(view, cursor.maxAt)
    this.bucketCounts = ofLength(this.bucketCounts, (bucketsEnd - bucketsStart) / 8)
    for (let index = 0, at = bucketsStart; at < bucketsEnd; index++, at += 8)
      this.bucketCounts[index] = uint64(view, at)
    this.explicitBounds = ofLength(this.explicitBounds, (boundsEnd - boundsStart) / 8)
    for (let index = 0, at = boundsStart; at < boundsEnd; index++, at += 8) {
      this.explicitBounds[index] = view.getFloat64(at, true)
    }
  }
}

/** Most histograms of a batch have as many buckets as the one before. */
function ofLength(array: Float64Array, length: number): Float64Array {
  return array.length === length ? array : new Float64Array(length)
}
