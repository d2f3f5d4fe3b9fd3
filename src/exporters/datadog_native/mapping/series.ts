import type { Clock } from '../../../time/clock.ts'
import type { Account, ExporterState } from '../../../component/exporter.ts'
import { resolveHost } from '../../../datadog/host.ts'
import { bytesOf, COUNT, GAUGE, KnownSeries, WHOLE } from '../../../datadog/known_series.ts'
import type { Kind, PointBytes } from '../../../datadog/known_series.ts'
import { normalizeName, normalizeTag } from '../../../datadog/names.ts'
import { resourceTags } from '../../../datadog/resource_attributes.ts'
import { Samples } from '../../../datadog/samples.ts'
import type { Kept } from '../../../datadog/samples.ts'
import { aggregate, aggregateInTurns } from '../../../otlp/metrics/aggregate.ts'
import type { Attributes } from '../../../otlp/common/attributes.ts'
import type { MetricBatch } from '../../../otlp/metrics/batch.ts'
import type { BytesIndex } from '../../../otlp/wire/bytes_index.ts'
import { NumberPointCursor } from '../../../otlp/metrics/number_cursor.ts'
import { viewOf } from '../../../otlp/wire/lazy_message.ts'
import type { Metric } from '../../../otlp/metrics/metric.ts'
import type { Enclosing } from '../../../otlp/metrics/metric_index.ts'
import { partsOf } from '../../../otlp/common/parts.ts'
import type { ExponentialHistogramPoint, HistogramPoint, NumberPoint } from '../../../otlp/metrics/points.ts'
import type { Scope } from '../../../otlp/common/resource.ts'
import { Renumbering } from '../../../otlp/metrics/series_numbers.ts'
import type { Divided } from '../../../time/turns.ts'
import { MAX_AROUND_TAG } from '../series_format.ts'
import type { SeriesFrame, SeriesWriter } from '../series_format.ts'
import { mapHistogram, NO_TAGS } from './histograms.ts'
import type { DerivedSample, Explicit, HistogramSettings } from './histograms.ts'
import { ContextOfPoint } from './point_context.ts'
import type { PointContext } from './point_context.ts'
import { sketchSeries } from '../sketch/sketch_payload.ts'
import { SketchSamples } from '../sketch/sketch_samples.ts'
import { mapSummary } from './summaries.ts'
import type { SummaryMode } from './summaries.ts'
import { TagList } from './tag_list.ts'
import type { KeyedTags } from './tag_list.ts'
import { unitName } from './units.ts'
import { WireHistogram } from './wire_histogram.ts'

interface SeriesOptions {
  /** Seconds; instead of the time that each count really covers. */
  readonly countInterval: number | undefined
  /** Milliseconds after which a series that sends nothing is forgotten. */
  readonly ttl: number
  readonly clock: Clock
  /** Applies the exporter's own host and tags to a batch. It changes attributes only, and keeps the order of points. */
  readonly finish: (batch: MetricBatch) => MetricBatch
  /** Whether a resource attribute becomes a tag. */
  readonly chosen: (attribute: string) => boolean
  /** The tags of a scope, by key. */
  readonly scopeTags: (scope: Scope) => ReadonlyMap<string, string>
  readonly writer: SeriesWriter
  readonly histograms: HistogramSettings
  readonly summaries: SummaryMode
  /** Called with each metric that loses a value because that of another source takes its place. */
  readonly overwritten: (metric: { readonly name: string }) => void
  /** Called after each batch in which the memory was too full to remember something. */
  readonly full: () => void
}

const SECOND = 1_000_000_000
const NONE = -1
/** The most entries of data shared by several metrics or names that are remembered. */
const MAX_NAMES = 10_000
/** The most bytes of remembered frames, and of the buffer for writing a series, which may have been very long. */
const MAX_FRAMES = 2 ** 22
const MAX_WRITTEN = 2 ** 20

/** Instead of a series: Datadog accepts no form of the metric's name. */
const NAMELESS = -1
/** Instead of a series: none of this kind has been looked up yet. */
const NOT_YET = -2

