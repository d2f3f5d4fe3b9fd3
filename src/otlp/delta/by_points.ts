import { NO_ROOM, TOO_LARGE } from '../common/remembered_bytes.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'
import { MadePoints } from '../metrics/made_points.ts'
import type { Metric } from '../metrics/metric.ts'
import { PART } from '../common/parts.ts'
import type { DataPoint, ExponentialHistogramPoint, HistogramPoint } from '../metrics/points.ts'
import { atOnce, LONG } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import type { ExtremesOfDifferences } from './by_bytes.ts'
import { countedFromZero, remembered } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { boundedExtremes } from './extremes.ts'
import type { FirstValues } from './first_values.ts'
import { Senders } from './senders.ts'
import type { SenderRules, Step } from './senders.ts'
import type { SeriesMemory } from './series_memory.ts'
import type { DeltaState } from './state.ts'
import type { DeltaAccount, Work } from './work.ts'

/** The context in which differences of points are taken. */
interface PointRules {
  readonly senders: SenderRules
  readonly extremes: ExtremesOfDifferences
  readonly severalWriters?: (metric: Metric) => void
  readonly tooLarge?: (metric: Metric) => void
}

/** Takes differences point by point, for any points. Twin: `ByBytes`, which is quicker for the points that it supports. */
export class ByPoints {
  readonly #memory: SeriesMemory
  readonly #state: DeltaState
  readonly #firsts: FirstValues
  readonly #remembered: RememberedBytes
  readonly #rules: PointRules
  /** Whether a part of the batch found no room. */
  isFull = false

  constructor(
    {
      memory,
      state,
      firsts,
      remembered,
    }: {
      readonly memory: SeriesMemory
      readonly state: DeltaState
      readonly firsts: FirstValues
      readonly remembered: RememberedBytes
    },
    rules: PointRules,
  ) {
    this.#memory = memory
    this.#state = state
    this.#firsts = firsts
    this.#remembered = remembered
    this.#rules = rules
  }

  /**
   * The differences of the points of metrics that are the same, by metric. `latest`: the last time of all of them in
   * the batch, if known.
   */
  differences(metrics: readonly Metric[], owner: number, latest: bigint | undefined, work: Work): DataPoint[][] {
    return atOnce(this.differencesInTurns(metrics, owner, latest, work))
  }

  /** `differences` in turns. */
  *differencesInTurns(
    metrics: readonly Metric[],
    owner: number,
    latest: bigint | undefined,
    work: Work,
  ): Divided<DataPoint[][]> {
    const places: PlacedPoint[] = []
    for (const [at, metric] of metrics.entries()) {
      addPlaces(places, metric, at, work.account)
      if (places.length >= LONG) metric.forget()
      yield
    }
    const starts = [0]
    for (const { pointCount } of metrics) starts.push((starts.at(-1) as number) + pointCount)
    const differences = new MadePoints(metrics[0], starts.at(-1))
    const ordered = byTime(places)
    yield* this.#noteTimes(ordered, owner, latest, work.now)
    for (const few of blocksOf(ordered)) {
      for (const each of few) {
        const difference = this.#difference(metrics[each.at], each, owner, work)
        if (difference !== undefined) differences.set(starts[each.at] + each.index, difference)
      }
      if (ordered.length >= LONG) forgetPoints(few)
      yield
    }
    return metrics.map((_, at) => differences.all(starts[at], starts[at + 1]))
  }

