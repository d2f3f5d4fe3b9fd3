import protobuf from 'protobufjs/minimal.js'
import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from './attributes.ts'
import type { AnyValue, KeyValue } from './attributes.ts'
import { Encoded, readerAt } from './message.ts'
import type { ReadFields, Source } from './message.ts'
import { temporalities } from './metric_shape.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metrics.ts'
import type { MetricFields, MetricType, ResourceMetricsFields, ScopeMetricsFields } from './metrics.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from './points.ts'
import type {
  Buckets,
  DataPoint,
  Exemplar,
  ExponentialHistogramPointFields,
  HistogramPointFields,
  NumberPointFields,
  Quantile,
  SummaryPointFields,
} from './points.ts'
import { Resource, Scope } from './resource.ts'
import type { ResourceFields, ScopeFields } from './resource.ts'

/*
 * The protobuf form of OTLP metrics, read and written field by field with protobufjs's Reader and Writer.
 * Field numbers are those of opentelemetry-proto 1.x: collector/metrics/v1/metrics_service.proto, metrics/v1/metrics.proto,
 * common/v1/common.proto, resource/v1/resource.proto. Unknown fields of the larger messages are kept as they came.
 */

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Reads a protobuf `ExportMetricsServiceRequest` that `checkMetrics` has found to be one. The messages in it are views that
 * are read when somebody looks inside.
 */
export function decodeMetrics(source: Source): readonly ResourceMetrics[] {
  const resources: ResourceMetrics[] = []
  const reader = readerAt(source.bytes, 0)
  readFields(reader, reader.len, (field, wire) => {
    // repeated ResourceMetrics resource_metrics = 1;
    if (field !== 1 || wire !== LENGTH_DELIMITED) return false
    resources.push(new ResourceMetrics(view(reader, source, readResourceMetrics)))
    return true
  })
  return resources
}

/** The message at the reader's position, to be read later. */
function view<Fields>(reader: Reader, source: Source, read: ReadFields<Fields>): Encoded<Fields> {
  const end = messageEnd(reader)
  const encoded = new Encoded(source, reader.pos, end, read)
  reader.pos = end
  return encoded
}

/** Writes a protobuf `ExportMetricsServiceRequest`. */
export function encodeMetrics(resources: readonly ResourceMetrics[]): Uint8Array {
  const writer = protobuf.Writer.create()
  for (const entry of resources) writeView(writer, 1, entry, writeResourceMetrics)
  return writer.finish()
}

/** Joins encoded requests: a protobuf message with repeated fields only is the concatenation of its parts. */
export function mergeEncoded(requests: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(requests)
}

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2

/**
 * Calls `read` for each field up to `end`; what it does not take (returns `false`) is skipped.
 * Returns the skipped fields as they came, or `undefined` when there were none.
 */
function readFields(
  reader: Reader,
  end: number,
  read: (field: number, wire: number) => boolean,
): Uint8Array | undefined {
  let unknown: Uint8Array[] | undefined
  while (reader.pos < end) {
    const start = reader.pos
    const tag = reader.uint32()
    const field = tag >>> 3
    if (field === 0) throw new RangeError(`field number 0 at byte ${start}`)
    if (read(field, tag & 7)) continue
    reader.skipType(tag & 7)
    ;(unknown ??= []).push(reader.buf.slice(start, reader.pos))
  }
  if (reader.pos !== end) throw new RangeError(`a field runs past its parent, which ends at byte ${end}`)
  return unknown === undefined ? undefined : Buffer.concat(unknown)
}

function messageEnd(reader: Reader): number {
  const length = reader.uint32()
  const end = reader.pos + length
  if (end > reader.len) throw new RangeError(`length ${length} at byte ${reader.pos} runs past the end of the data`)
  return end
}

function readBigFixed64(reader: Reader, signed: boolean): bigint {
  const low = reader.fixed32()
  const high = reader.fixed32()
  const value = (BigInt(high) << 32n) | BigInt(low)
  return signed ? BigInt.asIntN(64, value) : value
}

/** A 64-bit number: a JavaScript number where it is safe, else a bigint. */
function readFixed64(reader: Reader, signed = false): number | bigint {
  const { pos } = reader
  const low = reader.fixed32()
  const high = reader.fixed32()
  // Up to 2^53 it takes no bigint, which would cost most of reading a histogram.
  if (high < 0x200000) return high * 4294967296 + low
  reader.pos = pos
  return narrow(readBigFixed64(reader, signed))
}

