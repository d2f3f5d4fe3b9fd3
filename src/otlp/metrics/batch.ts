import type { AttributeValue } from '../common/attributes.ts'
import { Attributes } from '../common/attributes.ts'
import type { Batch } from '../signal.ts'
import { compactedResources } from './compaction.ts'
import type { Source } from '../wire/lazy_message.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { MetricFields } from './metric.ts'
import type { DataPoint } from './points.ts'
import { Resource, Scope } from '../common/resource.ts'
import type { ScopeFields } from '../common/resource.ts'
import { checkMetrics } from '../wire/check.ts'
import { KeySearch } from '../wire/key_search.ts'
import { decodeMetrics, encodeMetrics, mergeEncoded } from '../wire/codec.ts'

/** A batch written out in plain objects, for components that make metrics. */
export interface ResourceMetricsInit {
  readonly resource?: Readonly<Record<string, AttributeValue>>
  readonly scope?: Omit<ScopeFields, 'attributes'>
  readonly metrics: readonly (Metric | MetricFields)[]
}

/**
 * An immutable view of an OTLP `ExportMetricsServiceRequest`, made from wire bytes or from objects; hands out either.
 * Every operation returns a new batch that shares what did not change, and the same batch when nothing did, so a batch
 * may go to several places without a copy.
 */
export class MetricBatch implements Batch {
  static readonly empty = MetricBatch.fromResources([])

  readonly signal = 'metrics'

  /** Its bytes, once they are checked. */
  #source: Source | undefined
  #bytes: Uint8Array | undefined
  #resources: readonly ResourceMetrics[] | undefined
  #pointCount: number | undefined

  private constructor(source: Source | undefined, resources: readonly ResourceMetrics[] | undefined) {
    this.#source = source
    this.#bytes = source?.bytes
    this.#resources = resources
  }

  /**
   * Makes a batch from a protobuf `ExportMetricsServiceRequest`. The bytes must not be changed afterwards.
   * @param maxMessages how many messages it may hold, at all levels together
   * @throws MalformedError when the bytes are not one.
   */
  static fromOtlp(bytes: Uint8Array, maxMessages = Infinity): MetricBatch {
    const source = checkMetrics(bytes, maxMessages)
    const batch = new MetricBatch(source, undefined)
    batch.#bytes = bytes
    // Data that stands twice was counted twice, but only the last counts.
    if (source.regular) batch.#pointCount = source.points
    return batch
  }

  static fromResources(resources: readonly ResourceMetrics[]): MetricBatch {
    return new MetricBatch(undefined, resources)
  }

  /** Makes a batch of one resource and scope per entry. */
  static of(...entries: readonly ResourceMetricsInit[]): MetricBatch {
    return MetricBatch.fromResources(
      entries.map(
        ({ resource = {}, scope, metrics }) =>
          new ResourceMetrics({
            resource: new Resource({ attributes: Attributes.of(resource) }),
            scopes: [
              new ScopeMetrics({
                scope: scope === undefined ? Scope.empty : new Scope(scope),
                metrics: metrics.map((metric) => (metric instanceof Metric ? metric : new Metric(metric))),
              }),
            ],
          }),
      ),
    )
  }

