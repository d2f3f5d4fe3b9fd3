import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../common/attributes.ts'
import type { KeyValue } from '../common/attributes.ts'
import { AttributeRun, prependAttributes, readKeyValue, writeAttributes } from '../common/attributes_codec.ts'
import { prependId, readId, writeId } from '../common/id.ts'
import {
  FIXED32,
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readBigFixed64,
  readFields,
  VARINT,
  writeBigFixed64,
  writeFixed32,
  writeInt32,
  writeString,
  writeUint32,
  writeUnknown,
} from '../wire/fields.ts'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import type { Mutable } from '../wire/fields.ts'
import { readerAt } from '../wire/lazy_message.ts'
import type { Encoded, Source } from '../wire/lazy_message.ts'
import { prependRepeated, readerOfRun, Run } from '../wire/repeated.ts'
import { numberIn, spanKinds, statusCodes } from './span.ts'
import type { Span, SpanEvent, SpanFields, SpanLink, SpanStatus } from './span.ts'

const readEvents = readerOfRun(readEvent)
const readLinks = readerOfRun(readLink)

/** Reads a `Span` of trace/v1/trace.proto. */
export function readSpan(source: Source, start: number, end: number): SpanFields {
  const reader = readerAt(source.bytes, start)
  const span: Mutable<SpanFields> = {}
  const attributes = new AttributeRun(source)
  const events = new Run(source, readEvents)
  const links = new Run(source, readLinks)
  span.unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // bytes trace_id = 1;
      span.traceId = readId(reader, source)
    } else if (field === 2 && wire === LENGTH_DELIMITED) {
      // bytes span_id = 2;
      span.spanId = readId(reader, source)
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // string trace_state = 3;
      span.traceState = reader.string()
    } else if (field === 4 && wire === LENGTH_DELIMITED) {
      // bytes parent_span_id = 4;
      span.parentSpanId = readId(reader, source)
    } else if (field === 5 && wire === LENGTH_DELIMITED) {
      // string name = 5;
      span.name = reader.string()
    } else if (field === 6 && wire === VARINT) {
      // SpanKind kind = 6;
      span.kind = reader.int32()
    } else if (field === 7 && wire === FIXED64) {
      // fixed64 start_time_unix_nano = 7;
      span.startTimeUnixNano = readBigFixed64(reader, false)
    } else if (field === 8 && wire === FIXED64) {
      // fixed64 end_time_unix_nano = 8;
      span.endTimeUnixNano = readBigFixed64(reader, false)
    } else if (field === 9 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 9;
      attributes.add(reader)
    } else if (field === 10 && wire === VARINT) {
      // uint32 dropped_attributes_count = 10;
      span.droppedAttributesCount = reader.uint32()
    } else if (field === 11 && wire === LENGTH_DELIMITED) {
      // repeated Event events = 11;
      events.add(reader)
    } else if (field === 12 && wire === VARINT) {
      // uint32 dropped_events_count = 12;
      span.droppedEventsCount = reader.uint32()
    } else if (field === 13 && wire === LENGTH_DELIMITED) {
      // repeated Link links = 13;
      links.add(reader)
    } else if (field === 14 && wire === VARINT) {
      // uint32 dropped_links_count = 14;
      span.droppedLinksCount = reader.uint32()
    } else if (field === 15 && wire === LENGTH_DELIMITED) {
      // Status status = 15;
      span.status = readStatus(reader, messageEnd(reader))
    } else if (field === 16 && wire === FIXED32) {
      // fixed32 flags = 16;
      span.flags = reader.fixed32()
    } else return false
    return true
  })
  span.attributes = attributes.attributes()
  span.events = events.all()
  span.links = links.all()
  return span
}

function readEvent(reader: Reader, end: number): SpanEvent {
  const attributes: KeyValue[] = []
  const event: Mutable<SpanEvent> = { timeUnixNano: 0n, name: '', attributes: Attributes.empty }
  event.unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === FIXED64) {
      // fixed64 time_unix_nano = 1;
      event.timeUnixNano = readBigFixed64(reader, false)
    } else if (field === 2 && wire === LENGTH_DELIMITED) {
      // string name = 2;
      event.name = reader.string()
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 3;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 4 && wire === VARINT) {
      // uint32 dropped_attributes_count = 4;
      event.droppedAttributesCount = reader.uint32()
    } else return false
    return true
  })
  event.attributes = Attributes.from(attributes)
  return event
}

