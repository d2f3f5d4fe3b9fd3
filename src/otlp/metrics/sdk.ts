import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { MetricBatch } from './batch.ts'

/** What the OpenTelemetry JS SDK collected (a `MetricReader`'s `collect().resourceMetrics`) as a batch. */
export function fromSdk(metrics: ResourceMetrics): MetricBatch {
  return MetricBatch.fromOtlp(ProtobufMetricsSerializer.serializeRequest(metrics) ?? new Uint8Array())
}
