import { AttributeIndex } from './attribute_index.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { ExportTimes } from './export_times.ts'
import { HistogramMemory } from './histogram_memory.ts'
import { MetricIndex } from './metric_index.ts'
import type { Metric } from './metrics.ts'
import { PointMemory } from './point_memory.ts'
import { scopeIdentity } from './resource.ts'
import type { Resource, Scope } from './resource.ts'
import { Senders } from './senders.ts'

/** The tag of the field of attributes in a point. */
const ATTRIBUTE_TAGS: Readonly<Record<CumulativePoint['kind'], number>> = {
  number: 0x3a,
  histogram: 0x4a,
  exponential_histogram: 0x0a,
  summary: 0x3a,
}

/**
 * What is remembered of series: resource, scope, name, unit and attributes, and the last point. What came in the usual way
 * is in few large arrays; who sends a series is only remembered where a start changed or something fell.
 */
export class SeriesMemory {
  readonly metrics = new MetricIndex(seriesIdentity)
  readonly series: AttributeIndex
  readonly points = new PointMemory()
  readonly histograms = new HistogramMemory()
  readonly exports = new ExportTimes()
  /** Stands for the numbers of the series as they are: another object as soon as numbers may be used again. */
  numbering = {}
  /** The last points of the series for which neither `points` nor `histograms` is made. */
  readonly #others = new Map<number, Remembered>()
  /** Of the series whose start has changed, or whose last point was withheld. Their last points are where all are. */
  readonly #senders = new Map<number, Senders>()
  readonly #withheld = new Set<number>()

  /** `ttl`: milliseconds after which a series that sends nothing is forgotten. `maxSeries`: other spellings included. */
  constructor(
    private readonly ttl: number,
    private readonly maxSeries: number,
  ) {
    this.series = new AttributeIndex(maxSeries)
  }

  /**
   * The number of the series of a metric whose attributes stand there; one that is new, or was not seen for too long, remembers
   * nothing. -1: there are too many.
   */
  find(owner: number, view: DataView, start: number, end: number, now: number): number {
    let series = this.series.find(owner, view, start, end)
    if (series < 0) {
      if (this.series.size >= this.maxSeries) {
        this.exports.forgot(owner)
        return -1
      }
      series = this.series.add(owner, view, start, end)
      this.points.clear(series)
      this.points.see(series, now)
    } else if (now - this.points.seen(series) > this.ttl) {
      this.forget(series)
    }
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

  /** Whether a point is withheld until the next comes. */
  isWithheld(series: number): boolean {
    return this.#withheld.size > 0 && this.#withheld.has(series)
  }

  last(series: number): Remembered | undefined {
    if (!this.points.knows(series)) return this.#others.get(series)
    return this.points.get(series) ?? this.histograms.get(series, this.points.times(series))
  }

  remember(series: number, last: Remembered): void {
    if (last.kind === 'number') return this.points.set(series, last)
    if (last.kind === 'histogram' && this.histograms.set(series, last)) {
      this.points.setTimes(series, last)
      this.#others.delete(series)
    } else {
      this.points.forget(series)
      this.histograms.forget(series)
      this.#others.set(series, last)
    }
  }

  /** Who sends the series, where there is more to say than that it is one sender. */
  sendersOf(series: number): Senders | undefined {
    return this.#senders.get(series)
  }

  rememberSenders(series: number, senders: Senders): void {
    if (senders.isOne) this.#senders.delete(series)
    else this.#senders.set(series, senders)
    if (senders.withheld === undefined) this.#withheld.delete(series)
    else this.#withheld.add(series)
  }

  /** Says that the last point is where `points` and `histograms` have it, and that of who sent it nothing else is known. */
  isPlain(series: number): void {
    this.#others.delete(series)
    this.#senders.delete(series)
    this.#withheld.delete(series)
  }

  /** Lets go of what is remembered of a series, which keeps its number; returns whether a point was withheld. */
  forget(series: number): boolean {
    const wasWithheld = this.#withheld.has(series)
    this.points.forget(series)
    this.histograms.forget(series)
    this.isPlain(series)
    this.exports.forgot(this.series.owner(series))
    return wasWithheld
  }

  /** Forgets what was not seen since `before`; the numbers will be used again. Returns how many points were withheld of that. */
  forgetBefore(before: number, gone: (series: number) => void): number {
    this.numbering = {}
    let withheld = 0
    const metrics = new Set<number>()
    this.series.forget((series) => {
      if (this.points.seen(series) >= before) {
        metrics.add(this.series.owner(series))
        return false
      }
      if (this.forget(series)) withheld++
      gone(series)
      return true
    })
    this.exports.keep(metrics)
    this.metrics.forget(before)
    return withheld
  }
}

/** What makes a metric of a resource and scope one. */
function seriesIdentity({ type, name, unit }: Metric, resource: Resource, scope: Scope, schemaUrl: string): string {
  const own = [type, name, unit].map((part) => `${part.length}:${part}`).join('')
  return `${own}\n${scopeIdentity(scope, schemaUrl)}\n${resource.attributes.identity}`
}