function readVarint64(reader: Reader, signed: boolean): number | bigint {
  const { pos } = reader
  let small = 0
  for (let scale = 1; scale < 2 ** 49 && reader.pos < reader.len; scale *= 128) {
    const byte = reader.buf[reader.pos++]
    small += (byte & 0x7f) * scale
    if (byte < 0x80) return small
  }
  reader.pos = pos
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (reader.pos >= reader.len) throw new RangeError('a varint runs past the end of the data')
    const byte = reader.buf[reader.pos++]
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return narrow(signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value))
  }
  throw new RangeError('a varint is longer than ten bytes')
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Calls `readItem` for one unpacked item or for each of a packed run. */
function readRepeated(reader: Reader, wire: number, readItem: () => void): void {
  if (wire !== LENGTH_DELIMITED) return readItem()
  const end = messageEnd(reader)
  while (reader.pos < end) readItem()
}

function readResourceMetrics(source: Source, start: number, end: number): ResourceMetricsFields {
  const reader = readerAt(source.bytes, start)
  let resource: Resource | undefined
  const scopes: ScopeMetrics[] = []
  let schemaUrl = ''
  const unknown = readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    switch (field) {
      case 1: // Resource resource = 1;
        resource = new Resource(view(reader, source, readResource))
        return true
      case 2: // repeated ScopeMetrics scope_metrics = 2;
        scopes.push(new ScopeMetrics(view(reader, source, readScopeMetrics)))
        return true
      case 3: // string schema_url = 3;
        schemaUrl = reader.string()
        return true
      default:
        return false
    }
  })
  return { resource, scopes, schemaUrl, unknown }
}

function writeResourceMetrics(writer: Writer, entry: ResourceMetrics): void {
  if (entry.resource !== Resource.empty) writeView(writer, 1, entry.resource, writeResource)
  for (const scope of entry.scopes) writeView(writer, 2, scope, writeScopeMetrics)
  writeString(writer, 3, entry.schemaUrl)
  writeUnknown(writer, entry.unknown)
}

function readResource(source: Source, start: number, end: number): ResourceFields {
  const reader = readerAt(source.bytes, start)
  const attributes: KeyValue[] = []
  let droppedAttributesCount = 0
  const unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 1;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 2 && wire === VARINT) {
      // uint32 dropped_attributes_count = 2;
      droppedAttributesCount = reader.uint32()
    } else return false
    return true
  })
  return { attributes: Attributes.from(attributes), droppedAttributesCount, unknown }
}

function writeResource(writer: Writer, resource: Resource): void {
  for (const attribute of resource.attributes) writeMessage(writer, 1, attribute, writeKeyValue)
  writeUint32(writer, 2, resource.droppedAttributesCount)
  writeUnknown(writer, resource.unknown)
}

function readScopeMetrics(source: Source, start: number, end: number): ScopeMetricsFields {
  const reader = readerAt(source.bytes, start)
  let scope: Scope | undefined
  const metrics: Metric[] = []
  let schemaUrl = ''
  const unknown = readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    switch (field) {
      case 1: // InstrumentationScope scope = 1;
        scope = new Scope(view(reader, source, readScope))
        return true
      case 2: // repeated Metric metrics = 2;
        metrics.push(new Metric(view(reader, source, readMetric)))
        return true
      case 3: // string schema_url = 3;
        schemaUrl = reader.string()
        return true
      default:
        return false
    }
  })
  return { scope, metrics, schemaUrl, unknown }
}

function writeScopeMetrics(writer: Writer, entry: ScopeMetrics): void {
  if (entry.scope !== Scope.empty) writeView(writer, 1, entry.scope, writeScope)
  for (const metric of entry.metrics) writeMetric(writer, metric)
  writeString(writer, 3, entry.schemaUrl)
  writeUnknown(writer, entry.unknown)
}

function readScope(source: Source, start: number, end: number): ScopeFields {
  const reader = readerAt(source.bytes, start)
  let name = ''
  let version = ''
  let droppedAttributesCount = 0
  const attributes: KeyValue[] = []
  const unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // string name = 1;
      name = reader.string()
    } else if (field === 2 && wire === LENGTH_DELIMITED) {
      // string version = 2;
      version = reader.string()
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 3;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 4 && wire === VARINT) {
      // uint32 dropped_attributes_count = 4;
      droppedAttributesCount = reader.uint32()
    } else return false
    return true
  })
  return { name, version, attributes: Attributes.from(attributes), droppedAttributesCount, unknown }
}

function writeScope(writer: Writer, scope: Scope): void {
  writeString(writer, 1, scope.name)
  writeString(writer, 2, scope.version)
  for (const attribute of scope.attributes) writeMessage(writer, 3, attribute, writeKeyValue)
  writeUint32(writer, 4, scope.droppedAttributesCount)
  writeUnknown(writer, scope.unknown)
}

