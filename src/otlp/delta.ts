import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { MetricBatch } from './batch.ts'
import { grown } from './bytes_index.ts'
import { DeltaState } from './delta_state.ts'
import { countedFromZero, remembered } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { boundedExtremes } from './extremes.ts'
import { HistogramCursor } from './histogram_cursor.ts'
import { fieldLength, HistogramDeltaWriter, lengthOfDifference } from './histogram_delta.ts'
import { KEEPS_MAX, KEEPS_MIN } from './histogram_memory.ts'
import { copyOf } from './message.ts'
import type { Source } from './message.ts'
import { Metric } from './metrics.ts'
import { NumberPointCursor } from './number_cursor.ts'
import type { PointCursor } from './point_cursor.ts'
import type { DataPoint, ExponentialHistogramPoint, HistogramPoint } from './points.ts'
import { Senders } from './senders.ts'
import type { SenderRules, Step } from './senders.ts'
import { SeriesMemory } from './series_memory.ts'
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
  /** Series remembered at most, other spellings of their attributes included; the points of further ones are dropped. */
  readonly maxSeries?: number
  /**
   * Which minimum and maximum the differences of histograms have: none; those that were `reached` since the point before;
   * or those of all time, `bounded` by the buckets that counted something since then.
   */
  readonly extremes?: 'none' | 'reached' | 'bounded'
  /**
   * Whether summaries are turned into differences, too: their count and sum. Where these are withheld, the point goes on for
   * its quantiles: it covers no time (it starts when it ends), and its count and sum are 0.
   */
  readonly summaries?: boolean
  /** Called where points are withheld because more senders share a series than can be distinguished. */
  readonly severalWriters?: (metric: Metric) => void
  readonly clock?: Clock
}

/** Milliseconds; the same as in Datadog's and the collector's translators. */
const DEFAULT_TTL = 3_600_000
const DEFAULT_MAX_SERIES = 1_000_000

/** A point that is merged will be counted with a later one; if it is not after all, it is created again, and dropped. */
export interface DeltaAccount {
  created(points: number): void
  merged(points: number): void
  dropped(reason: string, points: number): void
}

/** What to log where `severalWriters` is called. */
export const SEVERAL_WRITERS =
  'More than four senders share one series of a metric, so that their counts cannot be distinguished: the points of further senders are withheld. Give each sender a resource attribute of its own, such as service.instance.id.'

const NONE = -1

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

/** Metrics of one batch that are one. */
interface Repeated {
  readonly metrics: readonly Metric[]
  /** The latest time of their points. */
  readonly latest: bigint
  /** Whether points of one come before points of another that are earlier. */
  readonly unordered: boolean
  /** Of those of them that are not in the result yet, once they were taken. */
  differences?: DataPoint[][]
}
const NOTHING_REPEATED: ReadonlyMap<number, Repeated> = new Map()

/**
 * Turns cumulative monotonic sums and cumulative histograms of either kind into differences, and passes everything else on
 * as it is. Remembers the last point of every series.
 */
export class CumulativeToDelta {
  readonly #clock: Clock
  readonly #processStart: bigint
  readonly #initialValue: InitialValue
  readonly #ttl: number
  readonly #extremes: 'none' | 'reached' | 'bounded'
  readonly #summaries: boolean
  readonly #severalWriters: ((metric: Metric) => void) | undefined
  readonly #rules: SenderRules
  readonly #memory: SeriesMemory
  /** For a queue that keeps what is remembered over a restart. */
  readonly state: DeltaState
  readonly #cursor = new NumberPointCursor()
  readonly #histogramCursor = new HistogramCursor()
  #steps = new Int32Array(64 * STEP)
  /** By point: what it grew by; NaN for the first of a series. */
  #differences = new Float64Array(64)
  /** The latest time of the points of a metric, as far as they were read. */
  #latest = 0n
  #pass = 0
  /** By metric: the batch that it was in last. */
  #batches = new Int32Array(64)
  #batch = 0
  #lastSweep: number

