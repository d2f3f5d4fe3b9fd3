import { addValues, subtractValues } from './aggregate.ts'
import type { NumberValue } from './aggregate.ts'
import type { MetricBatch } from './batch.ts'
import { NumberPointCursor } from './cursor.ts'
import { copyOf } from './message.ts'
import type { Source } from './message.ts'
import { Metric } from './metrics.ts'
import type { Buckets, DataPoint, ExponentialHistogramPoint, HistogramPoint, NumberPoint } from './points.ts'
import type { Resource, Scope } from './resource.ts'
import { SeriesIndex } from './series_index.ts'

/**
 * What becomes of the first value of a series, and of the first after a reset:
 * `keep` passes it on as if counted from zero, `drop` withholds it, `auto` passes it on only when the series says that it
 * began after this process did, so that nothing was counted before.
 */
export type InitialValue = 'auto' | 'keep' | 'drop'

export interface DeltaOptions {
  readonly initialValue: InitialValue
  /** Milliseconds after which a series that sends nothing is forgotten. */
  readonly ttl?: number
  /** Series remembered at most; the points of further ones are dropped. */
  readonly maxSeries?: number
}

/** Milliseconds; the same as in Datadog's and the collector's translators. */
const DEFAULT_TTL = 3_600_000
const DEFAULT_MAX_SERIES = 1_000_000
const processStart = BigInt(Math.round(performance.timeOrigin)) * 1_000_000n

type CumulativePoint = NumberPoint | HistogramPoint | ExponentialHistogramPoint
type Remembered = RememberedNumber | HistogramPoint | ExponentialHistogramPoint

interface Series {
  point: Remembered
  /** `performance.now()` of the last point. */
  seen: number
  /** The pass over a metric in which it came last. */
  pass: number
}

/** A point that is to become the difference to the one before it. */
interface Step {
  series: Series
  valueAt: number
  startAt: number
  timeAt: number
  value: number | bigint
  difference: number
}

/** The last number of a series. It is changed in place, so that a series costs no memory anew with every batch. */
class RememberedNumber {
  readonly kind = 'number'
  value: number | bigint
  readonly isInt: boolean
  // The times in two halves each, as they stand on the wire.
  private timeLow: number
  private timeHigh: number
  private startLow: number
  private startHigh: number

  constructor({ value, isInt, timeUnixNano, startTimeUnixNano }: NumberPoint) {
    this.value = value ?? 0
    this.isInt = isInt
    this.timeLow = Number(timeUnixNano & 0xffffffffn)
    this.timeHigh = Number(timeUnixNano >> 32n)
    this.startLow = Number(startTimeUnixNano & 0xffffffffn)
    this.startHigh = Number(startTimeUnixNano >> 32n)
  }

  get timeUnixNano(): bigint {
    return (BigInt(this.timeHigh) << 32n) | BigInt(this.timeLow)
  }

  get startTimeUnixNano(): bigint {
    return (BigInt(this.startHigh) << 32n) | BigInt(this.startLow)
  }

  /** Whether the cursor's point is a later one of the same run: it says the same start, and another time than that. */
  precedes({ source, timeAt, startAt }: NumberPointCursor): boolean {
    if (source === undefined || startAt < 0) return false
    const { view } = source
    const low = view.getUint32(timeAt, true)
    const high = view.getUint32(timeAt + 4, true)
    const startLow = view.getUint32(startAt, true)
    const startHigh = view.getUint32(startAt + 4, true)
    if (startLow !== this.startLow || startHigh !== this.startHigh || (startLow === 0 && startHigh === 0)) return false
    if (startLow === low && startHigh === high) return false
    return high > this.timeHigh || (high === this.timeHigh && low > this.timeLow)
  }

  /** Takes over the time and value of the point at these places, whose start becomes the time of the one before. */
  moveOn(view: DataView, startAt: number, timeAt: number, value: number | bigint): void {
    view.setUint32(startAt, this.timeLow, true)
    view.setUint32(startAt + 4, this.timeHigh, true)
    this.timeLow = view.getUint32(timeAt, true)
    this.timeHigh = view.getUint32(timeAt + 4, true)
    this.value = value
  }
}

/** `value`: a whole number from 0 to 2^53. */
function writeInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 4294967296, true)
  view.setUint32(at + 4, Math.floor(value / 4294967296), true)
}

/** AGGREGATION_TEMPORALITY_DELTA */
const DELTA = 1

