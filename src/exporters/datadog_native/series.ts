import type { Account, Logger } from '../../component.ts'
import { resolveHost } from '../../datadog/host.ts'
import { normalizeName, normalizeTag } from '../../datadog/names.ts'
import { resourceTags } from '../../datadog/resource_attributes.ts'
import type { Attributes } from '../../otlp/attributes.ts'
import type { MetricBatch } from '../../otlp/batch.ts'
import { BytesIndex, grown } from '../../otlp/bytes_index.ts'
import { NumberPointCursor } from '../../otlp/number_cursor.ts'
import { viewOf } from '../../otlp/message.ts'
import { MetricIndex } from '../../otlp/metric_index.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { DataPoint, ExponentialHistogramPoint, HistogramPoint, NumberPoint } from '../../otlp/points.ts'
import type { Resource } from '../../otlp/resource.ts'
import { Renumbering } from '../../otlp/series_numbers.ts'
import { MAX_AROUND_TAG } from './formats.ts'
import type { SeriesFrame, SeriesWriter } from './formats.ts'
import { mapHistogram, NO_TAGS } from './histograms.ts'
import type { DerivedSample, Explicit, HistogramSettings } from './histograms.ts'
import { PlaceOfPoint } from './place.ts'
import type { Place } from './place.ts'
import { Samples, SketchSamples } from './samples.ts'
import type { Kept } from './samples.ts'
import { SentSeconds } from './sent_seconds.ts'
import { sketchSeries } from './sketch_payload.ts'
import { mapSummary } from './summaries.ts'
import type { SummaryMode } from './summaries.ts'
import { TagList } from './tag_list.ts'
import type { KeyedTags } from './tag_list.ts'
import { unitName } from './units.ts'
import { WireHistogram } from './wire_histogram.ts'

export interface SeriesOptions {
  /** Seconds; instead of the time each count really covers. */
  readonly countInterval: number | undefined
  /** Milliseconds after which a series that sends nothing is forgotten. */
  readonly ttl: number
  /** Whether a resource attribute becomes a tag. */
  readonly chosen: (attribute: string) => boolean
  /** Whether host or tags of the exporter's own may have made one series of several before they come here. */
  readonly retagged: boolean
  readonly writer: SeriesWriter
  readonly histograms: HistogramSettings
  readonly summaries: SummaryMode
  readonly log: Pick<Logger, 'warn'>
}

const SECOND = 1_000_000_000
/** Series remembered at most. */
const MAX_KNOWN = 1_000_000
/** Of so many of them it is asked how old they are, when there are too many. */
const SAMPLED = 1000
/** Names of metrics remembered at most, to tell of each once. */
const MAX_NAMES = 10_000

/** What is known of the bytes of a series: which series of Datadog's they are, and when they came last, in seconds. */
const SERIES = 0
const SEEN = 1
const STRIDE = 2
/** Instead of a series: the metric has no name that Datadog takes. */
const NAMELESS = -1
/** Instead of a series: none of this kind has been asked for. */
const NOT_YET = -2

/** The same bytes are another series as counts, as gauges, and as what is made of a histogram or summary. */
const KINDS = 3
const GAUGE = 0
const COUNT = 1
const WHOLE = 2
type Kind = typeof GAUGE | typeof COUNT

/** What is kept of derived samples that meet. */
const KEPT: Readonly<Record<DerivedSample['suffix'], Kept>> = {
  '.count': 'sum',
  '.sum': 'sum',
  '.bucket': 'sum',
  '.min': 'least',
  '.max': 'greatest',
  '.quantile': 'latest',
}

/** The longest that suffix and tags of a derived sample can be. */
const MAX_VARIANT = 4096

/** What a resource gives to all of its series. */
interface ResourceTags {
  readonly attributes: Attributes
  readonly host: string | undefined
  readonly tags: KeyedTags
}

type PointBytes = Pick<NumberPointCursor, 'view' | 'attributesStart' | 'attributesEnd'>

