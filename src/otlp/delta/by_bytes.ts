import { HistogramCursor } from '../metrics/histogram_cursor.ts'
import { Metric } from '../metrics/metric.ts'
import { NumberPointCursor } from '../metrics/number_cursor.ts'
import type { PointCursor } from '../metrics/point_cursor.ts'
import { NO_ROOM } from '../common/remembered_bytes.ts'
import { doubled } from '../wire/bytes_index.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import type { FirstValues } from './first_values.ts'
import { fieldLength, HistogramDeltaWriter, lengthOfDifference } from './histogram_delta.ts'
import { KEEPS_MAX, KEEPS_MIN } from './histogram_memory.ts'
import type { SeriesMemory } from './series_memory.ts'
import type { DeltaState } from './state.ts'
import type { Change, Work } from './work.ts'

/** AGGREGATION_TEMPORALITY_DELTA */
const DELTA = 1

/** The changes to be made in place, by point: the series, and the positions of its fields. */
const SERIES = 0
const VALUE_AT = 1
const START_AT = 2
const TIME_AT = 3
const IS_INT = 4
const STEP = 5
/** For a histogram, instead of `VALUE_AT`: the extremes that its difference has. */
const KEPT = 1

/** The changed metric; `empty` if all its points are left out, and counted; `no_room` if they are not left out but have to be refused. */
type Converted = Metric | 'empty' | 'no_room' | undefined

/** Which extremes differences of histograms have: `DeltaOptions.extremes`. */
export type ExtremesOfDifferences = 'none' | 'reached' | 'bounded'

/**
 * Takes differences in the bytes of a request, without an object for any point, if all points of a metric continue in
 * the ordinary way. Twin: `ByPoints`, with the same result for any point. Pays for the benchmark rows "cumulative to
 * delta".
 */
export class ByBytes {
  readonly #memory: SeriesMemory
  readonly #state: DeltaState
  readonly #firsts: FirstValues
  readonly #extremes: ExtremesOfDifferences
  readonly #cursor = new NumberPointCursor()
  readonly #histogramCursor = new HistogramCursor()
  #steps = new Int32Array(64 * STEP)
  /** By point: the increase; NaN for the first of a series. */
  #differences = new Float64Array(64)
  /** The latest time of the points of a metric, as far as they were read. */
  #latest = 0n
  #pass = 0

  constructor(memory: SeriesMemory, state: DeltaState, firsts: FirstValues, extremes: ExtremesOfDifferences) {
    this.#memory = memory
    this.#state = state
    this.#firsts = firsts
    this.#extremes = extremes
  }

  /** The difference of a metric as it stands in its request; as of `#numbers`. */
  convert(metric: Metric, owner: number, latest: bigint | undefined, work: Work): Converted {
    const { encoded } = metric
    if (encoded === undefined) return undefined
    const change = changeOf(encoded.source, work)
    // Metrics of a request follow each other; the same bytes under another name have no second place in its copy.
    if (encoded.start < change.end) return undefined
    change.end = encoded.end
    return this.#numbers(metric, owner, latest, change, work) ?? this.#histograms(metric, owner, latest, change, work)
  }

  /** Lets go of the last request. */
  close(): void {
    this.#cursor.close()
    this.#histogramCursor.close()
  }

