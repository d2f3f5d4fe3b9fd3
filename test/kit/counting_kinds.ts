import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import type { Buckets, DataPoint } from '../../src/otlp/metrics/points.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import type { Attributes } from '../../src/otlp/common/attributes.ts'
import type { Amounts } from './counted.ts'

/** Sums of doubles are counted in sixteenths, which are exact. */
const PARTS_OF_ONE = 16

export interface Place {
  readonly attributes: Attributes
  readonly startTimeUnixNano: bigint
  readonly timeUnixNano: bigint
}

/** A kind of metric, and how points of it hold amounts. */
export interface CountingKind {
  readonly metric: Pick<MetricFields, 'type' | 'temporality' | 'monotonic'>
  /** How many amounts a point holds, and how many of them can only grow. */
  readonly parts: number
  readonly growing: number
  /** Whether amounts beyond 2^53 can be said exactly. */
  readonly large: boolean
  /** The point that says the amounts; `coarse`, from 0 to 2, is how roughly, where there is a choice. */
  point(amounts: Amounts, place: Place, coarse: number): DataPoint
  /** What a point says. Of what can be said more or less roughly it is as rough as any. */
  amounts(point: DataPoint): Amounts
  /** What the amounts are as `amounts` reads them. */
  roughly(amounts: Amounts): Amounts
}

const narrow = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
const total = (amounts: Amounts): bigint => amounts.reduce((left, right) => left + right, 0n)
const sixteenths = (value: number | undefined): bigint => BigInt((value ?? NaN) * PARTS_OF_ONE)
const same = (amounts: Amounts): Amounts => amounts

function of<Kind extends DataPoint['kind']>(point: DataPoint, kind: Kind): Extract<DataPoint, { kind: Kind }> {
  if (point.kind !== kind) throw new TypeError(`a ${point.kind}, not a ${kind}`)
  return point as Extract<DataPoint, { kind: Kind }>
}

const sum = { type: 'sum', temporality: 'cumulative', monotonic: true } as const

const int: CountingKind = {
  metric: sum,
  parts: 1,
  growing: 1,
  large: true,
  point: ([value], place) => new NumberPoint({ ...place, value: narrow(value), isInt: true }),
  amounts: (point) => [BigInt(of(point, 'number').value ?? 0)],
  roughly: same,
}

const double: CountingKind = {
  ...int,
  large: false,
  point: ([value], place) => new NumberPoint({ ...place, value: Number(value) / PARTS_OF_ONE, isInt: false }),
  amounts: (point) => [sixteenths(Number(of(point, 'number').value))],
}

const histogram: CountingKind = {
  metric: { type: 'histogram', temporality: 'cumulative' },
  parts: 4,
  growing: 3,
  large: true,
  point: ([...amounts], place) => {
    const sixteenthsOfSum = Number(amounts.pop())
    const bucketCounts = amounts.map(narrow)
    const count = narrow(total(amounts))
    return new HistogramPoint({
      ...place,
      count,
      sum: sixteenthsOfSum / PARTS_OF_ONE,
      bucketCounts,
      explicitBounds: [0, 10],
    })
  },
  amounts: (point) => {
    const { count, bucketCounts, sum } = of(point, 'histogram')
    const buckets = bucketCounts.map(BigInt)
    if (total(buckets) !== BigInt(count)) throw new RangeError(`${count} in buckets of ${total(buckets)}`)
    return [...buckets, sixteenths(sum)]
  },
  roughly: same,
}

/** Buckets of one side, by index at the finest scale. */
const SIDE = 8
const FINEST = 2
/** At scale 0, half of them lie below the widest zero threshold. */
const FIRST = -4
const WIDEST = 1

/**
 * Amounts: the count of zeros, eight buckets of each side, and the sum. The roughest way to say them is at scale 0, with
 * everything up to 1 counted as zero.
 */
const exponential: CountingKind = {
  metric: { type: 'exponential_histogram', temporality: 'cumulative' },
  parts: 2 + 2 * SIDE,
  growing: 1 + 2 * SIDE,
  large: true,
  point: ([zeros, ...amounts], place, coarse) => {
    const scale = FINEST - coarse
    const sides = [amounts.slice(0, SIDE), amounts.slice(SIDE, 2 * SIDE)]
    const zeroThreshold = coarse === 2 ? WIDEST : 0
    const below = coarse === 2 ? total(sides.flatMap((side) => side.slice(0, -FIRST))) : 0n
    const [positive, negative] = sides.map((side) =>
      bucketsAt(scale, coarse === 2 ? side.map((count, at) => (at < -FIRST ? 0n : count)) : side),
    )
    return new ExponentialHistogramPoint({
      ...place,
      scale,
      zeroThreshold,
      zeroCount: narrow(zeros + below),
      count: narrow(zeros + total(sides.flat())),
      sum: Number(amounts[2 * SIDE]) / PARTS_OF_ONE,
      positive,
      negative,
    })
  },
  amounts: (point) => {
    const { scale, zeroThreshold, zeroCount, count, sum, positive, negative } = of(point, 'exponential_histogram')
    const counts = [positive, negative].map((side) => roughCounts(side, scale, zeroThreshold))
    const all = BigInt(zeroCount) + total(counts.flatMap(({ below, above }) => [below, ...above]))
    if (all !== BigInt(count)) throw new RangeError(`${count} in buckets of ${all}`)
    const zeros = BigInt(zeroCount) + counts[0].below + counts[1].below
    return [zeros, ...counts.flatMap(({ above }) => above), sixteenths(sum)]
  },
  roughly: ([zeros, ...amounts]) => {
    const sides = [amounts.slice(0, SIDE), amounts.slice(SIDE, 2 * SIDE)]
    const below = total(sides.flatMap((side) => side.slice(0, -FIRST)))
    return [zeros + below, ...sides.map((side) => total(side.slice(-FIRST))), amounts[2 * SIDE]]
  },
}

function bucketsAt(scale: number, counts: Amounts): Buckets {
  const buckets = new Map<number, bigint>()
  counts.forEach((count, at) => {
    const index = Math.floor((FIRST + at) / 2 ** (FINEST - scale))
    buckets.set(index, (buckets.get(index) ?? 0n) + count)
  })
  return { offset: Math.min(...buckets.keys()), bucketCounts: [...buckets.values()].map(narrow) }
}

/** What lies up to 1, and in the bucket above that at scale 0. */
function roughCounts(
  side: Buckets | undefined,
  scale: number,
  zeroThreshold: number,
): { below: bigint; above: bigint[] } {
  let [below, above] = [0n, 0n]
  side?.bucketCounts.forEach((count, at) => {
    const index = Math.floor((side.offset + at) / 2 ** scale)
    if (count === 0) return
    if (index === 0) above += BigInt(count)
    else if (index === -1 && zeroThreshold === 0) below += BigInt(count)
    else throw new RangeError(`a bucket ${index} at scale 0 above ${zeroThreshold}`)
  })
  return { below, above: [above] }
}

const summary: CountingKind = {
  metric: { type: 'summary' },
  parts: 2,
  growing: 1,
  large: true,
  point: ([count, sum], place) => new SummaryPoint({ ...place, count: narrow(count), sum: Number(sum) / PARTS_OF_ONE }),
  amounts: (point) => {
    const { count, sum } = of(point, 'summary')
    return [BigInt(count), sixteenths(sum)]
  },
  roughly: same,
}

/** Every kind of metric whose points can be cumulative. */
export const COUNTING_KINDS = { int, double, histogram, exponential, summary }
