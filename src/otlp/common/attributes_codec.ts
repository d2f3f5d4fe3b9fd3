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
import { isTextAttribute } from '../wire/check.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { Source } from '../wire/lazy_message.ts'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import { isRunOf, readerOfRun, Run, writeRepeated } from '../wire/repeated.ts'

/** Reads attributes that stand side by side in a message of any kind. */
export const readAttributeRun = readerOfRun(readKeyValue)

/** The attributes of a message, as they are met. */
export class AttributeRun extends Run<KeyValue> {
  constructor(source: Source) {
    super(source, readAttributeRun)
  }

  attributes(): Attributes {
    const all = this.all()
    return all instanceof Encoded ? Attributes.fromWire(all) : Attributes.from(all ?? [])
  }
}

/** Writes the attributes of a message under the number of their field. */
export function writeAttributes(writer: Writer, field: number, attributes: Attributes): void {
  writeRepeated(writer, field, attributes.encoded ?? attributes, readAttributeRun, writeKeyValue)
}

export function readKeyValue(reader: Reader, end: number): KeyValue {
  const { buf, pos } = reader
  if (isTextAttribute(buf, pos, end)) {
    // Most attributes are a text under a key: half of the time that a record takes whose attributes change.
    const keyEnd = pos + 2 + buf[pos + 1]
    const key = textOf(buf, pos + 2, keyEnd)
    reader.pos = end
    return { key, value: { stringValue: textOf(buf, keyEnd + 4, end) } }
  }
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

/** `writeAttributes` in front of what is written. */
export function prependAttributes(writer: BackwardsWriter, field: number, attributes: Attributes): void {
  const { encoded } = attributes
  if (encoded !== undefined && isRunOf(encoded, field, readAttributeRun)) return writer.copyOf(encoded)
  for (const { key, value } of [...attributes].reverse()) {
    const { length } = writer
    if ('stringValue' in value) {
      const before = writer.length
      if (value.stringValue === '') writer.head(1, 0)
      else writer.text(1, value.stringValue)
      writer.head(2, writer.length - before)
    } else writer.fields(2, value, writeAnyValue)
    writer.text(1, key)
    writer.head(field, writer.length - length)
  }
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return (bytes as Buffer).toString('utf8', start, end)
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
