import { double, taken, uint64 } from '../metrics/histogram_cursor.ts'
import type { HistogramCursor } from '../metrics/histogram_cursor.ts'
import { HistogramPoint } from '../metrics/points.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'

/** A point in one array: these five, then the buckets, then the bounds. A sum or extreme that is absent is NaN. */
const COUNT = 0
const SUM = 1
const MIN = 2
const MAX = 3
const BUCKETS = 4
const FIRST = 5

/** Bytes that a series takes in addition to the numbers. */
const ARRAY_BYTES = 200

/** Extremes of a point that belong to its difference, too. */
export const KEEPS_MIN = 1
export const KEEPS_MAX = 2

/** The memory of the last point of each of many series of histograms with explicit bounds, without its times. */
export class HistogramMemory {
  readonly #points = new Map<number, Float64Array>()

  constructor(private readonly remembered: RememberedBytes) {}

  forget(series: number): void {
    const point = this.#points.get(series)
    if (point === undefined) return
    this.#points.delete(series)
    this.remembered.add(-bytesFor(point.length))
  }

  /** Whether the cursor's point may be remembered if there is no memory of its series. */
  hasRoom({ bucketsStart, bucketsEnd, boundsStart, boundsEnd }: HistogramCursor): boolean {
    return this.remembered.hasRoom(bytesFor(FIRST + (bucketsEnd - bucketsStart + boundsEnd - boundsStart) / 8))
  }

  /** Returns whether the point can be remembered exactly. */
  set(series: number, { count, sum, min, max, bucketCounts, explicitBounds }: HistogramPoint): boolean {
    if (typeof count === 'bigint') return false
    if (bucketCounts.some((bucket) => typeof bucket === 'bigint')) return false
    const figures = [count, sum ?? NaN, min ?? NaN, max ?? NaN, bucketCounts.length]
    this.#put(series, Float64Array.from([...figures, ...(bucketCounts as readonly number[]), ...explicitBounds]))
    return true
  }

  get(series: number, times: { timeUnixNano: bigint; startTimeUnixNano: bigint }): HistogramPoint | undefined {
    const point = this.#points.get(series)
    if (point === undefined) return undefined
    const behind = FIRST + point[BUCKETS]
    return new HistogramPoint({
      ...times,
      count: point[COUNT],
      sum: taken(point[SUM]),
      min: taken(point[MIN]),
      max: taken(point[MAX]),
      bucketCounts: [...point.subarray(FIRST, behind)],
      explicitBounds: [...point.subarray(behind)],
    })
  }

  /** What is remembered as numbers, a view. */
  numbers(series: number): Float64Array | undefined {
    return this.#points.get(series)
  }

  /** `numbers` without the bounds. */
  counts(series: number): Float64Array | undefined {
    const point = this.#points.get(series)
    return point?.subarray(0, FIRST + point[BUCKETS])
  }

  /** Takes over what `numbers` gave. */
  take(series: number, numbers: Float64Array): void {
    this.#put(series, numbers)
  }

  /** Takes over what `counts` gave, for a point whose bounds are the same. */
  takeCounts(series: number, counts: Float64Array): void {
    this.#points.get(series)?.set(counts)
  }

  /** Whether the cursor's point has the remembered buckets, and none of its numbers has decreased. */
  precedes(series: number, cursor: HistogramCursor): boolean {
    const point = this.#points.get(series)
    if (point === undefined) return false
    const { view, bucketsStart, bucketsEnd, boundsStart, boundsEnd, countAt, sumAt } = cursor
    const buckets = point[BUCKETS]
    if (bucketsEnd - bucketsStart !== buckets * 8) return false
    if (boundsEnd - boundsStart !== (point.length - FIRST - buckets) * 8) return false
    if (Number.isNaN(point[SUM]) !== sumAt < 0) return false
    const count = uint64(view, countAt)
    if (count < point[COUNT] || count > Number.MAX_SAFE_INTEGER) return false
    let index = FIRST
    for (let at = bucketsStart; at < bucketsEnd; at += 8) {
      const bucket = uint64(view, at)
      if (bucket < point[index++] || bucket > Number.MAX_SAFE_INTEGER) return false
    }
    for (let at = boundsStart; at < boundsEnd; at += 8) if (view.getFloat64(at, true) !== point[index++]) return false
    return true
  }

