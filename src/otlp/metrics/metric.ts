import { Attributes } from '../common/attributes.ts'
import { ResourceEntry, ScopeEntry } from '../common/entry.ts'
import type { ScopeEntryFields } from '../common/entry.ts'
import { Interned } from '../wire/interned.ts'
import { Encoded, LazyMessage } from '../wire/lazy_message.ts'
import { layoutOf } from './layout.ts'
import type { MetricLayout } from './layout.ts'
import { temporalities } from './metric_type.ts'
import type { MetricType, Temporality } from './metric_type.ts'
import type { DataPoint } from './points.ts'
import type { SeriesNumbers } from './series_numbers.ts'

export interface MetricFields {
  readonly name?: string
  readonly description?: string
  /** UCUM, case-sensitive. */
  readonly unit?: string
  readonly metadata?: Attributes
  readonly type: MetricType
  /** Meaningful for sums and histograms. */
  readonly temporality?: Temporality
  /** Meaningful for sums. */
  readonly monotonic?: boolean
  readonly points?: readonly DataPoint[] | Encoded<readonly DataPoint[]>
  /** Unknown fields of the metric and of its data message, as they came. */
  readonly unknown?: Uint8Array
  readonly unknownData?: Uint8Array
}

const names = new Interned(({ bytes }, start, end) => bytes.toString('utf8', start, end))
const nameOf = names.of.bind(names)

/** One metric with its points, all of the kind that `type` names. Immutable. */
export class Metric extends LazyMessage<MetricFields> {
  /** Instead of the name in `encoded`. */
  readonly renamed: string | undefined
  /** The numbers of the points in `encoded`, once they were looked up: code that knows the numbers need not compare bytes. */
  readonly series: SeriesNumbers | undefined
  private knownName: string | undefined
  private knownPoints: readonly DataPoint[] | undefined
  /** `null`: it has none. */
  private knownLayout: MetricLayout | null | undefined

  /** `layout`: that of the bytes it is made from, if it is known. */
  constructor(
    source: MetricFields | Encoded<MetricFields>,
    renamed?: string,
    layout?: MetricLayout,
    series?: SeriesNumbers,
  ) {
    super(source)
    this.renamed = renamed
    this.series = series
    this.knownName = renamed
    this.knownPoints = undefined
    this.knownLayout = layout
  }

  /** The positions of its parts; `undefined` unless it is as it came, and written in the usual way. */
  get layout(): MetricLayout | undefined {
    if (this.knownLayout === undefined) {
      this.knownLayout = (this.encoded === undefined ? undefined : layoutOf(this.encoded)) ?? null
    }
    return this.knownLayout ?? undefined
  }

  get name(): string {
    return (this.knownName ??= this.encoded?.firstText(nameOf) ?? this.fields.name ?? '')
  }

  get description(): string {
    return this.fields.description ?? ''
  }

  get unit(): string {
    return this.fields.unit ?? ''
  }

  get metadata(): Attributes {
    return this.fields.metadata ?? Attributes.empty
  }

  get type(): MetricType {
    return this.layout?.type ?? this.fields.type
  }

  get temporality(): Temporality {
    const { encoded, layout } = this
    if (encoded === undefined || layout === undefined) return this.fields.temporality ?? 'unspecified'
    const { temporalityAt } = layout
    return (temporalityAt < 0 ? undefined : temporalities[encoded.source.bytes[temporalityAt]]) ?? 'unspecified'
  }

  get monotonic(): boolean {
    return this.layout?.monotonic ?? this.fields.monotonic ?? false
  }

  /** Whether the points still are what came. */
  get pointsUnchanged(): boolean {
    const bytes = this.layout === undefined ? this.fields.points : this.encoded
    return bytes instanceof Encoded && !bytes.source.pointsChanged
  }

  /** Whether its points are objects, rather than bytes that are read when somebody looks at them. */
  get holdsObjects(): boolean {
    return this.encoded === undefined && !(this.fields.points instanceof Encoded)
  }

  get points(): readonly DataPoint[] {
    const { points = [] } = this.fields
    return (this.knownPoints ??= points instanceof Encoded ? points.decode() : points)
  }

  /** The number of its points; they are only read if their bytes do not show it. */
  get pointCount(): number {
    return this.layout?.pointCount ?? this.points.length
  }

  /** Whoever still holds its points has points that are read again, too. */
  override forget(): void {
    for (const point of this.knownPoints ?? []) point.forget()
    this.knownPoints = undefined
    super.forget()
  }

  get unknownData(): Uint8Array | undefined {
    return this.fields.unknownData
  }

  override get expectedSize(): number {
    return super.expectedSize + (this.renamed?.length ?? 0)
  }

  /** A copy in which the given fields are replaced. */
  with(fields: Partial<MetricFields>): Metric {
    const { name, fields: all } = this
    return new Metric({ ...all, name, ...fields })
  }

  withName(name: string): Metric {
    if (name === this.name) return this
    return this.encoded === undefined ? this.with({ name }) : new Metric(this.encoded, name, this.layout, this.series)
  }

  withPoints(points: readonly DataPoint[]): Metric {
    return points === this.points ? this : this.with({ points })
  }
}

interface ScopeMetricsFields extends ScopeEntryFields {
  readonly metrics?: readonly Metric[]
}

/** The metrics of one scope. Immutable. */
export class ScopeMetrics extends ScopeEntry<Metric, ScopeMetricsFields> {
  get metrics(): readonly Metric[] {
    return this.fields.metrics ?? []
  }

  get items(): readonly Metric[] {
    return this.metrics
  }

  withMetrics(metrics: readonly Metric[]): this {
    return metrics === this.metrics ? this : this.like({ ...this.fields, metrics })
  }

  override withItems(metrics: readonly Metric[]): this {
    return this.withMetrics(metrics)
  }
}

/** The metrics of one resource. Immutable. */
export class ResourceMetrics extends ResourceEntry<ScopeMetrics> {}
