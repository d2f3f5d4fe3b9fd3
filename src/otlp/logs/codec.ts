import type { Writer } from 'protobufjs/minimal.js'
import { toAnyValue } from '../common/attributes.ts'
import type { AnyValue } from '../common/attributes.ts'
import { AttributeRun, readAnyValue, writeAnyValue, writeAttributes } from '../common/attributes_codec.ts'
import { readId, writeId } from '../common/id.ts'
import {
  FIXED32,
  FIXED64,
  LENGTH_DELIMITED,
  readBigFixed64,
  readFields,
  VARINT,
  view,
  writeBigFixed64,
  writeFixed32,
  writeInt32,
  writeMessage,
  writeString,
  writeUint32,
  writeUnknown,
} from '../wire/fields.ts'
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

/** Writes a record that is no longer as it came. */
export function writeLogRecord(writer: Writer, { made = {} }: LogRecord): void {
  const { body, attributes = Attributes.empty } = made
  writeBigFixed64(writer, 1, made.timeUnixNano ?? 0n)
  writeInt32(writer, 2, made.severityNumber ?? 0)
  writeString(writer, 3, made.severityText ?? '')
  if (body instanceof Encoded) writer.uint32((5 << 3) | LENGTH_DELIMITED).bytes(body.bytes())
  else if (body !== undefined) writeMessage(writer, 5, toAnyValue(body), writeAnyValue)
  writeAttributes(writer, 6, attributes)
  writeUint32(writer, 7, made.droppedAttributesCount ?? 0)
  writeFixed32(writer, 8, made.flags ?? 0)
  writeId(writer, 9, made.traceId)
  writeId(writer, 10, made.spanId)
  writeBigFixed64(writer, 11, made.observedTimeUnixNano ?? 0n)
  writeString(writer, 12, made.eventName ?? '')
  writeUnknown(writer, made.unknown)
}