  /** All points of the given batches, in order, as one batch. */
  static merge(batches: readonly MetricBatch[]): MetricBatch {
    if (batches.length === 1) return batches[0]
    const unread = batches.every((batch) => batch.#resources === undefined)
    const merged = new MetricBatch(undefined, unread ? undefined : batches.flatMap((batch) => batch.resources))
    merged.#pointCount = batches.reduce((sum, batch) => sum + batch.pointCount, 0)
    if (batches.every((batch) => batch.#bytes !== undefined)) {
      merged.#bytes = mergeEncoded(batches.map((batch) => batch.toOtlp()))
    }
    return merged
  }

  get resources(): readonly ResourceMetrics[] {
    return (this.#resources ??= decodeMetrics((this.#source ??= checkMetrics(this.#bytes as Uint8Array))))
  }

  /** The number of data points. */
  get pointCount(): number {
    if (this.#pointCount === undefined) {
      let count = 0
      for (const { metric } of this.metrics()) count += metric.pointCount
      this.#pointCount = count
    }
    return this.#pointCount
  }

  /** The number of data points, by the name that it has for every signal. */
  get itemCount(): number {
    return this.pointCount
  }

  /** The protobuf `ExportMetricsServiceRequest`. The bytes a batch was made from come back as they were. */
  toOtlp(): Uint8Array {
    return (this.#bytes ??= encodeMetrics(this.resources))
  }

  /** Whether `toOtlp` has nothing left to do. */
  get isWritten(): boolean {
    return this.#bytes !== undefined
  }

  /** Takes over the bytes of a batch that has the same metrics. */
  writtenAs(same: MetricBatch): void {
    this.#bytes ??= same.toOtlp()
  }

  /** The same data without the requests of which it uses less than half, which must not live on while it waits in a queue. */
  compacted(): MetricBatch {
    if (this.#isItsBytes) return this
    const resources = compactedResources(this.resources)
    if (resources === undefined) return MetricBatch.fromOtlp(Uint8Array.from(this.toOtlp()))
    return this.#withResources(resources, this.#pointCount)
  }

  /** Whether `compacted` needs what `toOtlp` returns. */
  get mustBeWritten(): boolean {
    return !this.#isItsBytes && compactedResources(this.resources) === undefined
  }

  /** A batch that is its bytes uses all of them. */
  get #isItsBytes(): boolean {
    return this.#resources === undefined || this.#source !== undefined
  }

  /** Every metric with the resource and scope it stands under; `schemaUrl` is that of the scope. */
  *metrics(): Generator<{ metric: Metric; resource: Resource; scope: Scope; schemaUrl: string }> {
    for (const { resource, scopes } of this.resources) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        for (const metric of metrics) yield { metric, resource, scope, schemaUrl }
      }
    }
  }

  everyMetric(test: (metric: Metric) => boolean): boolean {
    return this.resources.every(({ scopes }) => scopes.every(({ metrics }) => metrics.every(test)))
  }

  /** Changes the entries together, unless they are bytes that nobody has looked into. */
  mapMade(change: (entries: readonly ResourceMetrics[]) => readonly ResourceMetrics[]): MetricBatch {
    return this.#resources === undefined ? this : this.#withResources(change(this.#resources))
  }

  mapResources(change: (resource: Resource) => Resource): MetricBatch {
    return this.#withResources(
      mapShared(this.resources, (entry) => entry.withResource(change(entry.resource))),
      this.#pointCount,
    )
  }

  /** `schemaUrl` is that of the scope. */
  mapMetrics(change: (metric: Metric, resource: Resource, scope: Scope, schemaUrl: string) => Metric): MetricBatch {
    // A metric that only got another name has the points it had, which need not be read to be counted.
    let pointCount = this.#pointCount
    const resources = mapShared(this.resources, (entry) =>
      entry.withScopes(
        mapShared(entry.scopes, (scopeMetrics) =>
          scopeMetrics.withMetrics(
            mapShared(scopeMetrics.metrics, (metric) => {
              const changed = change(metric, entry.resource, scopeMetrics.scope, scopeMetrics.schemaUrl)
              if (changed !== metric) mustReturn('mapMetrics', 'Metric', changed)
              if (changed !== metric && (changed.encoded === undefined || changed.encoded !== metric.encoded)) {
                pointCount = undefined
              }
              return changed
            }),
          ),
        ),
      ),
    )
    return this.#withResources(resources, pointCount)
  }

  /** Changes the metrics of each scope together. Scopes and resources that this leaves without a metric go with them. */
  mapScopes(change: (scope: ScopeMetrics, resource: ResourceMetrics) => ScopeMetrics): MetricBatch {
    return this.#withResources(
      mapSome(this.resources, (entry) => {
        const scopes = mapSome(entry.scopes, (scope) => {
          const changed = change(scope, entry)
          mustReturn('mapScopes', 'ScopeMetrics', changed)
          return changed === scope || changed.metrics.length > 0 ? changed : undefined
        })
        return scopes === entry.scopes || scopes.length > 0 ? entry.withScopes(scopes) : undefined
      }),
    )
  }