/**
 * Turns cumulative monotonic sums and cumulative histograms of either kind into differences, and passes everything else on
 * as it is. Remembers the last point of every series: resource, scope, name, unit and attributes.
 */
export class CumulativeToDelta {
  readonly #initialValue: InitialValue
  readonly #ttl: number
  readonly #maxSeries: number
  readonly #metrics = new Map<string, SeriesIndex<Series>>()
  readonly #cursor = new NumberPointCursor()
  /** What `#inPlace` is about to do, and how often it was asked: kept here to be used again. */
  readonly #steps: Step[] = []
  #pass = 0
  #size = 0
  #lastSweep = performance.now()

  constructor({ initialValue, ttl = DEFAULT_TTL, maxSeries = DEFAULT_MAX_SERIES }: DeltaOptions) {
    this.#initialValue = initialValue
    this.#ttl = ttl
    this.#maxSeries = maxSeries
  }

  /** Series remembered. */
  get size(): number {
    return this.#size
  }

  /**
   * Batches must come in order. A difference starts at the time of the point before it. Points left out are told to
   * `account`: `first_value`, `counter_reset`, `out_of_order`, `duplicate_timestamp`, `too_many_series`, and for points
   * that hold no finite value `no_recorded_value` or `not_finite`. Metrics that `chosen` does not accept stay as they are.
   */
  apply(
    batch: MetricBatch,
    account: { dropped(reason: string, points: number): void },
    chosen: (metric: Metric) => boolean = () => true,
  ): MetricBatch {
    const now = performance.now()
    if (now - this.#lastSweep > this.#ttl / 2) this.#sweep(now)
    const emptied = new Set<Metric>()
    const copies = new Map<Source, Source>()
    const converted = batch.mapMetrics((metric, resource, scope) => {
      if (!isConvertible(metric) || !chosen(metric)) return metric
      const known = this.#seriesOf(metric, resource, scope)
      const changed = this.#inPlace(metric, known, now, copies)
      if (changed !== undefined) return changed
      const points = this.#differences(metric, known, now, account)
      const delta = metric.with({ temporality: 'delta', points })
      if (points.length === 0 && metric.points.length > 0) emptied.add(delta)
      return delta
    })
    return emptied.size === 0 ? converted : converted.filterMetrics((metric) => !emptied.has(metric))
  }

  /**
   * The metric with its values, starts and temporality changed in a copy of its request, without an object for any point;
   * `undefined`, and nothing done, unless every point goes on from the one before it in the ordinary way.
   */
  #inPlace(metric: Metric, known: SeriesIndex<Series>, now: number, copies: Map<Source, Source>): Metric | undefined {
    const cursor = this.#cursor
    if (known.size === 0 || metric.encoded === undefined || !cursor.open(metric)) return undefined
    this.#pass++
    let count = 0
    while (cursor.next()) {
      const series = known.find(cursor)
      if (series === undefined || series.pass === this.#pass || now - series.seen > this.#ttl) return undefined
      series.pass = this.#pass
      const previous = series.point
      if (previous.kind !== 'number' || previous.isInt !== cursor.isInt || !previous.precedes(cursor)) return undefined
      const value = cursor.exactValue()
      const difference =
        typeof value === 'number' && typeof previous.value === 'number'
          ? value - previous.value
          : Number(BigInt(value) - BigInt(previous.value))
      // Beyond 2^53 a difference is left to those who count exactly.
      if (difference < 0 || (cursor.isInt && !Number.isSafeInteger(difference))) return undefined
      const step = (this.#steps[count++] ??= { series, valueAt: 0, startAt: 0, timeAt: 0, value, difference })
      step.series = series
      step.valueAt = cursor.valueAt
      step.startAt = cursor.startAt
      step.timeAt = cursor.timeAt
      step.value = value
      step.difference = difference
    }
    const { source, temporalityAt, complete } = cursor
    if (!complete || source === undefined || temporalityAt < 0) return undefined
    let copy = copies.get(source)
    if (copy === undefined) copies.set(source, (copy = copyOf(source)))
    for (let index = 0; index < count; index++) {
      const { series, valueAt, startAt, timeAt, value, difference } = this.#steps[index]
      const remembered = series.point as RememberedNumber
      if (remembered.isInt) writeInt64(copy.view, valueAt, difference)
      else copy.view.setFloat64(valueAt, difference, true)
      remembered.moveOn(copy.view, startAt, timeAt, value)
      series.seen = now
    }
    copy.bytes[temporalityAt] = DELTA
    return new Metric(metric.encoded.in(copy), metric.renamed)
  }

  #seriesOf(metric: Metric, resource: Resource, scope: Scope): SeriesIndex<Series> {
    const key = [metric.type, metric.name, metric.unit, scope.name, scope.version, resource.attributes.identity].join(
      '\n',
    )
    let series = this.#metrics.get(key)
    if (series === undefined) this.#metrics.set(key, (series = new SeriesIndex<Series>()))
    return series
  }

  #differences(
    metric: Metric,
    known: SeriesIndex<Series>,
    now: number,
    account: { dropped(reason: string, points: number): void },
  ): DataPoint[] {
    const points: DataPoint[] = []
    for (const point of metric.points) {
      if (point.kind === 'summary') continue
      const reason = missingValue(point)
      if (reason !== undefined) {
        account.dropped(reason, 1)
        continue
      }
      const key = point.attributes.bytesIdentity
      let series = known.get(key)
      if (series !== undefined && now - series.seen > this.#ttl) {
        known.delete(key)
        this.#size--
        series = undefined
      }
      if (series === undefined && this.#size >= this.#maxSeries) {
        account.dropped('too_many_series', 1)
        continue
      }
      const previous = series?.point
      if (previous !== undefined && previous.timeUnixNano >= point.timeUnixNano) {
        const same = previous.timeUnixNano === point.timeUnixNano
        account.dropped(same ? 'duplicate_timestamp' : 'out_of_order', 1)
        continue
      }
      const kept = remembered(point)
      if (series === undefined) {
        known.set(key, { point: kept, seen: now, pass: 0 })
        this.#size++
      } else {
        series.point = kept
        series.seen = now
      }
      const difference = previous === undefined ? undefined : differenceOf(previous, point)
      if (difference !== undefined) points.push(difference)
      else if (this.#keepsFirst(point)) points.push(countedFromZero(previous, point))
      else account.dropped(previous === undefined ? 'first_value' : 'counter_reset', 1)
    }
    return points
  }

  #keepsFirst({ startTimeUnixNano, timeUnixNano }: DataPoint): boolean {
    if (this.#initialValue !== 'auto') return this.#initialValue === 'keep'
    return startTimeUnixNano > processStart && startTimeUnixNano !== timeUnixNano
  }

  #sweep(now: number): void {
    this.#lastSweep = now
    for (const [metricKey, known] of this.#metrics) {
      for (const [key, { seen }] of known) {
        if (now - seen <= this.#ttl) continue
        known.delete(key)
        this.#size--
      }
      if (known.size === 0) this.#metrics.delete(metricKey)
    }
  }
}

/** Why a point holds no value to work with, as the reason under which it is counted; `undefined` when it does. */
export function missingValue(point: DataPoint): 'no_recorded_value' | 'not_finite' | undefined {
  if (!point.hasValue) return 'no_recorded_value'
  if (point.kind !== 'number') return undefined
  if (point.value === undefined) return 'no_recorded_value'
  return typeof point.value === 'bigint' || Number.isFinite(point.value) ? undefined : 'not_finite'
}

function isConvertible(metric: Metric): boolean {
  if (metric.temporality !== 'cumulative') return false
  return metric.type === 'sum'
    ? metric.monotonic
    : metric.type === 'histogram' || metric.type === 'exponential_histogram'
}

/** What was counted between two points of a series; `undefined` when the series began anew in between. */
function differenceOf(previous: Remembered, point: CumulativePoint): DataPoint | undefined {
  const { startTimeUnixNano: start, timeUnixNano: time } = point
  const continues = start === 0n || (start !== time && start === previous.startTimeUnixNano)
  if (!continues) return undefined
  const startTimeUnixNano = previous.timeUnixNano
  if (point.kind === 'number' && previous.kind === 'number') {
    const difference = subtractValues(point, previous)
    return isNegative(difference) ? undefined : point.with({ ...difference, startTimeUnixNano })
  }
  if (point.kind === 'exponential_histogram' && previous.kind === 'exponential_histogram') {
    return exponentialDifference(previous, point)
  }
  if (point.kind !== 'histogram' || previous.kind !== 'histogram') return undefined
  if (!sameNumbers(point.explicitBounds, previous.explicitBounds)) return undefined
  if (point.bucketCounts.length !== previous.bucketCounts.length) return undefined
  const count = subtractInts(point.count, previous.count)
  const bucketCounts = point.bucketCounts.map((value, index) => subtractInts(value, previous.bucketCounts[index]))
  if (count < 0 || bucketCounts.some((value) => value < 0)) return undefined
  return point.with({ startTimeUnixNano, count, bucketCounts, sum: sumOf(previous, point), ...NO_EXTREMES })
}

/** The extremes of all time are not those of the difference. */
const NO_EXTREMES = { min: undefined, max: undefined }

function sumOf(previous: { readonly sum?: number }, point: { readonly sum?: number }): number | undefined {
  return point.sum === undefined || previous.sum === undefined ? undefined : point.sum - previous.sum
}

/**
 * The difference of exponential histograms, at the scale and zero threshold of the later. A histogram only ever grows
 * coarser, so the earlier is brought to them; where it is the coarser one, the series began anew. So it did, as far as one
 * can tell, where a new zero threshold divides a bucket that held something.
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
  if (above === 'anew' || below === 'anew') return undefined
  return point.with({
    startTimeUnixNano: previous.timeUnixNano,
    count,
    zeroCount,
    sum: sumOf(previous, point),
    positive: above,
    negative: below,
    ...NO_EXTREMES,
  })
}

/**
 * The counts of one side by bucket index at the scale of `to`, and the count of what lies within its zero threshold.
 * A bucket `i` holds (base^i, base^(i+1)]; one scale less makes one bucket of two. Source: OpenTelemetry specification,
 * metrics/data-model.md, exponential histogram.
 */
function coarsen(
  buckets: Buckets | undefined,
  { scale }: ExponentialHistogramPoint,
  to: ExponentialHistogramPoint,
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

/** The index of the first bucket that does not lie wholly within a threshold, at a scale. */
function bucketsBelow(threshold: number, scale: number): number {
  if (threshold === 0) return -Infinity
  const exact = Math.log2(threshold) * 2 ** scale
  const nearest = Math.round(exact)
  // A threshold is nearly always a bound of a bucket, which the logarithm may miss by a hair.
  return Math.abs(exact - nearest) < 1e-6 ? nearest : Math.floor(exact)
}

function subtractBuckets(
  buckets: Buckets | undefined,
  previous: Map<number, number | bigint>,
): Buckets | undefined | 'anew' {
  const bucketCounts = buckets?.bucketCounts.map((count, position) => {
    const index = buckets.offset + position
    const before = previous.get(index) ?? 0
    previous.delete(index)
    return subtractInts(count, before)
  })
  const lost = [...previous.values()].some((count) => count > 0)
  if (lost || bucketCounts?.some((count) => count < 0)) return 'anew'
  return buckets && { ...buckets, bucketCounts: bucketCounts ?? [] }
}

/** A first value as a difference. It starts where the series does, or at the point before the counter went back. */
function countedFromZero(previous: Remembered | undefined, point: CumulativePoint): DataPoint {
  const start =
    previous !== undefined && previous.timeUnixNano > point.startTimeUnixNano
      ? previous.timeUnixNano
      : point.startTimeUnixNano
  if (point.kind === 'number') return point.with({ startTimeUnixNano: start })
  if (point.kind === 'histogram') return point.with({ startTimeUnixNano: start, ...NO_EXTREMES })
  return point.with({ startTimeUnixNano: start, ...NO_EXTREMES })
}

/** What a series remembers: nothing that keeps the bytes of its batch. */
function remembered(point: CumulativePoint): Remembered {
  if (point.kind === 'number') return new RememberedNumber(point)
  const light = { exemplars: undefined, attributes: undefined, unknown: undefined }
  if (point.kind === 'histogram') return point.with(light)
  const { positive, negative } = point
  return point.with({
    ...light,
    positive: positive && { ...positive, unknown: undefined },
    negative: negative && { ...negative, unknown: undefined },
  })
}

function addInts(left: number | bigint, right: number | bigint): number | bigint {
  return addValues({ value: left, isInt: true }, { value: right, isInt: true }).value ?? 0
}

function subtractInts(left: number | bigint, right: number | bigint): number | bigint {
  return subtractValues({ value: left, isInt: true }, { value: right, isInt: true }).value ?? 0
}

function isNegative({ value }: NumberValue): boolean {
  return value !== undefined && value < 0
}

function sameNumbers(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((value, index) => value === right[index])
}