/** How derived samples of one series and second are combined. */
const KEPT: Readonly<Record<DerivedSample['suffix'], Kept>> = {
  '.count': 'sum',
  '.sum': 'sum',
  '.bucket': 'sum',
  '.min': 'least',
  '.max': 'greatest',
  '.quantile': 'latest',
}

/** The longest suffix and tags of a derived sample. */
const MAX_VARIANT = 4096

/** The resource and scope of metrics as they are sent, and what they give to all of their series, once a series is new. */
interface Surrounding {
  readonly resource: Attributes
  readonly scope: Scope
  given:
    { readonly host: string | undefined; readonly tags: KeyedTags; readonly ofScope: readonly string[] } | undefined
}

/** A metric, with the data that its series share. */
interface Origin {
  readonly metric: Metric
  /** The same with the exporter's own host and tags, as in the attributes of its resource. */
  readonly finished: Metric
  readonly surrounding: Surrounding
  /** Of the sources that are its points. */
  readonly owner: number
}

/** If one source has several values in a second, the latest one counts. */
const SINGLE = { resolution: 1_000_000_000n }

/** A point of a histogram or summary: one object for all points of a metric, because one for each would cost more than most of the work. */
interface Whole extends Origin {
  /** The number of points of the metric before it. */
  read: number
  source: number
  place: PointContext
}

/**
 * Turns batches of differences into samples of Datadog's series and distributions. What is known of a series is remembered from
 * batch to batch by the bytes it came as, because writing names and tags as Datadog does is most of the work.
 *
 * What runs for each point of the rows `OTLP to Datadog` of `npm run bench` has parameters without names.
 */
export class SeriesMapper {
  /** The result for the last batch. Samples that are one series in one second, as Datadog reads names and tags, are combined. */
  readonly samples = new Samples()
  readonly sketches = new SketchSamples()
  readonly #options: SeriesOptions
  readonly #known: KnownSeries
  /** Sources by the numbers that `CumulativeToDelta` gave them. */
  readonly #renumbered = new Renumbering()
  /** What series of a metric have in common, by owner. */
  readonly #frames = new Map<number, SeriesFrame>()
  #frameBytes = 0
  readonly #tags = new TagList()
  /** The written form of a series. */
  #written = Buffer.alloc(4096)
  #writtenView = viewOf(this.#written)
  /** A name has one unit at Datadog: the first one. */
  readonly #units = new Map<string, string | undefined>()
  readonly #variant = Buffer.alloc(MAX_VARIANT)
  readonly #variantView = viewOf(this.#variant)
  #tally = new Tally()
  /** Whether each source has at most one point a second. */
  #single = false

  constructor(options: SeriesOptions) {
    this.#options = options
    this.#known = new KnownSeries(options.clock, options.full)
  }

  /** The memory that has to survive a restart. */
  get state(): ExporterState {
    return this.#known.state
  }

  /** Forgets everything: there will be no further batch. */
  close(): void {
    this.#known.close()
  }

  /** No part of a batch will be sent any more, or again. */
  ended(batch: MetricBatch): void {
    this.#known.ended(batch)
  }

  /** Datadog's series, as the format of its API writes them. */
  get series(): BytesIndex {
    return this.#known.series
  }

  /**
   * Fills `samples` and `sketches`, which hold the data of this batch until the next: sums of one second are added, the
   * latest gauge stays, and counts go to a second in which their series was not sent. If the last batch comes again,
   * the result is the same.
   */
  map(batch: MetricBatch, account: Account): void {
    this.#begin(batch)
    try {
      this.#clear({ single: false })
      if (!this.#addAll(batch)) {
        this.#clear({ single: true })
        this.#addAll(aggregate(batch, account, SINGLE))
      }
      this.#settle()
    } finally {
      this.#end(batch)
    }
    this.#tally.tell(account)
  }