  /** Keeps the metrics that `keep` accepts; scopes and resources left without a metric go with them. */
  filterMetrics(keep: (metric: Metric, resource: Resource, scope: Scope) => boolean): MetricBatch {
    return this.mapScopes((entry, { resource }) =>
      entry.withMetrics(filterShared(entry.metrics, (metric) => keep(metric, resource, entry.scope))),
    )
  }

  mapPoints(change: (point: DataPoint, metric: Metric, resource: Resource) => DataPoint): MetricBatch {
    return this.mapMetrics((metric, resource) =>
      metric.withPoints(mapShared(metric.points, (point) => change(point, metric, resource))),
    )
  }

  /**
   * `mapPoints` for the points that have an attribute of one of the keys, and perhaps some that have not. What the bytes of
   * a metric rule out is not read.
   */
  mapPointsWith(
    keys: Iterable<string> | KeySearch,
    change: (point: DataPoint, metric: Metric, resource: Resource) => DataPoint,
  ): MetricBatch {
    const search = keys instanceof KeySearch ? keys : new KeySearch(keys)
    try {
      return this.mapMetrics((metric, resource) =>
        metric.encoded !== undefined && !search.mayBeIn(metric.encoded)
          ? metric
          : metric.withPoints(mapShared(metric.points, (point) => change(point, metric, resource))),
      )
    } finally {
      search.end()
    }
  }

  /**
   * Keeps the points that `keep` accepts; metrics left without a point go with them. The points of metrics that `concerns`
   * does not accept all stay, unread.
   */
  filterPoints(
    keep: (point: DataPoint, metric: Metric, resource: Resource) => boolean,
    concerns: (metric: Metric) => boolean = () => true,
  ): MetricBatch {
    return this.mapSomePoints(
      (point, metric, resource) => (keep(point, metric, resource) ? point : undefined),
      concerns,
    )
  }

  /** `mapPoints` that leaves out the points for which `change` returns `undefined`, and what is left without a point as `filterPoints` does. */
  mapSomePoints(
    change: (point: DataPoint, metric: Metric, resource: Resource) => DataPoint | undefined,
    concerns: (metric: Metric) => boolean = () => true,
  ): MetricBatch {
    const emptied = new Set<Metric>()
    const mapped = this.mapMetrics((metric, resource) => {
      if (!concerns(metric)) return metric
      const points = mapSome(metric.points, (point) => change(point, metric, resource))
      const changed = metric.withPoints(points)
      if (changed !== metric && points.length === 0) emptied.add(changed)
      return changed
    })
    return emptied.size === 0 ? mapped : mapped.filterMetrics((metric) => !emptied.has(metric))
  }

  /** `pointCount`: that of the new batch, where it is known. */
  #withResources(resources: readonly ResourceMetrics[], pointCount?: number): MetricBatch {
    if (resources === this.#resources) return this
    const batch = MetricBatch.fromResources(resources)
    batch.#pointCount = pointCount
    return batch
  }
}

/** JavaScript may forget to return anything. What else is wrong is found where the batch is handed over. */
function mustReturn(method: string, what: string, changed: unknown): void {
  if (changed !== undefined && changed !== null) return
  const given = changed === null ? 'null' : 'nothing'
  throw new TypeError(`the function given to \`${method}\` must return a ${what}, not ${given}`)
}

/** `array.map`, but the same array when every item stayed the same. */
function mapShared<T>(array: readonly T[], change: (item: T) => T): readonly T[] {
  let result: T[] | undefined
  // A closure for each call, as `forEach` would take, costs a small batch more than the change.
  for (let index = 0; index < array.length; index++) {
    const changed = change(array[index])
    if (result === undefined && changed !== array[index]) result = array.slice(0, index)
    result?.push(changed)
  }
  return result ?? array
}

/** `array.filter`, but the same array when every item stayed. */
function filterShared<T>(array: readonly T[], keep: (item: T) => boolean): readonly T[] {
  const kept = array.filter(keep)
  return kept.length === array.length ? array : kept
}

/** `mapShared` that leaves out the items for which `change` returns `undefined`. */
function mapSome<T>(array: readonly T[], change: (item: T) => T | undefined): readonly T[] {
  const mapped = mapShared<T | undefined>(array, (item) => change(item as T))
  return mapped === array ? array : mapped.filter((item) => item !== undefined)
}
