import type { Clock } from '../clock.ts'
import { Attributes } from '../otlp/attributes.ts'
import { BytesIndex, grown } from '../otlp/bytes_index.ts'
import { MetricIndex } from '../otlp/metric_index.ts'
import type { NumberPointCursor } from '../otlp/number_cursor.ts'
import type { Metric } from '../otlp/metrics.ts'
import { scopeIdentity } from '../otlp/resource.ts'
import type { Resource, Scope } from '../otlp/resource.ts'
import { readAttributeFields } from '../otlp/wire/point.ts'
import type { Kept, Samples, Settled } from './samples.ts'
import { SentSeconds } from './sent_seconds.ts'
import { SentState } from './sent_state.ts'

/** Sources remembered at most. */
const MAX_KNOWN = 1_000_000
/** Of so many of them it is asked how old they are, when there are too many. */
const SAMPLED = 1000

/** What is known of a source: which series of Datadog's it feeds, and when it came last, in seconds. */
const SERIES = 0
const SEEN = 1
const STRIDE = 2
const NONE = -1

/** The same bytes are another source as counts, as gauges, and as what is made of a histogram or summary. */
const KINDS = 3
export const GAUGE = 0
export const COUNT = 1
export const WHOLE = 2
export type Kind = typeof GAUGE | typeof COUNT | typeof WHOLE

/** Where the attributes of a point stand. */
export type PointBytes = Pick<NumberPointCursor, 'view' | 'attributesStart' | 'attributesEnd'>

/** The attributes of a point that is an object, as bytes: those on the wire, or their identity, which begins with a digit. */
export function bytesOf({ identityBytes }: Attributes): PointBytes {
  const { view, start, end } = identityBytes
  return { view, attributesStart: start, attributesEnd: end }
}

/**
 * Which series of Datadog's the points of each source are, from batch to batch, and in which seconds these were sent. A source is
 * a series as its sender knows it, by the bytes it comes as; several become one series where what tells them apart is not sent.
 */
