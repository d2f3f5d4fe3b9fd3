import { systemClock } from '../../time/clock.ts'
import type { Clock } from '../../time/clock.ts'
import type { MetricBatch } from '../metrics/batch.ts'
import { grown } from '../wire/bytes_index.ts'
import { DeltaState } from './state.ts'
import { countedFromZero, remembered } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { boundedExtremes } from './extremes.ts'
import { HistogramCursor } from '../metrics/histogram_cursor.ts'
import { fieldLength, HistogramDeltaWriter, lengthOfDifference } from './histogram_delta.ts'
import { KEEPS_MAX, KEEPS_MIN } from './histogram_memory.ts'
import { copyOf } from '../wire/lazy_message.ts'
import type { Source } from '../wire/lazy_message.ts'
import { Metric } from '../metrics/metric.ts'
import type { ResourceMetrics } from '../metrics/metric.ts'
import { NumberPointCursor } from '../metrics/number_cursor.ts'
import { joined, PART, partsOf } from '../common/parts.ts'
import type { Part } from '../common/parts.ts'
import type { PointCursor } from '../metrics/point_cursor.ts'
import type { DataPoint, ExponentialHistogramPoint, HistogramPoint } from '../metrics/points.ts'
import { NO_ROOM, rememberedBytes, TOO_LARGE } from '../common/remembered_bytes.ts'
import type { Memory, RememberedBytes } from '../common/remembered_bytes.ts'
import { Senders } from './senders.ts'
import type { Divided } from '../../time/turns.ts'
import type { SenderRules, Step } from './senders.ts'
import { SeriesMemory } from './series_memory.ts'
import type { SeriesNumbers } from '../metrics/series_numbers.ts'

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
  /** Called where points are dropped because a name or set of attributes is too large to be remembered. */
  readonly tooLarge?: (metric: Metric) => void
  /** Called after each batch of which points were dropped because too much is remembered already. */
  readonly full?: () => void
  /** Counts what is remembered. */
  readonly remembered?: RememberedBytes
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

/** What to log where `tooLarge` is called. */
export const ATTRIBUTES_TOO_LARGE =
  'The name, or a set of attributes, of a cumulative metric takes more than 16 KiB. That is not remembered, so that no difference can be taken: the points are dropped as `attributes_too_large`.'

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
  readonly metrics: Metric[]
  /** The latest time of their points. */
  latest: bigint
  /** Whether points of one come before points of another that are earlier. */
  unordered: boolean
  /** Of those of them that are not in the result yet, once they were taken. */
  differences?: DataPoint[][]
}
const NOTHING_REPEATED: ReadonlyMap<number, Repeated> = new Map()

/** The number of each metric, and whether one comes twice. */
interface Owners {
  readonly all: readonly number[]
  readonly repeated: boolean
}

/** Entries of a batch with the number of each of their metrics. */
interface Owned {
  readonly entries: readonly ResourceMetrics[]
  readonly owners: readonly number[]
}

/** What is known while the differences of a batch are taken. */
interface Work {
  readonly account: DeltaAccount
  /** As of `PointMemory`. */
  readonly now: number
  /** Metrics of which no point is left. */
  readonly emptied: Set<Metric>
  /** By request: the copy that is changed in place. */
  readonly copies: Map<Source, Source>
  readonly writers: Map<Source, HistogramDeltaWriter>
  /** By request: where the last metric that was changed by its bytes ends. */
  readonly ends: Map<Source, number>
  readonly numbers: SeriesNumbers & { start: number }
}

/**
 * Turns cumulative monotonic sums and cumulative histograms of either kind into differences, and passes everything else on
 * as it is. Remembers the last point of every series.
 */
export class CumulativeToDelta implements Memory {
  readonly #clock: Clock
  readonly #processStart: bigint
  readonly #initialValue: InitialValue
  readonly #ttl: number
  readonly #extremes: 'none' | 'reached' | 'bounded'
  readonly #summaries: boolean
  readonly #options: Pick<DeltaOptions, 'severalWriters' | 'tooLarge' | 'full'>
  readonly #remembered: RememberedBytes
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
  /** Points that were withheld of series that are forgotten, until that is reported. */
  #givenUp = 0
  /** Whether something of the batch found no room. */
  #isFull = false
  /** Whether a batch was begun in turns and has not ended. */
  #isWithin = false

