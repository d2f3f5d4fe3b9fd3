import { FIXED32, FIXED64, LENGTH_DELIMITED, VARINT } from './wire/wire_format.ts'

/*
 * Every message of OTLP for metrics, logs and traces, once: the check of bytes, JSON and the objects take their
 * knowledge of fields from here. A walk over bytes that has field numbers of its own says so, and names the benchmark
 * that justifies it.
 *
 * Source: opentelemetry-proto 1.11 (https://github.com/open-telemetry/opentelemetry-proto), in opentelemetry/proto:
 * collector/{metrics,logs,trace}/v1/*_service.proto, metrics/v1/metrics.proto, logs/v1/logs.proto, trace/v1/trace.proto,
 * common/v1/common.proto and resource/v1/resource.proto. `key_strindex` and `string_value_strindex` are not here: they
 * belong to profiles, and other signals have to treat them as absent.
 */

/** The wire type of each scalar. An `id` is bytes that JSON has in hex, while it has other `bytes` in base64. */
const scalars = {
  string: LENGTH_DELIMITED,
  bytes: LENGTH_DELIMITED,
  id: LENGTH_DELIMITED,
  bool: VARINT,
  uint32: VARINT,
  sint32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  fixed32: FIXED32,
  fixed64: FIXED64,
  sfixed64: FIXED64,
  double: FIXED64,
} as const

type Scalar = keyof typeof scalars

/** Names of enums in the order of their numbers. */
const enums = {
  AggregationTemporality: ['UNSPECIFIED', 'DELTA', 'CUMULATIVE'].map((name) => `AGGREGATION_TEMPORALITY_${name}`),
  SeverityNumber: [
    'UNSPECIFIED',
    ...['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].flatMap((level) =>
      ['', '2', '3', '4'].map((step) => level + step),
    ),
  ].map((name) => `SEVERITY_NUMBER_${name}`),
  SpanKind: ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map((name) => `SPAN_KIND_${name}`),
  StatusCode: ['UNSET', 'OK', 'ERROR'].map((name) => `STATUS_CODE_${name}`),
} as const

/** How often a field may occur, and whether it may be present with the value that proto3 omits. */
type Label = 'singular' | 'optional' | 'oneof' | 'repeated'

/** A field below: `type` names a scalar, an enum or a message. */
interface Definition {
  readonly number: number
  readonly type: string
  readonly label: Label
}

const labeled =
  (label: Label) =>
  (number: number, type: string): Definition => ({ number, type, label })
const one = labeled('singular')
const optional = labeled('optional')
/** A member of the message's `oneof`; no message has two. */
const oneOf = labeled('oneof')
const many = labeled('repeated')

