import type { Writer } from 'protobufjs/minimal.js'
import { readerAt } from '../../wire/lazy_message.ts'
import type { Source } from '../../wire/lazy_message.ts'
import type { Exemplar, HistogramPoint, HistogramPointFields } from '../points.ts'
import { AttributeRun, writeAttributes } from '../../common/attributes_codec.ts'
import { readExemplar, writeExemplar } from './exemplar.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  readFixed64,
  readRepeated,
  toLong,
  VARINT,
  writeFixed64,
  writeMessage,
  writeOptionalDouble,
  writeUint32,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { readTimes } from './point.ts'

export function readHistogramPoint(source: Source, start: number, end: number): HistogramPointFields {
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
    attributes: attributes.attributes(),
    exemplars,
    bucketCounts,
    explicitBounds,
  }
}

export function writeHistogramPoint(writer: Writer, point: HistogramPoint): void {
  writeAttributes(writer, 9, point.attributes)
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
