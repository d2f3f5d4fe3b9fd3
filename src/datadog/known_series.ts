import type { Clock } from '../time/clock.ts'
import { Attributes } from '../otlp/common/attributes.ts'
import { BytesIndex, doubled } from '../otlp/wire/bytes_index.ts'
import { MetricIndex } from '../otlp/metrics/metric_index.ts'
import type { Enclosing, Identify } from '../otlp/metrics/metric_index.ts'
import type { NumberPointCursor } from '../otlp/metrics/number_cursor.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import {
  MAX_ATTRIBUTES,
  MISSED_INTERVALS,
  nextInterval,
  NO_ROOM,
  oldestOf,
  rememberedBytes,
  UNKNOWN_INTERVAL,
} from '../otlp/common/remembered_bytes.ts'
import type { Memory } from '../otlp/common/remembered_bytes.ts'
import { scopeIdentity } from '../otlp/common/resource.ts'
import { readAttributeRun } from '../otlp/common/attributes_codec.ts'
import type { Kept, Samples, Settled } from './samples.ts'
import { SentSeconds } from './sent_seconds.ts'
import { SentState } from './sent_state.ts'

/** The most sources that are remembered. */
const MAX_KNOWN = 1_000_000

/** The memory of a source: the Datadog series that it feeds, when it was last seen and at what interval (0: not known), in seconds. */
const SERIES = 0
const SEEN = 1
const INTERVAL = 2
const STRIDE = 3
const NONE = -1
/** Bytes of a source, and of a series, in arrays that grow twofold, including those of `SentSeconds` and `Samples`. */
const SOURCE_BYTES = 24
const SERIES_BYTES = 36
/** The shortest interval in seconds, because delayed data comes all at once. */
const LEAST_INTERVAL = 60
/** Metrics that are not remembered have numbers from this one on. */
const PASSING = 2 ** 28

/** The same bytes are another source as counts, as gauges, and as data made from a histogram or summary. */
const KINDS = 3
export const GAUGE = 0
export const COUNT = 1
export const WHOLE = 2
export type Kind = typeof GAUGE | typeof COUNT | typeof WHOLE

/** The position of a point's attributes. */
export type PointBytes = Pick<NumberPointCursor, 'view' | 'attributesStart' | 'attributesEnd'>

/** The attributes of a point that is an object, as bytes: those on the wire, or their identity, which begins with a digit. */
export function bytesOf({ identityBytes }: Attributes): PointBytes {
  const { view, start, end } = identityBytes
  return { view, attributesStart: start, attributesEnd: end }
}

/**
 * The Datadog series of each source's points, from batch to batch, and the seconds in which they were sent. A source is
 * a series as its sender knows it, by its bytes; several sources become one series if the attributes that distinguish
 * them are not sent.
 *
 * What is too large to be remembered, or finds no room, is only known within its batch, so that it is sent as if it came for the first time.
 *
 * What runs for each point of the rows `OTLP to Datadog` of `npm run bench` has parameters without names.
 */
export class KnownSeries implements Memory {
  /** Datadog's series, by kind and written form. */
  readonly series: BytesIndex
  readonly #sent: SentSeconds
  /** The part of the memory that has to survive a restart. */
  readonly state: SentState
  readonly #metrics: MetricIndex
  /** By the bytes of their attributes; their owner is the metric and kind. */
  readonly #sources: BytesIndex
  #places = new Int32Array(64 * STRIDE)
  /** By series: the source of its last sample. */
  #origins = new Int32Array(64)
  /** Entries that are only known within the batch: metrics by identity, and the reverse; sources; and series. */
  readonly #passingMetrics = new Map<string, number>()
  readonly #passingIdentities: string[] = []
  readonly #passingSources = new Set<number>()
  readonly #passingSeries = new Set<number>()
  /** Milliseconds, and the same in whole seconds. */
  #now = 0
  #second = 0
  #lastSweep: number
  /** Whether anything was forgotten since the last batch. */
  #swept = false
  /** Whether anything in the batch found no room. */
  #isFull = false
  /** Whether a batch was begun and has not ended: other work may have a turn meanwhile. */
  #isWithin = false

