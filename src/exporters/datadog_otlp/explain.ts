import type { ExplainedTag, ExplainedValue } from '../../component/explain.ts'
import { pointTags, sortedTags } from '../../datadog/explain.ts'
import type { TagOrigins } from '../../datadog/explain.ts'
import { normalizeName, normalizeTag } from '../../datadog/names.ts'
import { resourceTagSources } from '../../datadog/resource_attributes.ts'
import type { Attributes } from '../../otlp/common/attributes.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import type { DataPoint, Quantile } from '../../otlp/metrics/points.ts'
import { numberText } from '../datadog_native/mapping/histograms.ts'

/**
 * Explains for people how Datadog would store a request. Source: datadog-agent, pkg/opentelemetry-mapping-go; Datadog
 * documentation, metrics/open_telemetry/otlp_metric_types. `namesBefore`: the metrics handed in that a metric is made
 * from.
 */
export function explainBatch(
  sent: MetricBatch,
  origins: TagOrigins,
  namesBefore: (name: string) => readonly string[],
): readonly ExplainedValue[] {
  const values: ExplainedValue[] = []
  for (const { metric, resource, scope } of sent.metrics()) {
    const name = normalizeName(metric.name)
    // Datadog accepts no name without a letter.
    if (name === '') continue
    const ofResource = origins.tagsOf(resource.attributes)
    const ofScope = origins.scopeTagsOf(scope)
    for (const point of metric.points) {
      const { host, rule } = origins.hostOf(resource.attributes, point.attributes)
      const tags = pointTags(ofResource, ofScope, point.attributes)
      for (const { suffix = '', type, value, tag, unit = metric.unit } of stored(metric, point)) {
        values.push({
          name: name + suffix,
          type,
          unit: unit === '' ? undefined : unit,
          time: Number(point.timeUnixNano / 1_000_000_000n),
          value,
          interval: undefined,
          host: { name: host, rule },
          tags: tag === undefined ? tags : sortedTags([...tags, tag]),
          from: namesBefore(metric.name),
        })
      }
    }
  }
  return values
}

/** Every attribute is a tag under its own name, and under the name that Datadog translates it to. */
export function tagsOf(resource: Attributes): ReadonlyMap<string, { value: string; attribute: string }> {
  const own = resource.keys().filter((key) => key !== 'host')
  return new Map([
    ...resourceTagSources(resource, () => true, undefined),
    ...own.map((key) => [key, { value: resource.text(key) ?? '', attribute: key }] as const),
  ])
}

interface Stored {
  readonly suffix?: string
  readonly type: string
  readonly value: ExplainedValue['value']
  readonly tag?: ExplainedTag
  readonly unit?: string
}

function stored({ type, temporality }: Metric, point: DataPoint): readonly Stored[] {
  switch (point.kind) {
    case 'number': {
      const isCount = type === 'sum' && temporality === 'delta'
      return [{ type: isCount ? 'count' : 'gauge', value: Number(point.value) }]
    }
    case 'summary':
      return [
        { suffix: '.count', type: 'count', value: Number(point.count), unit: '' },
        { suffix: '.sum', type: 'count', value: point.sum },
        ...point.quantileValues.map(quantileOf),
      ]
    default: {
      const { sum, min, max } = point
      const figures = Object.entries({ count: Number(point.count), sum, min, max })
      return [{ type: 'distribution', value: Object.fromEntries(figures.filter(isKnown)) }]
    }
  }
}

function quantileOf({ quantile, value }: Quantile): Stored {
  const tag = { tag: normalizeTag('quantile', numberText(quantile)), from: 'the metric itself' }
  return { suffix: '.quantile', type: 'gauge', value, tag }
}

function isKnown(figure: [string, number | undefined]): figure is [string, number] {
  return figure[1] !== undefined
}