  /** `map` that may be left where it yields. Until it has ended, no other batch may be mapped. */
  *mapInTurns(batch: MetricBatch, account: Account): Divided<void> {
    this.#begin(batch)
    try {
      this.#clear({ single: false })
      if (!(yield* this.#addInTurns(batch))) {
        this.#clear({ single: true })
        yield* this.#addInTurns(yield* aggregateInTurns(batch, account, SINGLE))
      }
      this.#settle()
      yield
    } finally {
      this.#end(batch)
    }
    this.#tally.tell(account)
  }

  #begin(batch: MetricBatch): void {
    if (this.#known.begin(batch, this.#options.ttl)) {
      this.#renumbered.clear()
      this.#clearFrames()
      this.#units.clear()
    }
    if (this.#frames.size > MAX_NAMES || this.#frameBytes > MAX_FRAMES) this.#clearFrames()
  }

  #end(batch: MetricBatch): void {
    this.#known.end(batch)
    if (this.#written.length > MAX_WRITTEN) this.#makeWritten(4096)
  }

  /** Begins with no points. `single`: each source has one point a second at most. */
  #clear({ single }: { readonly single: boolean }): void {
    this.#single = single
    this.samples.clear()
    this.sketches.clear()
    this.#tally = new Tally()
  }

  *#addInTurns(batch: MetricBatch): Divided<boolean> {
    for (const part of partsOf(batch)) {
      if (!this.#addAll(part.batch)) return false
      yield
    }
    return true
  }

  /** `false` if points of a sum that goes up and down meet: they may come from one source, and then only the latest counts. */
  #addAll(batch: MetricBatch): boolean {
    this.sketches.collect()
    const finished = this.#options.finish(batch).resources
    const cursor = new NumberPointCursor()
    let histogram: WireHistogram | undefined
    const { resources } = batch
    for (let at = 0; at < resources.length; at++) {
      const { resource, scopes } = resources[at]
      for (let within = 0; within < scopes.length; within++) {
        const { scope, schemaUrl, metrics } = scopes[within]
        const enclosing: Enclosing = { resource, scope, schemaUrl }
        const surrounding: Surrounding = { resource: finished[at].resource.attributes, scope, given: undefined }
        for (let index = 0; index < metrics.length; index++) {
          const metric = metrics[index]
          // Once, since it is looked for in the bytes.
          const { type } = metric
          const isWhole = type !== 'gauge' && type !== 'sum'
          const isCount = type === 'sum' && metric.temporality === 'delta'
          const kind = isWhole ? WHOLE : isCount ? COUNT : GAUGE
          const owner = this.#known.ownerOf(kind, metric, enclosing)
          const origin = { metric, finished: finished[at].scopes[within].metrics[index], surrounding, owner }
          if (isWhole) this.#addWhole(origin, (histogram ??= new WireHistogram()))
          else if (!this.#addNumbers(origin, isCount, type === 'sum' ? 'sum' : 'latest', cursor)) return false
        }
      }
    }
    return true
  }

