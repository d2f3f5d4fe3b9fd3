import type { ExporterState, Told } from '../../component.ts'
import { normalizeTag } from '../../datadog/names.ts'
import { subtractValues } from '../../otlp/number_values.ts'
import type { MetricBatch } from '../../otlp/batch.ts'
import { DEFAULT_MAX_SERIES, DEFAULT_TTL, keepsFirst } from '../../otlp/delta.ts'
import type { DeltaOptions } from '../../otlp/delta.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { DataPoint, SummaryPoint } from '../../otlp/points.ts'
import { NO_TAGS, numberText } from './histograms.ts'
import type { DerivedSample } from './histograms.ts'

/** Whether quantiles are sent, as gauges. */
export const SUMMARY_MODES = ['gauges', 'noquantiles'] as const
export type SummaryMode = (typeof SUMMARY_MODES)[number]

/**
 * What Datadog gets for a point that `SummaryDifferences` has been through. `first_value`: nothing, since its count and sum
 * were withheld and there are no quantiles to send.
 */
export function mapSummary(point: SummaryPoint, mode: SummaryMode): readonly DerivedSample[] | 'first_value' {
  const samples: DerivedSample[] = []
  if (point.startTimeUnixNano !== point.timeUnixNano) {
    samples.push({ suffix: '.count', type: 'count', value: Number(point.count), tags: NO_TAGS, inUnit: false })
    if (Number.isFinite(point.sum)) {
      samples.push({ suffix: '.sum', type: 'count', value: point.sum, tags: NO_TAGS, inUnit: true })
    }
  }
  if (mode === 'gauges') {
    for (const { quantile, value } of point.quantileValues) {
      // One without a value in the time it looks back on is NaN.
      if (!Number.isFinite(value)) continue
      const tags = [normalizeTag('quantile', numberText(quantile))]
      samples.push({ suffix: '.quantile', type: 'gauge', value, tags, inUnit: true })
    }
  }
  return samples.length === 0 ? 'first_value' : samples
}

interface Series {
  /** What tells the metric, and the series of it, from others. */
  readonly metric: string
  readonly key: string
  readonly count: number | bigint
  readonly sum: number
  readonly time: bigint
  readonly start: bigint
  /** `performance.now()` of the point. */
  readonly seen: number
}

/** Of what is told: JSON with the series as lists of texts, in the order of their fields, `seen` as milliseconds ago. */
const VERSION = 1
/** Series told at a time that may not have changed. */
const SLICE = 200

/**
 * Turns count and sum of summaries, which OTLP knows as cumulative only, into the differences to the point before, by the rules
 * of `CumulativeToDelta`; the quantiles stay. Where that withholds a first value, the point goes on for its quantiles: it covers
 * no time (it starts when it ends), and its count and sum are 0. Remembers the last point of every series.
 */
export class SummaryDifferences implements ExporterState {
  readonly #initialValue: DeltaOptions['initialValue']
  readonly #ttl: number
  readonly #maxSeries: number
  readonly #metrics = new Map<string, Map<string, Series>>()
  #size = 0
  #lastSweep = performance.now()
  /** Once it was asked to tell: what has changed since it did, and what else it has not told. */
  #changed: Series[] | undefined
  #untold: Iterator<Series, undefined> = [][Symbol.iterator]()

  constructor({ initialValue, ttl = DEFAULT_TTL, maxSeries = DEFAULT_MAX_SERIES }: DeltaOptions) {
    this.#initialValue = initialValue
    this.#ttl = ttl
    this.#maxSeries = maxSeries
  }

  /** Series remembered. */
  get size(): number {
    return this.#size
  }

