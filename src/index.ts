/*
 * The public API: for writing custom components, and for embedding a pipeline in another program.
 */
export { defineComponent } from './component/define.ts'
export type { Context, Listening, ListenOptions, ReceiverContext } from './component/context.ts'
export type { Example } from './component/declaration.ts'
export type { Component, ComponentKind } from './component/define.ts'
export type { ExplainedTag, ExplainedValue, Explanation } from './component/explain.ts'
export type {
  Account,
  BySignal,
  Exporter,
  ExporterComponent,
  ExporterState,
  ExportRequest,
  ProcessorBefore,
  Rehearsed,
  StateRecord,
} from './component/exporter.ts'
export type { Counter, Logger, Meter } from './component/logger.ts'
export type {
  PointChange,
  ProcessBatch,
  ProcessorAccount,
  ProcessorComponent,
  ProcessorOperator,
} from './component/processor.ts'
export type { ReceiverComponent } from './component/receiver.ts'
export type { ChangedDefault, ConfigOf, Finding, Format, Setting, Settings } from './component/settings.ts'
export type { Clock, Timer } from './time/clock.ts'
export {
  ConfigError,
  DeliveryError,
  divisible,
  errorMessage,
  formatProblem,
  partial,
  permanent,
  retryable,
  unauthorized,
} from './errors.ts'
export type { DeliveryErrorKind, DeliveryErrorOptions, SourcePosition, Problem } from './errors.ts'
export type { FormatTypes } from './formats.ts'
export { Attributes } from './otlp/common/attributes.ts'
export type { AnyValue, AttributeValue, KeyValue } from './otlp/common/attributes.ts'
export { LogBatch } from './otlp/logs/batch.ts'
export type { ResourceLogsInit } from './otlp/logs/batch.ts'
export { LogRecord, ResourceLogs, ScopeLogs } from './otlp/logs/log_record.ts'
export type { LogRecordFields } from './otlp/logs/log_record.ts'
export { MetricBatch } from './otlp/metrics/batch.ts'
export type { ResourceMetricsInit } from './otlp/metrics/batch.ts'
export { toOtlpJson } from './otlp/json/write.ts'
export { Metric, ResourceMetrics, ScopeMetrics } from './otlp/metrics/metric.ts'
export type { MetricType, Temporality } from './otlp/metrics/metric_type.ts'
export type { MetricFields } from './otlp/metrics/metric.ts'
export {
  ExponentialHistogramPoint,
  HistogramPoint,
  NO_RECORDED_VALUE,
  NumberPoint,
  SummaryPoint,
} from './otlp/metrics/points.ts'
export type {
  Buckets,
  DataPoint,
  Exemplar,
  ExponentialHistogramPointFields,
  HistogramPointFields,
  NumberPointFields,
  Quantile,
  SummaryPointFields,
} from './otlp/metrics/points.ts'
export { TraceBatch } from './otlp/traces/batch.ts'
export type { ResourceSpansInit } from './otlp/traces/batch.ts'
export { ResourceSpans, ScopeSpans, Span } from './otlp/traces/span.ts'
export type { SpanEvent, SpanFields, SpanKind, SpanLink, SpanStatus, StatusCode } from './otlp/traces/span.ts'
export type { Batch, Signal } from './otlp/signal.ts'
export { Resource, Scope } from './otlp/common/resource.ts'
export type { ResourceFields, ScopeFields } from './otlp/common/resource.ts'
export { MalformedError } from './otlp/wire/check.ts'
export { loadConfig } from './pipeline/config/config.ts'
export type { ConfigInput, PipelineConfig } from './pipeline/config/config.ts'
export { startPipeline } from './pipeline/pipeline.ts'
export type { RunningPipeline } from './pipeline/pipeline.ts'