  /** Whether the cursor's point has counted nothing since the remembered one. */
  standsStill(series: number, { view, countAt }: HistogramCursor): boolean {
    return uint64(view, countAt) === (this.#points.get(series) as Float64Array)[COUNT]
  }

  /** The extremes of the cursor's point that were reached since the remembered one. */
  newExtremes(series: number, { view, minAt, maxAt }: HistogramCursor): number {
    const point = this.#points.get(series) as Float64Array
    return (double(view, minAt) < point[MIN] ? KEEPS_MIN : 0) | (double(view, maxAt) > point[MAX] ? KEEPS_MAX : 0)
  }

  /** Takes over the cursor's point, which `set` could remember, as the first of its series. */
  begin(series: number, cursor: HistogramCursor): void {
    const { view, bucketsStart, bucketsEnd, boundsStart, boundsEnd, countAt, sumAt, minAt, maxAt } = cursor
    const buckets = (bucketsEnd - bucketsStart) / 8
    const point = new Float64Array(FIRST + buckets + (boundsEnd - boundsStart) / 8)
    point[COUNT] = uint64(view, countAt)
    point[SUM] = double(view, sumAt)
    point[MIN] = double(view, minAt)
    point[MAX] = double(view, maxAt)
    point[BUCKETS] = buckets
    let index = FIRST
    for (let at = bucketsStart; at < bucketsEnd; at += 8) point[index++] = uint64(view, at)
    for (let at = boundsStart; at < boundsEnd; at += 8) point[index++] = view.getFloat64(at, true)
    this.#put(series, point)
  }

  /**
   * Takes over the cursor's point, which goes on from what is remembered, and writes the differences to `out`, where each
   * field stands `shift` behind its place in the point. `bounded`: extremes are no wider than the buckets that counted. Runs for each point of
   * the row `cumulative to delta` of `npm run bench`, so its parameters have no names.
   */
  replace(
    series: number,
    cursor: HistogramCursor,
    out: DataView,
    shift: (at: number) => number,
    bounded: boolean,
  ): void {
    const point = this.#points.get(series) as Float64Array
    const { view, bucketsStart, bucketsEnd, countAt, sumAt, minAt, maxAt } = cursor
    point[MIN] = double(view, minAt)
    point[MAX] = double(view, maxAt)
    point[COUNT] = difference(view, countAt, point[COUNT], out, shift(countAt))
    if (sumAt >= 0) {
      const sum = view.getFloat64(sumAt, true)
      out.setFloat64(shift(sumAt), sum - point[SUM], true)
      point[SUM] = sum
    }
    const to = shift(bucketsStart) - bucketsStart
    let index = FIRST
    let lowest = -1
    let highest = -1
    for (let at = bucketsStart; at < bucketsEnd; at += 8) {
      const before = point[index]
      point[index] = difference(view, at, before, out, at + to)
      if (point[index] !== before) {
        highest = index - FIRST
        if (lowest < 0) lowest = highest
      }
      index++
    }
    if (bounded && lowest >= 0) writeBounded(cursor, lowest, highest, out, shift)
  }

  #put(series: number, point: Float64Array): void {
    this.forget(series)
    this.#points.set(series, point)
    this.remembered.add(bytesFor(point.length))
  }
}

function bytesFor(numbers: number): number {
  return ARRAY_BYTES + Float64Array.BYTES_PER_ELEMENT * numbers
}

/** `boundedExtremes` for the cursor's point; these are the first and the last of its buckets that counted. */
function writeBounded(
  { view, minAt, maxAt, boundsStart, boundsEnd }: HistogramCursor,
  lowest: number,
  highest: number,
  out: DataView,
  shift: (at: number) => number,
): void {
  const least = minAt < 0 ? -Infinity : view.getFloat64(minAt, true)
  const greatest = maxAt < 0 ? Infinity : view.getFloat64(maxAt, true)
  if (least > greatest) return
  const lower = lowest === 0 ? -Infinity : view.getFloat64(boundsStart + (lowest - 1) * 8, true)
  const upperAt = boundsStart + highest * 8
  const upper = upperAt < boundsEnd ? view.getFloat64(upperAt, true) : Infinity
  if (minAt >= 0) out.setFloat64(shift(minAt), Math.min(Math.max(lower, least), greatest), true)
  if (maxAt >= 0) out.setFloat64(shift(maxAt), Math.max(Math.min(upper, greatest), least), true)
}

/** Writes how much a number has grown; returns the number. */
function difference(view: DataView, at: number, before: number, out: DataView, to: number): number {
  const value = uint64(view, at)
  const grown = value - before
  // A remainder of a double is slow, and few numbers grow by so much.
  const high = grown < 4294967296 ? 0 : Math.floor(grown / 4294967296)
  out.setUint32(to, high === 0 ? grown : grown - high * 4294967296, true)
  out.setUint32(to + 4, high, true)
  return value
}
