import type { Account } from '../../component.ts'
import { resolveHost } from '../../datadog/host.ts'
import { normalizeName, normalizeTag } from '../../datadog/names.ts'
import { resourceTags } from '../../datadog/resource_attributes.ts'
import { anyValueText } from '../../otlp/attributes.ts'
import type { Attributes } from '../../otlp/attributes.ts'
import type { MetricBatch } from '../../otlp/batch.ts'
import { BytesIndex, grown } from '../../otlp/bytes_index.ts'
import { NumberPointCursor } from '../../otlp/cursor.ts'
import { viewOf } from '../../otlp/message.ts'
import { MetricIndex } from '../../otlp/metric_index.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { NumberPoint } from '../../otlp/points.ts'
import type { Samples } from './samples.ts'

/** What Datadog knows a series by. */
export interface Series {
  readonly metric: string
  readonly type: 'count' | 'gauge'
  readonly host: string | undefined
  /** Sorted and unique. */
  readonly tags: readonly string[]
}

export interface SeriesOptions {
  readonly metricPrefix: string | undefined
  /** Seconds; instead of the time each count really covers. */
  readonly countInterval: number | undefined
  /** Whether a resource attribute becomes a tag. */
  readonly chosen: (attribute: string) => boolean
  readonly encode: (series: Series) => Uint8Array
}

const SECOND = 1_000_000_000n
/** Milliseconds after which a series that sends nothing is forgotten. */
const TTL = 3_600_000
/** Series remembered at most. */
const MAX_KNOWN = 1_000_000

/** What is known of the bytes of a series: which series of Datadog's they are, and when they came last, in seconds. */
const SERIES = 0
const SEEN = 1
const STRIDE = 2

/**
 * Turns batches that hold gauges, sums of differences and non-monotonic sums only into samples of Datadog's series. What
 * is known of a series is remembered from batch to batch by the bytes it came as, because writing names and tags as
 * Datadog does is most of the work.
 */
