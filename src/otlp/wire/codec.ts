import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../common/attributes.ts'
import type { KeyValue } from '../common/attributes.ts'
import { Interned } from './interned.ts'
import { Encoded, readerAt } from './lazy_message.ts'
import type { Message, Source } from './lazy_message.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from '../metrics/metric.ts'
import type { ResourceMetricsFields, ScopeMetricsFields } from '../metrics/metric.ts'
import { Resource, Scope } from '../common/resource.ts'
import type { ResourceFields, ScopeFields } from '../common/resource.ts'
import { readKeyValue, writeKeyValue } from '../common/attributes_codec.ts'
import { BackwardsWriter } from './backwards_writer.ts'
import {
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  VARINT,
  view,
  writeMessage,
  writeString,
  writeUint32,
  writeUnknown,
} from './fields.ts'
import { readMetric, writeMetric } from '../metrics/codec/metric.ts'

/*
 * The protobuf form of OTLP metrics, read and written field by field with protobufjs's Reader and Writer.
 * Field numbers are those of opentelemetry-proto 1.x: collector/metrics/v1/metrics_service.proto, metrics/v1/metrics.proto,
 * common/v1/common.proto, resource/v1/resource.proto. Unknown fields of the larger messages are kept as they came.
 */

const resourcesBefore = new Interned(
  (source, start, end) => new Resource(new Encoded(source, start, end, readResource)),
)
const scopesBefore = new Interned((source, start, end) => new Scope(new Encoded(source, start, end, readScope)))

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

/** Writes a protobuf `ExportMetricsServiceRequest`. */
export function encodeMetrics(resources: readonly ResourceMetrics[]): Uint8Array {
  const writer = new BackwardsWriter(expectedSize(resources))
  for (let index = resources.length - 1; index >= 0; index--) writeResourceMetrics(writer, resources[index])
  return writer.finish()
}

/** About as many bytes as the resources take. */
function expectedSize(resources: readonly ResourceMetrics[]): number {
  let size = 0
  for (const entry of resources) {
    size += MESSAGE + lengthOf(entry)
    if (entry.encoded !== undefined) continue
    for (const scope of entry.scopes) {
      size += MESSAGE + lengthOf(scope)
      if (scope.encoded !== undefined) continue
      for (const metric of scope.metrics) size += HEAD + lengthOf(metric) + (metric.renamed?.length ?? 0)
    }
  }
  return size
}

/** Bytes of a tag and a length, and of a message that is not as it came. */
const HEAD = 8
const MESSAGE = 128

function lengthOf({ encoded }: Message<object>): number {
  return encoded === undefined ? MESSAGE : encoded.end - encoded.start
}

/** Joins encoded requests: a protobuf message with repeated fields only is the concatenation of its parts. */
export function mergeEncoded(requests: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(requests)
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
        resource = repeated(reader, source, resourcesBefore)
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

/** ResourceMetrics resource_metrics = 1; of the request. */
function writeResourceMetrics(writer: BackwardsWriter, entry: ResourceMetrics): void {
  const { length } = writer
  if (entry.encoded === undefined) {
    if (entry.unknown !== undefined) writer.copy(entry.unknown)
    writer.text(3, entry.schemaUrl)
    const { scopes } = entry
    for (let index = scopes.length - 1; index >= 0; index--) writeScopeMetrics(writer, scopes[index])
    if (entry.resource !== Resource.empty) writer.repeated(1, entry.resource, writeResource)
  } else writer.copyOf(entry.encoded)
  writer.head(1, writer.length - length)
}

/** The message at the reader's position, the same as before where one of its bytes came before. */
function repeated<Kind>(reader: Reader, source: Source, before: Interned<Kind>): Kind {
  const end = messageEnd(reader)
  const message = before.of(source, reader.pos, end)
  reader.pos = end
  return message
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
        scope = repeated(reader, source, scopesBefore)
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

/** ScopeMetrics scope_metrics = 2; of ResourceMetrics. */
function writeScopeMetrics(writer: BackwardsWriter, entry: ScopeMetrics): void {
  const { length } = writer
  if (entry.encoded === undefined) {
    if (entry.unknown !== undefined) writer.copy(entry.unknown)
    writer.text(3, entry.schemaUrl)
    const { metrics } = entry
    for (let index = metrics.length - 1; index >= 0; index--) writeMetric(writer, metrics[index])
    if (entry.scope !== Scope.empty) writer.repeated(1, entry.scope, writeScope)
  } else writer.copyOf(entry.encoded)
  writer.head(2, writer.length - length)
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