  constructor({
    initialValue,
    ttl = DEFAULT_TTL,
    maxSeries = DEFAULT_MAX_SERIES,
    extremes = 'none',
    summaries = false,
    severalWriters,
    clock = systemClock,
  }: DeltaOptions) {
    this.#clock = clock
    this.#processStart = BigInt(Math.round(clock.timeOrigin)) * 1_000_000n
    this.#lastSweep = clock.monotonic()
    this.#initialValue = initialValue
    this.#ttl = ttl
    this.#extremes = extremes
    this.#summaries = summaries
    this.#severalWriters = severalWriters
    this.#rules = {
      countsFromZero: (start, time) => this.#keepsFirst(start, time),
      countsResets: initialValue !== 'drop',
    }
    this.#memory = new SeriesMemory(ttl, maxSeries)
    this.state = new DeltaState(this.#memory, clock)
  }

  /** Series remembered, with other spellings of their attributes. */
  get size(): number {
    return this.#memory.series.size
  }

  /**
   * Batches must come in order; within one, points may stand in any. A difference starts at the time of the point before it.
   * Points left out are reported to `account`: `first_value`, `counter_reset`, `out_of_order`, `duplicate_timestamp`,
   * `too_many_series`, `several_writers`, and for points that hold no finite value `no_recorded_value` or `not_finite`. A
   * point that is withheld until the next shows what it was counts as merged. Metrics that `chosen` does not accept stay as they are.
   */
  apply(batch: MetricBatch, account: DeltaAccount, chosen: (metric: Metric) => boolean = () => true): MetricBatch {
    const now = this.#clock.monotonic()
    if (now - this.#lastSweep > this.#ttl / 2) this.#sweep(now, account)
    const emptied = new Set<Metric>()
    const copies = new Map<Source, Source>()
    const writers = new Map<Source, HistogramDeltaWriter>()
    /** By request: where the last metric that was changed by its bytes ends. */
    const ends = new Map<Source, number>()
    const numbers = { of: this.#memory.numbering, numbers: new Int32Array(batch.pointCount), start: 0 }
    const parts = partsOf(batch)
    let part = 0
    let owners: readonly number[] = []
    let repeated = NOTHING_REPEATED
    let index = 0
    const converted = batch.mapMetrics((metric) => {
      while (index === owners.length) {
        const next = parts[part++]
        const found = this.#ownersOf(next, chosen, now)
        owners = found.all
        repeated = found.repeated ? this.#repeated(next, owners) : NOTHING_REPEATED
        index = 0
      }
      const owner = owners[index++]
      if (owner === NONE) return metric
      const group = repeated.get(owner)
      if (group?.unordered) {
        group.differences ??= this.#byPoints(group.metrics, owner, group.latest, now, account)
        return this.#withDifferences(metric, group.differences.shift() ?? [], emptied)
      }
      const byBytes = standsFirst(metric, ends)
        ? (this.#inPlace(metric, owner, group?.latest, now, account, copies, numbers) ??
          this.#histogramsByBytes(metric, owner, group?.latest, now, account, writers))
        : undefined
      if (byBytes === undefined) {
        const [points] = this.#byPoints([metric], owner, group?.latest, now, account)
        return this.#withDifferences(metric, points, emptied)
      }
      if (byBytes !== 'empty') return byBytes
      emptied.add(metric)
      return metric
    })
    // They must not keep the request until the next comes.
    this.#cursor.end()
    this.#histogramCursor.end()
    this.#memory.metrics.end()
    return emptied.size === 0 ? converted : converted.filterMetrics((metric) => !emptied.has(metric))
  }

  /** The number of each metric, `NONE` for those that stay as they are, and whether one comes twice. */
  #ownersOf(
    batch: MetricBatch,
    chosen: (metric: Metric) => boolean,
    now: number,
  ): { readonly all: readonly number[]; readonly repeated: boolean } {
    this.#batch = (this.#batch + 1) | 0
    const all: number[] = []
    let repeated = false
    for (const { resource, scopes } of batch.resources) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        for (const metric of metrics) {
          if (!this.#isConvertible(metric) || !chosen(metric)) {
            all.push(NONE)
            continue
          }
          const owner = this.#memory.metrics.numberOf(metric, resource, scope, schemaUrl, now)
          while (owner >= this.#batches.length) this.#batches = grown(this.#batches)
          if (this.#batches[owner] === this.#batch) repeated = true
          this.#batches[owner] = this.#batch
          all.push(owner)
        }
      }
    }
    return { all, repeated }
  }

  /** By number, the metrics that come several times. */
  #repeated(batch: MetricBatch, owners: readonly number[]): Map<number, Repeated> {
    const groups = new Map<number, { metrics: Metric[]; latest: bigint; unordered: boolean }>()
    let index = 0
    for (const { metric } of batch.metrics()) {
      const owner = owners[index++]
      if (owner === NONE) continue
      const [first, last] = this.#times(metric)
      const group = groups.get(owner)
      if (group === undefined) groups.set(owner, { metrics: [metric], latest: last, unordered: false })
      else {
        group.metrics.push(metric)
        if (first < group.latest) group.unordered = true
        if (last > group.latest) group.latest = last
      }
    }
    return groups
  }

  /** The earliest and the latest time of its points. */
  #times(metric: Metric): [bigint, bigint] {
    let [first, last] = [2n ** 64n, 0n]
    const take = (time: bigint): void => {
      if (time < first) first = time
      last = later(last, time)
    }
    const cursor = metric.type === 'sum' ? this.#cursor : this.#histogramCursor
    let complete = false
    if (cursor.open(metric)) {
      while (cursor.next()) take(cursor.time())
      complete = cursor.complete
    }
    if (!complete) for (const { timeUnixNano } of metric.points) take(timeUnixNano)
    return [first, last]
  }