/**
 * Turns batches of differences into samples of Datadog's series and distributions. What is known of a series is remembered from
 * batch to batch by the bytes it came as, because writing names and tags as Datadog does is most of the work.
 */
export class SeriesMapper {
  /** What the last batch became. Samples that are one series in one second, as Datadog reads names and tags, are one. */
  readonly samples = new Samples()
  readonly sketches = new SketchSamples()
  /** Datadog's series, as the format of their API writes them. */
  readonly series = new BytesIndex()
  readonly #options: SeriesOptions
  readonly #metrics = new MetricIndex(({ type, name }, resource) =>
    [type, name, resource.attributes.identity].join('\n'),
  )
  /** The bytes they come as; their owner is that of the metric, or for derived samples that of the point. */
  readonly #known = new BytesIndex()
  readonly #cursor = new NumberPointCursor()
  readonly #histogram = new WireHistogram()
  /** Their numbers by those that `CumulativeToDelta` gave their series. */
  readonly #renumbered = new Renumbering()
  #places = new Int32Array(64 * STRIDE)
  /** By series: the bytes that brought its last sample. */
  #origins = new Int32Array(64)
  readonly #sent = new SentSeconds()
  #lastResource: ResourceTags | undefined
  /** What series of a metric have in common, by owner. */
  readonly #frames = new Map<number, SeriesFrame>()
  readonly #tags = new TagList()
  /** A series as it is written. */
  #written = Buffer.alloc(4096)
  #writtenView = viewOf(this.#written)
  /** One name has one unit at Datadog: the first that came. */
  readonly #units = new Map<string, string | undefined>()
  readonly #variant = Buffer.alloc(MAX_VARIANT)
  readonly #variantView = viewOf(this.#variant)
  #tally = new Tally()
  readonly #warned = new Set<string>()
  /** Whether points that meet as the same bytes are of different series. */
  #distinct = false
  /** Metrics whose points met in the last batch as the same bytes, of which nobody knows whether they always were. */
  readonly #unclear = new Set<string>()
  /** Metrics of which that was found out. */
  readonly #cleared = new Set<string>()
  #now = 0
  /** The same in whole seconds. */
  #second = 0
  #lastSweep = performance.now()

  constructor(options: SeriesOptions) {
    this.#options = options
  }

  /**
   * Fills `samples` and `sketches`: sums that meet are added, of gauges the latest stays. `distinct`: points of a sum that goes
   * up and down, where they meet, are of different series and add up, too. Without it `false`, and nothing said to `account`,
   * when such points meet, or for the first time those of a metric that was perhaps retagged: `aggregate` must see the batch
   * first. `origin`: the batch as it came to be encoded; the one of the last time again becomes the same again.
   */
  map(
    batch: MetricBatch,
    account: Account,
    { distinct, origin }: { readonly distinct: boolean; readonly origin: MetricBatch },
  ): boolean {
    this.#begin()
    this.#distinct = distinct
    this.#sent.begin(origin)
    try {
      return this.#mapAll(batch, account)
    } finally {
      // They must not keep the batch that they were given.
      this.#cursor.end()
      this.#histogram.cursor.end()
      this.#metrics.end()
      this.#lastResource = undefined
    }
  }

  #mapAll(batch: MetricBatch, account: Account): boolean {
    for (const { resource, scopes } of batch.resources) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        for (const metric of metrics) {
          const number = this.#metrics.numberOf(metric, resource, scope, schemaUrl, this.#now)
          if (metric.type !== 'gauge' && metric.type !== 'sum') this.#addWhole(metric, number, resource)
          else if (!this.#addNumbers(metric, number, resource)) return false
        }
      }
    }
    if (!this.#distinct && this.#unclear.size > 0) return false
    this.#clear()
    this.#settle()
    this.#tally.tell(account)
    return true
  }

  /** The points of a gauge or a sum, by their bytes as far as the cursor reads them. `false` as of `map`. */
  #addNumbers(metric: Metric, number: number, resource: Resource): boolean {
    const cursor = this.#cursor
    const isCount = metric.type === 'sum' && metric.temporality === 'delta'
    const adds = metric.type === 'sum'
    const kept = adds ? 'sum' : 'latest'
    const ambiguous = adds && !isCount && !this.#distinct
    const kind = isCount ? COUNT : GAUGE
    const owner = number * KINDS + kind
    const { series } = metric
    if (series !== undefined) this.#renumbered.begin(series.of)
    let read = 0
    if (cursor.open(metric)) {
      for (; cursor.next(); read++) {
        let known = series === undefined ? -1 : this.#renumbered.get(series.numbers[series.start + read])
        // Metrics may have got other names since their series were numbered.
        if (known < 0 || this.#known.owner(known) !== owner) {
          const { view, attributesStart, attributesEnd } = cursor
          known = this.#known.find(owner, view, attributesStart, attributesEnd)
          if (known < 0) {
            known = this.#add(
              owner,
              cursor,
              this.#seriesOf(metric, owner, kind, resource.attributes, cursor.attributes()),
            )
          }
          if (series !== undefined) this.#renumbered.set(series.numbers[series.start + read], known)
        }
        const time = cursor.lowTime()
        const covered = isCount ? cursor.elapsed() : NaN
        if (!this.#put(metric, known, cursor.seconds(), cursor.value(), time, covered, kept) && ambiguous) return false
      }
      if (cursor.complete) return true
    }
    const points = metric.points as readonly NumberPoint[]
    for (; read < points.length; read++) {
      const point = points[read]
      const bytes = bytesOf(point)
      let known = this.#known.find(owner, bytes.view, bytes.attributesStart, bytes.attributesEnd)
      if (known < 0) {
        known = this.#add(owner, bytes, this.#seriesOf(metric, owner, kind, resource.attributes, point.attributes))
      }
      const place = new PlaceOfPoint(point)
      const covered = isCount ? place.elapsed() : NaN
      const added = this.#put(metric, known, place.seconds(), Number(point.value), place.lowTime(), covered, kept)
      if (!added && ambiguous) return false
    }
    return true
  }

  /** The points of a histogram of either kind or of a summary, by their bytes as far as the cursor reads them. */
  #addWhole(metric: Metric, number: number, resource: Resource): void {
    const owner = number * KINDS + WHOLE
    const histogram = this.#histogram
    const { cursor } = histogram
    let read = 0
    if (cursor.open(metric)) {
      for (; cursor.next(); read++) {
        histogram.read()
        const known = this.#wholeOf(metric, owner, cursor)
        if (known >= 0) this.#addHistogram(metric, known, resource, histogram, cursor)
      }
      if (cursor.complete) return
    }
    const { points } = metric
    for (; read < points.length; read++) {
      const point = points[read]
      const known = this.#wholeOf(metric, owner, bytesOf(point))
      if (known < 0) continue
      const place = new PlaceOfPoint(point)
      if (point.kind === 'summary') {
        this.#addMapped(metric, known, resource, mapSummary(point, this.#options.summaries), place)
      } else this.#addHistogram(metric, known, resource, point as HistogramPoint | ExponentialHistogramPoint, place)
    }
  }

  /** The number of the bytes of a histogram or summary; -1 when it has no name that Datadog takes, which is counted. */
  #wholeOf(metric: Metric, owner: number, bytes: PointBytes): number {
    let known = this.#known.find(owner, bytes.view, bytes.attributesStart, bytes.attributesEnd)
    if (known < 0) known = this.#add(owner, bytes, normalizeName(metric.name) === '' ? NAMELESS : NOT_YET)
    if (this.#seen(known) !== NAMELESS) return known
    this.#tally.dropped('invalid_name')
    return -1
  }

  #addHistogram(
    metric: Metric,
    known: number,
    resource: Resource,
    point: Explicit | ExponentialHistogramPoint,
    place: Place,
  ): void {
    const mapped = mapHistogram(point, this.#options.histograms)
    if (typeof mapped === 'string' || mapped.sketch === undefined) {
      this.#addMapped(metric, known, resource, typeof mapped === 'string' ? mapped : mapped.samples, place)
      return
    }
    let series = this.#places[known * STRIDE + SERIES]
    if (series === NOT_YET) {
      series = this.#sketchSeriesOf(metric, resource.attributes, place.attributes())
      this.#places[known * STRIDE + SERIES] = series
    }
    if (!this.sketches.put(series, place.seconds(), mapped.sketch)) this.#meet(metric, series, known)
    this.#origins[series] = known
    if (mapped.samples.length === 0) return
    this.#tally.created++
    this.#addMapped(metric, known, resource, mapped.samples, place)
  }

  /** What a point became beside a distribution, or why it became nothing. */
  #addMapped(
    metric: Metric,
    whole: number,
    resource: Resource,
    samples: readonly DerivedSample[] | string,
    place: Place,
  ): void {
    if (typeof samples === 'string') {
      this.#tally.dropped(samples)
      return
    }
    this.#tally.created += samples.length - 1
    for (const sample of samples) this.#addDerived(metric, whole, resource, sample, place)
  }

  #addDerived(metric: Metric, whole: number, resource: Resource, sample: DerivedSample, place: Place): void {
    const { suffix, type, tags } = sample
    const text = tags === NO_TAGS ? suffix : `${suffix}\n${tags.join('\n')}`
    const length = this.#variant.write(text)
    // No metric is negative.
    const owner = -1 - whole
    const isCount = type === 'count'
    let known = this.#known.find(owner, this.#variantView, 0, length)
    if (known < 0) {
      const kind = isCount ? COUNT : GAUGE
      const series = this.#derivedSeriesOf(metric, kind, resource.attributes, place.attributes(), sample)
      known = this.#add(owner, { view: this.#variantView, attributesStart: 0, attributesEnd: length }, series)
    }
    const covered = isCount ? place.elapsed() : NaN
    this.#put(metric, known, place.seconds(), sample.value, place.lowTime(), covered, KEPT[suffix])
  }

  /** `false` when the value met another of its series and second, of which it is a part now. */
  #put(
    metric: Metric,
    known: number,
    second: number,
    value: number,
    time: number,
    covered: number,
    kept: Kept,
  ): boolean {
    const series = this.#seen(known)
    if (series === NAMELESS) {
      this.#tally.dropped('invalid_name')
      return true
    }
    if (this.#sent.mayHold(series, second)) {
      const isGauge = Number.isNaN(covered)
      if (!isGauge) this.#warnOnce(metric, this.#sent.holdsCount(series, second))
      else if (this.#sent.holdsLater(series, second, time)) {
        this.#tally.merged++
        this.#warnOnce(metric, this.#origins[series] !== known)
        return true
      }
    }
    const added = this.samples.put(series, second, value, time, covered, kept)
    if (!added) this.#meet(metric, series, known)
    this.#origins[series] = known
    return added
  }

  /** Counts a point that became part of another in its series and second. */
  #meet(metric: Metric, series: number, known: number): void {
    this.#tally.merged++
    const collided = this.#distinct || this.#origins[series] !== known
    this.#warnOnce(metric, collided)
    if (!collided && this.#options.retagged && !this.#cleared.has(metric.name)) this.#unclear.add(metric.name)
  }

  /** Of what was unclear every collision has been told now. */
  #clear(): void {
    if (this.#cleared.size > MAX_NAMES) this.#cleared.clear()
    for (const name of this.#unclear) this.#cleared.add(name)
    this.#unclear.clear()
  }

  /** Puts counts where none was sent before, now that all of the batch is known, and remembers when what was sent. */
  #settle(): void {
    const { samples } = this
    const { countInterval } = this.#options
    const { series, timestamps, times, covered, intervals, count, repeated } = samples
    const order = repeated ? inOrderOfTime(timestamps, count) : undefined
    // Most counts of a batch cover the same time.
    let lastCovered = NaN
    let seconds = 0
    for (let position = 0; position < count; position++) {
      const index = order === undefined ? position : order[position]
      if (Number.isNaN(covered[index])) {
        this.#sent.takeGauge(series[index], timestamps[index], times[index])
        intervals[index] = 0
      } else {
        timestamps[index] = this.#sent.takeCount(series[index], timestamps[index])
        if (covered[index] !== lastCovered) {
          lastCovered = covered[index]
          seconds = countInterval ?? wholeSeconds(lastCovered)
        }
        intervals[index] = seconds
      }
    }
  }

  /** Keeps the memory bounded. Only between batches, so that within one the same series is the same number. */
  #begin(): void {
    this.samples.clear()
    this.sketches.clear()
    this.#tally = new Tally()
    this.#now = performance.now()
    this.#second = Math.floor(this.#now / 1000)
    if (this.#frames.size > MAX_NAMES) this.#frames.clear()
    const full = this.#known.size > MAX_KNOWN
    const { ttl } = this.#options
    if (!full && this.#now - this.#lastSweep < ttl / 2) return
    this.#lastSweep = this.#now
    const before = full ? this.#middleSeen() : (this.#now - ttl) / 1000
    const isUsed = new Uint8Array(this.#origins.length)
    this.#known.forget((known) => {
      if (this.#places[known * STRIDE + SEEN] < before) return true
      isUsed[this.#places[known * STRIDE + SERIES]] = 1
      return false
    })
    this.#renumbered.clear()
    this.series.forget((series) => isUsed[series] === 0)
    this.#metrics.forget(before * 1000)
    this.#frames.clear()
    this.#units.clear()
  }

  /** A second behind that in which about half of what is known came last, so that what comes all the time stays. */
  #middleSeen(): number {
    const seen: number[] = []
    const step = Math.floor(this.#known.size / SAMPLED)
    for (let known = 0; known < this.#known.size; known += step) seen.push(this.#places[known * STRIDE + SEEN])
    return seen.sort((left, right) => left - right)[seen.length >> 1] + 1
  }

  #seen(known: number): number {
    this.#places[known * STRIDE + SEEN] = this.#second
    return this.#places[known * STRIDE + SERIES]
  }

  /** Remembers of which series the bytes are. */
  #add(owner: number, { view, attributesStart, attributesEnd }: PointBytes, series: number): number {
    const known = this.#known.add(owner, view, attributesStart, attributesEnd)
    if ((known + 1) * STRIDE > this.#places.length) this.#places = grown(this.#places)
    this.#places[known * STRIDE + SERIES] = series
    return known
  }

  /** The number of the series of a point, whose metric and kind are those of `owner`; NAMELESS where it has no name. */
  #seriesOf(metric: Metric, owner: number, kind: Kind, resource: Attributes, point: Attributes): number {
    const host = this.#fillTags(resource, point, NO_TAGS)
    const isOfResource = this.#tags.host === undefined
    let frame = isOfResource ? this.#frames.get(owner) : undefined
    if (frame === undefined) {
      frame = this.#frame(metric.name, kind, host, metric)
      if (frame === undefined) return NAMELESS
      if (isOfResource) this.#frames.set(owner, frame)
    }
    return this.#numberOf(kind, frame, this.#options.writer)
  }

  #derivedSeriesOf(metric: Metric, kind: Kind, resource: Attributes, point: Attributes, sample: DerivedSample): number {
    const host = this.#fillTags(resource, point, sample.tags)
    const frame = this.#frame(metric.name + sample.suffix, kind, host, sample.inUnit ? metric : undefined)
    return frame === undefined ? NAMELESS : this.#numberOf(kind, frame, this.#options.writer)
  }

  #sketchSeriesOf(metric: Metric, resource: Attributes, point: Attributes): number {
    const host = this.#fillTags(resource, point, NO_TAGS)
    return this.#numberOf(WHOLE, sketchSeries.frame({ metric: normalizeName(metric.name), host }), sketchSeries)
  }

  /** Fills `#tags`; returns the host. */
  #fillTags(resource: Attributes, point: Attributes, more: readonly string[]): string | undefined {
    const { host, tags } = this.#ofResource(resource)
    this.#tags.fill(tags, point, more)
    return this.#tags.host ?? host
  }

  /** `measured`: the metric in whose unit the values are, if they have one. `undefined`: Datadog takes no such name. */
  #frame(name: string, kind: Kind, host: string | undefined, measured: Metric | undefined): SeriesFrame | undefined {
    const metric = normalizeName(name)
    if (metric === '') return undefined
    const type = kind === COUNT ? 'count' : 'gauge'
    return this.#options.writer.frame({ metric, type, unit: this.#unitOf(metric, measured), host })
  }

  /** The number of a series of Datadog's, whose tags are in `#tags`, by what it is written as. */
  #numberOf(kind: number, { head, tail }: SeriesFrame, { tags }: Pick<SeriesWriter, 'tags'>): number {
    const most = head.length + this.#tags.length + this.#tags.count * MAX_AROUND_TAG + tail.length
    if (most > this.#written.length) {
      this.#written = Buffer.alloc(most * 2)
      this.#writtenView = viewOf(this.#written)
    }
    const out = this.#written
    out.set(head)
    let end = tags(out, head.length, this.#tags)
    out.set(tail, end)
    end += tail.length
    const known = this.series.find(kind, this.#writtenView, 0, end)
    if (known >= 0) return known
    const series = this.series.add(kind, this.#writtenView, 0, end)
    while (series >= this.#origins.length) this.#origins = grown(this.#origins)
    this.#sent.forget(series)
    return series
  }

  #unitOf(name: string, metric: Metric | undefined): string | undefined {
    if (this.#units.has(name)) return this.#units.get(name)
    if (this.#units.size >= MAX_NAMES) this.#units.clear()
    const named = unitName(metric?.unit ?? '')
    this.#units.set(name, named)
    return named
  }

  /** The host and the tags of a resource, by key. The last one is asked for again and again. */
  #ofResource(attributes: Attributes): ResourceTags {
    if (this.#lastResource?.attributes !== attributes) {
      const { host } = resolveHost(attributes)
      const tags = [...resourceTags(attributes, this.#options.chosen, host)]
      this.#lastResource = { attributes, host, tags: tags.map(([key, value]) => [key, normalizeTag(key, value)]) }
    }
    return this.#lastResource
  }

  #warnOnce({ name }: Metric, collided: boolean): void {
    if (!collided || this.#warned.has(name) || this.#warned.size >= MAX_NAMES) return
    this.#warned.add(name)
    this.#options.log.warn(
      'Points of a metric met in one series of Datadog, which keeps one value a second: their counts are added or moved to the next second, of gauges the latest stays. An attribute that tells several series apart, or for a single one a longer interval or larger batches, would change that.',
      { metric: name },
    )
  }
}

/** What became of points, to be told once it is certain. */
class Tally {
  created = 0
  merged = 0
  private readonly reasons = new Map<string, number>()

  dropped(reason: string): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
  }

  tell(account: Account): void {
    if (this.created > 0) account.created(this.created)
    if (this.merged > 0) account.merged(this.merged)
    for (const [reason, points] of this.reasons) account.dropped(reason, points)
  }
}

function bytesOf(point: DataPoint): PointBytes {
  const { view, start, end } = point.attributes.identityBytes
  return { view, attributesStart: start, attributesEnd: end }
}

/** Datadog takes whole seconds only, and divides by them; 0 is what is not known. */
function wholeSeconds(nanoseconds: number): number {
  return nanoseconds === 0 ? 0 : Math.max(1, Math.round(nanoseconds / SECOND))
}

function inOrderOfTime(timestamps: Float64Array, count: number): Uint32Array {
  return new Uint32Array(count).map((_, index) => index).sort((left, right) => timestamps[left] - timestamps[right])
}
