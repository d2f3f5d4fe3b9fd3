import type { Attributes, AnyValue } from './attributes.ts'
import type { MetricBatch } from './batch.ts'
import type { Metric, Temporality } from './metrics.ts'
import type { Buckets, DataPoint, Exemplar } from './points.ts'

/*
 * The JSON form of OTLP. Sources: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and proto3's JSON mapping.
 */

/**
 * The OTLP JSON of an `ExportMetricsServiceRequest`, on one line: keys in lower camel case, 64-bit integers as text, enums
 * as numbers, trace and span ids as hex, other bytes as base64. Fields that this version does not know are not in it.
 */
export function toOtlpJson(batch: MetricBatch): string {
  return JSON.stringify({
    resourceMetrics: batch.resources.map(({ resource, scopes, schemaUrl }) => ({
      resource: {
        attributes: attributesJson(resource.attributes),
        droppedAttributesCount: resource.droppedAttributesCount || undefined,
      },
      scopeMetrics: scopes.map(({ scope, metrics, schemaUrl }) => ({
        scope: {
          name: scope.name || undefined,
          version: scope.version || undefined,
          attributes: attributesJson(scope.attributes),
          droppedAttributesCount: scope.droppedAttributesCount || undefined,
        },
        metrics: metrics.map(metricJson),
        schemaUrl: schemaUrl || undefined,
      })),
      schemaUrl: schemaUrl || undefined,
    })),
  })
}

/** metrics.proto, `AggregationTemporality`. */
const TEMPORALITIES: Record<Temporality, number> = { unspecified: 0, delta: 1, cumulative: 2 }

function metricJson(metric: Metric): object {
  const { name, description, unit, metadata, type } = metric
  const dataPoints = metric.points.map(pointJson)
  const aggregationTemporality = TEMPORALITIES[metric.temporality]
  return {
    name: name || undefined,
    description: description || undefined,
    unit: unit || undefined,
    metadata: attributesJson(metadata),
    gauge: type === 'gauge' ? { dataPoints } : undefined,
    sum: type === 'sum' ? { dataPoints, aggregationTemporality, isMonotonic: metric.monotonic } : undefined,
    histogram: type === 'histogram' ? { dataPoints, aggregationTemporality } : undefined,
    exponentialHistogram: type === 'exponential_histogram' ? { dataPoints, aggregationTemporality } : undefined,
    summary: type === 'summary' ? { dataPoints } : undefined,
  }
}

function pointJson(point: DataPoint): object {
  return {
    attributes: attributesJson(point.attributes),
    startTimeUnixNano: point.startTimeUnixNano === 0n ? undefined : String(point.startTimeUnixNano),
    timeUnixNano: String(point.timeUnixNano),
    ...valueJson(point),
    exemplars: point.exemplars.length === 0 ? undefined : point.exemplars.map(exemplarJson),
    flags: point.flags || undefined,
  }
}

function valueJson(point: DataPoint): object {
  if (point.kind === 'number') return numberJson(point.value, point.isInt)
  const count = String(point.count)
  if (point.kind === 'summary') {
    const quantileValues = point.quantileValues.map(({ quantile, value }) => ({ quantile, value: doubleJson(value) }))
    return { count, sum: doubleJson(point.sum), quantileValues }
  }
  const range = { count, sum: doubleJson(point.sum), min: doubleJson(point.min), max: doubleJson(point.max) }
  if (point.kind === 'histogram') {
    return {
      ...range,
      bucketCounts: point.bucketCounts.map(String),
      explicitBounds: point.explicitBounds.map(doubleJson),
    }
  }
  return {
    ...range,
    scale: point.scale,
    zeroCount: String(point.zeroCount),
    zeroThreshold: point.zeroThreshold || undefined,
    positive: bucketsJson(point.positive),
    negative: bucketsJson(point.negative),
  }
}

function bucketsJson(buckets: Buckets | undefined): object | undefined {
  return buckets && { offset: buckets.offset, bucketCounts: buckets.bucketCounts.map(String) }
}

function exemplarJson(exemplar: Exemplar): object {
  return {
    filteredAttributes: attributesJson(exemplar.filteredAttributes),
    timeUnixNano: String(exemplar.timeUnixNano),
    ...numberJson(exemplar.value, exemplar.isInt),
    spanId: hex(exemplar.spanId),
    traceId: hex(exemplar.traceId),
  }
}

function numberJson(value: number | bigint | undefined, isInt: boolean): object {
  if (value === undefined) return {}
  return isInt ? { asInt: String(value) } : { asDouble: doubleJson(Number(value)) }
}

/** JSON has no NaN and no infinities; proto3 writes them as text. */
function doubleJson(value: number | undefined): number | string | undefined {
  return value === undefined || Number.isFinite(value) ? value : String(value)
}

function hex(bytes: Uint8Array): string | undefined {
  return bytes.length === 0 ? undefined : Buffer.from(bytes).toString('hex')
}

function attributesJson(attributes: Attributes): object[] | undefined {
  return attributes.size === 0
    ? undefined
    : Array.from(attributes, ({ key, value }) => ({ key, value: anyValueJson(value) }))
}

function anyValueJson(value: AnyValue): object {
  if ('intValue' in value) return { intValue: String(value.intValue) }
  if ('doubleValue' in value) return { doubleValue: doubleJson(value.doubleValue) }
  if ('bytesValue' in value) return { bytesValue: Buffer.from(value.bytesValue).toString('base64') }
  if ('arrayValue' in value) return { arrayValue: { values: value.arrayValue.map(anyValueJson) } }
  if ('kvlistValue' in value) {
    return {
      kvlistValue: { values: value.kvlistValue.map((entry) => ({ key: entry.key, value: anyValueJson(entry.value) })) },
    }
  }
  return value
}
