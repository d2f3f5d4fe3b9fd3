import type { MetricBatch } from './batch.ts'
import { BytesIndex, grown } from './bytes_index.ts'
import { NumberPointCursor } from './number_cursor.ts'
import { DeltaState } from './delta_state.ts'
import { countedFromZero, differenceOf } from './difference.ts'
import type { CumulativePoint } from './difference.ts'
import { HistogramCursor } from './histogram_cursor.ts'
import { fieldLength, HistogramDeltaWriter, lengthOfDifference } from './histogram_delta.ts'
import { HistogramMemory, KEEPS_MAX, KEEPS_MIN } from './histogram_memory.ts'
import { copyOf } from './message.ts'
import type { Source } from './message.ts'
import { MetricIndex } from './metric_index.ts'
import { Metric } from './metrics.ts'
import { PointMemory } from './point_memory.ts'
import type { DataPoint, ExponentialHistogramPoint, HistogramPoint } from './points.ts'
import type { SeriesNumbers } from './series_numbers.ts'

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
  /** Whether the differences of histograms have minimum and maximum where these were reached since the point before. */
  readonly extremes?: boolean
}

/** Milliseconds; the same as in Datadog's and the collector's translators. */
export const DEFAULT_TTL = 3_600_000
export const DEFAULT_MAX_SERIES = 1_000_000
const processStart = BigInt(Math.round(performance.timeOrigin)) * 1_000_000n

type Account = { dropped(reason: string, points: number): void }

/** AGGREGATION_TEMPORALITY_DELTA */
const DELTA = 1

/** What is about to be done in place, by point: the series, and where its fields are. */
const SERIES = 0
const VALUE_AT = 1
const START_AT = 2
const TIME_AT = 3
const IS_INT = 4
const STEP = 5
/** Of a histogram instead of `VALUE_AT`: the extremes that its difference has. */
const KEPT = 1

/**
 * Turns cumulative monotonic sums and cumulative histograms of either kind into differences, and passes everything else on
 * as it is. Remembers the last point of every series: resource, scope, name, unit and attributes.
 */
