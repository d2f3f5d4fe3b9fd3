import { JsonMetricsSerializer, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { MetricBatch } from './batch.ts'

/** What the OpenTelemetry JS SDK collected (a `MetricReader`'s `collect().resourceMetrics`) as a batch. */
export function fromSdk(metrics: ResourceMetrics): MetricBatch {
  return MetricBatch.fromOtlp(ProtobufMetricsSerializer.serializeRequest(metrics) ?? new Uint8Array())
}

/** What an OTLP destination says of a request it took. */
export interface ExportOutcome {
  /** Data points it refused. */
  readonly rejected: number
  /** Why, or a warning when none was refused; '' when all is well. */
  readonly message: string
}

/** Reads an `ExportMetricsServiceResponse`. Throws when the bytes are none. */
export function readExportResponse(body: Uint8Array, encoding: 'protobuf' | 'json'): ExportOutcome {
  const serializer = encoding === 'json' ? JsonMetricsSerializer : ProtobufMetricsSerializer
  const { partialSuccess } = serializer.deserializeResponse(body)
  return {
    // JSON carries an int64 as text.
    rejected: Number(partialSuccess?.rejectedDataPoints ?? 0),
    message: partialSuccess?.errorMessage ?? '',
  }
}