  constructor({
    initialValue,
    ttl = DEFAULT_TTL,
    maxSeries = DEFAULT_MAX_SERIES,
    extremes = 'none',
    summaries = false,
    remembered = rememberedBytes,
    clock = systemClock,
    ...options
  }: DeltaOptions) {
    this.#clock = clock
    this.#processStart = BigInt(Math.round(clock.timeOrigin)) * 1_000_000n
    this.#lastSweep = clock.monotonic()
    this.#initialValue = initialValue
    this.#ttl = ttl
    this.#extremes = extremes
    this.#summaries = summaries
    this.#options = options
    this.#remembered = remembered
    this.#rules = {
      countsFromZero: (start, time) => this.#keepsFirst(start, time),
      countsResets: initialValue !== 'drop',
    }
    this.#memory = new SeriesMemory(ttl, maxSeries, remembered)
    this.state = new DeltaState(this.#memory, clock)
    remembered.memories.add(this)
  }

  /** Series remembered, with other spellings of their attributes. */
  get size(): number {
    return this.#memory.series.size
  }

  /**
   * Batches must come in order; within one, points may stand in any. A difference starts at the time of the point before it.
   * Points left out are reported to `account`: `first_value`, `counter_reset`, `out_of_order`, `duplicate_timestamp`,
   * `too_many_series`, `attributes_too_large`, `several_writers`, and for points that hold no finite value `no_recorded_value` or
   * `not_finite`. A point that is withheld until the next shows what it was counts as merged. Metrics that `chosen` does not accept stay as they are.
   */
  apply(batch: MetricBatch, account: DeltaAccount, chosen: (metric: Metric) => boolean = () => true): MetricBatch {
    const work = this.#beginBatch(batch, account)
    const groups = unrelatedEntries(batch)
    let next = 0
    let owners: readonly number[] = []
    let repeated = NOTHING_REPEATED
    let index = 0
    const converted = batch.mapMetrics((metric) => {
      while (index === owners.length) {
        const entries = groups[next++]
        const found = this.#ownersOf(entries, chosen)
        owners = found.all
        repeated = found.repeated ? this.#repeated([{ entries, owners }]) : NOTHING_REPEATED
        index = 0
      }
      const owner = owners[index++]
      return this.#convert(metric, owner, repeated.get(owner), work)
    })
    this.#endBatch()
    return withoutEmptied(converted, work)
  }

  /**
   * `apply` that may be left where it yields, with the same result: a metric that is in several parts is treated as one that comes several
   * times in a batch. Until it has ended, no other batch may be begun.
   */
  *applyInTurns(
    batch: MetricBatch,
    account: DeltaAccount,
    chosen: (metric: Metric) => boolean = () => true,
  ): Divided<MetricBatch> {
    const work = this.#beginBatch(batch, account)
    this.#isWithin = true
    try {
      const parts: Part<MetricBatch>[] = []
      const owned: Owned[] = []
      let isRepeated = false
      this.#nextBatch()
      for (const part of partsOf(batch)) {
        const entries = part.batch.resources
        const { all: owners, repeated } = this.#ownersOfPart(entries, chosen)
        parts.push(part)
        owned.push({ entries, owners })
        isRepeated ||= repeated
        yield
      }
      const repeated = isRepeated ? yield* this.#repeatedInTurns(owned, work) : NOTHING_REPEATED
      const results: MetricBatch[] = []
      for (const [place, part] of parts.entries()) {
        const { owners } = owned[place]
        let index = 0
        const converted = part.batch.mapMetrics((metric) => {
          const owner = owners[index++]
          return this.#convert(metric, owner, repeated.get(owner), work)
        })
        results.push(withoutEmptied(converted, work))
        yield
      }
      return joined(batch, parts, results)
    } finally {
      this.#isWithin = false
      this.#endBatch()
    }
  }