  /** The earliest and the latest time of its points. */
  times(metric: Metric): [bigint, bigint] {
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
   * The metric with its values, starts and temporality changed in a copy of its request, without an object for any
   * point. Returns `undefined` and changes nothing unless each point either continues from the previous one in the
   * ordinary way or is the first of its series, and unless none or all of them are left out or find no room.
   */
  #numbers(
    metric: Metric,
    owner: number,
    latest: bigint | undefined,
    change: Change,
    { now, account, numbers }: Work,
  ): Converted {
    const cursor = this.#cursor
    const memory = this.#memory
    const { points } = memory
    if (metric.encoded === undefined || metric.layout === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    let refused = 0
    const notes = this.#firsts.areNoted
    let low = NaN
    let lowStart = NaN
    this.#latest = 0n
    while (cursor.next()) {
      const series = memory.find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series !== NO_ROOM && (series < 0 || !points.mark(series, pass) || memory.isWithheld(series)))
        return undefined
      const difference = series < 0 ? NaN : points.differenceTo(series, cursor)
      if (notes && (cursor.lowTime() !== low || cursor.lowStart() !== lowStart)) {
        low = cursor.lowTime()
        lowStart = Number.isNaN(difference) ? NaN : cursor.lowStart()
        this.#seeTimes(owner, cursor, !Number.isNaN(difference))
      }
      if (Number.isNaN(difference)) {
        if (series < 0) {
          refused++
          continue
        }
        if (points.knows(series) || startsLate(cursor)) return undefined
        if (!this.#firsts.keepsAt(cursor)) withheld++
      }
      this.#step(count++, series, cursor, difference)
    }
    if (!cursor.complete || (withheld > 0 && withheld < count) || (refused > 0 && count > 0)) return undefined
    this.#firsts.note(owner, latest ?? this.#latest)
    if (refused > 0) return 'no_room'
    if (withheld > 0 && this.#firsts.mayBeNew(owner, this.#latest)) return undefined
    if (withheld > 0) {
      this.#commit(count, metric.encoded.source.view, now)
      account.dropped('first_value', withheld)
      return 'empty'
    }
    const { source } = metric.encoded
    const copy = (change.copy ??= source.copy())
    this.#commit(count, copy.view, now)
    copy.bytes[metric.layout.temporalityAt] = DELTA
    const series = { ...numbers }
    for (let index = 0; index < count; index++) series.numbers[numbers.start++] = this.#steps[index * STEP + SERIES]
    return new Metric(metric.encoded.movedTo(copy), metric.renamed, metric.layout, series)
  }

  /** `#numbers` for histograms, whose points become shorter. */
  #histograms(
    metric: Metric,
    owner: number,
    latest: bigint | undefined,
    change: Change,
    { now, account }: Work,
  ): Converted {
    if (metric.type !== 'histogram') return undefined
    const cursor = this.#histogramCursor
    const memory = this.#memory
    const { points } = memory
    if (metric.encoded === undefined || metric.layout === undefined || !cursor.open(metric)) return undefined
    const pass = this.#nextPass()
    let count = 0
    let withheld = 0
    let refused = 0
    let length = 0
    const notes = this.#firsts.areNoted
    let low = NaN
    let lowStart = NaN
    this.#latest = 0n
    while (cursor.next()) {
      const series = memory.find(owner, cursor.view, cursor.attributesStart, cursor.attributesEnd, now)
      if (series === NO_ROOM) {
        this.#latest = later(this.#latest, cursor.time())
        refused++
        continue
      }
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
        if (!this.#firsts.keepsAt(cursor)) withheld++
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
    if (!cursor.complete || (withheld > 0 && withheld < count) || (refused > 0 && count > 0)) return undefined
    this.#firsts.note(owner, latest ?? this.#latest)
    if (refused > 0) return 'no_room'
    if (withheld > 0 && this.#firsts.mayBeNew(owner, this.#latest)) return undefined
    const seriesOf = (index: number): number => this.#steps[index * STEP + SERIES]
    const keptOf = (index: number): number => this.#steps[index * STEP + KEPT]
    for (let index = 0; index < count; index++) {
      const series = seriesOf(index)
      points.see(series, now)
      if (points.knows(series)) this.#state.change(series)
      else this.#state.begin(series)
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
    const writer = (change.writer ??= new HistogramDeltaWriter(source, { bounded: this.#extremes === 'bounded' }))
    const written = writer.write(
      metric.encoded,
      metric.layout,
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
    this.#steps = doubled(this.#steps)
    this.#differences = doubled(this.#differences)
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

  /** Remembers the points of the steps, and replaces their values by the differences; a first value stays as it is. */
  #commit(count: number, view: DataView, now: number): void {
    const { points } = this.#memory
    const steps = this.#steps
    for (let index = 0; index < count; index++) {
      const at = index * STEP
      const series = steps[at + SERIES]
      const difference = this.#differences[index]
      const [valueAt, startAt, timeAt] = [steps[at + VALUE_AT], steps[at + START_AT], steps[at + TIME_AT]]
      if (Number.isNaN(difference))
        points.begin(series, { view, valueAt, startAt, timeAt, isInt: steps[at + IS_INT] === 1 })
      else points.replace(series, view, valueAt, startAt, timeAt, difference)
      points.see(series, now)
      if (Number.isNaN(difference)) this.#state.begin(series)
      else this.#state.change(series)
    }
  }

  #nextPass(): number {
    this.#pass = (this.#pass + 1) | 0
    // A series that was never marked has 0.
    if (this.#pass === 0) this.#pass = 1
    return this.#pass
  }

  /** Takes in the times of a point if they differ from those of the previous one; a separate method, because few points need it. */
  #seeTimes(owner: number, cursor: PointCursor, isKnown: boolean): void {
    this.#latest = later(this.#latest, cursor.time())
    if (isKnown) this.#firsts.noteStart(owner, cursor.start())
  }
}

function later(left: bigint, right: bigint): bigint {
  return left < right ? right : left
}

/** Whether the point's start is at or after its end. */
function startsLate(cursor: PointCursor): boolean {
  return cursor.elapsed() === 0 && cursor.start() !== 0n
}

function changeOf(source: EncodedRequest, { changes }: Work): Change {
  let change = changes.get(source)
  if (change === undefined) changes.set(source, (change = { copy: undefined, writer: undefined, end: 0 }))
  return change
}
