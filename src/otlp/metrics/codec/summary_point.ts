import type { Reader, Writer } from 'protobufjs/minimal.js'
import { readerAt } from '../../wire/lazy_message.ts'
import type { Source } from '../../wire/lazy_message.ts'
import type { Quantile, SummaryPoint, SummaryPointFields } from '../points.ts'
import { AttributeRun, writeAttributes } from '../../common/attributes_codec.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  readFixed64,
  VARINT,
  writeFixed64,
  writeMessage,
  writeOptionalDouble,
  writeUint32,
  writeUnknown,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { readTimes } from './point.ts'

export function readSummaryPoint(source: Source, start: number, end: number): SummaryPointFields {
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
  return { ...point, attributes: attributes.attributes(), quantileValues }
}

export function writeSummaryPoint(writer: Writer, point: SummaryPoint): void {
  writeAttributes(writer, 7, point.attributes)
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
