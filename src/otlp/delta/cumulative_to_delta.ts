import { systemClock } from '../../time/clock.ts'
import type { Clock } from '../../time/clock.ts'
import type { Divided } from '../../time/turns.ts'
import { NO_ROOM, rememberedBytes } from '../common/remembered_bytes.ts'
import type { Memory, RememberedBytes } from '../common/remembered_bytes.ts'
import type { MetricBatch } from '../metrics/batch.ts'
import type { Enclosing } from '../metrics/metric_index.ts'
import type { Metric, ResourceMetrics } from '../metrics/metric.ts'
import { forget, inBytes, joined, partsOf } from '../common/parts.ts'
import type { Part } from '../common/parts.ts'
import type { DataPoint } from '../metrics/points.ts'
import { doubled } from '../wire/bytes_index.ts'
import { ByBytes } from './by_bytes.ts'
import type { ExtremesOfDifferences } from './by_bytes.ts'
import { ByPoints } from './by_points.ts'
import { FirstValues } from './first_values.ts'
import type { InitialValue } from './first_values.ts'
import { SeriesMemory } from './series_memory.ts'
import { DeltaState } from './state.ts'
import type { DeltaAccount, Work } from './work.ts'

export interface DeltaOptions {
  readonly initialValue: InitialValue
  /** Milliseconds after which a series that sends nothing is forgotten. */
  readonly ttl?: number
  /** The most series that are remembered, including other spellings of their attributes; the points of further ones are dropped. */
  readonly maxSeries?: number
  /**
   * Which minimum and maximum the differences of histograms have: none; those that were `reached` since the previous
   * point; or those of all time, `bounded` by the buckets that have counted since then.
   */
  readonly extremes?: ExtremesOfDifferences
  /**
   * Whether the count and sum of summaries are turned into differences, too. If these are withheld, the point is passed
   * on for its quantiles: it covers no time (it starts when it ends), and its count and sum are 0.
   */
  readonly summaries?: boolean
  /** Called when points are withheld because more senders share a series than can be distinguished. */
  readonly severalWriters?: (metric: Metric) => void
  /** Called when points are dropped because a name or set of attributes is too large to be remembered. */
  readonly tooLarge?: (metric: Metric) => void
  /** Called after each batch that lost points because the memory is full. */
  readonly full?: () => void
  /** Counts the bytes of the memory. */
  readonly remembered?: RememberedBytes
  readonly clock?: Clock
}

/** Milliseconds; the same as in the translators of Datadog and the Collector. */
const DEFAULT_TTL = 3_600_000
const DEFAULT_MAX_SERIES = 1_000_000

/** The message to log when `severalWriters` is called. */
export const SEVERAL_WRITERS =
  'More than four senders share one series of a metric, so that their counts cannot be distinguished: the points of further senders are withheld. Give each sender a resource attribute of its own, such as service.instance.id.'

/** The message to log when `tooLarge` is called. */
export const ATTRIBUTES_TOO_LARGE =
  'The name or a set of attributes of a cumulative metric is larger than 16 KiB. It cannot be remembered, so no difference can be taken: its points are dropped as `attributes_too_large`.'

const NONE = -1

/** Metrics of one batch that are the same metric. */
interface Repeated {
  readonly metrics: Metric[]
  /** The latest time of their points. */
  latest: bigint
  /** Whether points of one come before earlier points of another. */
  unordered: boolean
  /** Differences of those that are not in the result yet, once they were taken. */
  differences?: DataPoint[][]
}
const NOTHING_REPEATED: ReadonlyMap<number, Repeated> = new Map()

/** The number of each metric, and whether one occurs twice. */
interface Owners {
  readonly all: readonly number[]
  readonly repeated: boolean
}

/** Entries of a batch with the number of each of their metrics. */
interface Owned {
  readonly entries: readonly ResourceMetrics[]
  readonly owners: readonly number[]
}

/**
 * Turns cumulative monotonic sums and cumulative histograms of either kind into differences, and passes everything else on
 * as it is. Remembers the last point of every series.
 */