export class CumulativeToDelta {
  readonly #initialValue: InitialValue
  readonly #ttl: number
  readonly #maxSeries: number
  readonly #extremes: boolean
  readonly #metrics = new MetricIndex(({ type, name, unit }, resource, scope) =>
    [type, name, unit, scope.name, scope.version, resource.attributes.identity].join('\n'),
  )
  readonly #series = new BytesIndex()
  readonly #points = new PointMemory()
  readonly #histograms = new HistogramMemory()
  /** The last points of the series for which neither of these is made. */
  readonly #others = new Map<number, HistogramPoint | ExponentialHistogramPoint>()
  /** For a queue that keeps what is remembered over a restart. */
  readonly state: DeltaState
  readonly #cursor = new NumberPointCursor()
  readonly #histogramCursor = new HistogramCursor()
  #steps = new Int32Array(64 * STEP)
  /** Stands for the numbers of the series as they are: when they may be given anew it is another. */
  #numbering = {}
  /** By point: what it grew by; NaN for the first of a series. */
  #differences = new Float64Array(64)
  #pass = 0
  #lastSweep = performance.now()

  constructor({ initialValue, ttl = DEFAULT_TTL, maxSeries = DEFAULT_MAX_SERIES, extremes = false }: DeltaOptions) {
    this.#initialValue = initialValue
    this.#ttl = ttl
    this.#maxSeries = maxSeries
    this.#extremes = extremes
    this.state = new DeltaState({
      metrics: this.#metrics,
      series: this.#series,
      points: this.#points,
      histograms: this.#histograms,
      others: this.#others,
      find: (owner, view, start, end, now) => this.#find(owner, view, start, end, now),
      clear: () => this.#forgetBefore(Infinity),
    })
  }

  /** Series remembered. */
  get size(): number {
    return this.#series.size
  }

  /**
   * Batches must come in order. A difference starts at the time of the point before it. Points left out are told to
   * `account`: `first_value`, `counter_reset`, `out_of_order`, `duplicate_timestamp`, `too_many_series`, and for points
   * that hold no finite value `no_recorded_value` or `not_finite`. Metrics that `chosen` does not accept stay as they are.
   */
  apply(batch: MetricBatch, account: Account, chosen: (metric: Metric) => boolean = () => true): MetricBatch {
    const now = performance.now()
    if (now - this.#lastSweep > this.#ttl / 2) this.#sweep(now)
    const emptied = new Set<Metric>()
    const copies = new Map<Source, Source>()
    const writers = new Map<Source, HistogramDeltaWriter>()
    /** By request: where the last metric that was changed by its bytes ends. */
    const ends = new Map<Source, number>()
    const numbers = { of: this.#numbering, numbers: new Int32Array(batch.pointCount), start: 0 }
    const converted = batch.mapMetrics((metric, resource, scope) => {
      if (!isConvertible(metric) || !chosen(metric)) return metric
      const owner = this.#metrics.numberOf(metric, resource, scope, now)
      const byBytes = standsFirst(metric, ends)
        ? (this.#inPlace(metric, owner, now, account, copies, numbers) ??
          this.#histogramsByBytes(metric, owner, now, account, writers))
        : undefined
      const changed = byBytes ?? this.#byPoints(metric, owner, now, account)
      if (changed !== 'empty') return changed
      emptied.add(metric)
      return metric
    })
    // They must not keep the request until the next comes.
    this.#cursor.end()
    this.#histogramCursor.end()
    this.#metrics.end()
    return emptied.size === 0 ? converted : converted.filterMetrics((metric) => !emptied.has(metric))
  }

  /**
   * The metric with its values, starts and temporality changed in a copy of its request, without an object for any point;
   * `undefined`, and nothing done, unless all its points go on from the one before in the ordinary way or are the first of
   * their series, and none or all are left out.
   */
  #inPlace(
    metric: Metric,
    owner: number,
    now: number,
    account: Account,
    copies: Map<Source, Source>,
    numbers: SeriesNumbers & { start: number },
  ): Metric | 'empty' | undefined {
    const cursor = this.#cursor
    const points = this.#points
    if (metric.encoded === undefined || metric.shape === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    while (cursor.next()) {
      const series = this.#find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series < 0 || !points.mark(series, pass)) return undefined
      const difference = points.differenceTo(series, cursor)
      if (Number.isNaN(difference)) {
        if (points.knows(series)) return undefined
        if (!keepsFirst(this.#initialValue, cursor.start(), cursor.time())) withheld++
      }
      this.#step(count++, series, cursor, difference)
    }
    if (!cursor.complete || (withheld > 0 && withheld < count)) return undefined
    if (withheld > 0) {
      this.#commit(count, metric.encoded.source.view, now)
      account.dropped('first_value', withheld)
      return 'empty'
    }
    const { source } = metric.encoded
    let copy = copies.get(source)
    if (copy === undefined) copies.set(source, (copy = copyOf(source)))
    this.#commit(count, copy.view, now)
    copy.bytes[metric.shape.temporalityAt] = DELTA
    const series = { ...numbers }
    for (let index = 0; index < count; index++) series.numbers[numbers.start++] = this.#steps[index * STEP + SERIES]
    return new Metric(metric.encoded.in(copy), metric.renamed, { ...metric.shape, temporality: 'delta' }, series)
  }

  /** `#inPlace` for histograms, whose points become shorter. */
  #histogramsByBytes(
    metric: Metric,
    owner: number,
    now: number,
    account: Account,
    writers: Map<Source, HistogramDeltaWriter>,
  ): Metric | 'empty' | undefined {
    const cursor = this.#histogramCursor
    const points = this.#points
    if (metric.encoded === undefined || metric.shape === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    let length = 0
    while (cursor.next()) {
      const series = this.#find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series < 0 || this.#others.has(series) || !points.mark(series, pass)) return undefined
      let kept = KEEPS_MIN | KEEPS_MAX
      if (points.knows(series)) {
        if (!points.precedes(series, cursor) || !this.#histograms.precedes(series, cursor)) return undefined
        kept = this.#histograms.newExtremes(series, cursor)
      } else if (!cursor.isExact()) return undefined
      else if (!keepsFirst(this.#initialValue, cursor.start(), cursor.time())) withheld++
      if (count === this.#differences.length) this.#growSteps()
      if (!this.#extremes) kept = 0
      const at = count++ * STEP
      this.#steps[at + SERIES] = series
      this.#steps[at + KEPT] = kept
      length += fieldLength(lengthOfDifference(cursor, kept))
    }
    if (!cursor.complete || (withheld > 0 && withheld < count)) return undefined
    const seriesOf = (index: number): number => this.#steps[index * STEP + SERIES]
    const keptOf = (index: number): number => this.#steps[index * STEP + KEPT]
    for (let index = 0; index < count; index++) {
      const series = seriesOf(index)
      points.see(series, now)
      this.state.change(series, !points.knows(series))
    }
    cursor.open(metric)
    if (withheld > 0) {
      for (let index = 0; cursor.next(); index++) {
        points.beginTimes(seriesOf(index), cursor)
        this.#histograms.begin(seriesOf(index), cursor)
      }
      account.dropped('first_value', withheld)
      return 'empty'
    }
    const { source } = metric.encoded
    let writer = writers.get(source)
    if (writer === undefined) writers.set(source, (writer = new HistogramDeltaWriter(source)))
    const written = writer.write(
      metric.encoded,
      metric.shape,
      cursor,
      length,
      seriesOf,
      keptOf,
      points,
      this.#histograms,
    )
    return new Metric(written, metric.renamed)
  }

  #growSteps(): void {
    this.#steps = grown(this.#steps)
    this.#differences = grown(this.#differences)
  }

  #step(
    index: number,
    series: number,
    { valueAt, startAt, timeAt, isInt }: NumberPointCursor,
    difference: number,
  ): void {
    if (index === this.#differences.length) this.#growSteps()
    const steps = this.#steps
    const at = index * STEP
    steps[at + SERIES] = series
    steps[at + VALUE_AT] = valueAt
    steps[at + START_AT] = startAt
    steps[at + TIME_AT] = timeAt
    steps[at + IS_INT] = isInt ? 1 : 0
    this.#differences[index] = difference
  }

  /** Remembers the points of the steps, and puts the differences in their place; a first one stays as it is. */
  #commit(count: number, view: DataView, now: number): void {
    const points = this.#points
    const steps = this.#steps
    for (let index = 0; index < count; index++) {
      const at = index * STEP
      const series = steps[at + SERIES]
      const difference = this.#differences[index]
      const [valueAt, startAt, timeAt] = [steps[at + VALUE_AT], steps[at + START_AT], steps[at + TIME_AT]]
      if (Number.isNaN(difference)) points.begin(series, view, valueAt, startAt, timeAt, steps[at + IS_INT] === 1)
      else points.replace(series, view, valueAt, startAt, timeAt, difference)
      points.see(series, now)
      this.state.change(series, Number.isNaN(difference))
    }
  }

  #nextPass(): number {
    this.#pass = (this.#pass + 1) | 0
    // A series that was never marked has 0.
    if (this.#pass === 0) this.#pass = 1
    return this.#pass
  }

  /** The number of a series; one that is new, or was not seen for too long, remembers nothing. -1: there are too many. */
  #find(owner: number, view: DataView, start: number, end: number, now: number): number {
    let series = this.#series.find(owner, view, start, end)
    if (series < 0) {
      if (this.#series.size >= this.#maxSeries) return -1
      series = this.#series.add(owner, view, start, end)
      this.#points.clear(series)
      this.#points.see(series, now)
    } else if (now - this.#points.seen(series) > this.#ttl) {
      this.#points.forget(series)
      this.#forgetHistogram(series)
    }
    return series
  }

  #byPoints(metric: Metric, owner: number, now: number, account: Account): Metric | 'empty' {
    const points: DataPoint[] = []
    for (const point of metric.points) {
      if (point.kind === 'summary') continue
      const reason = missingValue(point)
      if (reason !== undefined) {
        account.dropped(reason, 1)
        continue
      }
      const { view, start, end } = point.attributes.identityBytes
      const series = this.#find(owner, view, start, end, now)
      if (series < 0) {
        account.dropped('too_many_series', 1)
        continue
      }
      const previous =
        this.#points.get(series) ?? this.#histograms.get(series, this.#points.times(series)) ?? this.#others.get(series)
      if (previous !== undefined && previous.timeUnixNano >= point.timeUnixNano) {
        const same = previous.timeUnixNano === point.timeUnixNano
        account.dropped(same ? 'duplicate_timestamp' : 'out_of_order', 1)
        continue
      }
      this.#remember(series, point, now)
      const difference = previous === undefined ? undefined : differenceOf(previous, point)
      if (difference !== undefined) points.push(this.#withExtremes(difference))
      else if (keepsFirst(this.#initialValue, point.startTimeUnixNano, point.timeUnixNano)) {
        points.push(this.#withExtremes(countedFromZero(previous, point)))
      } else account.dropped(previous === undefined ? 'first_value' : 'counter_reset', 1)
    }
    return points.length === 0 && metric.points.length > 0 ? 'empty' : metric.with({ temporality: 'delta', points })
  }

  #withExtremes(difference: DataPoint): DataPoint {
    if (this.#extremes || difference.kind === 'number' || difference.kind === 'summary') return difference
    return difference.with({ min: undefined, max: undefined })
  }

  #remember(series: number, point: CumulativePoint, now: number): void {
    this.#points.see(series, now)
    this.state.change(series, true)
    if (point.kind === 'number') this.#points.set(series, point)
    else if (point.kind === 'histogram' && this.#histograms.set(series, point)) {
      this.#points.setTimes(series, point)
      this.#others.delete(series)
    } else {
      this.#points.forget(series)
      this.#histograms.forget(series)
      this.#others.set(series, withoutBytes(point))
    }
  }

  #forgetHistogram(series: number): void {
    this.#histograms.forget(series)
    this.#others.delete(series)
  }

  #sweep(now: number): void {
    this.#lastSweep = now
    this.#forgetBefore(now - this.#ttl)
  }

  #forgetBefore(before: number): void {
    this.#numbering = {}
    this.#series.forget((series) => {
      if (this.#points.seen(series) >= before) return false
      this.#points.forget(series)
      this.#forgetHistogram(series)
      this.state.forget(series)
      return true
    })
    this.#metrics.forget(before)
    this.state.forgetMetrics()
  }
}

/** Whether the first value of a series is passed on; times in nanoseconds since 1970. */
export function keepsFirst(initialValue: InitialValue, start: bigint, time: bigint): boolean {
  if (initialValue !== 'auto') return initialValue === 'keep'
  return start > processStart && start !== time
}

/** Why a point holds no value to work with, as the reason under which it is counted; `undefined` when it does. */
export function missingValue(point: DataPoint): 'no_recorded_value' | 'not_finite' | undefined {
  if (!point.hasValue) return 'no_recorded_value'
  if (point.kind !== 'number') return undefined
  if (point.value === undefined) return 'no_recorded_value'
  return typeof point.value === 'bigint' || Number.isFinite(point.value) ? undefined : 'not_finite'
}

/**
 * Whether the metric stands behind all that were changed by their bytes, as those of a request do. The same bytes again, under
 * another name, have no second place in a copy of the request.
 */
function standsFirst({ encoded }: Metric, ends: Map<Source, number>): boolean {
  if (encoded === undefined || encoded.start < (ends.get(encoded.source) ?? 0)) return false
  ends.set(encoded.source, encoded.end)
  return true
}

function isConvertible(metric: Metric): boolean {
  if (metric.temporality !== 'cumulative') return false
  return metric.type === 'sum'
    ? metric.monotonic
    : metric.type === 'histogram' || metric.type === 'exponential_histogram'
}

/** The point with nothing that keeps the bytes of its batch. */
function withoutBytes(point: HistogramPoint | ExponentialHistogramPoint): HistogramPoint | ExponentialHistogramPoint {
  const light = { exemplars: undefined, attributes: undefined, unknown: undefined }
  if (point.kind === 'histogram') return point.with(light)
  const { positive, negative } = point
  return point.with({
    ...light,
    positive: positive && { ...positive, unknown: undefined },
    negative: negative && { ...negative, unknown: undefined },
  })
}