/** `oneof data` of `Metric`, by field number. */
const metricTypes: Readonly<Record<number, Exclude<MetricType, 'none'>>> = {
  5: 'gauge',
  7: 'sum',
  9: 'histogram',
  10: 'exponential_histogram',
  11: 'summary',
}
const metricFields = Object.fromEntries(Object.entries(metricTypes).map(([field, type]) => [type, Number(field)]))

function readMetric(source: Source, start: number, end: number): MetricFields {
  const reader = readerAt(source.bytes, start)
  const metadata: KeyValue[] = []
  const metric: Mutable<MetricFields> = { type: 'none' }
  metric.unknown = readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    switch (field) {
      case 1: // string name = 1;
        metric.name = reader.string()
        return true
      case 2: // string description = 2;
        metric.description = reader.string()
        return true
      case 3: // string unit = 3;
        metric.unit = reader.string()
        return true
      case 12: // repeated KeyValue metadata = 12;
        metadata.push(readKeyValue(reader, messageEnd(reader)))
        return true
      default: {
        const type = metricTypes[field]
        if (type === undefined) return false
        readData(reader, messageEnd(reader), source, type, metric)
        return true
      }
    }
  })
  metric.metadata = Attributes.from(metadata)
  return metric
}

/** Gauge, Sum, Histogram, ExponentialHistogram and Summary: points in 1, temporality in 2, monotonicity in 3. */
function readData(
  reader: Reader,
  end: number,
  source: Source,
  type: Exclude<MetricType, 'none'>,
  metric: Mutable<MetricFields>,
): void {
  const points = new Encoded(source, reader.pos, end, readPoints[type])
  const before = metric.type === type ? metric.points : undefined
  if (metric.type !== type) metric.temporality = metric.monotonic = undefined
  metric.points = before === undefined ? points : [...pointsOf(before), ...points.decode()]
  metric.type = type
  metric.unknownData = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      reader.skipType(wire)
    } else if (field === 2 && wire === VARINT && type !== 'gauge' && type !== 'summary') {
      metric.temporality = temporalities[reader.uint32()] ?? 'unspecified'
    } else if (field === 3 && wire === VARINT && type === 'sum') {
      metric.monotonic = reader.bool()
    } else return false
    return true
  })
}

function pointsOf(points: NonNullable<MetricFields['points']>): readonly DataPoint[] {
  return points instanceof Encoded ? points.decode() : points
}

/** Reads the points of a metric's data, field 1 of each kind, as views. */
const readPoints = {
  gauge: pointsReader((reader, source) => new NumberPoint(view(reader, source, readNumberPoint))),
  sum: pointsReader((reader, source) => new NumberPoint(view(reader, source, readNumberPoint))),
  histogram: pointsReader((reader, source) => new HistogramPoint(view(reader, source, readHistogramPoint))),
  exponential_histogram: pointsReader(
    (reader, source) => new ExponentialHistogramPoint(view(reader, source, readExponentialHistogramPoint)),
  ),
  summary: pointsReader((reader, source) => new SummaryPoint(view(reader, source, readSummaryPoint))),
}

function pointsReader(makePoint: (reader: Reader, source: Source) => DataPoint): ReadFields<readonly DataPoint[]> {
  return (source, start, end) => {
    const reader = readerAt(source.bytes, start)
    const points: DataPoint[] = []
    readFields(reader, end, (field, wire) => {
      if (field !== 1 || wire !== LENGTH_DELIMITED) return false
      points.push(makePoint(reader, source))
      return true
    })
    return points
  }
}

/** Metric metrics = 2; of ScopeMetrics. */
function writeMetric(writer: Writer, metric: Metric): void {
  const { encoded, renamed } = metric
  if (renamed === undefined) writeView(writer, 2, metric, writeMetricFields)
  else if (encoded?.source.regular === true) writeMessage(writer, 2, { encoded, renamed }, writeRenamed)
  else writeMessage(writer, 2, metric, writeMetricFields)
}

function writeMetricFields(writer: Writer, metric: Metric): void {
  writeString(writer, 1, metric.name)
  writeString(writer, 2, metric.description)
  writeString(writer, 3, metric.unit)
  if (metric.type !== 'none') writeMessage(writer, metricFields[metric.type], metric, writeData)
  for (const attribute of metric.metadata) writeMessage(writer, 12, attribute, writeKeyValue)
  writeUnknown(writer, metric.unknown)
}

