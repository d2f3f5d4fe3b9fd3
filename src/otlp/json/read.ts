import { MetricBatch } from '../metrics/batch.ts'
import { schema } from '../schema.ts'
import type { MessageType } from '../schema.ts'
import { MalformedError, tooManyMessages } from '../wire/check.ts'
import { jsonMessage } from './messages.ts'
import type { JsonField, JsonMessage } from './messages.ts'
import { INT32, INT64, JsonInteger, UINT32, UINT64, readDouble } from './number.ts'
import { ProtobufOutput } from './protobuf_output.ts'
import { JsonPiece, JsonText, Mistake, QUOTE } from './text.ts'

/*
 * The JSON form of OTLP, turned into protobuf in one pass, without an object for any value. Sources:
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and proto3's JSON mapping,
 * https://protobuf.dev/programming-guides/json/.
 */

// One pass runs at a time.
const output = new ProtobufOutput()
const integer = new JsonInteger()
const keyValue = jsonMessage(schema.KeyValue)
/** Messages within the request, and their limit. */
let messageCount = 0
let messageLimit = Infinity

/**
 * Makes a batch from the OTLP JSON of an `ExportMetricsServiceRequest`, as `readOtlpJson` reads it.
 * @param maxMessages the most messages that it may hold, at all levels together
 * @throws MalformedError
 */
export function fromOtlpJson(json: string | Uint8Array, maxMessages = Infinity): MetricBatch {
  return MetricBatch.fromOtlp(readOtlpJson(json, schema.ExportMetricsServiceRequest, maxMessages))
}

/**
 * The protobuf of a message in OTLP JSON. Keys are in lower camel case or as in the `.proto`; 64-bit integers are text
 * or numbers, exact either way; enums are numbers or names; unknown keys are ignored, and `null` means absent. If an
 * object has a key twice, the last one counts, though both must be well-formed.
 * @param maxMessages the most messages that it may hold, at all levels together
 * @throws MalformedError that names the place: `resourceMetrics[0].scopeMetrics[2].metrics[7].name: must be a text`
 */
export function readOtlpJson(json: string | Uint8Array, type: MessageType, maxMessages = Infinity): Buffer {
  messageCount = 0
  messageLimit = maxMessages
  const text = new JsonText(typeof json === 'string' ? Buffer.from(json) : json)
  try {
    readMessage(text, jsonMessage(type))
    text.end()
    return output.take()
  } catch (error) {
    if (error instanceof Mistake) {
      throw new MalformedError(error.path === '' ? error.message : `${error.path}: ${error.message}`)
    }
    throw error
  } finally {
    output.clear()
  }
}

function readMessage(text: JsonText, message: JsonMessage): void {
  const { keys, keyFields } = message
  const start = output.at
  let seen = 0
  let replaced: Map<number, number> | undefined
  let key = -1
  text.openObject()
  for (let first = true; text.nextMember(first); first = false) {
    output.reserve(text.left)
    // Encoders write fields in a fixed order, so this is mostly the key after the last one.
    let tries = keys.length
    do key = key + 1 < keys.length ? key + 1 : 0
    while (!text.skip(keys[key]) && --tries > 0)
    const field = tries > 0 ? keyFields[key] : message.byKey.get(text.string())
    text.skipColon()
    if (field === undefined) {
      text.skipValue()
      continue
    }
    const bit = 1 << field.number
    if ((seen & bit) !== 0) (replaced ??= new Map<number, number>()).set(field.number, output.at)
    seen |= bit
    if (text.skipNull()) continue
    try {
      if (field.repeated) readList(text, field)
      else readField(text, field)
    } catch (error) {
      throw error instanceof Mistake ? error.within(field.name) : error
    }
  }
  if (replaced !== undefined) output.drop(start, replaced)
}

function readList(text: JsonText, field: JsonField): void {
  const { packed } = field
  const before = output.at
  let start = before
  let index = 0
  text.openList()
  if (packed) {
    output.tag(field.tag)
    start = output.open(1)
  }
  try {
    for (; text.nextItem(index === 0); index++) {
      output.reserve(text.left)
      if (packed) readScalar(text, field)
      else readField(text, field)
    }
  } catch (error) {
    throw error instanceof Mistake ? error.within(`[${index}]`) : error
  }
  if (index === 0) output.at = before
  else if (packed) output.close(start, 1)
}

const ATTRIBUTE = new JsonPiece('{"key":"')
const VALUE = new JsonPiece(',"value":{"stringValue":"')

