import type { Clock } from '../../time/clock.ts'
import type { ConfigOf, Setting, Settings } from '../../component/settings.ts'
import { toInt } from '../../host/numbers.ts'
import { Attributes } from '../../otlp/common/attributes.ts'
import { Metric } from '../../otlp/metrics/metric.ts'
import { NumberPoint } from '../../otlp/metrics/points.ts'
import type { PortableSystem } from './portable.ts'
import type { Root } from './root.ts'

/** One metric: what its points look like, and whether they are made unless the YAML says otherwise. */
export interface MetricDeclaration {
  readonly doc: string
  /** UCUM. */
  readonly unit: string
  readonly type: 'gauge' | 'sum'
  /** Only for sums: the value never falls but when the system starts again. */
  readonly monotonic?: true
  readonly value: 'int' | 'double'
  readonly attributes?: readonly string[]
  /** Attributes that no setting drops, because their values overlap: no strategy makes a right number of them. */
  readonly required?: readonly string[]
  readonly enabled: boolean
  /** Where the metric can be read: on Linux alone, on all but Windows; default: everywhere. */
  readonly on?: 'linux' | 'unix'
}

/** How several points become one. Source: the collector's mdatagen, `aggregation_strategy`. */
const STRATEGIES = ['sum', 'avg', 'min', 'max'] as const

export type Strategy = (typeof STRATEGIES)[number]

/** Makes one point of those of a scrape that are the same without the attributes that are dropped. Called once per scrape. */
export type Aggregation = (points: readonly NumberPoint[]) => readonly NumberPoint[]

/** Metrics by name. */
export type MetricTable = Readonly<Record<string, MetricDeclaration>>

type AttributesOf<D> = D extends { readonly attributes: readonly (infer Key extends string)[] }
  ? [attributes: Readonly<Record<Key, string | undefined>>]
  : []

/** What a scraper is given to report with, once per scrape. It can record only what its table declares. */
export interface Scrape<M extends MetricTable = MetricTable> {
  /**
   * Adds a point, if the metric is enabled and the value known: NaN is one that was not understood, which
   * was reported where it was read, or one that cannot be computed. A value below 0 is reported and left out, and an int is at
   * most 2^63 - 1. An attribute that is `undefined` is left out.
   */
  record<Name extends keyof M & string>(
    name: Name,
    value: number | bigint | undefined,
    ...attributes: AttributesOf<M[Name]>
  ): void
  /** Says that the sums recorded after this began so many seconds after the boot, where they did not begin with it. */
  beginsAfterBoot(seconds: number): void
  /** Whether the metric is enabled, for what is costly to read. */
  wants(name: keyof M & string): boolean
  /**
   * Reports that a part could not be read; the rest of the scrape goes on. Counted each time, logged once per cause.
   * @param cause a sentence that stays the same while the failure does
   * @param detail what varies, for the log
   */
  fail(cause: string, detail?: string): void
}

/** Reads the system once. What was recorded before a throw is kept. */
export type Read<M extends MetricTable> = (scrape: Scrape<M>) => void | Promise<void>

/** A part of the host: a table of metrics and, for each source of figures, a function that reads. */
export interface Scraper<M extends MetricTable = MetricTable, S extends Settings = Settings> {
  readonly doc: string
  readonly metrics: M
  /** Settings beside `metrics`. */
  readonly settings: S
  /** An attribute whose values may be parts of one another, so that their sum counts something twice unless it is chosen what counts. */
  readonly overlapping?: { readonly attribute: string; readonly reason: string }
  /**
   * Reads `/proc` and `/sys`. Called once; the function it returns may remember the scrape before.
   * @param root the host's, which may stand below a folder
   * @param own the root this process lives in
   */
  linux(config: ConfigOf<S>, root: Root, own: Root, clock: Clock): Read<M>
  /** Reads what systeminformation and Node.js know on any system. Absent: there is nothing they could fill. */
  portable?(config: ConfigOf<S>, system: PortableSystem): Read<M>
}

/** Lends types to a scraper and returns it as it is. */
export function defineScraper<const M extends MetricTable, const S extends Settings>(
  scraper: Scraper<M, S>,
): Scraper<M, S> {
  return scraper
}

type Switch = Readonly<{ enabled: Setting<'boolean'> & { readonly default: boolean } }>

/** Of a metric with attributes. */
interface AggregationSettings {
  readonly attributes: Setting<{ readonly list: readonly string[] }> & { readonly default: readonly string[] }
  readonly aggregation_strategy: Setting<readonly Strategy[]> & { readonly default: Strategy }
}

type MetricsSettings = Readonly<Record<string, Switch | (Switch & AggregationSettings)>>