/** The new name, and everything else as it came. */
function writeRenamed(writer: Writer, { encoded, renamed }: { encoded: Encoded<MetricFields>; renamed: string }): void {
  writeString(writer, 1, renamed)
  const { source, start, end } = encoded
  const reader = readerAt(source.bytes, start)
  let kept = start
  while (reader.pos < end) {
    const field = reader.pos
    const tag = reader.uint32()
    reader.skipType(tag & 7)
    if (tag >>> 3 !== 1) continue
    writer.raw(source.bytes.subarray(kept, field))
    kept = reader.pos
  }
  writer.raw(source.bytes.subarray(kept, end))
}

function writeData(writer: Writer, metric: Metric): void {
  for (const point of metric.points) writeView(writer, 1, point, writePoint)
  if (metric.type !== 'gauge' && metric.type !== 'summary') {
    writeUint32(writer, 2, temporalities.indexOf(metric.temporality))
  }
  if (metric.type === 'sum' && metric.monotonic) writer.uint32((3 << 3) | VARINT).bool(true)
  writeUnknown(writer, metric.unknownData)
}

function writePoint(writer: Writer, point: DataPoint): void {
  writeBigFixed64(writer, 2, point.startTimeUnixNano)
  writeBigFixed64(writer, 3, point.timeUnixNano)
  switch (point.kind) {
    case 'number':
      writeNumberPoint(writer, point)
      break
    case 'histogram':
      writeHistogramPoint(writer, point)
      break
    case 'exponential_histogram':
      writeExponentialHistogramPoint(writer, point)
      break
    case 'summary':
      writeSummaryPoint(writer, point)
      break
  }
  writeUnknown(writer, point.unknown)
}

type PointFields = Mutable<NumberPointFields>

/** Fields 2 and 3, the same in every kind of point: fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; */
function readTimes(reader: Reader, field: number, wire: number, point: PointFields): boolean {
  if (wire !== FIXED64) return false
  if (field === 2) point.startTimeUnixNano = readBigFixed64(reader, false)
  else if (field === 3) point.timeUnixNano = readBigFixed64(reader, false)
  else return false
  return true
}

/** The fields of a number point, in one pass over its bytes; its attributes stay as they are when they stand together. */
function readNumberPoint(source: Source, start: number, end: number): NumberPointFields {
  const { bytes, view } = source
  let attributesStart = -1
  let attributesEnd = -1
  let startTimeUnixNano = 0n
  let timeUnixNano = 0n
  let value: number | bigint | undefined
  let isInt = false
  let at = start
  while (at < end) {
    const tag = bytes[at]
    if (tag === 0x3a && bytes[at + 1] < 128) {
      // repeated KeyValue attributes = 7;
      if (attributesStart < 0) attributesStart = at
      else if (attributesEnd !== at) return readOtherNumberPoint(source, start, end)
      at += 2 + bytes[at + 1]
      attributesEnd = at
    } else if (tag === 0x11) {
      startTimeUnixNano = view.getBigUint64(at + 1, true) // fixed64 start_time_unix_nano = 2;
      at += 9
    } else if (tag === 0x19) {
      timeUnixNano = view.getBigUint64(at + 1, true) // fixed64 time_unix_nano = 3;
      at += 9
    } else if (tag === 0x21) {
      value = view.getFloat64(at + 1, true) // double as_double = 4;
      isInt = false
      at += 9
    } else if (tag === 0x31) {
      value = narrow(view.getBigInt64(at + 1, true)) // sfixed64 as_int = 6;
      isInt = true
      at += 9
    } else return readOtherNumberPoint(source, start, end)
  }
  const attributes =
    attributesStart < 0
      ? Attributes.empty
      : Attributes.fromWire(new Encoded(source, attributesStart, attributesEnd, readAttributeFields))
  return {
    attributes,
    startTimeUnixNano,
    timeUnixNano,
    value,
    isInt,
    flags: 0,
    exemplars: undefined,
    unknown: undefined,
  }
}

/** A run of field 7 of number points. */
export function readAttributeFields(source: Source, start: number, end: number): readonly KeyValue[] {
  const reader = readerAt(source.bytes, start)
  const attributes: KeyValue[] = []
  while (reader.pos < end) {
    reader.uint32()
    attributes.push(readKeyValue(reader, messageEnd(reader)))
  }
  return attributes
}

