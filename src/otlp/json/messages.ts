import { JsonPiece } from './text.ts'

/*
 * The messages of OTLP metrics as JSON has them: for each key the number of its field and what it holds.
 * Source: opentelemetry-proto 1.x, collector/metrics/v1/metrics_service.proto, metrics/v1/metrics.proto,
 * common/v1/common.proto and resource/v1/resource.proto.
 */

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2

/** The wire type of what a field may hold; bytes are base64 or, unlike in proto3's own mapping, hex. */
const wireTypes = {
  message: LENGTH_DELIMITED,
  string: LENGTH_DELIMITED,
  base64: LENGTH_DELIMITED,
  hex: LENGTH_DELIMITED,
  double: FIXED64,
  fixed64: FIXED64,
  sfixed64: FIXED64,
  bool: VARINT,
  temporality: VARINT,
  uint32: VARINT,
  sint32: VARINT,
  int64: VARINT,
  uint64: VARINT,
}

export interface Field {
  /** In lower camel case. */
  readonly name: string
  readonly number: number
  /** The one byte before it; of a list of numbers, the one before them all. */
  readonly tag: number
  /** The one before a number of a list that is not packed. */
  readonly itemTag: number
  readonly holds: keyof typeof wireTypes
  readonly repeated: boolean
  /** Whether it is there even with the value that proto3 leaves out: a member of a `oneof`, or `optional`. */
  readonly explicit: boolean
  /** Whether it is a member of a `oneof`. */
  readonly oneOf: boolean
  /** Whether it is not written when it is absent or has the value that proto3 leaves out. */
  readonly leftOut: boolean
  /** The key with its colon, in ASCII. */
  readonly key: Uint8Array
  /** What it holds, if that is a message. */
  message: Message | undefined
}

export interface Message {
  /** The keys, quoted: in lower camel case, in the order in which encoders write them, then as in the `.proto`. */
  readonly keys: readonly JsonPiece[]
  /** The field of each key. */
  readonly fields: readonly Field[]
  readonly byName: ReadonlyMap<string, Field>
  /** Each field once. */
  readonly named: readonly Field[]
  readonly byNumber: readonly (Field | undefined)[]
  /** Bytes that the length of the last one took, since the next one's will mostly take as many. */
  width: number
}

/** What the tables below say of a field; `holds` names a message of theirs or a scalar. */
interface Definition {
  readonly number: number
  readonly holds: string
  readonly repeated?: boolean
  readonly explicit?: boolean
  readonly oneOf?: boolean
}

const one = (number: number, holds: string): Definition => ({ number, holds })
const many = (number: number, holds: string): Definition => ({ number, holds, repeated: true })
/** A field that is there even with the value that proto3 leaves out. */
const optional = (number: number, holds: string): Definition => ({ number, holds, explicit: true })
const oneOf = (number: number, holds: string): Definition => ({ number, holds, explicit: true, oneOf: true })

/** What most requests have no word of: written only where they have. */
const LEFT_OUT = new Set(
  `attributes filteredAttributes metadata droppedAttributesCount name version description unit schemaUrl
  startTimeUnixNano flags zeroThreshold exemplars spanId traceId positive negative`.split(/\s+/),
)

const definitions: Readonly<Record<string, Readonly<Record<string, Definition>>>> = {
  ExportMetricsServiceRequest: { resourceMetrics: many(1, 'ResourceMetrics') },
  ResourceMetrics: {
    resource: one(1, 'Resource'),
    scopeMetrics: many(2, 'ScopeMetrics'),
    schemaUrl: one(3, 'string'),
  },
  Resource: { attributes: many(1, 'KeyValue'), droppedAttributesCount: one(2, 'uint32') },
  ScopeMetrics: {
    scope: one(1, 'InstrumentationScope'),
    metrics: many(2, 'Metric'),
    schemaUrl: one(3, 'string'),
  },
  InstrumentationScope: {
    name: one(1, 'string'),
    version: one(2, 'string'),
    attributes: many(3, 'KeyValue'),
    droppedAttributesCount: one(4, 'uint32'),
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
    aggregationTemporality: one(2, 'temporality'),
    isMonotonic: one(3, 'bool'),
  },
  Histogram: { dataPoints: many(1, 'HistogramDataPoint'), aggregationTemporality: one(2, 'temporality') },
  ExponentialHistogram: {
    dataPoints: many(1, 'ExponentialHistogramDataPoint'),
    aggregationTemporality: one(2, 'temporality'),
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
    spanId: one(4, 'hex'),
    traceId: one(5, 'hex'),
  },
  KeyValue: { key: one(1, 'string'), value: one(2, 'AnyValue') },
  AnyValue: {
    stringValue: oneOf(1, 'string'),
    boolValue: oneOf(2, 'bool'),
    intValue: oneOf(3, 'int64'),
    doubleValue: oneOf(4, 'double'),
    arrayValue: oneOf(5, 'ArrayValue'),
    kvlistValue: oneOf(6, 'KeyValueList'),
    bytesValue: oneOf(7, 'base64'),
  },
  ArrayValue: { values: many(1, 'AnyValue') },
  KeyValueList: { values: many(1, 'KeyValue') },
}

const messages = new Map(Object.entries(definitions).map(([name, fields]) => [name, toMessage(fields)]))
for (const [name, { fields }] of messages) {
  for (const field of fields) field.message = messages.get(definitions[name][field.name].holds)
}

function toMessage(definition: Readonly<Record<string, Definition>>): Message {
  const named = Object.entries(definition).map(([name, field]) => [name, toField(name, field)] as const)
  const protoNamed = named.flatMap(([name, field]) => {
    const protoName = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    return protoName === name ? [] : [[protoName, field] as const]
  })
  const byName = new Map([...named, ...protoNamed])
  return {
    keys: Array.from(byName.keys(), (name) => new JsonPiece(`"${name}"`)),
    fields: [...byName.values()],
    byName,
    named: named.map(([, field]) => field),
    byNumber: named.reduce<(Field | undefined)[]>((fields, [, field]) => {
      fields[field.number] = field
      return fields
    }, []),
    width: 1,
  }
}

function toField(name: string, definition: Definition): Field {
  const { number, holds, repeated = false, explicit = false, oneOf = false } = definition
  const kind = holds in wireTypes ? (holds as Field['holds']) : 'message'
  const wire = repeated ? LENGTH_DELIMITED : wireTypes[kind]
  return {
    name,
    number,
    tag: (number << 3) | wire,
    itemTag: (number << 3) | wireTypes[kind],
    holds: kind,
    repeated,
    explicit,
    oneOf,
    leftOut: explicit || LEFT_OUT.has(name),
    key: Buffer.from(`"${name}":`),
    message: undefined,
  }
}

export const request = messages.get('ExportMetricsServiceRequest') as Message
export const keyValue = messages.get('KeyValue') as Message
