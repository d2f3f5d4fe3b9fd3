import type { Reader, Writer } from 'protobufjs/minimal.js'
import { readerAt } from '../../wire/lazy_message.ts'
import type { Source } from '../../wire/lazy_message.ts'
import type { Buckets, Exemplar, ExponentialHistogramPoint, ExponentialHistogramPointFields } from '../points.ts'
import { AttributeRun, writeAttributes } from '../../common/attributes_codec.ts'
import { readExemplar, writeExemplar } from './exemplar.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  readFixed64,
  readRepeated,
  readVarint64,
  toLong,
  VARINT,
  writeFixed64,
  writeMessage,
  writeOptionalDouble,
  writeUint32,
  writeUnknown,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { readTimes } from './point.ts'

export function readExponentialHistogramPoint(
  source: Source,
  start: number,
  end: number,
): ExponentialHistogramPointFields {
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
  return { ...point, attributes: attributes.attributes(), exemplars }
}

export function writeExponentialHistogramPoint(writer: Writer, point: ExponentialHistogramPoint): void {
  writeAttributes(writer, 1, point.attributes)
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
