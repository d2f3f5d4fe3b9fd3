import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { MetricBatch } from './batch.ts'

/** Turns metrics collected by the OpenTelemetry JS SDK (a `MetricReader`'s `collect().resourceMetrics`) into a batch. */
export function fromSdk(metrics: ResourceMetrics): MetricBatch {
  return MetricBatch.fromOtlp(ProtobufMetricsSerializer.serializeRequest(metrics) ?? new Uint8Array())
}
