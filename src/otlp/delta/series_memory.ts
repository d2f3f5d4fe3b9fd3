import { AttributeIndex } from '../common/attribute_index.ts'
import { bytesOf } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { ExportTimes } from './export_times.ts'
import { HistogramMemory } from './histogram_memory.ts'
import { MetricIndex } from '../metrics/metric_index.ts'
import type { Identify } from '../metrics/metric_index.ts'
import { POINT_BYTES, PointMemory } from './point_memory.ts'
import { MAX_ATTRIBUTES, NO_ROOM, oldestOf, TOO_LARGE } from '../common/remembered_bytes.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'
import { scopeIdentity } from '../common/resource.ts'
import { Senders } from './senders.ts'

/** The tag of the field of attributes in a point. */
const ATTRIBUTE_TAGS: Readonly<Record<CumulativePoint['kind'], number>> = {
  number: 0x3a,
  histogram: 0x4a,
  exponential_histogram: 0x0a,
  summary: 0x3a,
}

/** Bytes that a metric takes in `exports`, and where its batches are noted. */
const METRIC_BYTES = 300

/**
 * The memory of series: resource, scope, name, unit and attributes, and the last point. Series that behave in the usual
 * way are in a few large arrays; the senders of a series are only remembered if a start changed or a value fell.
 */
export class SeriesMemory {
  readonly metrics: MetricIndex
  readonly series: AttributeIndex
  readonly points = new PointMemory()
  readonly histograms: HistogramMemory
  readonly exports = new ExportTimes()
  /** Identity token for the numbers of the series; replaced as soon as numbers may be used again. */
  numbering = {}
  /** The last points of the series that neither `points` nor `histograms` can hold. */
  readonly #others = new Map<number, Remembered>()
  /** For the series whose start has changed, or whose last point was withheld. Their last points are stored with all others. */
  readonly #senders = new Map<number, Senders>()
  readonly #withheld = new Set<number>()

  /**
   * `ttl`: milliseconds after which a series that sends nothing is forgotten. `maxSeries`: includes other spellings.
   * Times as in `PointMemory`.
   */
  constructor(
    private readonly ttl: number,
    maxSeries: number,
    private readonly remembered: RememberedBytes,
  ) {
    this.metrics = new MetricIndex(seriesIdentity, remembered, METRIC_BYTES)
    this.series = new AttributeIndex(maxSeries, remembered, POINT_BYTES)
    this.histograms = new HistogramMemory(remembered)
  }

  /**
   * The number of the series of a metric with the attributes at this position; one that is new, or was not seen for too
   * long, has no memory. `TOO_LARGE` or `NO_ROOM` if it is new and is not to be remembered, also because its metric is
   * not.
   */
  find(owner: number, view: DataView, start: number, end: number, now: number): number {
    const series = owner < 0 ? owner : this.series.find(owner, view, start, end)
    // Small, so that it is inlined into the loop over points.
    return series >= 0 && this.points.age(series, now) <= this.ttl
      ? series
      : this.#begin(series, owner, view, start, end, now)
  }