/** The fields of each message by their names in JSON, in the order of the `.proto`, in which encoders write them. */
const definitions = {
  ExportMetricsServiceRequest: { resourceMetrics: many(1, 'ResourceMetrics') },
  ExportMetricsServiceResponse: { partialSuccess: one(1, 'ExportMetricsPartialSuccess') },
  ExportMetricsPartialSuccess: { rejectedDataPoints: one(1, 'int64'), errorMessage: one(2, 'string') },
  ResourceMetrics: {
    resource: one(1, 'Resource'),
    scopeMetrics: many(2, 'ScopeMetrics'),
    schemaUrl: one(3, 'string'),
  },
  ScopeMetrics: {
    scope: one(1, 'InstrumentationScope'),
    metrics: many(2, 'Metric'),
    schemaUrl: one(3, 'string'),
  },
  Metric: {
    name: one(1, 'string'),
    description: one(2, 'string'),
    unit: one(3, 'string'),
    gauge: oneOf(5, 'Gauge'),
    sum: oneOf(7, 'Sum'),
    histogram: oneOf(9, 'Histogram'),
    exponentialHistogram: oneOf(10, 'ExponentialHistogram'),
    summary: oneOf(11, 'Summary'),
    metadata: many(12, 'KeyValue'),
  },
  Gauge: { dataPoints: many(1, 'NumberDataPoint') },
  Sum: {
    dataPoints: many(1, 'NumberDataPoint'),
    aggregationTemporality: one(2, 'AggregationTemporality'),
    isMonotonic: one(3, 'bool'),
  },
  Histogram: {
    dataPoints: many(1, 'HistogramDataPoint'),
    aggregationTemporality: one(2, 'AggregationTemporality'),
  },
  ExponentialHistogram: {
    dataPoints: many(1, 'ExponentialHistogramDataPoint'),
    aggregationTemporality: one(2, 'AggregationTemporality'),
  },
  Summary: { dataPoints: many(1, 'SummaryDataPoint') },
  NumberDataPoint: {
    attributes: many(7, 'KeyValue'),
    startTimeUnixNano: one(2, 'fixed64'),
    timeUnixNano: one(3, 'fixed64'),
    asDouble: oneOf(4, 'double'),
    asInt: oneOf(6, 'sfixed64'),
    exemplars: many(5, 'Exemplar'),
    flags: one(8, 'uint32'),
  },
  HistogramDataPoint: {
    attributes: many(9, 'KeyValue'),
    startTimeUnixNano: one(2, 'fixed64'),
    timeUnixNano: one(3, 'fixed64'),
    count: one(4, 'fixed64'),
    sum: optional(5, 'double'),
    bucketCounts: many(6, 'fixed64'),
    explicitBounds: many(7, 'double'),
    exemplars: many(8, 'Exemplar'),
    flags: one(10, 'uint32'),
    min: optional(11, 'double'),
    max: optional(12, 'double'),
  },
  ExponentialHistogramDataPoint: {
    attributes: many(1, 'KeyValue'),
    startTimeUnixNano: one(2, 'fixed64'),
    timeUnixNano: one(3, 'fixed64'),
    count: one(4, 'fixed64'),
    sum: optional(5, 'double'),
    scale: one(6, 'sint32'),
    zeroCount: one(7, 'fixed64'),
    positive: one(8, 'Buckets'),
    negative: one(9, 'Buckets'),
    flags: one(10, 'uint32'),
    exemplars: many(11, 'Exemplar'),
    min: optional(12, 'double'),
    max: optional(13, 'double'),
    zeroThreshold: one(14, 'double'),
  },
  Buckets: { offset: one(1, 'sint32'), bucketCounts: many(2, 'uint64') },
  SummaryDataPoint: {
    attributes: many(7, 'KeyValue'),
    startTimeUnixNano: one(2, 'fixed64'),
    timeUnixNano: one(3, 'fixed64'),
    count: one(4, 'fixed64'),
    sum: one(5, 'double'),
    quantileValues: many(6, 'ValueAtQuantile'),
    flags: one(8, 'uint32'),
  },
  ValueAtQuantile: { quantile: one(1, 'double'), value: one(2, 'double') },
  Exemplar: {
    filteredAttributes: many(7, 'KeyValue'),
    timeUnixNano: one(2, 'fixed64'),
    asDouble: oneOf(3, 'double'),
    asInt: oneOf(6, 'sfixed64'),
    spanId: one(4, 'id'),
    traceId: one(5, 'id'),
  },

  ExportLogsServiceRequest: { resourceLogs: many(1, 'ResourceLogs') },
  ExportLogsServiceResponse: { partialSuccess: one(1, 'ExportLogsPartialSuccess') },
  ExportLogsPartialSuccess: { rejectedLogRecords: one(1, 'int64'), errorMessage: one(2, 'string') },
  ResourceLogs: {
    resource: one(1, 'Resource'),
    scopeLogs: many(2, 'ScopeLogs'),
    schemaUrl: one(3, 'string'),
  },
  ScopeLogs: {
    scope: one(1, 'InstrumentationScope'),
    logRecords: many(2, 'LogRecord'),
    schemaUrl: one(3, 'string'),
  },
  LogRecord: {
    timeUnixNano: one(1, 'fixed64'),
    observedTimeUnixNano: one(11, 'fixed64'),
    severityNumber: one(2, 'SeverityNumber'),
    severityText: one(3, 'string'),
    body: one(5, 'AnyValue'),
    attributes: many(6, 'KeyValue'),
    droppedAttributesCount: one(7, 'uint32'),
    flags: one(8, 'fixed32'),
    traceId: one(9, 'id'),
    spanId: one(10, 'id'),
    eventName: one(12, 'string'),
  },

  ExportTraceServiceRequest: { resourceSpans: many(1, 'ResourceSpans') },
  ExportTraceServiceResponse: { partialSuccess: one(1, 'ExportTracePartialSuccess') },
  ExportTracePartialSuccess: { rejectedSpans: one(1, 'int64'), errorMessage: one(2, 'string') },
  ResourceSpans: {
    resource: one(1, 'Resource'),
    scopeSpans: many(2, 'ScopeSpans'),
    schemaUrl: one(3, 'string'),
  },
  ScopeSpans: {
    scope: one(1, 'InstrumentationScope'),
    spans: many(2, 'Span'),
    schemaUrl: one(3, 'string'),
  },
  Span: {
    traceId: one(1, 'id'),
    spanId: one(2, 'id'),
    traceState: one(3, 'string'),
    parentSpanId: one(4, 'id'),
    flags: one(16, 'fixed32'),
    name: one(5, 'string'),
    kind: one(6, 'SpanKind'),
    startTimeUnixNano: one(7, 'fixed64'),
    endTimeUnixNano: one(8, 'fixed64'),
    attributes: many(9, 'KeyValue'),
    droppedAttributesCount: one(10, 'uint32'),
    events: many(11, 'Event'),
    droppedEventsCount: one(12, 'uint32'),
    links: many(13, 'Link'),
    droppedLinksCount: one(14, 'uint32'),
    status: one(15, 'Status'),
  },
  Event: {
    timeUnixNano: one(1, 'fixed64'),
    name: one(2, 'string'),
    attributes: many(3, 'KeyValue'),
    droppedAttributesCount: one(4, 'uint32'),
  },
  Link: {
    traceId: one(1, 'id'),
    spanId: one(2, 'id'),
    traceState: one(3, 'string'),
    attributes: many(4, 'KeyValue'),
    droppedAttributesCount: one(5, 'uint32'),
    flags: one(6, 'fixed32'),
  },
  Status: { message: one(2, 'string'), code: one(3, 'StatusCode') },

  Resource: {
    attributes: many(1, 'KeyValue'),
    droppedAttributesCount: one(2, 'uint32'),
    entityRefs: many(3, 'EntityRef'),
  },
  EntityRef: {
    schemaUrl: one(1, 'string'),
    type: one(2, 'string'),
    idKeys: many(3, 'string'),
    descriptionKeys: many(4, 'string'),
  },
  InstrumentationScope: {
    name: one(1, 'string'),
    version: one(2, 'string'),
    attributes: many(3, 'KeyValue'),
    droppedAttributesCount: one(4, 'uint32'),
  },
  KeyValue: { key: one(1, 'string'), value: one(2, 'AnyValue') },
  AnyValue: {
    stringValue: oneOf(1, 'string'),
    boolValue: oneOf(2, 'bool'),
    intValue: oneOf(3, 'int64'),
    doubleValue: oneOf(4, 'double'),
    arrayValue: oneOf(5, 'ArrayValue'),
    kvlistValue: oneOf(6, 'KeyValueList'),
    bytesValue: oneOf(7, 'bytes'),
  },
  ArrayValue: { values: many(1, 'AnyValue') },
  KeyValueList: { values: many(1, 'KeyValue') },
} satisfies Readonly<Record<string, Readonly<Record<string, Definition>>>>