  /** The points of a gauge or a sum, by their bytes as far as the cursor reads them. `false` as of `#addAll`. */
  #addNumbers(origin: Origin, isCount: boolean, kept: Kept, cursor: NumberPointCursor): boolean {
    const { metric, owner } = origin
    const kind = isCount ? COUNT : GAUGE
    const isUnclear = kept === 'sum' && !isCount && !this.#single
    const { series } = metric
    if (series !== undefined) this.#renumbered.begin(series.of)
    let read = 0
    if (cursor.open(metric)) {
      for (; cursor.next(); read++) {
        let source = series === undefined ? NONE : this.#renumbered.get(series.numbers[series.start + read])
        // Metrics may have been renamed since their series were numbered.
        if (source < 0 || !this.#known.isOwnedBy(source, owner)) {
          source = this.#known.find(owner, cursor)
          if (source < 0) {
            const attributes = finishedAttributes(origin, read) ?? cursor.attributes()
            source = this.#add(origin, kind, cursor, attributes)
          }
          if (series !== undefined && this.#known.keeps(source))
            this.#renumbered.set(series.numbers[series.start + read], source)
        }
        const time = cursor.lowTime()
        const covered = isCount ? cursor.elapsed() : NaN
        if (!this.#put(metric, source, cursor.seconds(), cursor.value(), time, covered, kept) && isUnclear) return false
      }
      if (cursor.complete) return true
    }
    const points = metric.points as readonly NumberPoint[]
    for (; read < points.length; read++) {
      const point = points[read]
      const bytes = bytesOf(point.attributes)
      let source = this.#known.find(owner, bytes)
      if (source < 0) {
        const attributes = finishedAttributes(origin, read) ?? point.attributes
        source = this.#add(origin, kind, bytes, attributes)
      }
      const place = new ContextOfPoint(point)
      const covered = isCount ? place.elapsed() : NaN
      const added = this.#put(metric, source, place.seconds(), Number(point.value), place.lowTime(), covered, kept)
      if (!added && isUnclear) return false
    }
    return true
  }

  /** The points of a histogram of either kind or of a summary, by their bytes as far as the cursor reads them. */
  #addWhole(origin: Origin, histogram: WireHistogram): void {
    const { metric, finished, surrounding, owner } = origin
    const { cursor } = histogram
    const whole: Whole = { metric, finished, surrounding, owner, read: 0, source: NONE, place: cursor }
    if (cursor.open(metric)) {
      for (; cursor.next(); whole.read++) {
        histogram.read()
        whole.source = this.#wholeOf(origin, cursor)
        if (whole.source >= 0) this.#addHistogram(whole, histogram)
      }
      if (cursor.complete) return
    }
    const { points } = metric
    for (; whole.read < points.length; whole.read++) {
      const point = points[whole.read]
      whole.source = this.#wholeOf(origin, bytesOf(point.attributes))
      if (whole.source < 0) continue
      whole.place = new ContextOfPoint(point)
      if (point.kind === 'summary') this.#addMapped(whole, mapSummary(point, this.#options.summaries))
      else this.#addHistogram(whole, point as HistogramPoint | ExponentialHistogramPoint)
    }
  }

  /** The number of a histogram or summary; -1 if Datadog does not accept its name, which is counted. */
  #wholeOf({ metric, owner }: Origin, bytes: PointBytes): number {
    let source = this.#known.find(owner, bytes)
    if (source < 0) {
      const series = normalizeName(metric.name) === '' ? NAMELESS : NOT_YET
      source = this.#known.add(owner, bytes, series, this.#known.mayKeep(owner, bytes))
    }
    if (this.#known.seriesOf(source) !== NAMELESS) return source
    this.#tally.dropped('invalid_name')
    return -1
  }

  #addHistogram(whole: Whole, point: Explicit | ExponentialHistogramPoint): void {
    const mapped = mapHistogram(point, this.#options.histograms)
    if (typeof mapped === 'string' || mapped.sketch === undefined) {
      this.#addMapped(whole, typeof mapped === 'string' ? mapped : mapped.samples)
      return
    }
    let series = this.#known.seriesOf(whole.source)
    if (series === NOT_YET) {
      series = this.#sketchSeriesOf(whole)
      if (this.#known.keepsSeries(series)) this.#known.assign(whole.source, series)
    }
    if (!this.sketches.put(series, whole.place.seconds(), mapped.sketch)) this.#tally.merged++
    if (mapped.samples.length === 0) return
    this.#tally.created++
    this.#addMapped(whole, mapped.samples)
  }

  /** The values of a point other than a distribution, or the reason why there are none. */
  #addMapped(whole: Whole, samples: readonly DerivedSample[] | string): void {
    if (typeof samples === 'string') {
      this.#tally.dropped(samples)
      return
    }
    this.#tally.created += samples.length - 1
    for (const sample of samples) this.#addDerived(whole, sample)
  }

