import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

/** The independent reference for OTLP: protobufjs's own codec, made from the published definitions. */
export const root = protobuf.loadSync(fileURLToPath(new URL('otlp.proto', import.meta.url)))

export const ExportMetricsServiceRequest = root.lookupType('opentelemetry.proto.ExportMetricsServiceRequest')
export const ExportMetricsServiceResponse = root.lookupType('opentelemetry.proto.ExportMetricsServiceResponse')
export const Metric = root.lookupType('opentelemetry.proto.Metric')
export const ExportLogsServiceRequest = root.lookupType('opentelemetry.proto.ExportLogsServiceRequest')
export const ExportTraceServiceRequest = root.lookupType('opentelemetry.proto.ExportTraceServiceRequest')
export const LogRecord = root.lookupType('opentelemetry.proto.LogRecord')
export const Span = root.lookupType('opentelemetry.proto.Span')
export const ExportLogsServiceResponse = root.lookupType('opentelemetry.proto.ExportLogsServiceResponse')
