import { codecOf } from '../common/codec.ts'
import type { ItemKind } from '../common/item_kind.ts'
import { schema } from '../schema.ts'
import { checkMetrics } from '../wire/check.ts'
import { view } from '../wire/fields.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { readMetric, writeMetric } from './codec/metric.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { MetricFields } from './metric.ts'
import { joinedMetric, piecesOf } from './pieces.ts'
import { placesOf } from './time_window.ts'

const kind: ItemKind<Metric, ScopeMetrics, ResourceMetrics> = {
  names: { batch: 'MetricBatch', resource: 'ResourceMetrics', scope: 'ScopeMetrics', item: 'Metric' },
  resourceEntry: (source) => new ResourceMetrics(source),
  scopeEntry: (source) => new ScopeMetrics(source),
  scopeFields: (scope, metrics, schemaUrl, unknown) => ({ scope, metrics, schemaUrl, unknown }),
  check: checkMetrics,
  read: (reader, source) => new Metric(view(reader, source, readMetric)),
  write: writeMetric,
  resourceType: schema.ResourceMetrics,
  countOf: (metric) => metric.pointCount,
  cut: (metric, start, end) => metric.withPoints(metric.points.slice(start, end)),
  piecesOf,
  joined: joinedMetric,
  used: (metric) => metric.points.map((point) => point.encoded ?? point.attributes.encoded),
  moved: (metric, encoded: Encoded<MetricFields>) => new Metric(encoded, metric.renamed, undefined, metric.series),
  holdsObjects: ({ holdsObjects }) => holdsObjects,
  placesOf,
  timely: (metric, keep) => metric.withPoints(metric.points.filter(({ timeUnixNano }) => keep(timeUnixNano))),
}

/** The specifics of metrics, for the code that all signals share. */
export const metricKind = { ...kind, ...codecOf(kind) }
