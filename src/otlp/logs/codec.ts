import { toAnyValue } from '../common/attributes.ts'
import type { AnyValue } from '../common/attributes.ts'
import { AttributeRun, prependAttributes, readAnyValue, writeAnyValue } from '../common/attributes_codec.ts'
import { prependId, readId } from '../common/id.ts'
import { FIXED32, FIXED64, LENGTH_DELIMITED, readBigFixed64, readFields, VARINT, view } from '../wire/fields.ts'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import type { Mutable } from '../wire/fields.ts'
import { Encoded, readerAt } from '../wire/lazy_message.ts'
import type { Source } from '../wire/lazy_message.ts'
import { Attributes } from '../common/attributes.ts'
import type { LogRecord, LogRecordFields } from './log_record.ts'

/** Reads a `LogRecord` of logs/v1/logs.proto. */
export function readLogRecord(source: Source, start: number, end: number): LogRecordFields {
  const reader = readerAt(source.bytes, start)
  const record: Mutable<LogRecordFields> = {}
  const attributes = new AttributeRun(source)
  record.unknown = readFields(reader, end, (field, wire) => {
    if (field === 6 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 6;
      attributes.add(reader)
    } else if (field === 1 && wire === FIXED64) {
      // fixed64 time_unix_nano = 1;
      record.timeUnixNano = readBigFixed64(reader, false)
    } else if (field === 11 && wire === FIXED64) {
      // fixed64 observed_time_unix_nano = 11;
      record.observedTimeUnixNano = readBigFixed64(reader, false)
    } else if (field === 2 && wire === VARINT) {
      // SeverityNumber severity_number = 2;
      record.severityNumber = reader.int32()
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // string severity_text = 3;
      record.severityText = reader.string()
    } else if (field === 5 && wire === LENGTH_DELIMITED) {
      // AnyValue body = 5;
      record.body = view(reader, source, readBody)
    } else if (field === 7 && wire === VARINT) {
      // uint32 dropped_attributes_count = 7;
      record.droppedAttributesCount = reader.uint32()
    } else if (field === 8 && wire === FIXED32) {
      // fixed32 flags = 8;
      record.flags = reader.fixed32()
    } else if (field === 9 && wire === LENGTH_DELIMITED) {
      // bytes trace_id = 9;
      record.traceId = readId(reader, source)
    } else if (field === 10 && wire === LENGTH_DELIMITED) {
      // bytes span_id = 10;
      record.spanId = readId(reader, source)
    } else if (field === 12 && wire === LENGTH_DELIMITED) {
      // string event_name = 12;
      record.eventName = reader.string()
    } else return false
    return true
  })
  record.attributes = attributes.attributes()
  return record
}

function readBody({ bytes }: Source, start: number, end: number): AnyValue {
  return readAnyValue(readerAt(bytes, start), end)
}

/** repeated LogRecord log_records = 2; of ScopeLogs. */
export function writeLogRecord(writer: BackwardsWriter, record: LogRecord): void {
  const { length } = writer
  if (record.made === undefined) writer.copyOf(record.encoded as Encoded<LogRecordFields>)
  else writeFields(writer, record.made)
  writer.head(2, writer.length - length)
}

function writeFields(writer: BackwardsWriter, record: LogRecordFields): void {
  const { body } = record
  if (record.unknown !== undefined) writer.copy(record.unknown)
  writer.text(12, record.eventName ?? '')
  writer.fixed64(11, record.observedTimeUnixNano ?? 0n)
  prependId(writer, 10, record.spanId)
  prependId(writer, 9, record.traceId)
  writer.fixed32(8, record.flags ?? 0)
  writer.uint32(7, record.droppedAttributesCount ?? 0)
  prependAttributes(writer, 6, record.attributes ?? Attributes.empty)
  if (body instanceof Encoded) {
    writer.copyOf(body)
    writer.head(5, body.end - body.start)
  } else if (body !== undefined) writer.fields(5, toAnyValue(body), writeAnyValue)
  writer.text(3, record.severityText ?? '')
  writer.enum(2, record.severityNumber ?? 0)
  writer.fixed64(1, record.timeUnixNano ?? 0n)
}