/**
 * Reads the attribute that almost all points have, a text under a key, if it is written without spaces; most of the
 * time of `OTLP/JSON to OTLP` goes into these. Returns `false`, and reads nothing, if it is another.
 */
function readTextAttribute(text: JsonText): boolean {
  const { at } = text
  const start = output.at
  text.peek()
  if (text.skip(ATTRIBUTE)) {
    const attribute = output.open(1)
    output.byte(0x0a) // string key = 1;
    readText(text)
    if (text.skip(VALUE)) {
      output.byte(0x12) // AnyValue value = 2;
      const value = output.open(1)
      output.byte(0x0a) // string string_value = 1;
      readText(text)
      if (text.skipBraces()) {
        output.close(value, 1)
        output.close(attribute, 1)
        messageCount++
        return true
      }
    }
  }
  text.at = at
  output.at = start
  return false
}

/** Writes the text behind the quote that was just read. Returns whether it is not empty. */
function readText(text: JsonText): boolean {
  const start = output.open(1)
  output.at = text.copyText(output.bytes, start)
  return closeBytes(start)
}

function readField(text: JsonText, field: JsonField): void {
  const { inner } = field
  const before = output.at
  output.tag(field.tag)
  if (inner !== undefined) {
    if (++messageCount > messageLimit) throw tooManyMessages()
    if (inner === keyValue && readTextAttribute(text)) return
    const { width } = inner
    const start = output.open(width)
    readMessage(text, inner)
    inner.width = output.close(start, width)
  } else if (!readScalar(text, field) && !field.explicit) output.at = before
}

/** Writes a scalar after its tag. Returns whether it is a value that proto3 does not omit. */
function readScalar(text: JsonText, field: JsonField): boolean {
  switch (field.type) {
    case 'string':
      text.openText()
      return readText(text)
    case 'fixed32':
      integer.read(text, UINT32)
      output.fixed32(integer.low)
      return integer.low !== 0
    case 'fixed64':
      integer.read(text, UINT64)
      output.fixed64(integer.low, integer.high)
      return true
    case 'sfixed64':
      integer.read(text, INT64)
      output.fixed64(integer.low, integer.high)
      return true
    case 'double':
      output.double(readDouble(text))
      return true
    case 'int64':
      integer.read(text, INT64)
      return writeVarint()
    case 'uint64':
      integer.read(text, UINT64)
      return writeVarint()
    case 'uint32':
      integer.read(text, UINT32)
      return writeVarint()
    case 'sint32': {
      integer.read(text, INT32)
      // Zigzag: the sign is the last bit.
      output.varint(((integer.low << 1) ^ -(integer.high & 1)) >>> 0, 0)
      return integer.low !== 0
    }
    case 'enum':
      readEnum(text, field.names as readonly string[])
      return writeVarint()
    case 'bool': {
      const value = text.boolean()
      output.byte(value ? 1 : 0)
      return value
    }
    case 'bytes':
      // In either alphabet, with or without padding.
      return writeBytes(text, /^[\w+/-]*={0,2}$/, 'base64')
    case 'id':
      return writeBytes(text, /^(?:[\da-fA-F]{2})*$/, 'hex')
    case 'message':
      throw new TypeError(`${field.name} holds a message`)
  }
}

/** Writes the result of `integer`. */
function writeVarint(): boolean {
  output.varint(integer.low, integer.high)
  return integer.low !== 0 || integer.high !== 0
}

/** Reads the number of an enum or its name; a number that this version does not know stays unchanged. */
function readEnum(text: JsonText, names: readonly string[]): void {
  if (text.peek() !== QUOTE) {
    integer.read(text, INT32)
    return
  }
  integer.low = names.indexOf(text.string())
  integer.high = 0
  if (integer.low < 0) throw new Mistake('must be a number or a name of the enum')
}

function writeBytes(text: JsonText, pattern: RegExp, encoding: 'base64' | 'hex'): boolean {
  const value = text.peek() === QUOTE ? text.string() : undefined
  if (value === undefined) throw text.mistake(`must be ${encoding}`)
  if (!pattern.test(value)) throw new Mistake(`must be ${encoding}`)
  const start = output.open(1)
  output.at += output.bytes.write(value, start, encoding)
  return closeBytes(start)
}

/** Completes a message for whose length one byte was left. Returns whether it has content. */
function closeBytes(start: number): boolean {
  const some = output.at > start
  output.close(start, 1)
  return some
}