function readLink(reader: Reader, end: number): SpanLink {
  const attributes: KeyValue[] = []
  const link: Mutable<SpanLink> = { traceId: '', spanId: '', attributes: Attributes.empty }
  link.unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // bytes trace_id = 1;
      link.traceId = hex(reader)
    } else if (field === 2 && wire === LENGTH_DELIMITED) {
      // bytes span_id = 2;
      link.spanId = hex(reader)
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // string trace_state = 3;
      link.traceState = reader.string()
    } else if (field === 4 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 4;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 5 && wire === VARINT) {
      // uint32 dropped_attributes_count = 5;
      link.droppedAttributesCount = reader.uint32()
    } else if (field === 6 && wire === FIXED32) {
      // fixed32 flags = 6;
      link.flags = reader.fixed32()
    } else return false
    return true
  })
  link.attributes = Attributes.from(attributes)
  return link
}

function hex(reader: Reader): string {
  return Buffer.from(reader.bytes()).toString('hex')
}

function readStatus(reader: Reader, end: number): SpanStatus {
  const status: Mutable<SpanStatus> = { code: 'unset', message: '' }
  status.unknown = readFields(reader, end, (field, wire) => {
    if (field === 2 && wire === LENGTH_DELIMITED) {
      // string message = 2;
      status.message = reader.string()
    } else if (field === 3 && wire === VARINT) {
      // StatusCode code = 3;
      const code = reader.int32()
      status.code = statusCodes[code] ?? code
    } else return false
    return true
  })
  return status
}

/** repeated Span spans = 2; of ScopeSpans. */
export function writeSpan(writer: BackwardsWriter, span: Span): void {
  const { length } = writer
  if (span.made === undefined) writer.copyOf(span.encoded as Encoded<SpanFields>)
  else writeFields(writer, span.made)
  writer.head(2, writer.length - length)
}

function writeFields(writer: BackwardsWriter, span: SpanFields): void {
  if (span.unknown !== undefined) writer.copy(span.unknown)
  writer.fixed32(16, span.flags ?? 0)
  if (span.status !== undefined) writer.fields(15, span.status, writeStatus)
  writer.uint32(14, span.droppedLinksCount ?? 0)
  prependRepeated(writer, 13, span.links ?? [], readLinks, writeLink)
  writer.uint32(12, span.droppedEventsCount ?? 0)
  prependRepeated(writer, 11, span.events ?? [], readEvents, writeEvent)
  writer.uint32(10, span.droppedAttributesCount ?? 0)
  prependAttributes(writer, 9, span.attributes ?? Attributes.empty)
  writer.fixed64(8, span.endTimeUnixNano ?? 0n)
  writer.fixed64(7, span.startTimeUnixNano ?? 0n)
  writer.enum(6, numberIn(spanKinds, span.kind ?? 0))
  writer.text(5, span.name ?? '')
  prependId(writer, 4, span.parentSpanId)
  writer.text(3, span.traceState ?? '')
  prependId(writer, 2, span.spanId)
  prependId(writer, 1, span.traceId)
}

function writeEvent(writer: Writer, event: SpanEvent): void {
  writeBigFixed64(writer, 1, event.timeUnixNano)
  writeString(writer, 2, event.name)
  writeAttributes(writer, 3, event.attributes)
  writeUint32(writer, 4, event.droppedAttributesCount ?? 0)
  writeUnknown(writer, event.unknown)
}

function writeLink(writer: Writer, link: SpanLink): void {
  writeId(writer, 1, link.traceId)
  writeId(writer, 2, link.spanId)
  writeString(writer, 3, link.traceState ?? '')
  writeAttributes(writer, 4, link.attributes)
  writeUint32(writer, 5, link.droppedAttributesCount ?? 0)
  writeFixed32(writer, 6, link.flags ?? 0)
  writeUnknown(writer, link.unknown)
}

function writeStatus(writer: Writer, status: SpanStatus): void {
  writeString(writer, 2, status.message)
  writeInt32(writer, 3, numberIn(statusCodes, status.code))
  writeUnknown(writer, status.unknown)
}