  #beginBatch(batch: MetricBatch, account: DeltaAccount): Work {
    const time = this.#clock.monotonic()
    if (time - this.#lastSweep > this.#ttl / 2) this.#sweep(time)
    this.#remembered.makeRoom(this.#clock)
    this.#giveUp(account)
    this.#isFull = false
    return {
      account,
      now: time | 0,
      emptied: new Set(),
      copies: new Map(),
      writers: new Map(),
      ends: new Map(),
      numbers: { of: this.#memory.numbering, numbers: new Int32Array(batch.pointCount), start: 0 },
    }
  }

  #convert(metric: Metric, owner: number, group: Repeated | undefined, work: Work): Metric {
    if (owner === NONE) return metric
    const { emptied } = work
    if (owner < 0) {
      this.#refuse(metric, owner, metric.pointCount, work.account)
      emptied.add(metric)
      return metric
    }
    if (group?.unordered) {
      group.differences ??= this.#byPoints(group.metrics, owner, group.latest, work)
      return this.#withDifferences(metric, group.differences.shift() ?? [], emptied)
    }
    const byBytes = standsFirst(metric, work.ends)
      ? (this.#inPlace(metric, owner, group?.latest, work) ??
        this.#histogramsByBytes(metric, owner, group?.latest, work))
      : undefined
    if (byBytes === undefined) {
      const [points] = this.#byPoints([metric], owner, group?.latest, work)
      return this.#withDifferences(metric, points, emptied)
    }
    if (byBytes !== 'empty') return byBytes
    emptied.add(metric)
    return metric
  }

  #endBatch(): void {
    // They must not keep the request until the next comes.
    this.#cursor.end()
    this.#histogramCursor.end()
    this.#memory.metrics.end()
    if (this.#isFull) this.#options.full?.()
  }

  /** `Memory`. */
  shrink(part: number): void {
    // Within a batch, a number has to stay that of the same series.
    if (this.#isWithin) return
    const now = this.#clock.monotonic() | 0
    this.#forget((series) => this.#memory.mayGo(series, now))
    if (part === 0) return
    const isOld = this.#memory.oldest(part, now)
    this.#forget((series) => isOld[series] === 1)
  }

  /** Forgets all: there will be no further batch. */
  close(): void {
    this.#remembered.memories.delete(this)
    this.state.forget()
    this.#memory.series.close()
  }

  /** The number of each metric, `NONE` for those that stay as they are, or why it is not remembered; and whether one comes twice. */
  #ownersOf(entries: readonly ResourceMetrics[], chosen: (metric: Metric) => boolean): Owners {
    this.#nextBatch()
    return this.#ownersOfPart(entries, chosen)
  }

  #nextBatch(): void {
    this.#batch = (this.#batch + 1) | 0
  }

  /** `#ownersOf` for a part of what was begun by `#nextBatch`. */
  #ownersOfPart(entries: readonly ResourceMetrics[], chosen: (metric: Metric) => boolean): Owners {
    const all: number[] = []
    let repeated = false
    for (const { resource, scopes } of entries) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        for (const metric of metrics) {
          if (!this.#isConvertible(metric) || !chosen(metric)) {
            all.push(NONE)
            continue
          }
          const owner = this.#memory.metrics.numberOf(metric, resource, scope, schemaUrl)
          all.push(owner)
          if (owner < 0) continue
          while (owner >= this.#batches.length) this.#batches = grown(this.#batches)
          if (this.#batches[owner] === this.#batch) repeated = true
          this.#batches[owner] = this.#batch
        }
      }
    }
    return { all, repeated }
  }

  /** By number, the metrics that come several times. */
  #repeated(parts: readonly Owned[]): Map<number, Repeated> {
    const groups = new Map<number, Repeated>()
    for (const part of parts) this.#addRepeated(part, groups)
    return groups
  }

  /** `#repeated` in turns, with the differences of those that stand out of order. */
  *#repeatedInTurns(parts: readonly Owned[], work: Work): Divided<Map<number, Repeated>> {
    const groups = new Map<number, Repeated>()
    for (const part of parts) {
      this.#addRepeated(part, groups)
      yield
    }
    for (const [owner, group] of groups) {
      if (group.unordered) group.differences = yield* this.#byPointsInTurns(group, owner, work)
    }
    return groups
  }

  #addRepeated({ entries, owners }: Owned, groups: Map<number, Repeated>): void {
    let index = 0
    for (const { scopes } of entries) {
      for (const { metrics } of scopes) {
        for (const metric of metrics) {
          const owner = owners[index++]
          if (owner < 0) continue
          const [first, last] = this.#times(metric)
          const group = groups.get(owner)
          if (group === undefined) groups.set(owner, { metrics: [metric], latest: last, unordered: false })
          else {
            group.metrics.push(metric)
            if (first < group.latest) group.unordered = true
            if (last > group.latest) group.latest = last
          }
        }
      }
    }
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
    { now, account, copies, numbers }: Work,
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
    { now, account, writers }: Work,
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
        if (!cursor.isExact() || startsLate(cursor) || !memory.histograms.hasRoom(cursor)) return undefined
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
  #byPoints(metrics: readonly Metric[], owner: number, latest: bigint | undefined, work: Work): DataPoint[][] {
    const places: Place[] = []
    for (const [at, metric] of metrics.entries()) addPlaces(places, metric, at, work.account)
    const differences = metrics.map(({ points }) => new Array<DataPoint | undefined>(points.length))
    const ordered = byTime(places)
    this.#noteLast(owner, latest, ordered)
    for (const { point, at, index } of ordered) {
      differences[at][index] = this.#difference(metrics[at], point, owner, work.now, work.account)
    }
    return differences.map((points) => points.filter((point) => point !== undefined))
  }

  /** `#byPoints` in turns. */
  *#byPointsInTurns({ metrics, latest }: Repeated, owner: number, work: Work): Divided<DataPoint[][]> {
    const places: Place[] = []
    for (const [at, metric] of metrics.entries()) {
      addPlaces(places, metric, at, work.account)
      yield
    }
    const differences = metrics.map(({ points }) => new Array<DataPoint | undefined>(points.length))
    const ordered = byTime(places)
    this.#noteLast(owner, latest, ordered)
    for (const [place, { point, at, index }] of ordered.entries()) {
      if (place % PART === 0) yield
      differences[at][index] = this.#difference(metrics[at], point, owner, work.now, work.account)
    }
    return differences.map((points) => points.filter((point) => point !== undefined))
  }

  #noteLast(owner: number, latest: bigint | undefined, places: readonly Place[]): void {
    const last = places.at(-1)?.point.timeUnixNano
    if (last !== undefined) this.#note(owner, latest ?? last)
  }

  #difference(
    metric: Metric,
    point: CumulativePoint,
    owner: number,
    now: number,
    account: DeltaAccount,
  ): DataPoint | undefined {
    const series = this.#memory.findPoint(owner, point, now)
    if (series < 0) return this.#refuse(metric, series, 1, account)
    const last = this.#memory.last(series)
    if (last === undefined && !this.#memory.hasRoomFor(point)) return this.#refuse(metric, NO_ROOM, 1, account)
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
    if (result === 'several_writers') this.#options.severalWriters?.(metric)
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
    const { used } = this.#remembered
    if (senders.last !== last) this.#memory.remember(series, senders.last)
    this.#memory.rememberSenders(series, senders)
    if (this.#remembered.used <= used || this.#memory.isWithinLimit) return step
    this.#isFull = true
    this.#memory.forget(series)
    return step.result === 'later' ? { ...step, result: 'too_many_series' } : step
  }

  /** Drops points of a metric that is not to be remembered, or has series that are not. */
  #refuse(metric: Metric, why: number, points: number, account: DeltaAccount): undefined {
    const isLarge = why === TOO_LARGE
    if (isLarge) this.#options.tooLarge?.(metric)
    else this.#isFull = true
    if (points > 0) account.dropped(isLarge ? 'attributes_too_large' : 'too_many_series', points)
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

  #sweep(time: number): void {
    this.#lastSweep = time
    const { points } = this.#memory
    this.#forget((series) => points.age(series, time | 0) > this.#ttl)
  }

  #forget(isGone: (series: number) => boolean): void {
    this.#givenUp += this.state.forgetAll(isGone)
  }

  #giveUp(account: DeltaAccount): void {
    if (this.#givenUp > 0 && this.#rules.countsResets) {
      account.created(this.#givenUp)
      account.dropped('counter_reset', this.#givenUp)
    }
    this.#givenUp = 0
  }

  #isConvertible(metric: Metric): boolean {
    if (metric.type === 'summary') return this.#summaries
    if (metric.temporality !== 'cumulative') return false
    return metric.type === 'sum'
      ? metric.monotonic
      : metric.type === 'histogram' || metric.type === 'exponential_histogram'
  }
}

