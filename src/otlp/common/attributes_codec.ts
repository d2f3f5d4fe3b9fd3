import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from './attributes.ts'
import type { AnyValue, KeyValue } from './attributes.ts'
import {
  FIXED64,
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  readVarint64,
  toLong,
  VARINT,
  writeMessage,
  writeString,
} from '../wire/fields.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { MemberOf } from '../wire/message_codec.ts'
import { readerOfRun, Run, writeRepeated } from '../wire/repeated.ts'

/** Reads attributes that stand side by side in a message of any kind. */
export const readAttributeRun = readerOfRun(readKeyValue)

/** The attributes of an item, which stay as they stand until somebody looks at one. */
export const attributeRun: MemberOf = ({ name, number }) => ({
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
    writeRepeated(writer, number, attributes.encoded ?? attributes, readAttributeRun, writeKeyValue)
  },
})

/** The attributes of a message that is read with the one around it. */
export const attributes: MemberOf = ({ name, number }) => ({
  read(into, reader) {
    if (!Array.isArray(into[name])) into[name] = []
    ;(into[name] as KeyValue[]).push(readKeyValue(reader, messageEnd(reader)))
  },
  finish(into) {
    if (Array.isArray(into[name])) into[name] = Attributes.from(into[name] as KeyValue[])
  },
  write(writer, values) {
    for (const attribute of (values[name] ?? Attributes.empty) as Attributes) {
      writeMessage(writer, number, attribute, writeKeyValue)
    }
  },
})

export function readKeyValue(reader: Reader, end: number): KeyValue {
  let key = ''
  let value: AnyValue = {}
  readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    if (field === 1) key = reader.string()
    else if (field === 2) value = readAnyValue(reader, messageEnd(reader))
    else return false
    return true
  })
  return { key, value }
}

export function writeKeyValue(writer: Writer, { key, value }: KeyValue): void {
  writeString(writer, 1, key)
  writeMessage(writer, 2, value, writeAnyValue)
}

export function readAnyValue(reader: Reader, end: number): AnyValue {
  let value: AnyValue = {}
  readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) value = { stringValue: reader.string() }
    else if (field === 2 && wire === VARINT) value = { boolValue: reader.bool() }
    else if (field === 3 && wire === VARINT) value = { intValue: readVarint64(reader, true) }
    else if (field === 4 && wire === FIXED64) value = { doubleValue: reader.double() }
    else if (field === 5 && wire === LENGTH_DELIMITED) {
      const items: AnyValue[] = []
      readFields(reader, messageEnd(reader), (itemField, itemWire) => {
        if (itemField !== 1 || itemWire !== LENGTH_DELIMITED) return false
        items.push(readAnyValue(reader, messageEnd(reader)))
        return true
      })
      value = { arrayValue: items }
    } else if (field === 6 && wire === LENGTH_DELIMITED) {
      const entries: KeyValue[] = []
      readFields(reader, messageEnd(reader), (itemField, itemWire) => {
        if (itemField !== 1 || itemWire !== LENGTH_DELIMITED) return false
        entries.push(readKeyValue(reader, messageEnd(reader)))
        return true
      })
      value = { kvlistValue: entries }
    } else if (field === 7 && wire === LENGTH_DELIMITED) value = { bytesValue: reader.bytes().slice() }
    else return false
    return true
  })
  return value
}

export function writeAnyValue(writer: Writer, value: AnyValue): void {
  if ('stringValue' in value) writer.uint32((1 << 3) | LENGTH_DELIMITED).string(value.stringValue)
  else if ('boolValue' in value) writer.uint32((2 << 3) | VARINT).bool(value.boolValue)
  else if ('intValue' in value) writer.uint32((3 << 3) | VARINT).int64(toLong(value.intValue))
  else if ('doubleValue' in value) writer.uint32((4 << 3) | FIXED64).double(value.doubleValue)
  else if ('arrayValue' in value) {
    writeMessage(writer, 5, value.arrayValue, (inner, items) => {
      for (const item of items) writeMessage(inner, 1, item, writeAnyValue)
    })
  } else if ('kvlistValue' in value) {
    writeMessage(writer, 6, value.kvlistValue, (inner, entries) => {
      for (const entry of entries) writeMessage(inner, 1, entry, writeKeyValue)
    })
  } else if ('bytesValue' in value) writer.uint32((7 << 3) | LENGTH_DELIMITED).bytes(value.bytesValue)
}
