import { completeBuckets } from '../metrics/explicit_buckets.ts'
import type { Buckets, ExponentialHistogramPoint, HistogramPoint } from '../metrics/points.ts'

type Extremes = Pick<HistogramPoint, 'min' | 'max'>

/**
 * The extremes of a point, no wider than the buckets that counted. A difference that has the extremes of all time gets
 * those of its own time: exact if they were reached in it, otherwise the bound of a bucket. An extreme that is missing
 * or not finite is left out.
 */
export function boundedExtremes(point: HistogramPoint | ExponentialHistogramPoint): Extremes {
  const min = finite(point.min)
  const max = finite(point.max)
  const [least, greatest] = [min ?? -Infinity, max ?? Infinity]
  // Such a point is malformed, and stays so.
  if (least > greatest) return { min, max }
  const [lowest, highest] = point.kind === 'histogram' ? explicitRange(point) : exponentialRange(point)
  // The bound of a bucket may lie slightly beyond the extreme that it should enclose; then the extreme is right.
  return {
    min: min === undefined ? undefined : Math.min(Math.max(lowest, least), greatest),
    max: max === undefined ? undefined : Math.max(Math.min(highest, greatest), least),
  }
}

/** From the lower bound of the lowest bucket that counted to the upper bound of the highest; unlimited if none did. */
type Range = readonly [number, number]

const EVERYTHING: Range = [-Infinity, Infinity]

function explicitRange(point: HistogramPoint): Range {
  const { bucketCounts, explicitBounds } = completeBuckets(point)
  if (bucketCounts.length !== explicitBounds.length + 1) return EVERYTHING
  let first = 0
  while (first < bucketCounts.length && Number(bucketCounts[first]) === 0) first++
  if (first === bucketCounts.length) return EVERYTHING
  let last = bucketCounts.length - 1
  while (Number(bucketCounts[last]) === 0) last--
  return [first === 0 ? -Infinity : explicitBounds[first - 1], explicitBounds[last] ?? Infinity]
}

function exponentialRange({ scale, zeroCount, zeroThreshold, positive, negative }: ExponentialHistogramPoint): Range {
  const ranges: Range[] = []
  const below = sideRange(negative, scale)
  if (below !== undefined) ranges.push([-below[1], -below[0]])
  if (Number(zeroCount) > 0) ranges.push([0 - zeroThreshold, zeroThreshold])
  const above = sideRange(positive, scale)
  if (above !== undefined) ranges.push(above)
  return ranges.length === 0 ? EVERYTHING : [ranges[0][0], ranges[ranges.length - 1][1]]
}

/** The range of the absolute values of one side. */
function sideRange(buckets: Buckets | undefined, scale: number): Range | undefined {
  const counts = buckets?.bucketCounts ?? []
  const first = counts.findIndex((count) => count > 0)
  if (buckets === undefined || first < 0) return undefined
  let last = counts.length - 1
  while (Number(counts[last]) === 0) last--
  const bound = (index: number): number => 2 ** ((buckets.offset + index) * 2 ** -scale)
  return [bound(first), bound(last + 1)]
}

function finite(value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined
}