export class KnownSeries {
  /** Datadog's series, by kind and what they are written as. */
  readonly series = new BytesIndex()
  readonly #sent = new SentSeconds((series, second) => this.state.add(series, second))
  /** What is to survive a restart. */
  readonly state = new SentState(this.#sent, {
    bytes: (series) => this.series.bytes(series).slice(),
    numberOf: (view, start, end) => this.numberOf(COUNT, view, start, end),
  })
  readonly #metrics = new MetricIndex(({ type, name }, resource, scope, schemaUrl) =>
    [type, name, resource.attributes.identity, scopeIdentity(scope, schemaUrl)].join('\n'),
  )
  /** By the bytes of their attributes; their owner says of which metric and kind they are. */
  readonly #sources = new BytesIndex()
  #places = new Int32Array(64 * STRIDE)
  /** By series: the source of its last sample. */
  #origins = new Int32Array(64)
  #now = 0
  /** The same in whole seconds. */
  #second = 0
  #lastSweep: number

  constructor(private readonly clock: Clock) {
    this.#lastSweep = clock.monotonic()
  }

  /** Begins a batch, before which what has sent nothing for `ttl` milliseconds is forgotten. Returns whether anything was. */
  begin(batch: object, ttl: number): boolean {
    this.#now = this.clock.monotonic()
    this.#second = Math.floor(this.#now / 1000)
    // Only between batches, so that within one the same source is the same number.
    const full = this.#sources.size > MAX_KNOWN
    const swept = full || this.#now - this.#lastSweep >= ttl / 2
    if (swept) this.#forget(full ? this.#middleSeen() : (this.#now - ttl) / 1000)
    this.#sent.begin(batch)
    return swept
  }

  /** Lets go of the request that the batch came in. */
  end(batch: object): void {
    this.#metrics.end()
    this.#sent.end(batch)
  }

  /** Nothing of a batch will be sent any more, or again. */
  ended(batch: object): void {
    this.#sent.ended(batch)
  }

  /** What stands for the sources of a metric and kind. */
  ownerOf(kind: Kind, metric: Metric, resource: Resource, scope: Scope, schemaUrl: string): number {
    return this.#metrics.numberOf(metric, resource, scope, schemaUrl, this.#now) * KINDS + kind
  }

  /** The number of a source; -1 when it is not known. */
  find(owner: number, { view, attributesStart, attributesEnd }: PointBytes): number {
    return this.#sources.find(owner, view, attributesStart, attributesEnd)
  }

  /** Gives a number to the source that `find` has just looked for in vain. */
  add(owner: number, { view, attributesStart, attributesEnd }: PointBytes, series: number): number {
    const source = this.#sources.add(owner, view, attributesStart, attributesEnd)
    if ((source + 1) * STRIDE > this.#places.length) this.#places = grown(this.#places)
    this.assign(source, series)
    return source
  }

  isOwnedBy(source: number, owner: number): boolean {
    return this.#sources.owner(source) === owner
  }

  /** The series of a source, which has come again now. */
  seriesOf(source: number): number {
    this.#places[source * STRIDE + SEEN] = this.#second
    return this.#places[source * STRIDE + SERIES]
  }

  /** Says which series a source feeds, or why none. */
  assign(source: number, series: number): void {
    this.#places[source * STRIDE + SERIES] = series
  }

  /** The number of a series of Datadog's, by kind and what it is written as, from `start` to `end`. */
  numberOf(kind: Kind, view: DataView, start: number, end: number): number {
    const known = this.series.find(kind, view, start, end)
    if (known >= 0) return known
    const series = this.series.add(kind, view, start, end)
    while (series >= this.#origins.length) this.#origins = grown(this.#origins)
    this.#origins[series] = NONE
    this.#sent.forget(series)
    this.state.forget(series)
    return series
  }

  /** Whether two numbers are one source, whose attributes came in another order. */
  isSame(source: number, other: number): boolean {
    if (source === other) return true
    const owner = this.#sources.owner(source)
    const otherOwner = this.#sources.owner(other)
    // What is made of a histogram or summary.
    if (owner < 0 && otherOwner < 0 && Buffer.compare(this.#sources.bytes(source), this.#sources.bytes(other)) === 0) {
      return this.isSame(-1 - owner, -1 - otherOwner)
    }
    return owner === otherOwner && owner >= 0 && this.#identityOf(source) === this.#identityOf(other)
  }

  /** The name of the metric that a source belongs to. */
  nameOf(source: number): string {
    const owner = this.#sources.owner(source)
    if (owner < 0) return this.nameOf(-1 - owner)
    return this.#metrics.identity(Math.floor(owner / KINDS)).split('\n')[1]
  }

  /**
   * What becomes of a gauge in whose second an earlier batch sent one of its series: it is overwritten by that of another source, or
   * merged into a later one of its own. `undefined`: it is sent.
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
    // What stands for several sources is not replaced by one of them.
    if (!isOwn || (kept !== 'latest' && sent.isShared(series))) return 'overwritten'
    return sent.isNewest(series, second, time) ? undefined : 'merged'
  }

  /** Two sources feed a series, unless they are one. */
  meet(series: number, source: number, other: number, isCount: boolean): void {
    if (source !== other && !this.#sent.isShared(series) && !this.isSame(source, other))
      this.#sent.share(series, isCount)
  }

  /** `Samples.settle`. */
  settle(samples: Samples): Settled {
    const { series, origins, covered, count } = samples
    for (let index = 0; index < count; index++) {
      const before = this.#origins[series[index]]
      if (before === origins[index]) continue
      if (before !== NONE) this.meet(series[index], before, origins[index], !Number.isNaN(covered[index]))
      this.#origins[series[index]] = origins[index]
    }
    return samples.settle(this.#sent)
  }

  #identityOf(source: number): string {
    const bytes = Buffer.from(this.#sources.bytes(source))
    if (bytes[0] >= ZERO && bytes[0] <= NINE) return bytes.toString()
    return Attributes.from(readAttributeFields({ bytes }, 0, bytes.length)).identity
  }

  #forget(before: number): void {
    this.#lastSweep = this.#now
    const isUsed = new Uint8Array(this.#origins.length)
    const isGone = new Uint8Array(this.#sources.end)
    this.#sources.forget((source) => {
      const gone = this.#places[source * STRIDE + SEEN] < before
      if (gone) isGone[source] = 1
      else isUsed[this.#places[source * STRIDE + SERIES]] = 1
      return gone
    })
    this.series.forget((series) => {
      if (isUsed[series] === 1) return false
      this.#sent.forget(series)
      this.state.forget(series)
      return true
    })
    this.#origins = this.#origins.map((source) => (isGone[source] === 1 ? NONE : source))
    this.#metrics.forget(before * 1000)
  }

  /** A second behind that in which about half of what is known came last, so that what comes all the time stays. */
  #middleSeen(): number {
    const seen: number[] = []
    const step = Math.floor(this.#sources.size / SAMPLED)
    for (let source = 0; source < this.#sources.size; source += step) seen.push(this.#places[source * STRIDE + SEEN])
    return seen.sort((left, right) => left - right)[seen.length >> 1] + 1
  }
}

const ZERO = '0'.charCodeAt(0)
const NINE = '9'.charCodeAt(0)