export class SeriesMapper {
  /** Datadog's series, as the API's format writes them. */
  readonly series = new BytesIndex()
  readonly #options: SeriesOptions
  readonly #metrics = new MetricIndex(({ type, name }, resource) =>
    [type, name, resource.attributes.identity].join('\n'),
  )
  /** The bytes they come as; their owner is `ownerOf` the metric. */
  readonly #known = new BytesIndex()
  readonly #cursor = new NumberPointCursor()
  #places = new Int32Array(64 * STRIDE)
  /** By series: the number of the batch that brought its last sample. */
  #batches = new Int32Array(64)
  #batch = 0
  #now = 0
  #lastSweep = performance.now()

  constructor(options: SeriesOptions) {
    this.#options = options
  }

  /**
   * One sample for each point, by its bytes alone; `false`, and nothing that counts in `samples`, when a point cannot be read
   * that way, or when two points turn out to be one series.
   */
  ofBytes(batch: MetricBatch, samples: Samples): boolean {
    this.#begin()
    const cursor = this.#cursor
    const number = this.#batch
    const { countInterval } = this.#options
    for (const { resource, scopes } of batch.resources) {
      for (const { scope, metrics } of scopes) {
        for (const metric of metrics) {
          if (!cursor.open(metric)) return false
          const type = typeOf(metric)
          const owner = ownerOf(this.#metrics.numberOf(metric, resource, scope, this.#now), type)
          while (cursor.next()) {
            const { view, attributesStart, attributesEnd } = cursor
            const known = this.#known.find(owner, view, attributesStart, attributesEnd)
            if (known < 0 && this.#nameOf(metric) === '') return false
            const series =
              known < 0
                ? this.#add(owner, this.#seriesOf(metric, type, resource.attributes, cursor.attributes()), cursor)
                : this.#seen(known)
            if (this.#batches[series] === number) return false
            this.#batches[series] = number
            const interval = type === 'gauge' ? 0 : (countInterval ?? wholeSeconds(cursor.elapsed()))
            samples.add(series, cursor.seconds(), cursor.value(), interval)
          }
          if (!cursor.complete) return false
        }
      }
    }
    return true
  }

  /**
   * Samples of any batch. Points that are one series in one second, since Datadog reads names and tags alike, are
   * aggregated, because Datadog keeps only the last that arrives: sums are added, of gauges the latest stays.
   */
  ofPoints(batch: MetricBatch, samples: Samples, account: Account): void {
    this.#begin()
    const groups = new Map<number, { readonly type: Series['type']; readonly seconds: Map<number, Group> }>()
    let merged = 0
    for (const { metric, resource, scope } of batch.metrics()) {
      const type = typeOf(metric)
      if (this.#nameOf(metric) === '') {
        account.dropped('invalid_name', metric.points.length)
        continue
      }
      const owner = ownerOf(this.#metrics.numberOf(metric, resource, scope, this.#now), type)
      for (const point of metric.points as readonly NumberPoint[]) {
        const { view, start, end } = point.attributes.identityBytes
        const known = this.#known.find(owner, view, start, end)
        const series =
          known < 0
            ? this.#add(owner, this.#seriesOf(metric, type, resource.attributes, point.attributes), {
                view,
                attributesStart: start,
                attributesEnd: end,
              })
            : this.#seen(known)
        let group = groups.get(series)
        if (group === undefined) groups.set(series, (group = { type, seconds: new Map<number, Group>() }))
        if (addPoint(group.seconds, metric, point)) merged++
      }
    }
    if (merged > 0) account.merged(merged)
    for (const [series, { type, seconds }] of groups) {
      for (const [timestamp, { value, start, time }] of [...seconds].sort(([left], [right]) => left - right)) {
        const interval = type === 'gauge' ? 0 : (this.#options.countInterval ?? wholeSeconds(elapsed(start, time)))
        samples.add(series, timestamp, value, interval)
      }
    }
  }

  /** Keeps the memory bounded. Only between batches, so that within one the same series is the same number. */
  #begin(): void {
    this.#batch++
    this.#now = performance.now()
    const full = this.#known.size > MAX_KNOWN
    if (!full && this.#now - this.#lastSweep < TTL / 2) return
    this.#lastSweep = this.#now
    const before = full ? Infinity : (this.#now - TTL) / 1000
    const used = new Set<number>()
    this.#known.forget((known) => {
      if (this.#places[known * STRIDE + SEEN] < before) return true
      used.add(this.#places[known * STRIDE + SERIES])
      return false
    })
    this.series.forget((series) => !used.has(series))
    this.#metrics.forget(before * 1000)
  }

  #seen(known: number): number {
    this.#places[known * STRIDE + SEEN] = this.#now / 1000
    return this.#places[known * STRIDE + SERIES]
  }

  /** Remembers of which series the bytes are. */
  #add(
    owner: number,
    series: number,
    { view, attributesStart, attributesEnd }: Pick<NumberPointCursor, 'view' | 'attributesStart' | 'attributesEnd'>,
  ): number {
    const known = this.#known.add(owner, view, attributesStart, attributesEnd)
    if ((known + 1) * STRIDE > this.#places.length) this.#places = grown(this.#places)
    this.#places[known * STRIDE + SERIES] = series
    return this.#seen(known)
  }

  #nameOf(metric: Metric): string {
    const { metricPrefix: prefix } = this.#options
    return normalizeName(
      prefix === undefined || metric.name.startsWith(`${prefix}.`) ? metric.name : `${prefix}.${metric.name}`,
    )
  }

  #seriesOf(metric: Metric, type: Series['type'], resource: Attributes, point: Attributes): number {
    const resolved = resolveHost(resource)
    const host = point.text('host') ?? resolved.host
    const tags = allTags(resourceTags(resource, this.#options.chosen, resolved.host), point)
    const view = viewOf(this.#options.encode({ metric: this.#nameOf(metric), type, host, tags }))
    const known = this.series.find(0, view, 0, view.byteLength)
    if (known >= 0) return known
    const series = this.series.add(0, view, 0, view.byteLength)
    if (series >= this.#batches.length) this.#batches = grown(this.#batches)
    this.#batches[series] = 0
    return series
  }
}

/** The same metric as counts is not the same series as gauges. */
function ownerOf(metric: number, type: Series['type']): number {
  return metric * 2 + (type === 'count' ? 1 : 0)
}

function typeOf(metric: Metric): Series['type'] {
  return metric.type === 'sum' && metric.temporality === 'delta' ? 'count' : 'gauge'
}

/** A point's own attributes win over tags of the resource. Its attribute `host` is Datadog's host and no tag. */
function allTags(ofResource: ReadonlyMap<string, string>, attributes: Attributes): readonly string[] {
  const tags = new Set<string>()
  for (const [key, value] of ofResource) if (!attributes.has(key)) tags.add(normalizeTag(key, value))
  const seen = new Set(['host'])
  for (const { key, value } of attributes) {
    if (!seen.has(key)) tags.add(normalizeTag(key, anyValueText(value)))
    seen.add(key)
  }
  tags.delete('')
  return [...tags].sort()
}

/** The points of one series in one second. */
interface Group {
  value: number
  time: bigint
  start: bigint
}

/** Returns whether the point became part of another. */
function addPoint(seconds: Map<number, Group>, metric: Metric, point: NumberPoint): boolean {
  const { timeUnixNano: time, startTimeUnixNano: start } = point
  const value = Number(point.value)
  const timestamp = Number(time / SECOND)
  const same = seconds.get(timestamp)
  if (same === undefined) {
    seconds.set(timestamp, { value, time, start })
    return false
  }
  if (metric.type === 'sum') same.value += value
  else if (time >= same.time) same.value = value
  if (time > same.time) same.time = time
  if (start < same.start) same.start = start
  return true
}

/** Nanoseconds between two times; `undefined` when the first is not known or not before the second. */
function elapsed(start: bigint, time: bigint): number | undefined {
  return start === 0n || start >= time ? undefined : Number(time - start)
}

/** Datadog takes whole seconds only, and divides by them; 0 is what is not known. */
function wholeSeconds(nanoseconds: number | undefined): number {
  return nanoseconds === undefined ? 0 : Math.max(1, Math.round(nanoseconds / Number(SECOND)))
}
