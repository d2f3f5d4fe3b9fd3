import { addInts, subtractInts, subtractValues } from '../metrics/number_values.ts'
import type { NumberValue } from '../metrics/number_values.ts'
import { NumberPoint, SummaryPoint } from '../metrics/points.ts'
import type { Buckets, DataPoint, ExponentialHistogramPoint, HistogramPoint } from '../metrics/points.ts'

/** A point of a kind that can be cumulative. */
export type CumulativePoint = NumberPoint | HistogramPoint | ExponentialHistogramPoint | SummaryPoint

interface Times {
  readonly timeUnixNano: bigint
  readonly startTimeUnixNano: bigint
}

/** The memory of the last number of a series. */
export interface RememberedNumber extends NumberValue, Times {
  readonly kind: 'number'
}

/** The memory of the last summary of a series. */
interface RememberedSummary extends Times {
  readonly kind: 'summary'
  readonly count: number | bigint
  readonly sum: number
}

export type Remembered = RememberedNumber | RememberedSummary | HistogramPoint | ExponentialHistogramPoint

/**
 * The increase between two points of one sender; `undefined` if the later point cannot have counted on from the earlier
 * one, because a part of it fell or its buckets differ.
 */
export function differenceOf(previous: Remembered, point: CumulativePoint): DataPoint | undefined {
  const startTimeUnixNano = previous.timeUnixNano
  if (point.kind === 'number' && previous.kind === 'number') {
    const difference = subtractValues(point, previous)
    return isNegative(difference) ? undefined : point.with({ ...difference, startTimeUnixNano })
  }
  if (point.kind === 'exponential_histogram' && previous.kind === 'exponential_histogram') {
    return exponentialDifference(previous, point)
  }
  if (point.kind === 'summary' && previous.kind === 'summary') {
    const count = subtractInts(point.count, previous.count)
    // A sum may fall by itself if values are negative; a count falls only if both began again.
    return count < 0 ? undefined : point.with({ startTimeUnixNano, count, sum: point.sum - previous.sum })
  }
  if (point.kind !== 'histogram' || previous.kind !== 'histogram') return undefined
  if (!sameNumbers(point.explicitBounds, previous.explicitBounds)) return undefined
  if (point.bucketCounts.length !== previous.bucketCounts.length) return undefined
  const count = subtractInts(point.count, previous.count)
  const bucketCounts = point.bucketCounts.map((value, index) => subtractInts(value, previous.bucketCounts[index]))
  if (count < 0 || bucketCounts.some((value) => value < 0)) return undefined
  return point.with({
    startTimeUnixNano,
    count,
    bucketCounts,
    sum: sumOf(previous, point),
    ...newExtremes(previous, point),
  })
}

/**
 * Whether two points cannot be compared because their buckets differ, although the later one counts no less. That is no
 * reset: the values that the later point counts from the beginning were counted before.
 */
export function isRearranged(previous: Remembered, point: CumulativePoint): boolean {
  if (point.kind === 'exponential_histogram' && previous.kind === 'exponential_histogram') {
    const isFiner = point.scale > previous.scale || point.zeroThreshold < previous.zeroThreshold
    return isFiner && point.count >= previous.count
  }
  if (point.kind !== 'histogram' || previous.kind !== 'histogram') return false
  return !sameNumbers(point.explicitBounds, previous.explicitBounds) && point.count >= previous.count
}

/**
 * The form in which a point is remembered, with another start: without the bytes of its batch and, if its sum is not a
 * number, with the last sum that was one, so that the next difference is taken from that.
 */
export function remembered(
  point: CumulativePoint,
  startTimeUnixNano: bigint,
  previous: Remembered | undefined,
): Remembered {
  const { kind, timeUnixNano } = point
  if (kind === 'number') return { kind, value: point.value, isInt: point.isInt, timeUnixNano, startTimeUnixNano }
  const before = previous === undefined || previous.kind === 'number' ? undefined : previous.sum
  const sum = Number.isNaN(point.sum) ? before : point.sum
  if (kind === 'summary') return { kind, count: point.count, sum: sum ?? NaN, timeUnixNano, startTimeUnixNano }
  const light = { startTimeUnixNano, sum, exemplars: undefined, attributes: undefined, unknown: undefined }
  if (kind === 'histogram') return point.with(light)
  const { positive, negative } = point
  return point.with({
    ...light,
    positive: positive && { ...positive, unknown: undefined },
    negative: negative && { ...negative, unknown: undefined },
  })
}

/** Bytes of a remembered point as an object, and of each of its numbers. */
const POINT_OBJECT_BYTES = 300
const NUMBER_BYTES = 8

/** The approximate bytes of a remembered point as an object. */
export function bytesOf(last: Remembered): number {
  if (last.kind === 'number' || last.kind === 'summary') return POINT_OBJECT_BYTES
  const numbers =
    last.kind === 'histogram'
      ? last.bucketCounts.length + last.explicitBounds.length
      : (last.positive?.bucketCounts.length ?? 0) + (last.negative?.bucketCounts.length ?? 0)
  return POINT_OBJECT_BYTES + NUMBER_BYTES * numbers
}

