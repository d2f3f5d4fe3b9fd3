import { schema } from './schema.ts'
import type { MessageType } from './schema.ts'
import type { Signal } from './signal.ts'

/** The names of OTLP for the service of one signal. */
export interface OtlpService {
  readonly signal: Signal
  readonly request: MessageType
  /** The path below the base URL of a receiver over HTTP. */
  readonly path: string
  /** The method of gRPC. */
  readonly method: string
  /** The JSON name of the first field of its partial success: the number of rejected items. The second is `errorMessage` in all. */
  readonly rejected: string
}

/** Source: opentelemetry-proto 1.x, collector/{metrics,logs,trace}/v1/*_service.proto; docs/specification.md, "OTLP/HTTP Request". */
export const services: Readonly<Record<Signal, OtlpService>> = {
  metrics: {
    signal: 'metrics',
    request: schema.ExportMetricsServiceRequest,
    path: '/v1/metrics',
    method: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
    rejected: 'rejectedDataPoints',
  },
  logs: {
    signal: 'logs',
    request: schema.ExportLogsServiceRequest,
    path: '/v1/logs',
    method: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    rejected: 'rejectedLogRecords',
  },
  traces: {
    signal: 'traces',
    request: schema.ExportTraceServiceRequest,
    path: '/v1/traces',
    method: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    rejected: 'rejectedSpans',
  },
}