  /** `full`: called after each batch in which something found no room. */
  constructor(
    private readonly clock: Clock,
    private readonly full: () => void,
  ) {
    this.#lastSweep = clock.monotonic()
    this.series = new BytesIndex(rememberedBytes, SERIES_BYTES)
    this.#sources = new BytesIndex(rememberedBytes, SOURCE_BYTES)
    this.#metrics = new MetricIndex(identify, rememberedBytes)
    this.#sent = new SentSeconds((series, second) => this.state.add(series, second), rememberedBytes)
    this.state = new SentState(this.#sent, {
      bytes: (series) => this.series.bytes(series).slice(),
      numberOf: (view, start, end) => {
        const series = this.numberOf(COUNT, view, start, end, true)
        return this.keepsSeries(series) ? series : NONE
      },
      forget: () => this.#forget(() => true),
    })
    rememberedBytes.memories.add(this)
  }

  /** Begins a batch, after forgetting sources that sent nothing for `ttl` milliseconds. Returns whether any were forgotten. */
  begin(batch: object, ttl: number): boolean {
    this.#now = this.clock.monotonic()
    this.#second = Math.floor(this.#now / 1000)
    // Only between batches, so that the same source keeps its number within one.
    if (this.#now - this.#lastSweep >= ttl / 2) {
      this.#lastSweep = this.#now
      this.#forget((source) => this.#second - this.#places[source * STRIDE + SEEN] > ttl / 1000)
    }
    rememberedBytes.makeRoom(this.clock)
    const swept = this.#swept
    this.#swept = false
    this.#sent.begin(batch)
    this.#forgetPassing()
    this.#isWithin = true
    return swept
  }

  end(batch: object): void {
    this.#isWithin = false
    this.#sent.end(batch, this.#passingSeries)
    if (this.#isFull) this.full()
    this.#isFull = false
  }

  /** No part of a batch will be sent any more, or again. */
  ended(batch: object): void {
    this.#sent.ended(batch)
  }

  /** `Memory`. */
  shrink(part: number): void {
    // Within a batch, the same source keeps its number.
    if (this.#isWithin) return
    const places = this.#places
    const second = Math.floor(this.clock.monotonic() / 1000)
    const ageOf = (source: number): number => second - places[source * STRIDE + SEEN]
    this.#forget((source) => {
      const interval = places[source * STRIDE + INTERVAL]
      return (
        ageOf(source) >
        MISSED_INTERVALS * (interval === 0 ? UNKNOWN_INTERVAL / 1000 : Math.max(interval, LEAST_INTERVAL))
      )
    })
    if (part === 0) return
    const ages = new Int32Array(this.#sources.end).fill(NONE)
    this.#sources.forget((source) => {
      ages[source] = ageOf(source)
      return false
    })
    const isOld = oldestOf(ages, part)
    this.#forget((source) => isOld[source] === 1)
  }

  /** Forgets everything: there will be no further batch. */
  close(): void {
    rememberedBytes.memories.delete(this)
    this.#forget(() => true)
  }

  /** What stands for the sources of a metric and kind. */
  ownerOf(kind: Kind, metric: Metric, enclosing: Enclosing): number {
    const number = this.#metrics.numberOf(metric, enclosing)
    return (number >= 0 ? number : this.#passingOf(identify(metric, enclosing), number)) * KINDS + kind
  }

  /** Whether an owner is known beyond the batch. */
  keepsOwner(owner: number): boolean {
    return owner < 0 ? this.keeps(-1 - owner) : owner < PASSING * KINDS
  }

  /** Whether a source is known beyond the batch. */
  keeps(source: number): boolean {
    return !this.#passingSources.has(source)
  }

  /** Whether a series is known beyond the batch. */
  keepsSeries(series: number): boolean {
    return !this.#passingSeries.has(series)
  }

  /** Whether the source that `find` has not found can be known beyond the batch. */
  mayKeep(owner: number, { attributesStart, attributesEnd }: PointBytes): boolean {
    return this.keepsOwner(owner) && this.#hasRoom(this.#sources, attributesEnd - attributesStart)
  }

  /** The number of a source; -1 if it is not known. */
  find(owner: number, { view, attributesStart, attributesEnd }: PointBytes): number {
    return this.#sources.find(owner, view, attributesStart, attributesEnd)
  }

  /** Gives a number to the source that `find` has not found, after a call of `mayKeep`. */
  add(owner: number, { view, attributesStart, attributesEnd }: PointBytes, series: number, isKept: boolean): number {
    const source = this.#sources.add(owner, view, attributesStart, attributesEnd)
    if (!isKept || !this.keepsSeries(series)) this.#passingSources.add(source)
    if ((source + 1) * STRIDE > this.#places.length) this.#places = doubled(this.#places)
    this.#places[source * STRIDE + SEEN] = this.#second
    this.#places[source * STRIDE + INTERVAL] = 0
    this.assign(source, series)
    return source
  }

  isOwnedBy(source: number, owner: number): boolean {
    return this.#sources.owner(source) === owner
  }

  /** The series of a source that occurs again now. */
  seriesOf(source: number): number {
    const at = source * STRIDE
    if (this.#places[at + SEEN] !== this.#second) this.#see(at)
    return this.#places[at + SERIES]
  }

  #see(at: number): void {
    const places = this.#places
    places[at + INTERVAL] = nextInterval(places[at + INTERVAL], this.#second - places[at + SEEN])
    places[at + SEEN] = this.#second
  }

  /** Notes the series that a source feeds, or the reason why there is none. */
  assign(source: number, series: number): void {
    this.#places[source * STRIDE + SERIES] = series
  }

  /** The number of a Datadog series, by kind and by its written form from `start` to `end`. `isKept`: whether its source is. */
  numberOf(kind: Kind, view: DataView, start: number, end: number, isKept: boolean): number {
    const known = this.series.find(kind, view, start, end)
    if (known >= 0) return known
    const keeps = isKept && this.#hasRoom(this.series, end - start)
    const series = this.series.add(kind, view, start, end)
    if (!keeps) this.#passingSeries.add(series)
    while (series >= this.#origins.length) this.#origins = doubled(this.#origins)
    this.#origins[series] = NONE
    this.#forgetSeries(series)
    return series
  }

  /** Whether two numbers are one source, whose attributes came in another order. */
  isSame(source: number, other: number): boolean {
    if (source === other) return true
    const owner = this.#sources.owner(source)
    const otherOwner = this.#sources.owner(other)
    // Data made from a histogram or summary.
    if (owner < 0 && otherOwner < 0 && Buffer.compare(this.#sources.bytes(source), this.#sources.bytes(other)) === 0) {
      return this.isSame(-1 - owner, -1 - otherOwner)
    }
    return owner === otherOwner && owner >= 0 && this.#identityOf(source) === this.#identityOf(other)
  }

  /** The name of the metric that a source belongs to. */
  nameOf(source: number): string {
    const owner = this.#sources.owner(source)
    if (owner < 0) return this.nameOf(-1 - owner)
    const metric = Math.floor(owner / KINDS)
    const identity = metric < PASSING ? this.#metrics.identity(metric) : this.#passingIdentities[metric - PASSING]
    return identity.split('\n')[1]
  }

  /**
   * The fate of a gauge if an earlier batch sent one of its series in the same second: it is overwritten by that of
   * another source, or merged into a later one of its own. `undefined`: it is sent.
   */
  heldGauge(
    series: number,
    source: number,
    second: number,
    time: number,
    kept: Kept,
  ): 'merged' | 'overwritten' | undefined {
    const sent = this.#sent
    if (!sent.mayHold(series, second) || !sent.holdsGauge(series, second)) return undefined
    const isOwn = this.isSame(this.#origins[series], source)
    // A value of several sources is not replaced by that of one of them.
    if (!isOwn || (kept !== 'latest' && sent.isShared(series))) return 'overwritten'
    return sent.isNewest(series, second, time) ? undefined : 'merged'
  }

  /** Two sources feed a series, unless they turn out to be one. */
  meet(series: number, source: number, other: number, isCount: boolean): void {
    if (source !== other && !this.#sent.isShared(series) && !this.isSame(source, other))
      this.#sent.share(series, isCount)
  }

  /** `Samples.settle`. */
  settle(samples: Samples): Settled {
    const { series, origins, covered, count } = samples
    for (let index = 0; index < count; index++) {
      if (this.#origins[series[index]] === origins[index]) continue
      this.#come(series[index], origins[index], !Number.isNaN(covered[index]))
    }
    return samples.settle(this.#sent)
  }

  /** A series gets a sample of another source than before. */
  #come(series: number, origin: number, isCount: boolean): void {
    const before = this.#origins[series]
    if (before !== NONE) this.meet(series, before, origin, isCount)
    if (this.keeps(origin)) this.#origins[series] = origin
  }

  #identityOf(source: number): string {
    const bytes = Buffer.from(this.#sources.bytes(source))
    if (bytes[0] >= ZERO && bytes[0] <= NINE) return bytes.toString()
    return Attributes.from(readAttributeRun({ bytes }, 0, bytes.length)).identity
  }

  /** Whether something of this many bytes may be remembered. */
  #hasRoom(index: BytesIndex, length: number): boolean {
    if (length > MAX_ATTRIBUTES) return false
    if (index.size >= MAX_KNOWN) rememberedBytes.isFull()
    else if (rememberedBytes.hasRoom(index.bytesFor(length))) return true
    this.#isFull = true
    return false
  }

  #passingOf(identity: string, why: number): number {
    if (why === NO_ROOM) this.#isFull = true
    const known = this.#passingMetrics.get(identity)
    if (known !== undefined) return known
    const number = PASSING + this.#passingIdentities.push(identity) - 1
    this.#passingMetrics.set(identity, number)
    return number
  }

  #forgetPassing(): void {
    // Almost always: emptying an empty collection takes time for every batch.
    if (this.#passingMetrics.size + this.#passingSources.size + this.#passingSeries.size === 0) return
    this.#passingMetrics.clear()
    this.#passingIdentities.length = 0
    // From the last to the first, so that the memory of each is released at once.
    for (const source of [...this.#passingSources].reverse()) this.#sources.forgetOne(source)
    for (const series of [...this.#passingSeries].reverse()) {
      this.#forgetSeries(series)
      this.series.forgetOne(series)
    }
    this.#passingSources.clear()
    this.#passingSeries.clear()
  }

  #forgetSeries(series: number): void {
    this.#sent.forget(series)
    this.state.forgetSeries(series)
  }

  /** Forgets the sources for which `isGone` returns true, and the series and metrics that have no other. */
  #forget(isGone: (source: number) => boolean): void {
    this.#forgetPassing()
    const { used } = rememberedBytes
    const owned = (source: number): number => -1 - this.#sources.owner(source)
    // Data made from a histogram or summary goes with it.
    const goes = (source: number): boolean => isGone(source) || (owned(source) >= 0 && goes(owned(source)))
    const metricOf = (source: number): number =>
      owned(source) >= 0 ? metricOf(owned(source)) : Math.floor(this.#sources.owner(source) / KINDS)
    const isUsed = new Uint8Array(this.#origins.length)
    const gone = new Uint8Array(this.#sources.end)
    const metrics = new Set<number>()
    this.#sources.forget((source) => {
      if (goes(source)) gone[source] = 1
      else {
        isUsed[this.#places[source * STRIDE + SERIES]] = 1
        metrics.add(metricOf(source))
      }
      return gone[source] === 1
    })
    this.series.forget((series) => {
      if (isUsed[series] === 1) return false
      this.#forgetSeries(series)
      return true
    })
    this.#origins = this.#origins.map((source) => (gone[source] === 1 ? NONE : source))
    this.#metrics.keep(metrics)
    if (rememberedBytes.used < used) this.#swept = true
  }
}

const identify: Identify = ({ type, name }, { resource, scope, schemaUrl }) =>
  [type, name, resource.attributes.identity, scopeIdentity(scope, schemaUrl)].join('\n')

const ZERO = '0'.charCodeAt(0)
const NINE = '9'.charCodeAt(0)
