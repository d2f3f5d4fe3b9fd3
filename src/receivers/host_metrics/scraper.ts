import type { Clock } from '../../time/clock.ts'
import type { ConfigOf, Setting, Settings } from '../../component/settings.ts'
import { toInt } from '../../host/numbers.ts'
import { Attributes } from '../../otlp/common/attributes.ts'
import { Metric } from '../../otlp/metrics/metric.ts'
import { NumberPoint } from '../../otlp/metrics/points.ts'
import type { PortableSystem } from './portable.ts'
import type { Root } from './root.ts'

/** One metric: the form of its points, and whether they are collected by default. */
export interface MetricDeclaration {
  readonly doc: string
  /** UCUM. */
  readonly unit: string
  readonly type: 'gauge' | 'sum'
  /** Only for sums: the value never falls unless the system starts again. */
  readonly monotonic?: true
  readonly value: 'int' | 'double'
  readonly attributes?: readonly string[]
  /** Attributes that no setting can drop, because their values overlap: no strategy gives a right number. */
  readonly required?: readonly string[]
  readonly enabled: boolean
  /** The systems on which the metric can be read: only Linux, or all but Windows; default: all. */
  readonly on?: 'linux' | 'unix'
}

/** The forms that most metrics have, by the names of their instruments in OpenTelemetry. */
export const counter = { type: 'sum', monotonic: true, value: 'int', enabled: true } as const
export const upDownCounter = { type: 'sum', value: 'int', enabled: true } as const
export const gauge = { type: 'gauge', value: 'double', enabled: false } as const

/** How several points become one. Source: the Collector's mdatagen, `aggregation_strategy`. */
const STRATEGIES = ['sum', 'avg', 'min', 'max'] as const

export type Strategy = (typeof STRATEGIES)[number]

/** Makes one point of the points of a scrape that are equal without the dropped attributes. Called once per scrape. */
export type Aggregation = (points: readonly NumberPoint[]) => readonly NumberPoint[]

/** Metrics by name. */
export type MetricTable = Readonly<Record<string, MetricDeclaration>>

type AttributesOf<D> = D extends { readonly attributes: readonly (infer Key extends string)[] }
  ? [attributes: Readonly<Record<Key, string | undefined>>]
  : []

/** The interface through which a scraper reports, once per scrape. It can only record metrics that its table declares. */
export interface Scrape<M extends MetricTable = MetricTable> {
  /**
   * Adds a point, if the metric is enabled and the value is known: NaN means that it was not understood, which was
   * reported when it was read, or that it cannot be computed. A value below 0 is reported and left out, and an int is
   * at most 2^63 - 1. An attribute that is `undefined` is left out.
   */
  record<Name extends keyof M & string>(
    name: Name,
    value: number | bigint | undefined,
    ...attributes: AttributesOf<M[Name]>
  ): void
  /** Says that the sums recorded after this began this many seconds after the boot, if they did not begin with it. */
  beginsAfterBoot(seconds: number): void
  /** Whether the metric is enabled, for figures that are costly to read. */
  wants(name: keyof M & string): boolean
  /**
   * Reports that a part could not be read; the rest of the scrape goes on. Counted each time, logged once per cause.
   * @param cause a sentence that stays the same as long as the failure does
   * @param detail variable text, for the log
   */
  fail(cause: string, detail?: string): void
}

/** Reads the system once. Values that were recorded before a throw are kept. */
export type Read<M extends MetricTable> = (scrape: Scrape<M>) => void | Promise<void>

/** A part of the host: a table of metrics and, for each source of figures, a reading function. */
export interface Scraper<M extends MetricTable = MetricTable, S extends Settings = Settings> {
  readonly doc: string
  readonly metrics: M
  /** Settings other than `metrics`. */
  readonly settings: S
  /**
   * An attribute whose values may be parts of one another, so that their sum counts something twice unless a setting
   * chooses among them.
   */
  readonly overlapping?: { readonly attribute: string; readonly reason: string }
  /**
   * Reads `/proc` and `/sys`. Called once; the function that it returns may remember the previous scrape.
   * @param root the host's root, which may be below a folder
   * @param own the root that this process lives in
   */
  linux(config: ConfigOf<S>, root: Root, own: Root, clock: Clock): Read<M>
  /** Reads figures that systeminformation and Node.js provide on any system. Absent if there are none. */
  portable?(config: ConfigOf<S>, system: PortableSystem): Read<M>
}

/** Adds types to a scraper and returns it unchanged. */
export function defineScraper<const M extends MetricTable, const S extends Settings>(
  scraper: Scraper<M, S>,
): Scraper<M, S> {
  return scraper
}

type Switch = Readonly<{ enabled: Setting<'boolean'> & { readonly default: boolean } }>

/** For a metric with attributes. */
interface AggregationSettings {
  readonly attributes: Setting<{ readonly list: readonly string[] }> & { readonly default: readonly string[] }
  readonly aggregation_strategy: Setting<readonly Strategy[]> & { readonly default: Strategy }
}

type MetricsSettings = Readonly<Record<string, Switch | (Switch & AggregationSettings)>>

export interface ScraperSetting extends Setting<{ settings: Settings & { metrics: MetricsSettings } }> {
  readonly default: undefined
}

/** The settings of the given scrapers, each absent unless the YAML names it: its own, and those of each metric in its table. */
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
          doc: 'The attributes that points keep. Points that differ only in other attributes become one.',
          format: { list: attributes },
          default: attributes,
        },
        aggregation_strategy: {
          doc: monotonic
            ? 'How their values are combined: a counter can only be added up.'
            : 'How their values are combined.',
          format: monotonic ? ['sum'] : STRATEGIES,
          default: type === 'sum' ? 'sum' : 'avg',
        },
      }
      return [name, settings]
    }),
  )
}

/** Settings that switch each of the described items on or off. */
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
  /** For the metrics that do not keep all their attributes. */
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
    // If the boot time is not known, no start is.
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
        `${name} is negative, which is impossible.`,
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