  #addDerived(whole: Whole, sample: DerivedSample): void {
    const { metric, place } = whole
    const { suffix, type, tags, value } = sample
    const text = tags === NO_TAGS ? suffix : `${suffix}\n${tags.join('\n')}`
    const bytes = { view: this.#variantView, attributesStart: 0, attributesEnd: this.#variant.write(text) }
    // The numbers of metrics are not negative.
    const owner = -1 - whole.source
    const isCount = type === 'count'
    let source = this.#known.find(owner, bytes)
    if (source < 0) {
      const isKept = this.#known.mayKeep(owner, bytes)
      const series = this.#derivedSeriesOf(whole, isCount ? COUNT : GAUGE, sample, isKept)
      source = this.#known.add(owner, bytes, series, isKept)
    }
    const covered = isCount ? place.elapsed() : NaN
    this.#put(metric, source, place.seconds(), value, place.lowTime(), covered, KEPT[suffix])
  }

  /** `false` if the value was combined with another of its series and second. */
  #put(
    metric: Metric,
    source: number,
    second: number,
    value: number,
    time: number,
    covered: number,
    kept: Kept,
  ): boolean {
    const series = this.#known.seriesOf(source)
    if (series === NAMELESS) {
      this.#tally.dropped('invalid_name')
      return true
    }
    const isGauge = Number.isNaN(covered)
    const held = isGauge ? this.#known.heldGauge(series, source, second, time, kept) : undefined
    if (held !== undefined) {
      this.#count(held, metric)
      return true
    }
    const met = this.samples.put(series, second, value, time, covered, kept, source)
    if (met === NONE) return true
    this.#known.meet(series, met, source, !isGauge)
    this.#count(kept === 'latest' && !this.#known.isSame(met, source) ? 'overwritten' : 'merged', metric)
    return false
  }

  #count(fate: 'merged' | 'overwritten', metric: { readonly name: string }): void {
    if (fate === 'merged') this.#tally.merged++
    else {
      this.#tally.dropped(fate)
      this.#options.overwritten(metric)
    }
  }

  /** Moves counts to free seconds, now that the whole batch is known. */
  #settle(): void {
    const { samples } = this
    const { joined, lost } = this.#known.settle(samples)
    this.#tally.merged += joined.length
    for (const index of lost) this.#count('overwritten', { name: this.#known.nameOf(samples.origins[index]) })
    if (joined.length + lost.length > 0) samples.remove([...joined.map(([index]) => index), ...lost])
    const { countInterval } = this.#options
    const { covered, intervals, count } = samples
    // Most counts of a batch cover the same time.
    let lastCovered = NaN
    let seconds = 0
    for (let index = 0; index < count; index++) {
      if (covered[index] !== lastCovered) {
        lastCovered = covered[index]
        seconds = Number.isNaN(lastCovered) ? 0 : (countInterval ?? wholeSeconds(lastCovered))
      }
      intervals[index] = seconds
    }
  }

  /** Gives a number to an unknown source: a point whose metric and kind are those of the owner. */
  #add(origin: Origin, kind: Kind, bytes: PointBytes, attributes: Attributes): number {
    const isKept = this.#known.mayKeep(origin.owner, bytes)
    return this.#known.add(origin.owner, bytes, this.#seriesOf(origin, kind, attributes, isKept), isKept)
  }

  /** The number of the series of a point; NAMELESS if it has no name. `isKept`: whether its source is. */
  #seriesOf(origin: Origin, kind: Kind, point: Attributes, isKept: boolean): number {
    const { metric, owner } = origin
    const host = this.#fillTags(origin, point, NO_TAGS)
    const isOfResource = this.#tags.host === undefined && this.#known.keepsOwner(owner)
    let frame = isOfResource ? this.#frames.get(owner) : undefined
    if (frame === undefined) {
      frame = this.#frame(metric.name, kind, host, metric)
      if (frame === undefined) return NAMELESS
      if (isOfResource) {
        this.#frames.set(owner, frame)
        this.#frameBytes += frame.head.length + frame.tail.length
      }
    }
    return this.#numberOf(kind, frame, this.#options.writer, isKept)
  }

  #derivedSeriesOf(whole: Whole, kind: Kind, sample: DerivedSample, isKept: boolean): number {
    const { metric } = whole
    const host = this.#fillTags(whole, attributesOf(whole), sample.tags)
    const frame = this.#frame(metric.name + sample.suffix, kind, host, sample.inUnit ? metric : undefined)
    return frame === undefined ? NAMELESS : this.#numberOf(kind, frame, this.#options.writer, isKept)
  }

  #sketchSeriesOf(whole: Whole): number {
    const host = this.#fillTags(whole, attributesOf(whole), NO_TAGS)
    const metric = normalizeName(whole.metric.name)
    return this.#numberOf(WHOLE, sketchSeries.frame({ metric, host }), sketchSeries, this.#known.keeps(whole.source))
  }

  /** Fills `#tags`; returns the host. */
  #fillTags({ surrounding }: Origin, point: Attributes, more: readonly string[]): string | undefined {
    const { host, tags, ofScope } = (surrounding.given ??= this.#givenBy(surrounding))
    this.#tags.fill(tags, point, ofScope.length === 0 ? more : [...ofScope, ...more])
    return this.#tags.host ?? host
  }

  #givenBy({ resource, scope }: Surrounding): NonNullable<Surrounding['given']> {
    const { host } = resolveHost(resource)
    const tags = [...resourceTags(resource, this.#options.chosen, host)]
    const ofScope = Array.from(this.#options.scopeTags(scope), ([key, value]) => normalizeTag(key, value))
    return { host, tags: tags.map(([key, value]) => [key, normalizeTag(key, value)]), ofScope }
  }

  /** `measured`: the metric in whose unit the values are, if they have one. `undefined`: Datadog takes no such name. */
  #frame(name: string, kind: Kind, host: string | undefined, measured: Metric | undefined): SeriesFrame | undefined {
    const metric = normalizeName(name)
    if (metric === '') return undefined
    const type = kind === COUNT ? 'count' : 'gauge'
    return this.#options.writer.frame({ metric, type, unit: this.#unitOf(metric, measured), host })
  }

  /** The number of a Datadog series whose tags are in `#tags`, by its written form. */
  #numberOf(kind: Kind, { head, tail }: SeriesFrame, { tags }: Pick<SeriesWriter, 'tags'>, isKept: boolean): number {
    const most = head.length + this.#tags.length + this.#tags.count * MAX_AROUND_TAG + tail.length
    if (most > this.#written.length) this.#makeWritten(most * 2)
    const out = this.#written
    out.set(head)
    const end = tags(out, head.length, this.#tags)
    out.set(tail, end)
    return this.#known.numberOf(kind, this.#writtenView, 0, end + tail.length, isKept)
  }

  #makeWritten(length: number): void {
    this.#written = Buffer.alloc(length)
    this.#writtenView = viewOf(this.#written)
  }

  #clearFrames(): void {
    this.#frames.clear()
    this.#frameBytes = 0
  }

  #unitOf(name: string, metric: Metric | undefined): string | undefined {
    if (this.#units.has(name)) return this.#units.get(name)
    if (this.#units.size >= MAX_NAMES) this.#units.clear()
    const named = unitName(metric?.unit ?? '')
    this.#units.set(name, named)
    return named
  }
}

/** The fate of points, reported once it is certain. */
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

/** The attributes of a point as they are sent, if the exporter's own host or tags changed those of its metric. */
function finishedAttributes({ metric, finished }: Origin, read: number): Attributes | undefined {
  return finished === metric ? undefined : finished.points[read].attributes
}

function attributesOf(whole: Whole): Attributes {
  return finishedAttributes(whole, whole.read) ?? whole.place.attributes()
}

/** Datadog accepts whole seconds only, and divides by them; 0 means unknown. */
function wholeSeconds(nanoseconds: number): number {
  return nanoseconds === 0 ? 0 : Math.max(1, Math.round(nanoseconds / SECOND))
}