export interface ScraperSetting extends Setting<{ settings: Settings & { metrics: MetricsSettings } }> {
  readonly default: undefined
}

/** The settings of the given scrapers, each absent unless the YAML names it: its own, and those of each metric of its table. */
export function scrapersSettings<Name extends string>(
  scrapers: Readonly<Record<Name, Scraper>>,
): Readonly<Record<Name, ScraperSetting>> {
  const settings = Object.entries<Scraper>(scrapers).map(([name, { doc, metrics, settings }]) => [
    name,
    { doc, format: { settings: { ...settings, metrics: metricsSettings(metrics) } }, default: undefined },
  ])
  return Object.fromEntries(settings) as Record<Name, ScraperSetting>
}

function metricsSettings(metrics: MetricTable): MetricsSettings {
  const enabled = switches(metrics)
  return Object.fromEntries(
    Object.entries(metrics).map(([name, { attributes, type, monotonic }]) => {
      if (attributes === undefined) return [name, enabled[name]]
      const settings: Switch & AggregationSettings = {
        ...enabled[name],
        attributes: {
          doc: 'The attributes that points keep. Those that differ only in others become one point.',
          format: { list: attributes },
          default: attributes,
        },
        aggregation_strategy: {
          doc: monotonic
            ? 'What becomes of the values then: a counter can only be added up.'
            : 'What becomes of the values then.',
          format: monotonic ? ['sum'] : STRATEGIES,
          default: type === 'sum' ? 'sum' : 'avg',
        },
      }
      return [name, settings]
    }),
  )
}

/** Settings that switch each of the things described on or off. */
export function switches(
  things: Readonly<Record<string, { doc: string; enabled: boolean }>>,
): Readonly<Record<string, Switch>> {
  return Object.fromEntries(
    Object.entries(things).map(([name, { doc, enabled }]) => [
      name,
      { enabled: { doc: `Whether \`${name}\` is collected. ${doc}`, format: 'boolean', default: enabled } },
    ]),
  )
}

/** Which metrics a scraper records, and how. */
export interface RecordedMetrics {
  readonly table: MetricTable
  readonly enabled: readonly string[]
  /** Of the metrics that do not keep all their attributes. */
  readonly aggregations: ReadonlyMap<string, Aggregation>
}

/** Holds the points that one scraper records in one scrape. */
export class Recording implements Scrape {
  readonly #points = new Map<string, NumberPoint[]>()
  #start: bigint

  constructor(
    private readonly of: RecordedMetrics,
    /** Nanoseconds since 1970. */
    private readonly times: { readonly scrape: bigint; readonly boot: bigint },
    readonly fail: Scrape['fail'],
  ) {
    this.#start = times.boot
    for (const name of of.enabled) this.#points.set(name, [])
  }

  beginsAfterBoot(seconds: number): void {
    // Without a known boot no start is known.
    if (this.times.boot === 0n) return
    const start = this.times.boot + BigInt(Math.round(seconds * 1e9))
    this.#start = start < this.times.scrape ? start : this.times.scrape
  }

  wants(name: string): boolean {
    return this.#points.has(name)
  }

  record(
    name: string,
    value: number | bigint | undefined,
    attributes: Readonly<Record<string, string | undefined>> = {},
  ): void {
    const points = this.#points.get(name)
    if (points === undefined || value === undefined) return
    if (typeof value === 'number' && !Number.isFinite(value)) return
    const declaration = this.of.table[name]
    if (value < 0)
      return this.fail(
        `${name} is less than 0, which it cannot be.`,
        JSON.stringify({ value: Number(value), ...attributes }),
      )
    const isInt = declaration.value === 'int'
    const entries = []
    for (const key of declaration.attributes ?? []) {
      const text = attributes[key]
      if (text !== undefined) entries.push({ key, value: { stringValue: text } })
    }
    points.push(
      new NumberPoint({
        value: isInt ? toInt(value) : value,
        isInt,
        attributes: Attributes.from(entries),
        timeUnixNano: this.times.scrape,
        startTimeUnixNano: declaration.type === 'sum' ? this.#start : 0n,
      }),
    )
  }

  /** The metrics that have points, in the order of the table. Called once. */
  metrics(): Metric[] {
    const metrics: Metric[] = []
    for (const [name, recorded] of this.#points) {
      if (recorded.length === 0) continue
      const points = this.of.aggregations.get(name)?.(recorded) ?? recorded
      const { doc, unit, type, monotonic } = this.of.table[name]
      const temporality = type === 'sum' ? 'cumulative' : 'unspecified'
      metrics.push(new Metric({ name, description: doc, unit, type, temporality, monotonic, points }))
    }
    return metrics
  }
}