  /** Notes times and starts before any point is looked at, so that the order of points of one time does not matter. */
  *#noteTimes(places: readonly PlacedPoint[], owner: number, latest: bigint | undefined, now: number): Divided<void> {
    const last = places.at(-1)?.time
    if (last === undefined || !this.#firsts.areNoted) return
    this.#firsts.note(owner, latest ?? last)
    for (const few of blocksOf(places)) {
      for (const place of few) {
        if (this.#firsts.isNoted(owner, place.start)) continue
        const series = this.#memory.findPoint(owner, place.point, now)
        place.series = series
        if (series >= 0 && this.#memory.knows(series)) this.#firsts.noteStart(owner, place.start)
      }
      if (places.length >= LONG) forgetPoints(few)
      yield
    }
  }

  #difference(metric: Metric, { point, series: found }: PlacedPoint, owner: number, work: Work): DataPoint | undefined {
    const { account, now } = work
    const series = found ?? this.#memory.findPoint(owner, point, now)
    if (series < 0) return this.refuse(metric, series, 1, account)
    const last = this.#memory.last(series)
    if (last === undefined && !this.#memory.hasRoomFor(point)) return this.refuse(metric, NO_ROOM, 1, account)
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
    this.#state.begin(series)
    if (result === 'several_writers') this.#rules.severalWriters?.(metric)
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
    if (this.#firsts.keeps(start, time)) return { result: countedFromZero(undefined, point) }
    const since = start <= time ? this.#firsts.lastWithout(owner, start, time) : undefined
    return { result: since === undefined ? 'first_value' : point.with({ startTimeUnixNano: since }) }
  }

  #follow(series: number, last: Remembered, point: CumulativePoint): Step {
    const senders = this.#memory.sendersOf(series) ?? new Senders(last)
    senders.last = last
    const step = senders.follow(point, this.#rules.senders)
    const { used } = this.#remembered
    if (senders.last !== last) this.#memory.remember(series, senders.last)
    this.#memory.rememberSenders(series, senders)
    if (this.#remembered.used <= used || this.#memory.isWithinLimit) return step
    this.isFull = true
    this.#memory.forget(series)
    return step.result === 'later' ? { ...step, result: 'too_many_series' } : step
  }

  /** Drops points of a metric that is not to be remembered, or whose series are not. */
  refuse(metric: Metric, why: number, points: number, account: DeltaAccount): undefined {
    const isLarge = why === TOO_LARGE
    if (isLarge) this.#rules.tooLarge?.(metric)
    else this.isFull = true
    if (points > 0) account.dropped(isLarge ? 'attributes_too_large' : 'too_many_series', points)
  }

  /** `point`: the point that the difference was taken from, unless it is the first of its series and the difference is the whole value. */
  #withExtremes(difference: DataPoint, point: CumulativePoint | undefined): DataPoint {
    if (difference.kind === 'number' || difference.kind === 'summary' || this.#rules.extremes === 'reached')
      return difference
    if (this.#rules.extremes === 'bounded' && point === undefined) return difference
    if (this.#rules.extremes === 'none' || difference.count === 0)
      return difference.with({ min: undefined, max: undefined })
    const { min, max } = point as HistogramPoint | ExponentialHistogramPoint
    return difference.with(boundedExtremes(difference.with({ min, max })))
  }
}

/** A point, with its metric and its position there. */
interface PlacedPoint {
  readonly point: CumulativePoint
  readonly time: bigint
  readonly start: bigint
  readonly at: number
  readonly index: number
  /** The number of its series, once it was looked up. */
  series: number | undefined
}

/** Adds the points of a metric that hold a value; the others are reported to `account`. */
function addPlaces(places: PlacedPoint[], metric: Metric, at: number, account: DeltaAccount): void {
  ;(metric.points as readonly CumulativePoint[]).forEach((point, index) => {
    const missing = missingValue(point)
    if (missing !== undefined) return account.dropped(missing, 1)
    const { timeUnixNano: time, startTimeUnixNano: start } = point
    places.push({ point, time, start, at, index, series: undefined })
  })
}

/** As many as are worked on before others have a turn, one after the other. */
function* blocksOf(places: readonly PlacedPoint[]): Generator<readonly PlacedPoint[]> {
  for (let start = 0; start < places.length; start += PART) yield places.slice(start, start + PART)
}

/** Lets go of what was read of points, which is read again. */
function forgetPoints(places: readonly PlacedPoint[]): void {
  for (const { point } of places) point.forget()
}

/** In the order of time; those of one time stay as they are. */
function byTime(places: readonly PlacedPoint[]): readonly PlacedPoint[] {
  if (places.every(({ time }, index) => index === 0 || time >= places[index - 1].time)) return places
  const byTime = new Map<bigint, PlacedPoint[]>()
  for (const place of places) {
    const same = byTime.get(place.time)
    if (same === undefined) byTime.set(place.time, [place])
    else same.push(place)
  }
  // Much quicker than comparing points: there may be a hundred thousand.
  return Array.from(BigUint64Array.from(byTime.keys()).sort()).flatMap((time) => byTime.get(time) as PlacedPoint[])
}

/** Why a point holds no usable value, as the reason it is counted under; `undefined` if it holds one. */
export function missingValue(point: DataPoint): 'no_recorded_value' | 'not_finite' | undefined {
  if (!point.hasValue) return 'no_recorded_value'
  if (point.kind !== 'number') return undefined
  if (point.value === undefined) return 'no_recorded_value'
  return typeof point.value === 'bigint' || Number.isFinite(point.value) ? undefined : 'not_finite'
}