/** A number point with exemplars, flags or anything else beside its attributes, times and value. */
function readOtherNumberPoint(source: Source, start: number, end: number): NumberPointFields {
  const reader = readerAt(source.bytes, start)
  const point: Mutable<NumberPointFields> = {}
  const attributes = new AttributeRun(source)
  const exemplars: Exemplar[] = []
  point.unknown = readFields(reader, end, (field, wire) => {
    if (field === 7 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 7;
      attributes.add(reader)
    } else if (field === 4 && wire === FIXED64) {
      // double as_double = 4;
      point.value = reader.double()
      point.isInt = false
    } else if (field === 6 && wire === FIXED64) {
      // sfixed64 as_int = 6;
      point.value = readFixed64(reader, true)
      point.isInt = true
    } else if (field === 5 && wire === LENGTH_DELIMITED) {
      // repeated Exemplar exemplars = 5;
      exemplars.push(readExemplar(reader, messageEnd(reader)))
    } else if (field === 8 && wire === VARINT) {
      // uint32 flags = 8;
      point.flags = reader.uint32()
    } else return readTimes(reader, field, wire, point)
    return true
  })
  return { ...point, attributes: attributes.all(), exemplars }
}

function writeNumberPoint(writer: Writer, point: NumberPoint): void {
  const { encoded } = point.attributes
  if (encoded?.reads(readAttributeFields) === true) writer.raw(encoded.bytes())
  else for (const attribute of point.attributes) writeMessage(writer, 7, attribute, writeKeyValue)
  if (point.value !== undefined) {
    if (point.isInt) writeFixed64(writer, 6, point.value)
    else writer.uint32((4 << 3) | FIXED64).double(Number(point.value))
  }
  for (const exemplar of point.exemplars) writeMessage(writer, 5, exemplar, writeExemplar)
  writeUint32(writer, 8, point.flags)
}

/** The attributes of a point, as they are met: one run of bytes where they stand side by side, else what they hold. */
class AttributeRun {
  readonly #source: Source
  #start = -1
  #end = -1
  #read: KeyValue[] | undefined

  constructor(source: Source) {
    this.#source = source
  }