export class CumulativeToDelta implements Memory {
  readonly #clock: Clock
  readonly #ttl: number
  readonly #summaries: boolean
  readonly #countsResets: boolean
  readonly #full: (() => void) | undefined
  readonly #remembered: RememberedBytes
  readonly #memory: SeriesMemory
  /** For a queue that keeps the memory over a restart. */
  readonly state: DeltaState
  readonly #byBytes: ByBytes
  readonly #byPoints: ByPoints
  /** By metric: the last batch that it was in. */
  #batches = new Int32Array(64)
  #batch = 0
  #lastSweep: number
  /** Withheld points of series that were forgotten, until they are reported. */
  #givenUp = 0
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
    full,
    ...options
  }: DeltaOptions) {
    this.#clock = clock
    this.#lastSweep = clock.monotonic()
    this.#ttl = ttl
    this.#summaries = summaries
    this.#countsResets = initialValue !== 'drop'
    this.#full = full
    this.#remembered = remembered
    const memory = new SeriesMemory(ttl, maxSeries, remembered)
    this.#memory = memory
    const state = new DeltaState(memory, clock)
    this.state = state
    const processStart = BigInt(Math.round(clock.timeOrigin)) * 1_000_000n
    const firsts = new FirstValues(initialValue, processStart, memory.exports)
    const senders = {
      countsFromZero: firsts.keeps.bind(firsts),
      countsResets: this.#countsResets,
    }
    this.#byBytes = new ByBytes(memory, state, firsts, extremes)
    this.#byPoints = new ByPoints({ memory, state, firsts, remembered }, { senders, extremes, ...options })
    remembered.memories.add(this)
  }

  /** Series remembered, including other spellings of their attributes. */
  get size(): number {
    return this.#memory.series.size
  }

  /**
   * Batches must come in order; within one, points may be in any order. A difference starts at the time of the previous
   * point. Points left out are reported to `account`: `first_value`, `counter_reset`, `out_of_order`,
   * `duplicate_timestamp`, `too_many_series`, `attributes_too_large`, `several_writers`, and `no_recorded_value` or
   * `not_finite` for points that hold no finite value. A point that is withheld until the next one explains it counts
   * as merged. Metrics that `chosen` does not accept stay as they are.
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
   * `apply` in turns: it may be left where it yields, with the same result; a metric that is in several parts is
   * treated as one that occurs several times in a batch. No other batch may begin until it has ended.
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
        results.push(inBytes(withoutEmptied(converted, work)))
        forget(part.batch)
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
    this.#byPoints.isFull = false
    return {
      account,
      now: time | 0,
      emptied: undefined,
      changes: new Map(),
      numbers: { of: this.#memory.numbering, numbers: new Int32Array(batch.pointCount), start: 0 },
    }
  }

  #convert(metric: Metric, owner: number, group: Repeated | undefined, work: Work): Metric {
    if (owner === NONE) return metric
    if (owner < 0) {
      this.#byPoints.refuse(metric, owner, metric.pointCount, work.account)
      return leftEmpty(metric, work)
    }
    if (group?.unordered) {
      group.differences ??= this.#byPoints.differences(group.metrics, owner, group.latest, work)
      return withDifferences(metric, group.differences.shift() ?? [], work)
    }
    const byBytes = this.#byBytes.convert(metric, owner, group?.latest, work)
    if (byBytes === undefined) {
      const [points] = this.#byPoints.differences([metric], owner, group?.latest, work)
      return withDifferences(metric, points, work)
    }
    if (byBytes !== 'empty' && byBytes !== 'no_room') return byBytes
    if (byBytes === 'no_room') this.#byPoints.refuse(metric, NO_ROOM, metric.pointCount, work.account)
    return leftEmpty(metric, work)
  }

  #endBatch(): void {
    this.#byBytes.close()
    if (this.#byPoints.isFull) this.#full?.()
  }

  /** `Memory`. */
  shrink(part: number): void {
    // Within a batch, a number must keep standing for the same series.
    if (this.#isWithin) return
    const now = this.#clock.monotonic() | 0
    this.#forget((series) => this.#memory.mayGo(series, now))
    if (part === 0) return
    const isOld = this.#memory.oldest(part, now)
    this.#forget((series) => isOld[series] === 1)
  }

  /** Forgets everything: there will be no further batch. */
  close(): void {
    this.#remembered.memories.delete(this)
    this.state.forget()
    this.#memory.series.close()
  }

  /**
   * The number of each metric, `NONE` for those that stay as they are, or the reason why it is not remembered; and
   * whether one occurs twice.
   */
  #ownersOf(entries: readonly ResourceMetrics[], chosen: (metric: Metric) => boolean): Owners {
    this.#nextBatch()
    return this.#ownersOfPart(entries, chosen)
  }

  #nextBatch(): void {
    this.#batch = (this.#batch + 1) | 0
  }

  /** `#ownersOf` for a part of the batch begun by `#nextBatch`. */
  #ownersOfPart(entries: readonly ResourceMetrics[], chosen: (metric: Metric) => boolean): Owners {
    const all: number[] = []
    let repeated = false
    for (const { resource, scopes } of entries) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        const enclosing: Enclosing = { resource, scope, schemaUrl }
        for (const metric of metrics) {
          if (!this.#isConvertible(metric) || !chosen(metric)) {
            all.push(NONE)
            continue
          }
          const owner = this.#memory.metrics.numberOf(metric, enclosing)
          all.push(owner)
          if (owner < 0) continue
          while (owner >= this.#batches.length) this.#batches = doubled(this.#batches)
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

  /** `#repeated` in turns, with the differences of those that are out of order. */
  *#repeatedInTurns(parts: readonly Owned[], work: Work): Divided<Map<number, Repeated>> {
    const groups = new Map<number, Repeated>()
    for (const part of parts) {
      this.#addRepeated(part, groups)
      yield
    }
    for (const [owner, group] of groups) {
      if (group.unordered)
        group.differences = yield* this.#byPoints.differencesInTurns(group.metrics, owner, group.latest, work)
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
          const [first, last] = this.#byBytes.times(metric)
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

  #sweep(time: number): void {
    this.#lastSweep = time
    const { points } = this.#memory
    this.#forget((series) => points.age(series, time | 0) > this.#ttl)
  }

  #forget(isGone: (series: number) => boolean): void {
    this.#givenUp += this.state.forgetAll(isGone)
  }

  #giveUp(account: DeltaAccount): void {
    if (this.#givenUp > 0 && this.#countsResets) {
      account.created(this.#givenUp)
      account.dropped('counter_reset', this.#givenUp)
    }
    this.#givenUp = 0
  }

  #isConvertible(metric: Metric): boolean {
    const { type } = metric
    if (type === 'summary') return this.#summaries
    if (metric.temporality !== 'cumulative') return false
    return type === 'sum' ? metric.monotonic : type === 'histogram' || type === 'exponential_histogram'
  }
}

/** The entries of a batch in groups that share no series. Processed one after the other, each group stays in the processor's caches. */
function unrelatedEntries({ resources }: MetricBatch): readonly (readonly ResourceMetrics[])[] {
  if (resources.length < 2) return [resources]
  const identities = new Set(resources.map(({ resource }) => resource.attributes.identity))
  return identities.size < resources.length ? [resources] : resources.map((entry) => [entry])
}

function withDifferences(metric: Metric, points: readonly DataPoint[], work: Work): Metric {
  const isEmptied = points.length === 0 && metric.points.length > 0
  return isEmptied ? leftEmpty(metric, work) : metric.with({ temporality: 'delta', points })
}

/** The metric, which will be removed. */
function leftEmpty(metric: Metric, work: Work): Metric {
  ;(work.emptied ??= new Set()).add(metric)
  return metric
}

function withoutEmptied(batch: MetricBatch, { emptied }: Work): MetricBatch {
  return emptied === undefined ? batch : batch.filterMetrics((metric) => !emptied.has(metric))
}
