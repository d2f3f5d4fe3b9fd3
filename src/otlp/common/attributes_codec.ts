import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from './attributes.ts'
import type { AnyValue, KeyValue } from './attributes.ts'
import { tags } from '../schema.ts'
import { messageEnd, readFields, readVarint64, toLong, writeMessage, writeString } from '../wire/fields.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { MemberOf } from '../wire/message_codec.ts'
import { readerOfRun, Run, writeRepeated } from '../wire/repeated.ts'

const any = tags.AnyValue

/** Reads attributes that are next to each other in a message of any kind. */
export const readAttributeRun = readerOfRun(readKeyValue)

/** The attributes of an item, which stay encoded until they are first accessed. */
export const attributeRun: MemberOf = ({ name, tag }) => ({
  read(into, reader, source) {
    const run = (into[name] ??= new Run(source, readAttributeRun)) as Run<KeyValue>
    run.add(reader)
  },
  finish(into) {
    if (!(into[name] instanceof Run)) return
    const all = (into[name] as Run<KeyValue>).all()
    into[name] = all instanceof Encoded ? Attributes.fromWire(all) : Attributes.from(all ?? [])
  },
  write(writer, values) {
    const attributes = (values[name] ?? Attributes.empty) as Attributes
    writeRepeated(writer, tag, attributes.encoded ?? attributes, readAttributeRun, writeKeyValue)
  },
})

/** The attributes of a message that is read together with the one around it. */
export const attributes: MemberOf = ({ name, tag }) => ({
  read(into, reader) {
    if (!Array.isArray(into[name])) into[name] = []
    ;(into[name] as KeyValue[]).push(readKeyValue(reader, messageEnd(reader)))
  },
  finish(into) {
    if (Array.isArray(into[name])) into[name] = Attributes.from(into[name] as KeyValue[])
  },
  write(writer, values) {
    for (const attribute of (values[name] ?? Attributes.empty) as Attributes) {
      writeMessage(writer, tag, attribute, writeKeyValue)
    }
  },
})

export function readKeyValue(reader: Reader, end: number): KeyValue {
  let key = ''
  let value: AnyValue = {}
  readFields(reader, end, (tag) => {
    if (tag === tags.KeyValue.key) key = reader.string()
    else if (tag === tags.KeyValue.value) value = readAnyValue(reader, messageEnd(reader))
    else return false
    return true
  })
  return { key, value }
}

export function writeKeyValue(writer: Writer, { key, value }: KeyValue): void {
  writeString(writer, tags.KeyValue.key, key)
  writeMessage(writer, tags.KeyValue.value, value, writeAnyValue)
}

export function readAnyValue(reader: Reader, end: number): AnyValue {
  let value: AnyValue = {}
  readFields(reader, end, (tag) => {
    if (tag === any.stringValue) value = { stringValue: reader.string() }
    else if (tag === any.boolValue) value = { boolValue: reader.bool() }
    else if (tag === any.intValue) value = { intValue: readVarint64(reader, true) }
    else if (tag === any.doubleValue) value = { doubleValue: reader.double() }
    else if (tag === any.arrayValue) value = { arrayValue: readValues(reader, tags.ArrayValue.values, readAnyValue) }
    else if (tag === any.kvlistValue)
      value = { kvlistValue: readValues(reader, tags.KeyValueList.values, readKeyValue) }
    else if (tag === any.bytesValue) value = { bytesValue: reader.bytes().slice() }
    else return false
    return true
  })
  return value
}

/** Reads an `ArrayValue` or a `KeyValueList`. */
function readValues<T>(reader: Reader, values: number, read: (reader: Reader, end: number) => T): readonly T[] {
  const items: T[] = []
  readFields(reader, messageEnd(reader), (tag) => {
    if (tag !== values) return false
    items.push(read(reader, messageEnd(reader)))
    return true
  })
  return items
}

export function writeAnyValue(writer: Writer, value: AnyValue): void {
  if ('stringValue' in value) writer.uint32(any.stringValue).string(value.stringValue)
  else if ('boolValue' in value) writer.uint32(any.boolValue).bool(value.boolValue)
  else if ('intValue' in value) writer.uint32(any.intValue).int64(toLong(value.intValue))
  else if ('doubleValue' in value) writer.uint32(any.doubleValue).double(value.doubleValue)
  else if ('arrayValue' in value) {
    writeValues(writer, any.arrayValue, tags.ArrayValue.values, value.arrayValue, writeAnyValue)
  } else if ('kvlistValue' in value) {
    writeValues(writer, any.kvlistValue, tags.KeyValueList.values, value.kvlistValue, writeKeyValue)
  } else if ('bytesValue' in value) writer.uint32(any.bytesValue).bytes(value.bytesValue)
}

function writeValues<T>(
  writer: Writer,
  tag: number,
  values: number,
  items: readonly T[],
  write: (writer: Writer, item: T) => void,
): void {
  writer.uint32(tag).fork()
  for (const item of items) writeMessage(writer, values, item, write)
  writer.ldelim()
}