  /** Takes the attribute behind whose tag, of one byte, the reader stands. */
  add(reader: Reader): void {
    const start = reader.pos - 1
    const end = messageEnd(reader)
    if (this.#start < 0) this.#start = start
    else if (this.#end !== start) this.#read ??= [...readAttributeFields(this.#source, this.#start, this.#end)]
    if (this.#read !== undefined) this.#read.push(readKeyValue(reader, end))
    this.#end = reader.pos = end
  }

  all(): Attributes {
    if (this.#read !== undefined) return Attributes.from(this.#read)
    if (this.#start < 0) return Attributes.empty
    return Attributes.fromWire(new Encoded(this.#source, this.#start, this.#end, readAttributeFields))
  }
}

function readHistogramPoint(source: Source, start: number, end: number): HistogramPointFields {
  const reader = readerAt(source.bytes, start)
  const point: Mutable<HistogramPointFields> = {}
  const attributes = new AttributeRun(source)
  const exemplars: Exemplar[] = []
  const bucketCounts: (number | bigint)[] = []
  const explicitBounds: number[] = []
  point.unknown = readFields(reader, end, (field, wire) => {
    if (field === 9 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 9;
      attributes.add(reader)
    } else if (field === 4 && wire === FIXED64) {
      // fixed64 count = 4;
      point.count = readFixed64(reader)
    } else if (field === 5 && wire === FIXED64) {
      // optional double sum = 5;
      point.sum = reader.double()
    } else if (field === 6 && (wire === LENGTH_DELIMITED || wire === FIXED64)) {
      // repeated fixed64 bucket_counts = 6;
      readRepeated(reader, wire, () => bucketCounts.push(readFixed64(reader)))
    } else if (field === 7 && (wire === LENGTH_DELIMITED || wire === FIXED64)) {
      // repeated double explicit_bounds = 7;
      readRepeated(reader, wire, () => explicitBounds.push(reader.double()))
    } else if (field === 8 && wire === LENGTH_DELIMITED) {
      // repeated Exemplar exemplars = 8;
      exemplars.push(readExemplar(reader, messageEnd(reader)))
    } else if (field === 10 && wire === VARINT) {
      // uint32 flags = 10;
      point.flags = reader.uint32()
    } else if (field === 11 && wire === FIXED64) {
      // optional double min = 11;
      point.min = reader.double()
    } else if (field === 12 && wire === FIXED64) {
      // optional double max = 12;
      point.max = reader.double()
    } else return readTimes(reader, field, wire, point)
    return true
  })
  return {
    ...point,
    attributes: attributes.all(),
    exemplars,
    bucketCounts,
    explicitBounds,
  }
}

function writeHistogramPoint(writer: Writer, point: HistogramPoint): void {
  for (const attribute of point.attributes) writeMessage(writer, 9, attribute, writeKeyValue)
  writeFixed64(writer, 4, point.count)
  writeOptionalDouble(writer, 5, point.sum)
  if (point.bucketCounts.length > 0) {
    writer.uint32((6 << 3) | LENGTH_DELIMITED).uint32(point.bucketCounts.length * 8)
    for (const count of point.bucketCounts) writer.fixed64(toLong(count))
  }
  if (point.explicitBounds.length > 0) {
    writer.uint32((7 << 3) | LENGTH_DELIMITED).uint32(point.explicitBounds.length * 8)
    for (const bound of point.explicitBounds) writer.double(bound)
  }
  for (const exemplar of point.exemplars) writeMessage(writer, 8, exemplar, writeExemplar)
  writeUint32(writer, 10, point.flags)
  writeOptionalDouble(writer, 11, point.min)
  writeOptionalDouble(writer, 12, point.max)
}

function readExponentialHistogramPoint(source: Source, start: number, end: number): ExponentialHistogramPointFields {
  const reader = readerAt(source.bytes, start)
  const point: Mutable<ExponentialHistogramPointFields> = {}
  const attributes = new AttributeRun(source)
  const exemplars: Exemplar[] = []
  point.unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 1;
      attributes.add(reader)
    } else if (field === 4 && wire === FIXED64) {
      // fixed64 count = 4;
      point.count = readFixed64(reader)
    } else if (field === 5 && wire === FIXED64) {
      // optional double sum = 5;
      point.sum = reader.double()
    } else if (field === 6 && wire === VARINT) {
      // sint32 scale = 6;
      point.scale = reader.sint32()
    } else if (field === 7 && wire === FIXED64) {
      // fixed64 zero_count = 7;
      point.zeroCount = readFixed64(reader)
    } else if (field === 8 && wire === LENGTH_DELIMITED) {
      // Buckets positive = 8;
      point.positive = readBuckets(reader, messageEnd(reader))
    } else if (field === 9 && wire === LENGTH_DELIMITED) {
      // Buckets negative = 9;
      point.negative = readBuckets(reader, messageEnd(reader))
    } else if (field === 10 && wire === VARINT) {
      // uint32 flags = 10;
      point.flags = reader.uint32()
    } else if (field === 11 && wire === LENGTH_DELIMITED) {
      // repeated Exemplar exemplars = 11;
      exemplars.push(readExemplar(reader, messageEnd(reader)))
    } else if (field === 12 && wire === FIXED64) {
      // optional double min = 12;
      point.min = reader.double()
    } else if (field === 13 && wire === FIXED64) {
      // optional double max = 13;
      point.max = reader.double()
    } else if (field === 14 && wire === FIXED64) {
      // double zero_threshold = 14;
      point.zeroThreshold = reader.double()
    } else return readTimes(reader, field, wire, point)
    return true
  })
  return { ...point, attributes: attributes.all(), exemplars }
}

function writeExponentialHistogramPoint(writer: Writer, point: ExponentialHistogramPoint): void {
  for (const attribute of point.attributes) writeMessage(writer, 1, attribute, writeKeyValue)
  writeFixed64(writer, 4, point.count)
  writeOptionalDouble(writer, 5, point.sum)
  if (point.scale !== 0) writer.uint32((6 << 3) | VARINT).sint32(point.scale)
  writeFixed64(writer, 7, point.zeroCount)
  if (point.positive !== undefined) writeMessage(writer, 8, point.positive, writeBuckets)
  if (point.negative !== undefined) writeMessage(writer, 9, point.negative, writeBuckets)
  writeUint32(writer, 10, point.flags)
  for (const exemplar of point.exemplars) writeMessage(writer, 11, exemplar, writeExemplar)
  writeOptionalDouble(writer, 12, point.min)
  writeOptionalDouble(writer, 13, point.max)
  if (point.zeroThreshold !== 0) writeOptionalDouble(writer, 14, point.zeroThreshold)
}

function readBuckets(reader: Reader, end: number): Buckets {
  let offset = 0
  const bucketCounts: (number | bigint)[] = []
  const unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === VARINT) {
      // sint32 offset = 1;
      offset = reader.sint32()
    } else if (field === 2 && (wire === LENGTH_DELIMITED || wire === VARINT)) {
      // repeated uint64 bucket_counts = 2;
      readRepeated(reader, wire, () => bucketCounts.push(readVarint64(reader, false)))
    } else return false
    return true
  })
  return { offset, bucketCounts, unknown }
}

function writeBuckets(writer: Writer, buckets: Buckets): void {
  if (buckets.offset !== 0) writer.uint32((1 << 3) | VARINT).sint32(buckets.offset)
  if (buckets.bucketCounts.length > 0) {
    writer.uint32((2 << 3) | LENGTH_DELIMITED).fork()
    for (const count of buckets.bucketCounts) writer.uint64(toLong(count))
    writer.ldelim()
  }
  writeUnknown(writer, buckets.unknown)
}

function readSummaryPoint(source: Source, start: number, end: number): SummaryPointFields {
  const reader = readerAt(source.bytes, start)
  const point: Mutable<SummaryPointFields> = {}
  const attributes = new AttributeRun(source)
  const quantileValues: Quantile[] = []
  point.unknown = readFields(reader, end, (field, wire) => {
    if (field === 7 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 7;
      attributes.add(reader)
    } else if (field === 4 && wire === FIXED64) {
      // fixed64 count = 4;
      point.count = readFixed64(reader)
    } else if (field === 5 && wire === FIXED64) {
      // double sum = 5;
      point.sum = reader.double()
    } else if (field === 6 && wire === LENGTH_DELIMITED) {
      // repeated ValueAtQuantile quantile_values = 6;
      quantileValues.push(readQuantile(reader, messageEnd(reader)))
    } else if (field === 8 && wire === VARINT) {
      // uint32 flags = 8;
      point.flags = reader.uint32()
    } else return readTimes(reader, field, wire, point)
    return true
  })
  return { ...point, attributes: attributes.all(), quantileValues }
}

function writeSummaryPoint(writer: Writer, point: SummaryPoint): void {
  for (const attribute of point.attributes) writeMessage(writer, 7, attribute, writeKeyValue)
  writeFixed64(writer, 4, point.count)
  writeOptionalDouble(writer, 5, point.sum)
  for (const quantile of point.quantileValues) writeMessage(writer, 6, quantile, writeQuantile)
  writeUint32(writer, 8, point.flags)
}

function readQuantile(reader: Reader, end: number): Quantile {
  let quantile = 0
  let value = 0
  const unknown = readFields(reader, end, (field, wire) => {
    if (wire !== FIXED64) return false
    if (field === 1) quantile = reader.double()
    else if (field === 2) value = reader.double()
    else return false
    return true
  })
  return { quantile, value, unknown }
}

function writeQuantile(writer: Writer, { quantile, value, unknown }: Quantile): void {
  writeOptionalDouble(writer, 1, quantile)
  writeOptionalDouble(writer, 2, value)
  writeUnknown(writer, unknown)
}

function readExemplar(reader: Reader, end: number): Exemplar {
  const filteredAttributes: KeyValue[] = []
  const exemplar: Mutable<Exemplar> = {
    filteredAttributes: Attributes.empty,
    timeUnixNano: 0n,
    value: 0,
    isInt: false,
    spanId: new Uint8Array(),
    traceId: new Uint8Array(),
  }
  exemplar.unknown = readFields(reader, end, (field, wire) => {
    if (field === 7 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue filtered_attributes = 7;
      filteredAttributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 2 && wire === FIXED64) {
      // fixed64 time_unix_nano = 2;
      exemplar.timeUnixNano = readBigFixed64(reader, false)
    } else if (field === 3 && wire === FIXED64) {
      // double as_double = 3;
      exemplar.value = reader.double()
      exemplar.isInt = false
    } else if (field === 6 && wire === FIXED64) {
      // sfixed64 as_int = 6;
      exemplar.value = readFixed64(reader, true)
      exemplar.isInt = true
    } else if (field === 4 && wire === LENGTH_DELIMITED) {
      // bytes span_id = 4;
      exemplar.spanId = reader.bytes().slice()
    } else if (field === 5 && wire === LENGTH_DELIMITED) {
      // bytes trace_id = 5;
      exemplar.traceId = reader.bytes().slice()
    } else return false
    return true
  })
  exemplar.filteredAttributes = Attributes.from(filteredAttributes)
  return exemplar
}

function writeExemplar(writer: Writer, exemplar: Exemplar): void {
  for (const attribute of exemplar.filteredAttributes) writeMessage(writer, 7, attribute, writeKeyValue)
  writeBigFixed64(writer, 2, exemplar.timeUnixNano)
  if (exemplar.isInt) writeFixed64(writer, 6, exemplar.value)
  else writer.uint32((3 << 3) | FIXED64).double(Number(exemplar.value))
  if (exemplar.spanId.length > 0) writer.uint32((4 << 3) | LENGTH_DELIMITED).bytes(exemplar.spanId)
  if (exemplar.traceId.length > 0) writer.uint32((5 << 3) | LENGTH_DELIMITED).bytes(exemplar.traceId)
  writeUnknown(writer, exemplar.unknown)
}

function readKeyValue(reader: Reader, end: number): KeyValue {
  let key = ''
  let value: AnyValue = {}
  readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    if (field === 1) key = reader.string()
    else if (field === 2) value = readAnyValue(reader, messageEnd(reader))
    else return false
    return true
  })
  return { key, value }
}