  /**
   * The metric with its values, starts and temporality changed in a copy of its request, without an object for any point;
   * `undefined`, and nothing done, unless all its points go on from the one before in the ordinary way or are the first of
   * their series, and none or all are left out.
   */
  #inPlace(
    metric: Metric,
    owner: number,
    latest: bigint | undefined,
    now: number,
    account: DeltaAccount,
    copies: Map<Source, Source>,
    numbers: SeriesNumbers & { start: number },
  ): Metric | 'empty' | undefined {
    const cursor = this.#cursor
    const memory = this.#memory
    const { points } = memory
    if (metric.encoded === undefined || metric.shape === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    const notes = this.#initialValue === 'auto'
    let low = NaN
    let lowStart = NaN
    this.#latest = 0n
    while (cursor.next()) {
      const series = memory.find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series < 0 || !points.mark(series, pass) || memory.isWithheld(series)) return undefined
      const difference = points.differenceTo(series, cursor)
      if (notes && (cursor.lowTime() !== low || cursor.lowStart() !== lowStart)) {
        low = cursor.lowTime()
        lowStart = Number.isNaN(difference) ? NaN : cursor.lowStart()
        this.#seeTimes(owner, cursor, !Number.isNaN(difference))
      }
      if (Number.isNaN(difference)) {
        if (points.knows(series) || startsLate(cursor)) return undefined
        if (!this.#keepsFirst(cursor.start(), cursor.time())) withheld++
      }
      this.#step(count++, series, cursor, difference)
    }
    if (!cursor.complete || (withheld > 0 && withheld < count)) return undefined
    this.#note(owner, latest ?? this.#latest)
    if (withheld > 0 && this.#mayBeNew(owner, this.#latest)) return undefined
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
    latest: bigint | undefined,
    now: number,
    account: DeltaAccount,
    writers: Map<Source, HistogramDeltaWriter>,
  ): Metric | 'empty' | undefined {
    const cursor = this.#histogramCursor
    const memory = this.#memory
    const { points } = memory
    if (metric.encoded === undefined || metric.shape === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    let length = 0
    const notes = this.#initialValue === 'auto'
    let low = NaN
    let lowStart = NaN
    this.#latest = 0n
    while (cursor.next()) {
      const series = memory.find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series < 0 || memory.isElsewhere(series) || !points.mark(series, pass) || memory.isWithheld(series))
        return undefined
      let kept = KEEPS_MIN | KEEPS_MAX
      if (points.knows(series)) {
        if (!points.precedes(series, cursor) || !memory.histograms.precedes(series, cursor)) return undefined
        if (this.#extremes === 'reached') kept = memory.histograms.newExtremes(series, cursor)
        else if (this.#extremes === 'bounded') {
          if (!cursor.hasBoundedExtremes()) return undefined
          if (memory.histograms.standsStill(series, cursor)) kept = 0
        }
      } else {
        if (!cursor.isExact() || startsLate(cursor)) return undefined
        if (!this.#keepsFirst(cursor.start(), cursor.time())) withheld++
      }
      if (notes && (cursor.lowTime() !== low || cursor.lowStart() !== lowStart)) {
        low = cursor.lowTime()
        lowStart = points.knows(series) ? cursor.lowStart() : NaN
        this.#seeTimes(owner, cursor, points.knows(series))
      }
      if (this.#extremes === 'none') kept = 0
      if (count === this.#differences.length) this.#growSteps()
      const at = count++ * STEP
      this.#steps[at + SERIES] = series
      this.#steps[at + KEPT] = kept
      length += fieldLength(lengthOfDifference(cursor, kept))
    }
    if (!cursor.complete || (withheld > 0 && withheld < count)) return undefined
    this.#note(owner, latest ?? this.#latest)
    if (withheld > 0 && this.#mayBeNew(owner, this.#latest)) return undefined
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
        memory.histograms.begin(seriesOf(index), cursor)
      }
      account.dropped('first_value', withheld)
      return 'empty'
    }
    const { source } = metric.encoded
    let writer = writers.get(source)
    if (writer === undefined)
      writers.set(source, (writer = new HistogramDeltaWriter(source, this.#extremes === 'bounded')))
    const written = writer.write(
      metric.encoded,
      metric.shape,
      cursor,
      length,
      seriesOf,
      keptOf,
      points,
      memory.histograms,
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
    const { points } = this.#memory
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

  #note(owner: number, latest: bigint): void {
    if (this.#initialValue === 'auto') this.#memory.exports.note(owner, latest)
  }

  /** Takes in the times of a point that are others than those of the one before; a method of its own, since few points have any. */
  #seeTimes(owner: number, cursor: PointCursor, isKnown: boolean): void {
    this.#latest = later(this.#latest, cursor.time())
    if (isKnown) this.#noteStart(owner, cursor.start())
  }

  #keepsFirst(start: bigint, time: bigint): boolean {
    return keepsFirst(this.#initialValue, this.#processStart, start, time)
  }

  #noteStart(owner: number, start: bigint): void {
    if (this.#initialValue === 'auto') this.#memory.exports.noteStart(owner, start)
  }

  /** Whether a series that was not seen before may be known to be new, if its start says so. */
  #mayBeNew(owner: number, time: bigint): boolean {
    return this.#lastWithout(owner, time, time) !== undefined
  }

  /** The last export that was complete without a series, where that must be new: `start` and `time` of its first point. */
  #lastWithout(owner: number, start: bigint, time: bigint): bigint | undefined {
    return this.#initialValue === 'auto' ? this.#memory.exports.lastWithout(owner, start, time) : undefined
  }

  /** The differences of the points of metrics that are one, by metric. `latest`: the last time of all of them in the batch, if known. */
  #byPoints(
    metrics: readonly Metric[],
    owner: number,
    latest: bigint | undefined,
    now: number,
    account: DeltaAccount,
  ): DataPoint[][] {
    const places: Place[] = []
    const differences = metrics.map((metric, at) => {
      ;(metric.points as readonly CumulativePoint[]).forEach((point, index) => {
        const missing = missingValue(point)
        if (missing === undefined) places.push({ point, at, index })
        else account.dropped(missing, 1)
      })
      return new Array<DataPoint | undefined>(metric.points.length)
    })
    if (places.some(({ point }, index) => index > 0 && point.timeUnixNano < places[index - 1].point.timeUnixNano)) {
      places.sort((left, right) => Number(left.point.timeUnixNano - right.point.timeUnixNano))
    }
    const last = places.at(-1)?.point.timeUnixNano
    if (last !== undefined) this.#note(owner, latest ?? last)
    for (const { point, at, index } of places) {
      differences[at][index] = this.#difference(metrics[at], point, owner, now, account)
    }
    return differences.map((points) => points.filter((point) => point !== undefined))
  }

  #difference(
    metric: Metric,
    point: CumulativePoint,
    owner: number,
    now: number,
    account: DeltaAccount,
  ): DataPoint | undefined {
    const series = this.#memory.findPoint(owner, point, now)
    if (series < 0) {
      account.dropped('too_many_series', 1)
      return undefined
    }
    const last = this.#memory.last(series)
    if (last !== undefined) this.#noteStart(owner, point.startTimeUnixNano)
    const { result, givenUp } =
      last === undefined ? this.#begin(series, owner, point) : this.#follow(series, last, point)
    if (givenUp !== undefined && point.kind !== 'summary') {
      account.created(1)
      account.dropped(givenUp, 1)
    }
    if (result === 'out_of_order' || result === 'duplicate_timestamp') {
      account.dropped(result, 1)
      return undefined
    }
    this.#memory.points.see(series, now)
    this.state.change(series, true)
    if (result === 'several_writers') this.#severalWriters?.(metric)
    if (typeof result !== 'string') return this.#withExtremes(result, last === undefined ? undefined : point)
    if (point.kind === 'summary') {
      return point.with({ count: 0, sum: 0, startTimeUnixNano: point.timeUnixNano })
    }
    if (result === 'later') account.merged(1)
    else account.dropped(result, 1)
    return undefined
  }

  #begin(series: number, owner: number, point: CumulativePoint): Step {
    const { startTimeUnixNano: start, timeUnixNano: time } = point
    this.#memory.remember(series, remembered(point, start, undefined))
    if (this.#keepsFirst(start, time)) return { result: countedFromZero(undefined, point) }
    const since = start <= time ? this.#lastWithout(owner, start, time) : undefined
    return { result: since === undefined ? 'first_value' : point.with({ startTimeUnixNano: since }) }
  }

  #follow(series: number, last: Remembered, point: CumulativePoint): Step {
    const senders = this.#memory.sendersOf(series) ?? new Senders(last)
    senders.last = last
    const step = senders.follow(point, this.#rules)
    if (senders.last !== last) this.#memory.remember(series, senders.last)
    this.#memory.rememberSenders(series, senders)
    return step
  }

  #withDifferences(metric: Metric, points: readonly DataPoint[], emptied: Set<Metric>): Metric {
    if (points.length > 0 || metric.points.length === 0) return metric.with({ temporality: 'delta', points })
    emptied.add(metric)
    return metric
  }

  /** `point`: the one that the difference is of, unless it is the first of its series and the difference is all of it. */
  #withExtremes(difference: DataPoint, point: CumulativePoint | undefined): DataPoint {
    if (difference.kind === 'number' || difference.kind === 'summary' || this.#extremes === 'reached') return difference
    if (this.#extremes === 'bounded' && point === undefined) return difference
    if (this.#extremes === 'none' || difference.count === 0) return difference.with({ min: undefined, max: undefined })
    const { min, max } = point as HistogramPoint | ExponentialHistogramPoint
    return difference.with(boundedExtremes(difference.with({ min, max })))
  }

  #sweep(now: number, account: DeltaAccount): void {
    this.#lastSweep = now
    const withheld = this.state.forgetBefore(now - this.#ttl)
    if (withheld === 0 || !this.#rules.countsResets) return
    account.created(withheld)
    account.dropped('counter_reset', withheld)
  }

  #isConvertible(metric: Metric): boolean {
    if (metric.type === 'summary') return this.#summaries
    if (metric.temporality !== 'cumulative') return false
    return metric.type === 'sum'
      ? metric.monotonic
      : metric.type === 'histogram' || metric.type === 'exponential_histogram'
  }
}

/** Parts of a batch that have no series in common. Looked at one after the other, each stays in the caches of the processor. */
function partsOf(batch: MetricBatch): readonly MetricBatch[] {
  const { resources } = batch
  if (resources.length < 2) return [batch]
  const identities = new Set(resources.map(({ resource }) => resource.attributes.identity))
  return identities.size < resources.length ? [batch] : resources.map((entry) => MetricBatch.fromResources([entry]))
}

/** A point, and which metric it stands in, and where. */
interface Place {
  readonly point: CumulativePoint
  readonly at: number
  readonly index: number
}

function later(left: bigint, right: bigint): bigint {
  return left < right ? right : left
}

/** Whether the point says that it starts when it ends, or after that. */
function startsLate(cursor: PointCursor): boolean {
  const start = cursor.start()
  return start !== 0n && start >= cursor.time()
}

/** Whether the first value of a series is passed on; times in nanoseconds since 1970. */
function keepsFirst(initialValue: InitialValue, processStart: bigint, start: bigint, time: bigint): boolean {
  if (initialValue !== 'auto') return initialValue === 'keep'
  return start > processStart && start < time
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