  #begin(known: number, owner: number, view: DataView, start: number, end: number, now: number): number {
    if (owner < 0) return owner
    let series = known
    if (series < 0) {
      const length = end - start
      if (length > MAX_ATTRIBUTES || !this.series.hasRoom(length)) {
        this.exports.forgot(owner)
        return length > MAX_ATTRIBUTES ? TOO_LARGE : NO_ROOM
      }
      series = this.series.add(owner, view, start, end)
    } else this.forget(series)
    this.points.clear(series)
    this.points.see(series, now)
    return series
  }

  /** `find` for a point. */
  findPoint(owner: number, { attributes, kind }: CumulativePoint, now: number): number {
    const { encoded } = attributes
    if (encoded !== undefined) return this.find(owner, encoded.source.view, encoded.start, encoded.end, now)
    const { view, start, end } = this.series.written(attributes, ATTRIBUTE_TAGS[kind])
    return this.find(owner, view, start, end, now)
  }

  /** Whether a point is remembered, and the number is that of a series. */
  knows(series: number): boolean {
    return this.series.isSet(series) && (this.points.knows(series) || this.#others.has(series))
  }

  /** Whether the last point is in neither `points` nor `histograms`. */
  isElsewhere(series: number): boolean {
    return this.#others.has(series)
  }

  /** Whether a point is withheld until the next one comes. */
  isWithheld(series: number): boolean {
    return this.#withheld.size > 0 && this.#withheld.has(series)
  }

  last(series: number): Remembered | undefined {
    if (!this.points.knows(series)) return this.#others.get(series)
    return this.points.get(series) ?? this.histograms.get(series, this.points.times(series))
  }

  remember(series: number, last: Remembered): void {
    if (last.kind === 'number') return this.points.set(series, last)
    this.#forgetOther(series)
    if (last.kind === 'histogram' && this.histograms.set(series, last)) return this.points.setTimes(series, last)
    this.points.forget(series)
    this.histograms.forget(series)
    this.#others.set(series, last)
    this.remembered.add(bytesOf(last))
  }

  /** The senders of the series, if there is more to know than that it is one sender. */
  sendersOf(series: number): Senders | undefined {
    return this.#senders.get(series)
  }

  rememberSenders(series: number, senders: Senders): void {
    if (senders !== this.#senders.get(series)) this.#forgetSenders(series)
    if (senders.isOne) this.#forgetSenders(series)
    else {
      this.#senders.set(series, senders)
      this.remembered.add(senders.count())
    }
    if (senders.withheld === undefined) this.#withheld.delete(series)
    else this.#withheld.add(series)
  }

  /** Notes that the last point is in `points` and `histograms`, and that nothing else is known of its sender. */
  isPlain(series: number): void {
    this.#forgetOther(series)
    this.#forgetSenders(series)
    this.#withheld.delete(series)
  }

  /** Forgets a series, which keeps its number; returns whether a point was withheld. */
  forget(series: number): boolean {
    const wasWithheld = this.#withheld.has(series)
    this.points.forget(series)
    this.histograms.forget(series)
    this.isPlain(series)
    this.exports.forgot(this.series.owner(series))
    return wasWithheld
  }

  /** Whether the series has missed enough to be forgotten for another, or nothing is known of it anyway. */
  mayGo(series: number, now: number): boolean {
    return !this.knows(series) || this.points.mayGo(series, now)
  }

  /** Whether a new series may remember this point in addition to the bytes that every series takes. */
  hasRoomFor(point: CumulativePoint): boolean {
    return point.kind === 'number' || this.remembered.hasRoom(bytesOf(point))
  }

  /** Whether the total memory, here and elsewhere, is within its limit. */
  get isWithinLimit(): boolean {
    return this.remembered.hasRoom(0)
  }

  /** Whether more may be taken over from an earlier process; this leaves room for resources and scopes, and for some new series. */
  get mayRestore(): boolean {
    return this.remembered.hasRoom(this.remembered.limit / 8)
  }

  /** By number of a series, whether it is among the `part` of all that were seen longest ago. */
  oldest(part: number, now: number): Uint8Array {
    const ages = new Int32Array(this.series.end).map((_, series) =>
      this.knows(series) ? Math.max(0, this.points.age(series, now)) : -1,
    )
    return oldestOf(ages, part)
  }

  /**
   * Forgets the series for which `isGone` returns true; the numbers will be used again. Returns how many points of
   * theirs were withheld.
   */
  forgetAll(isGone: (series: number) => boolean, gone: (series: number) => void): number {
    this.numbering = {}
    let withheld = 0
    const metrics = new Set<number>()
    this.series.forget((series) => {
      if (!isGone(series)) {
        metrics.add(this.series.owner(series))
        return false
      }
      if (this.forget(series)) withheld++
      gone(series)
      return true
    })
    this.exports.keep(metrics)
    this.metrics.keep(metrics)
    return withheld
  }

  #forgetOther(series: number): void {
    const other = this.#others.get(series)
    if (other === undefined) return
    this.#others.delete(series)
    this.remembered.add(-bytesOf(other))
  }

  #forgetSenders(series: number): void {
    const senders = this.#senders.get(series)
    if (senders === undefined) return
    this.#senders.delete(series)
    this.remembered.add(-senders.counted)
    senders.counted = 0
  }
}

/** What makes a metric of a resource and scope one. */
const seriesIdentity: Identify = ({ type, name, unit }, { resource, scope, schemaUrl }) => {
  const own = [type, name, unit].map((part) => `${part.length}:${part}`).join('')
  return `${own}\n${scopeIdentity(scope, schemaUrl)}\n${resource.attributes.identity}`
}
