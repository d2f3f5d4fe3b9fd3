import { ItemBatch } from '../common/batch.ts'
import type { EntryInit } from '../common/batch.ts'
import { inBytes } from '../common/parts.ts'
import type { Resource, Scope } from '../common/resource.ts'
import { mapShared, mapSome } from '../common/shared_lists.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { KeySearch } from '../wire/key_search.ts'
import { metricKind } from './kind.ts'
import { Metric } from './metric.ts'
import type { MetricFields, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { DataPoint } from './points.ts'

/** A batch as plain objects, for components that make metrics. */
export interface ResourceMetricsInit extends EntryInit {
  readonly metrics: readonly (Metric | MetricFields)[]
}

/** An immutable view of an OTLP `ExportMetricsServiceRequest`. */
export class MetricBatch extends ItemBatch<Metric, ScopeMetrics, ResourceMetrics> {
  static readonly empty = MetricBatch.fromResources([])

  get signal(): 'metrics' {
    return 'metrics'
  }

  get kind(): typeof metricKind {
    return metricKind
  }

  protected override like(
    resources?: readonly ResourceMetrics[],
    bytes?: Uint8Array,
    source?: EncodedRequest,
    itemCount?: number,
  ): this {
    return new MetricBatch(resources, bytes, source, itemCount) as this
  }

  /**
   * Makes a batch from a protobuf `ExportMetricsServiceRequest`. The bytes must not be changed afterwards.
   * @param maxMessages the most messages that it may hold, at all levels together
   * @throws MalformedError if the bytes are not one
   */
  static fromOtlp(bytes: Uint8Array, maxMessages = Infinity): MetricBatch {
    return new MetricBatch(undefined, bytes, metricKind.check(bytes, maxMessages))
  }

  static fromResources(resources: readonly ResourceMetrics[]): MetricBatch {
    return new MetricBatch(resources)
  }

  /** Makes a batch of one resource and scope per entry. */
  static of(...entries: readonly ResourceMetricsInit[]): MetricBatch {
    return MetricBatch.fromResources(
      entries.map(({ metrics, ...entry }) =>
        ItemBatch.entry(
          metricKind,
          entry,
          metrics.map((metric) => (metric instanceof Metric ? metric : new Metric(metric))),
        ),
      ),
    )
  }

  /** All points of the given batches, in order, as one batch. */
  static merge(batches: readonly MetricBatch[]): MetricBatch {
    return batches.length === 0 ? MetricBatch.empty : ItemBatch.joined(batches)
  }

  /** The number of data points. */
  get pointCount(): number {
    return this.itemCount
  }

  /** Every metric with its resource and scope; `schemaUrl` is that of the scope. */
  *metrics(): Generator<{ metric: Metric; resource: Resource; scope: Scope; schemaUrl: string }> {
    for (const { resource, scopes } of this.resources) {
      for (const { scope, schemaUrl, metrics } of scopes) {
        for (const metric of metrics) yield { metric, resource, scope, schemaUrl }
      }
    }
  }

  everyMetric(test: (metric: Metric) => boolean): boolean {
    return this.everyItem(test)
  }

  /** `schemaUrl` is that of the scope. */
  mapMetrics(change: (metric: Metric, resource: Resource, scope: Scope, schemaUrl: string) => Metric): MetricBatch {
    // A metric that was only renamed has the same points, which need not be read to be counted.
    return this.mapItems(
      'mapMetrics',
      change,
      (changed, metric) => changed.encoded !== undefined && changed.encoded === metric.encoded,
    )
  }

  /** Keeps the metrics that `keep` accepts; scopes and resources left without a metric are removed. */
  filterMetrics(keep: (metric: Metric, resource: Resource, scope: Scope) => boolean): MetricBatch {
    return this.filterItems(keep)
  }

  mapPoints(change: (point: DataPoint, metric: Metric, resource: Resource) => DataPoint): MetricBatch {
    return this.mapMetrics((metric, resource) =>
      metric.withPoints(mapShared(metric.points, (point) => change(point, metric, resource))),
    )
  }

  /**
   * `mapPoints` for the points that have an attribute with one of the keys, and perhaps for some that do not. Metrics
   * whose bytes rule such points out are not read.
   */
  mapPointsWith(
    keys: Iterable<string> | KeySearch,
    change: (point: DataPoint, metric: Metric, resource: Resource) => DataPoint,
  ): MetricBatch {
    const mayBeIn = (keys instanceof KeySearch ? keys : new KeySearch(keys)).mayBeIn()
    return this.mapMetrics((metric, resource) =>
      metric.encoded !== undefined && !mayBeIn(metric.encoded)
        ? metric
        : metric.withPoints(mapShared(metric.points, (point) => change(point, metric, resource))),
    )
  }

  /**
   * Keeps the points that `keep` accepts; metrics left without a point are removed. The points of metrics that
   * `concerns` does not accept all stay, unread.
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

  /** `mapPoints` that leaves out the points for which `change` returns `undefined`, and removes empty metrics as `filterPoints` does. */
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
}

/** Changes a batch of metrics, and leaves batches of other signals as they are. */
export function changeMetrics<B extends ItemBatch>(batch: B, change: (batch: MetricBatch) => MetricBatch): B {
  return batch instanceof MetricBatch ? (change(batch) as ItemBatch as B) : batch
}

/** The metric with bytes in the place of objects: `inBytes` for one. */
export function metricInBytes(metric: Metric): Metric {
  return inBytes(MetricBatch.of({ metrics: [metric] })).resources[0].scopes[0].metrics[0]
}