  /**
   * Batches must come in order. Points left out are told to `account`: `no_recorded_value`, `out_of_order`,
   * `duplicate_timestamp`, `too_many_series`. Metrics of other types stay as they are.
   */
  apply(batch: MetricBatch, account: { dropped(reason: string, points: number): void }): MetricBatch {
    const now = performance.now()
    if (now - this.#lastSweep > this.#ttl / 2) this.#sweep(now)
    const emptied = new Set<Metric>()
    const changed = batch.mapMetrics((metric, resource, scope) => {
      if (metric.type !== 'summary') return metric
      const { name, unit } = metric
      const key = [name, unit, scope.name, scope.version, resource.attributes.identity].join('\n')
      const points: DataPoint[] = []
      for (const point of metric.points as readonly SummaryPoint[]) {
        const result = this.#difference(key, point, now)
        if (typeof result === 'string') account.dropped(result, 1)
        else points.push(result)
      }
      const differences = metric.withPoints(points)
      if (points.length === 0 && metric.points.length > 0) emptied.add(differences)
      return differences
    })
    return emptied.size === 0 ? changed : changed.filterMetrics((metric) => !emptied.has(metric))
  }

  begin(): void {
    this.#changed = []
    this.#untold = this.#all()
  }

  changes(): { bytes: Uint8Array; all: boolean } {
    const told = this.#changed?.splice(0) ?? []
    let all = false
    for (let left = SLICE; left > 0 && !all; left--) {
      const next = this.#untold.next()
      if (next.done) all = true
      else told.push(next.value)
    }
    if (told.length === 0) return { bytes: Buffer.alloc(0), all }
    const now = performance.now()
    const series = told.map(({ metric, key, count, sum, time, start, seen }) =>
      [metric, key, count, sum, time, start, now - seen].map(String),
    )
    return { bytes: Buffer.from(JSON.stringify({ version: VERSION, series })), all }
  }

  restore(tellings: readonly (readonly Told[])[]): void {
    for (const { bytes, age } of tellings.flat()) {
      if (bytes.length === 0) continue
      const told = JSON.parse(Buffer.from(bytes).toString()) as { version: number; series: string[][] }
      if (told.version !== VERSION) {
        this.#metrics.clear()
        this.#size = 0
        throw new Error(`it is of version ${told.version}, not ${VERSION}`)
      }
      for (const [metric, key, count, sum, time, start, seen] of told.series) {
        const known = this.#seriesOf(metric)
        if (!known.has(key)) this.#size++
        known.set(key, {
          metric,
          key,
          count: Number.isSafeInteger(Number(count)) ? Number(count) : BigInt(count),
          sum: Number(sum),
          time: BigInt(time),
          start: BigInt(start),
          seen: performance.now() - age - Number(seen),
        })
      }
    }
  }

  *#all(): Generator<Series, undefined> {
    for (const known of this.#metrics.values()) yield* known.values()
    return undefined
  }

  #seriesOf(metric: string): Map<string, Series> {
    let series = this.#metrics.get(metric)
    if (series === undefined) this.#metrics.set(metric, (series = new Map<string, Series>()))
    return series
  }

  /** The point as a difference, or why it is left out. */
  #difference(metric: string, point: SummaryPoint, now: number): SummaryPoint | string {
    if (!point.hasValue) return 'no_recorded_value'
    const known = this.#seriesOf(metric)
    const { count, sum, timeUnixNano: time, startTimeUnixNano: start } = point
    const key = point.attributes.bytesIdentity
    let previous = known.get(key)
    if (previous !== undefined && now - previous.seen > this.#ttl) {
      known.delete(key)
      this.#size--
      previous = undefined
    }
    if (previous === undefined && this.#size >= this.#maxSeries) return 'too_many_series'
    if (previous !== undefined && previous.time >= time) {
      return previous.time === time ? 'duplicate_timestamp' : 'out_of_order'
    }
    const series = { metric, key, count, sum, time, start, seen: now }
    known.set(key, series)
    this.#changed?.push(series)
    if (previous === undefined) this.#size++
    else if (start === 0n || (start !== time && start === previous.start)) {
      const difference =
        subtractValues({ value: count, isInt: true }, { value: previous.count, isInt: true }).value ?? 0
      // A sum may go back by itself, where values are negative; a count only when both began anew.
      if (difference >= 0) {
        return point.with({ count: difference, sum: sum - previous.sum, startTimeUnixNano: previous.time })
      }
    }
    if (!keepsFirst(this.#initialValue, start, time)) return point.with({ count: 0, sum: 0, startTimeUnixNano: time })
    const before = previous !== undefined && previous.time > start ? previous.time : start
    // 0, not known, where the source says that it began just now.
    return point.with({ startTimeUnixNano: before === time ? 0n : before })
  }

  #sweep(now: number): void {
    this.#lastSweep = now
    for (const [metricKey, known] of this.#metrics) {
      for (const [key, { seen }] of known) {
        if (now - seen <= this.#ttl) continue
        known.delete(key)
        this.#size--
      }
      if (known.size === 0) this.#metrics.delete(metricKey)
    }
  }
}
