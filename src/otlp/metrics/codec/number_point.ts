import type { Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../../common/attributes.ts'
import { Encoded, readerAt } from '../../wire/lazy_message.ts'
import type { Source } from '../../wire/lazy_message.ts'
import type { Exemplar, NumberPoint, NumberPointFields } from '../points.ts'
import { AttributeRun, readAttributeRun, writeAttributes } from '../../common/attributes_codec.ts'
import { readExemplar, writeExemplar } from './exemplar.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  narrow,
  readFields,
  readFixed64,
  VARINT,
  writeFixed64,
  writeMessage,
  writeUint32,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { readTimes } from './point.ts'

/** The fields of a number point, in one pass over its bytes; its attributes stay as they are when they stand together. */
export function readNumberPoint(source: Source, start: number, end: number): NumberPointFields {
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
      : Attributes.fromWire(new Encoded(source, attributesStart, attributesEnd, readAttributeRun))
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
  return { ...point, attributes: attributes.attributes(), exemplars }
}

export function writeNumberPoint(writer: Writer, point: NumberPoint): void {
  writeAttributes(writer, 7, point.attributes)
  if (point.value !== undefined) {
    if (point.isInt) writeFixed64(writer, 6, point.value)
    else writer.uint32((4 << 3) | FIXED64).double(Number(point.value))
  }
  for (const exemplar of point.exemplars) writeMessage(writer, 5, exemplar, writeExemplar)
  writeUint32(writer, 8, point.flags)
}
