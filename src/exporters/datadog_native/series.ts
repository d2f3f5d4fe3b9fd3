import type { Account } from '../../component.ts'
import { resolveHost } from '../../datadog/host.ts'
import { normalizeName, normalizeTag } from '../../datadog/names.ts'
import { resourceTags } from '../../datadog/resource_attributes.ts'
import { anyValueText } from '../../otlp/attributes.ts'
import type { Attributes } from '../../otlp/attributes.ts'
import type { MetricBatch } from '../../otlp/batch.ts'
import { NumberPointCursor } from '../../otlp/cursor.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { NumberPoint } from '../../otlp/points.ts'
import { SeriesIndex } from '../../otlp/series_index.ts'

/** What Datadog knows a series by; one object for all that are the same to Datadog. */
export interface Series {
  readonly metric: string
  readonly type: 'count' | 'gauge'
  readonly host: string | undefined
  /** Sorted and unique. */
  readonly tags: readonly string[]
  /** The above as the API's format writes it. */
  readonly encoded: Uint8Array
  /** The number of the batch that brought its last sample. */
  batch: number
}

/** One value of a series in one second. */
export interface Sample {
  readonly series: Series
  /** Seconds since 1970. */
  readonly timestamp: number
  readonly value: number
  /** Seconds that a count covers; `undefined` when it is not known. */
  readonly interval: number | undefined
}

export interface SeriesOptions {
  readonly metricPrefix: string | undefined
  /** Seconds; instead of the time each count really covers. */
  readonly countInterval: number | undefined
  /** Whether a resource attribute becomes a tag. */
  readonly chosen: (attribute: string) => boolean
  readonly encode: (series: Pick<Series, 'metric' | 'type' | 'host' | 'tags'>) => Uint8Array
}

const SECOND = 1_000_000_000n
/** Series remembered from one batch to the next. */
const MAX_KNOWN = 100_000

/**
 * Turns batches that hold gauges, sums of differences and non-monotonic sums only into samples of Datadog's series. What
 * is known of a series is remembered from batch to batch by the bytes it came as, because writing names and tags as
 * Datadog does is most of the work.
 */
export class SeriesMapper {
  readonly #options: SeriesOptions
  readonly #known = new Map<string, Map<string, SeriesIndex<Series>>>()
  readonly #byText = new Map<string, Series>()
  readonly #cursor = new NumberPointCursor()
  #batch = 0

  constructor(options: SeriesOptions) {
    this.#options = options
  }

  /**
   * One sample for each point, by its bytes alone; `undefined` when a point cannot be read that way, or when two points
   * turn out to be one series.
   */
  ofBytes(batch: MetricBatch): readonly Sample[] | undefined {
    this.#begin()
    const samples: Sample[] = []
    const cursor = this.#cursor
    for (const { resource, scopes } of batch.resources) {
      const byMetric = this.#ofResource(resource.attributes)
      for (const scope of scopes) {
        for (const metric of scope.metrics) {
          if (!cursor.open(metric)) return undefined
          const type = typeOf(metric)
          const known = this.#ofMetric(byMetric, metric, type)
          if (known === undefined) return undefined
          while (cursor.next()) {
            let series = known.find(cursor)
            if (series === undefined) {
              series = this.#series(metric, type, resource.attributes, cursor.attributes())
              known.set(cursor.attributesKey(), series)
            }
            if (series.batch === this.#batch) return undefined
            series.batch = this.#batch
            const interval =
              type === 'gauge' ? undefined : (this.#options.countInterval ?? wholeSeconds(cursor.elapsed()))
            samples.push({ series, timestamp: cursor.seconds(), value: cursor.value(), interval })
          }
          if (!cursor.complete) return undefined
        }
      }
    }
    return samples
  }

  /**
   * Samples of any batch. Points that are one series in one second, since Datadog reads names and tags alike, are
   * aggregated, because Datadog keeps only the last that arrives: sums are added, of gauges the latest stays.
   */
  ofPoints(batch: MetricBatch, account: Account): readonly Sample[] {
    this.#begin()
    const groups = new Map<Series, Map<number, Group>>()
    let merged = 0
    for (const { resource, scopes } of batch.resources) {
      const byMetric = this.#ofResource(resource.attributes)
      for (const metric of scopes.flatMap((scope) => scope.metrics)) {
        const type = typeOf(metric)
        const known = this.#ofMetric(byMetric, metric, type)
        if (known === undefined) {
          account.dropped('invalid_name', metric.points.length)
          continue
        }
        for (const point of metric.points as readonly NumberPoint[]) {
          const key = point.attributes.bytesIdentity
          let series = known.get(key)
          if (series === undefined) {
            series = this.#series(metric, type, resource.attributes, point.attributes)
            known.set(key, series)
          }
          let seconds = groups.get(series)
          if (seconds === undefined) groups.set(series, (seconds = new Map<number, Group>()))
          if (addPoint(seconds, metric, point)) merged++
        }
      }
    }
    if (merged > 0) account.merged(merged)
    const samples: Sample[] = []
    for (const [series, seconds] of groups) {
      for (const [timestamp, { value, start, time }] of [...seconds].sort(([left], [right]) => left - right)) {
        const interval =
          series.type === 'gauge' ? undefined : (this.#options.countInterval ?? wholeSeconds(elapsed(start, time)))
        samples.push({ series, timestamp, value, interval })
      }
    }
    return samples
  }

  /** Keeps the memory bounded. Only between batches, so that within one the same series is the same object. */
  #begin(): void {
    this.#batch++
    if (this.#byText.size <= MAX_KNOWN) return
    this.#known.clear()
    this.#byText.clear()
  }

  #ofResource(resource: Attributes): Map<string, SeriesIndex<Series>> {
    return entry(this.#known, resource.identity, () => new Map<string, SeriesIndex<Series>>())
  }

  /** What is known of the series of a metric, by their attributes; `undefined` when Datadog takes no such name. */
  #ofMetric(
    byMetric: Map<string, SeriesIndex<Series>>,
    metric: Metric,
    type: Series['type'],
  ): SeriesIndex<Series> | undefined {
    const known = byMetric.get(`${type} ${metric.name}`)
    if (known !== undefined) return known
    if (this.#nameOf(metric) === '') return undefined
    return entry(byMetric, `${type} ${metric.name}`, () => new SeriesIndex<Series>())
  }

  #nameOf(metric: Metric): string {
    const { metricPrefix: prefix } = this.#options
    return normalizeName(
      prefix === undefined || metric.name.startsWith(`${prefix}.`) ? metric.name : `${prefix}.${metric.name}`,
    )
  }

  #series(metric: Metric, type: Series['type'], resource: Attributes, point: Attributes): Series {
    const resolved = resolveHost(resource)
    const host = point.text('host') ?? resolved.host
    const tags = allTags(resourceTags(resource, this.#options.chosen, resolved.host), point)
    const name = this.#nameOf(metric)
    return entry(this.#byText, [type, name, host ?? '', ...tags].join('\n'), () => {
      const known = { metric: name, type, host, tags }
      return { ...known, encoded: this.#options.encode(known), batch: 0 }
    })
  }
}

function entry<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
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

/** Datadog takes whole seconds only, and divides by them. */
function wholeSeconds(nanoseconds: number | undefined): number | undefined {
  return nanoseconds === undefined ? undefined : Math.max(1, Math.round(nanoseconds / Number(SECOND)))
}
