import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../../common/attributes.ts'
import type { KeyValue } from '../../common/attributes.ts'
import type { Exemplar } from '../points.ts'
import { readKeyValue, writeKeyValue } from '../../common/attributes_codec.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readBigFixed64,
  readFields,
  readFixed64,
  writeBigFixed64,
  writeFixed64,
  writeMessage,
  writeUnknown,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'

export function readExemplar(reader: Reader, end: number): Exemplar {
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

export function writeExemplar(writer: Writer, exemplar: Exemplar): void {
  for (const attribute of exemplar.filteredAttributes) writeMessage(writer, 7, attribute, writeKeyValue)
  writeBigFixed64(writer, 2, exemplar.timeUnixNano)
  if (exemplar.isInt) writeFixed64(writer, 6, exemplar.value)
  else writer.uint32((3 << 3) | FIXED64).double(Number(exemplar.value))
  if (exemplar.spanId.length > 0) writer.uint32((4 << 3) | LENGTH_DELIMITED).bytes(exemplar.spanId)
  if (exemplar.traceId.length > 0) writer.uint32((5 << 3) | LENGTH_DELIMITED).bytes(exemplar.traceId)
  writeUnknown(writer, exemplar.unknown)
}