/** The entries of a batch by what has no series in common. Looked at one after the other, each stays in the caches of the processor. */
function unrelatedEntries({ resources }: MetricBatch): readonly (readonly ResourceMetrics[])[] {
  if (resources.length < 2) return [resources]
  const identities = new Set(resources.map(({ resource }) => resource.attributes.identity))
  return identities.size < resources.length ? [resources] : resources.map((entry) => [entry])
}

function withoutEmptied(batch: MetricBatch, { emptied }: Work): MetricBatch {
  return emptied.size === 0 ? batch : batch.filterMetrics((metric) => !emptied.has(metric))
}

/** A point, and which metric it stands in, and where. */
interface Place {
  readonly point: CumulativePoint
  readonly at: number
  readonly index: number
}

/** Adds the points of a metric that hold a value; the others are told to `account`. */
function addPlaces(places: Place[], metric: Metric, at: number, account: DeltaAccount): void {
  ;(metric.points as readonly CumulativePoint[]).forEach((point, index) => {
    const missing = missingValue(point)
    if (missing === undefined) places.push({ point, at, index })
    else account.dropped(missing, 1)
  })
}

/** In the order of time; those of one time stay as they are. */
function byTime(places: readonly Place[]): readonly Place[] {
  if (places.every(({ point }, index) => index === 0 || point.timeUnixNano >= places[index - 1].point.timeUnixNano)) {
    return places
  }
  const byTime = new Map<bigint, Place[]>()
  for (const place of places) {
    const { timeUnixNano } = place.point
    const same = byTime.get(timeUnixNano)
    if (same === undefined) byTime.set(timeUnixNano, [place])
    else same.push(place)
  }
  // Far quicker than to compare points: there may be a hundred thousand.
  return Array.from(BigUint64Array.from(byTime.keys()).sort()).flatMap((time) => byTime.get(time) as Place[])
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