function writeKeyValue(writer: Writer, { key, value }: KeyValue): void {
  writeString(writer, 1, key)
  writeMessage(writer, 2, value, writeAnyValue)
}

function readAnyValue(reader: Reader, end: number): AnyValue {
  let value: AnyValue = {}
  readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) value = { stringValue: reader.string() }
    else if (field === 2 && wire === VARINT) value = { boolValue: reader.bool() }
    else if (field === 3 && wire === VARINT) value = { intValue: readVarint64(reader, true) }
    else if (field === 4 && wire === FIXED64) value = { doubleValue: reader.double() }
    else if (field === 5 && wire === LENGTH_DELIMITED) {
      const items: AnyValue[] = []
      readFields(reader, messageEnd(reader), (itemField, itemWire) => {
        if (itemField !== 1 || itemWire !== LENGTH_DELIMITED) return false
        items.push(readAnyValue(reader, messageEnd(reader)))
        return true
      })
      value = { arrayValue: items }
    } else if (field === 6 && wire === LENGTH_DELIMITED) {
      const entries: KeyValue[] = []
      readFields(reader, messageEnd(reader), (itemField, itemWire) => {
        if (itemField !== 1 || itemWire !== LENGTH_DELIMITED) return false
        entries.push(readKeyValue(reader, messageEnd(reader)))
        return true
      })
      value = { kvlistValue: entries }
    } else if (field === 7 && wire === LENGTH_DELIMITED) value = { bytesValue: reader.bytes().slice() }
    else return false
    return true
  })
  return value
}

