import { coarsen, sameNumbers } from '../delta/difference.ts'
import { completeBuckets } from './explicit_buckets.ts'
import { addInts } from './number_values.ts'
import type { Buckets, DataPoint, ExponentialHistogramPoint, HistogramPoint, SummaryPoint } from './points.ts'

/**
 * The sum of two points of one kind, as a copy of the second; `undefined` if they cannot be added, because they are of
 * different kinds, have different bounds or no value. Summaries keep the quantiles of the second. A point that counted
 * nothing leaves the other as it is: its scale or bounds say nothing, and missing extremes are taken from the other.
 */
export function addDistributions(first: DataPoint, second: DataPoint): DataPoint | undefined {
  if (first.kind === 'number' || second.kind === 'number' || first.kind !== second.kind) return undefined
  if (!first.hasValue || !second.hasValue) return undefined
  if (isEmpty(first)) return second
  if (isEmpty(second)) {
    const { attributes, timeUnixNano, startTimeUnixNano } = second
    return first.with({ attributes, timeUnixNano, startTimeUnixNano })
  }
  if (first.kind === 'summary' && second.kind === 'summary') return addSummaries(first, second)
  if (first.kind === 'histogram' && second.kind === 'histogram') return addHistograms(first, second)
  return addExponential(first as ExponentialHistogramPoint, second as ExponentialHistogramPoint)
}

/** Whether it counted nothing, if its figures are consistent. */
function isEmpty({ count, sum = 0 }: Pick<Figures, 'count' | 'sum'>): boolean {
  return Number(count) === 0 && sum === 0
}

function addSummaries(first: SummaryPoint, second: SummaryPoint): SummaryPoint {
  return second.with({ count: addInts(first.count, second.count), sum: first.sum + second.sum })
}

function addHistograms(first: HistogramPoint, second: HistogramPoint): HistogramPoint | undefined {
  const { bucketCounts: earlierCounts, explicitBounds: earlierBounds } = completeBuckets(first)
  const { bucketCounts: laterCounts, explicitBounds } = completeBuckets(second)
  if (!sameNumbers(earlierBounds, explicitBounds) || earlierCounts.length !== laterCounts.length) return undefined
  const bucketCounts = laterCounts.map((count, index) => addInts(count, earlierCounts[index]))
  return second.with({ ...addFigures(first, second), bucketCounts, explicitBounds })
}

type Figures = Pick<HistogramPoint, 'count' | 'sum' | 'min' | 'max'>

/** A value that only one of them has is not known of both. */
function addFigures(first: Figures, second: Figures): Figures {
  const both = (left: number | undefined, right: number | undefined, combine: (a: number, b: number) => number) =>
    left === undefined || right === undefined ? undefined : combine(left, right)
  return {
    count: addInts(first.count, second.count),
    sum: both(first.sum, second.sum, (left, right) => left + right),
    min: both(first.min, second.min, Math.min),
    max: both(first.max, second.max, Math.max),
  }
}

/** The most buckets of one side, unless a point has more: as many as SDKs keep by default. */
const MAX_BUCKETS = 160

/** At the coarser scale and the wider zero threshold of the two; coarser still if the buckets would be too many. */
function addExponential(
  first: ExponentialHistogramPoint,
  second: ExponentialHistogramPoint,
): ExponentialHistogramPoint {
  const points = [first, second]
  const zeroThreshold = Math.max(first.zeroThreshold, second.zeroThreshold)
  const lengths = points
    .flatMap(({ positive, negative }) => [positive, negative])
    .map((side) => side?.bucketCounts.length ?? 0)
  const most = Math.max(MAX_BUCKETS, ...lengths)
  for (let scale = Math.min(first.scale, second.scale); ; scale--) {
    const [positive, negative] = (['positive', 'negative'] as const).map((side) =>
      addSides(points.map((point) => coarsen(point[side], point, { scale, zeroThreshold }))),
    )
    if (positive.width > most || negative.width > most) continue
    const zeros = [first.zeroCount, second.zeroCount, positive.zeros, negative.zeros]
    return second.with({
      ...addFigures(first, second),
      scale,
      zeroThreshold,
      zeroCount: zeros.reduce(addInts),
      positive: bucketsOf(positive),
      negative: bucketsOf(negative),
    })
  }
}

interface Side {
  readonly counts: ReadonlyMap<number, number | bigint>
  readonly zeros: number | bigint
  readonly offset: number
  /** Buckets from the first to the last. */
  readonly width: number
}

function addSides(sides: readonly Pick<Side, 'counts' | 'zeros'>[]): Side {
  const counts = new Map<number, number | bigint>()
  let [first, last] = [Infinity, -Infinity]
  for (const side of sides) {
    for (const [index, count] of side.counts) {
      if (count === 0) continue
      counts.set(index, addInts(counts.get(index) ?? 0, count))
      first = Math.min(first, index)
      last = Math.max(last, index)
    }
  }
  const zeros = sides.map((side) => side.zeros).reduce(addInts)
  return { counts, zeros, offset: counts.size === 0 ? 0 : first, width: counts.size === 0 ? 0 : last - first + 1 }
}

function bucketsOf({ counts, offset, width }: Side): Buckets {
  return { offset, bucketCounts: Array.from({ length: width }, (_, index) => counts.get(offset + index) ?? 0) }
}