type Extremes = Pick<HistogramPoint, 'min' | 'max'>

/** Extremes of all time are those of the difference only if they were reached in it. */
function newExtremes(previous: Extremes, { min = NaN, max = NaN }: Extremes): Extremes {
  return {
    min: min < (previous.min ?? NaN) ? min : undefined,
    max: max > (previous.max ?? NaN) ? max : undefined,
  }
}

function sumOf(previous: { readonly sum?: number }, point: { readonly sum?: number }): number | undefined {
  return point.sum === undefined || previous.sum === undefined ? undefined : point.sum - previous.sum
}

/**
 * The difference of exponential histograms, at the scale and zero threshold of the later one. A histogram can only
 * become coarser, so the earlier one is brought to these; if the earlier one is coarser, the series began again. As far
 * as one can see, it also began again if a new zero threshold divides a bucket that was not empty.
 */
function exponentialDifference(
  previous: ExponentialHistogramPoint,
  point: ExponentialHistogramPoint,
): ExponentialHistogramPoint | undefined {
  if (point.scale > previous.scale || point.zeroThreshold < previous.zeroThreshold) return undefined
  const [positive, negative] = [
    coarsen(previous.positive, previous, point),
    coarsen(previous.negative, previous, point),
  ]
  const count = subtractInts(point.count, previous.count)
  const zeroBefore = addInts(previous.zeroCount, addInts(positive.zeros, negative.zeros))
  const zeroCount = subtractInts(point.zeroCount, zeroBefore)
  if (count < 0 || zeroCount < 0) return undefined
  const above = subtractBuckets(point.positive, positive.counts)
  const below = subtractBuckets(point.negative, negative.counts)
  if (above === 'fallen' || below === 'fallen') return undefined
  return point.with({
    startTimeUnixNano: previous.timeUnixNano,
    count,
    zeroCount,
    sum: sumOf(previous, point),
    positive: above,
    negative: below,
    ...newExtremes(previous, point),
  })
}

/**
 * The counts of one side by bucket index at the scale of `to`, and the count within its zero threshold. A bucket `i`
 * holds (base^i, base^(i+1)]; decreasing the scale by one joins two buckets into one. Source: OpenTelemetry
 * specification, metrics/data-model.md, exponential histogram.
 */
export function coarsen(
  buckets: Buckets | undefined,
  { scale }: Pick<ExponentialHistogramPoint, 'scale'>,
  to: Pick<ExponentialHistogramPoint, 'scale' | 'zeroThreshold'>,
): { counts: Map<number, number | bigint>; zeros: number | bigint } {
  const counts = new Map<number, number | bigint>()
  let zeros: number | bigint = 0
  // Beyond 2^53 every index is 0 or -1.
  const factor = 2 ** Math.min(scale - to.scale, 53)
  const firstAboveZero = bucketsBelow(to.zeroThreshold, scale)
  buckets?.bucketCounts.forEach((count, position) => {
    const index = buckets.offset + position
    if (index < firstAboveZero) zeros = addInts(zeros, count)
    else {
      const coarse = Math.floor(index / factor)
      counts.set(coarse, addInts(counts.get(coarse) ?? 0, count))
    }
  })
  return { counts, zeros }
}

/** The index of the first bucket that is not wholly within a threshold, at a scale. */
function bucketsBelow(threshold: number, scale: number): number {
  if (threshold === 0) return -Infinity
  const exact = Math.log2(threshold) * 2 ** scale
  const nearest = Math.round(exact)
  // A threshold is nearly always a bound of a bucket, which the logarithm may miss slightly.
  return Math.abs(exact - nearest) < 1e-6 ? nearest : Math.floor(exact)
}

function subtractBuckets(
  buckets: Buckets | undefined,
  previous: Map<number, number | bigint>,
): Buckets | undefined | 'fallen' {
  const bucketCounts = buckets?.bucketCounts.map((count, position) => {
    const index = buckets.offset + position
    const before = previous.get(index) ?? 0
    previous.delete(index)
    return subtractInts(count, before)
  })
  const lost = [...previous.values()].some((count) => count > 0)
  if (lost || bucketCounts?.some((count) => count < 0)) return 'fallen'
  return buckets && { ...buckets, bucketCounts: bucketCounts ?? [] }
}

/** The remembered point as a data point, which has no attributes. */
export function pointOf(last: Remembered): CumulativePoint {
  if (last.kind === 'number') return new NumberPoint(last)
  return last.kind === 'summary' ? new SummaryPoint(last) : last
}

/** A first value as a difference. It starts when its sender does, or at the point before the counter fell. */
export function countedFromZero(previous: Remembered | undefined, point: CumulativePoint): DataPoint {
  const { startTimeUnixNano: start, timeUnixNano: time } = point
  if (previous !== undefined && previous.timeUnixNano > start) {
    return point.with({ startTimeUnixNano: previous.timeUnixNano })
  }
  return start >= time && start !== 0n ? point.with({ startTimeUnixNano: 0n }) : point
}

function isNegative({ value }: NumberValue): boolean {
  return value !== undefined && value < 0
}

export function sameNumbers(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((value, index) => value === right[index])
}