function writeAnyValue(writer: Writer, value: AnyValue): void {
  if ('stringValue' in value) writer.uint32((1 << 3) | LENGTH_DELIMITED).string(value.stringValue)
  else if ('boolValue' in value) writer.uint32((2 << 3) | VARINT).bool(value.boolValue)
  else if ('intValue' in value) writer.uint32((3 << 3) | VARINT).int64(toLong(value.intValue))
  else if ('doubleValue' in value) writer.uint32((4 << 3) | FIXED64).double(value.doubleValue)
  else if ('arrayValue' in value) {
    writeMessage(writer, 5, value.arrayValue, (inner, items) => {
      for (const item of items) writeMessage(inner, 1, item, writeAnyValue)
    })
  } else if ('kvlistValue' in value) {
    writeMessage(writer, 6, value.kvlistValue, (inner, entries) => {
      for (const entry of entries) writeMessage(inner, 1, entry, writeKeyValue)
    })
  } else if ('bytesValue' in value) writer.uint32((7 << 3) | LENGTH_DELIMITED).bytes(value.bytesValue)
}

function writeMessage<T>(writer: Writer, field: number, value: T, write: (writer: Writer, value: T) => void): void {
  writer.uint32((field << 3) | LENGTH_DELIMITED).fork()
  write(writer, value)
  writer.ldelim()
}

/** Writes a message as it came where it still is what came, else from its fields. */
function writeView<T extends { readonly encoded: Encoded<object> | undefined }>(
  writer: Writer,
  field: number,
  value: T,
  write: (writer: Writer, value: T) => void,
): void {
  if (value.encoded === undefined) writeMessage(writer, field, value, write)
  else writer.uint32((field << 3) | LENGTH_DELIMITED).bytes(value.encoded.bytes())
}

function writeString(writer: Writer, field: number, value: string): void {
  if (value !== '') writer.uint32((field << 3) | LENGTH_DELIMITED).string(value)
}

function writeUint32(writer: Writer, field: number, value: number): void {
  if (value !== 0) writer.uint32((field << 3) | VARINT).uint32(value)
}

function writeOptionalDouble(writer: Writer, field: number, value: number | undefined): void {
  if (value !== undefined) writer.uint32((field << 3) | FIXED64).double(value)
}

function writeFixed64(writer: Writer, field: number, value: number | bigint): void {
  writer.uint32((field << 3) | FIXED64).fixed64(toLong(value))
}

function writeBigFixed64(writer: Writer, field: number, value: bigint): void {
  if (value !== 0n) writeFixed64(writer, field, value)
}

/** The two halves of a 64-bit number, the form protobufjs takes without a loss. */
function toLong(value: number | bigint): { low: number; high: number; unsigned: boolean } {
  const bits = BigInt.asUintN(64, BigInt(value))
  return { low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0, unsigned: false }
}

function writeUnknown(writer: Writer, unknown: Uint8Array | undefined): void {
  if (unknown !== undefined) writer.raw(unknown)
}