export interface Field {
  /** In lower camel case, as in JSON. */
  readonly name: string
  readonly number: number
  readonly label: Label
  readonly type: Scalar | 'enum' | 'message'
  /** The names of an enum by number. */
  readonly names: readonly string[] | undefined
  readonly message: MessageType | undefined
  /** The tag in front of it; for a packed list, in front of the whole list. */
  readonly tag: number
  /** The tag in front of each number of a list that is not packed. */
  readonly itemTag: number
}

export interface MessageType {
  readonly name: string
  /** In the order of the `.proto`. */
  readonly fields: readonly Field[]
}

const types: Readonly<Record<string, { readonly name: string; readonly fields: Field[] }>> = Object.fromEntries(
  Object.keys(definitions).map((name) => [name, { name, fields: [] }]),
)
for (const [name, fields] of Object.entries(definitions)) {
  for (const [key, definition] of Object.entries<Definition>(fields)) types[name].fields.push(toField(key, definition))
}

function toField(name: string, { number, type, label }: Definition): Field {
  const message = type in types ? types[type] : undefined
  const names = type in enums ? enums[type as keyof typeof enums] : undefined
  const wireType = message !== undefined ? LENGTH_DELIMITED : names !== undefined ? VARINT : scalars[type as Scalar]
  return {
    name,
    number,
    label,
    type: message !== undefined ? 'message' : names !== undefined ? 'enum' : (type as Scalar),
    names,
    message,
    tag: (number << 3) | (label === 'repeated' ? LENGTH_DELIMITED : wireType),
    itemTag: (number << 3) | wireType,
  }
}

/** The messages of OTLP by their names in the `.proto`. */
export const schema = types as Readonly<Record<keyof typeof definitions, MessageType>>

/** The tag of each field, by message and name. */
export const tags = Object.fromEntries(
  Object.values(types).map((type) => [type.name, Object.fromEntries(type.fields.map(({ name, tag }) => [name, tag]))]),
) as {
  readonly [Name in keyof typeof definitions]: { readonly [Key in keyof (typeof definitions)[Name]]: number }
}

/** The name of a field in the `.proto`. */
export function protoName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
