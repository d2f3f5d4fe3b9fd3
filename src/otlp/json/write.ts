import { schema } from '../schema.ts'
import type { MessageType } from '../schema.ts'
import type { Batch } from '../signal.ts'
import { jsonMessage } from './messages.ts'
import type { JsonField, JsonMessage } from './messages.ts'
import { MINUS, QUOTE } from './text.ts'
import { viewOf } from '../wire/lazy_message.ts'
import {
  fieldEnd,
  FIXED32,
  FIXED64,
  lastVarint,
  LENGTH_DELIMITED,
  readVarint,
  VARINT,
  varintEnd,
} from '../wire/wire_format.ts'
import { writeDigits, writeNumber, writePadded } from '../../text/digits.ts'

/*
 * The JSON form of OTLP, written from protobuf, without an object for any value. Sources:
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and proto3's JSON mapping.
 */

const requests = {
  metrics: schema.ExportMetricsServiceRequest,
  logs: schema.ExportLogsServiceRequest,
  traces: schema.ExportTraceServiceRequest,
}

/** The OTLP JSON of a batch, as `writeOtlpJson` writes it. */
export function toOtlpJson(batch: Batch): string {
  return writeOtlpJson(batch.toOtlp(), requests[batch.signal])
}

/** `toOtlpJson` in UTF-8. */
export function toOtlpJsonBytes(batch: Batch): Buffer {
  return writeOtlpJsonBytes(batch.toOtlp(), requests[batch.signal])
}

/**
 * The OTLP JSON of a checked protobuf message, on one line: keys in lower camel case, 64-bit integers as text, enums as
 * numbers, trace and span ids as hex, other bytes as base64. Fields that this version does not know are left out.
 */
export function writeOtlpJson(message: Uint8Array, type: MessageType): string {
  return write(message, type, () => output.toString('utf8', 0, written))
}

/** `writeOtlpJson` in UTF-8. */
export function writeOtlpJsonBytes(message: Uint8Array, type: MessageType): Buffer {
  return write(message, type, () => {
    const text = output.subarray(0, written)
    // What is not kept need not be copied either.
    return output.length > KEPT ? text : Buffer.from(text)
  })
}

/** The text is at least so many times as long as protobuf, as a rule. */
const USUAL = 2
/** Memory that is kept for the next batch; more than that is released. */
const KEPT = 4 * 1024 * 1024
const NOTHING = Buffer.alloc(0)
const NO_VIEW = viewOf(NOTHING)
/** Room for a key and a number. */
const FIELD = 96
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c
/** Numbers of fields are below this. */
const FIELDS = 32
const keyValue = jsonMessage(schema.KeyValue)

// The state of the one pass that runs at a time.
let output: Buffer = Buffer.allocUnsafeSlow(64 * 1024)
let written = 0
let bytes: Buffer = NOTHING
let view = NO_VIEW
let at = 0
/** The last number that was read, as two unsigned halves. */
let low = 0
let high = 0
/** For each open message, the positions of the first and the last field of each number; or -1. */
let places = new Int32Array(FIELDS * 2 * 32)

function write<Result>(message: Uint8Array, type: MessageType, take: () => Result): Result {
  try {
    open(message)
    room(USUAL * message.length)
    writeMessage(jsonMessage(type), 0, bytes.length, 0)
    return take()
  } finally {
    bytes = NOTHING
    view = NO_VIEW
    written = 0
    if (output.length > KEPT) output = Buffer.allocUnsafeSlow(64 * 1024)
  }
}

function open(message: Uint8Array): void {
  bytes = Buffer.isBuffer(message) ? message : Buffer.from(message.buffer, message.byteOffset, message.length)
  view = viewOf(message)
}

function writeMessage(message: JsonMessage, start: number, end: number, depth: number): void {
  notePlaces(message, start, end, depth)
  const base = depth * FIELDS * 2
  let separator = OPEN_OBJECT
  for (const field of message.fields) {
    const first = places[base + field.number]
    const last = places[base + FIELDS + field.number]
    if (first < 0 && field.leftOut) continue
    const before = written
    room(FIELD)
    output[written++] = separator
    writeAscii(field.key)
    if (field.repeated) writeList(field, first, last, depth)
    else if (field.inner !== undefined) writeInner(field, field.inner, first, last, depth)
    else {
      at = last
      if (last >= 0) readNumber()
      if (!writeScalar(field) && field.leftOut && !field.explicit) {
        written = before
        continue
      }
    }
    separator = COMMA
  }
  room(2)
  if (separator === OPEN_OBJECT) output[written++] = OPEN_OBJECT
  output[written++] = CLOSE_OBJECT
}

/** Finds the fields of a message. Of the members of a `oneof`, only the last one counts. */
function notePlaces(message: JsonMessage, start: number, end: number, depth: number): void {
  const { byNumber } = message
  const base = depth * FIELDS * 2
  if (base + FIELDS * 2 > places.length) {
    const larger = new Int32Array(places.length * 2)
    larger.set(places)
    places = larger
  }
  for (let number = 0; number < byNumber.length; number++) places[base + number] = places[base + FIELDS + number] = -1
  at = start
  while (at < end) {
    const place = at
    const tag = readNumber()
    const number = tag >>> 3
    const field = number < byNumber.length ? byNumber[number] : undefined
    if (field !== undefined && (tag === field.tag || tag === field.itemTag)) {
      if (field.oneOf) {
        for (const other of message.fields)
          if (other.oneOf && other !== field) places[base + other.number] = places[base + FIELDS + other.number] = -1
      }
      if (places[base + number] < 0) places[base + number] = place
      places[base + FIELDS + number] = place
    }
    skip(tag & 7)
  }
}

/** Writes a message in a field. If the field occurs several times, the message is the concatenation of their bytes. */
function writeInner(field: JsonField, message: JsonMessage, first: number, last: number, depth: number): void {
  if (first < 0) return writeMessage(message, 0, 0, depth + 1)
  at = first
  if (first === last) {
    readNumber()
    const end = readNumber() + at
    return writeMessage(message, at, end, depth + 1)
  }
  const parts: Buffer[] = []
  while (at <= last) {
    const tag = readNumber()
    const start = at
    skip(tag & 7)
    const end = at
    if (tag !== field.tag) continue
    at = start
    readNumber()
    parts.push(bytes.subarray(at, end))
    at = end
  }
  const outer = bytes
  open(Buffer.concat(parts))
  writeMessage(message, 0, bytes.length, depth + 1)
  open(outer)
}

function writeList(field: JsonField, first: number, last: number, depth: number): void {
  const { inner, packed } = field
  const start = written
  at = first
  while (at >= 0 && at <= last) {
    const tag = readNumber()
    if (tag !== field.tag && tag !== field.itemTag) {
      skip(tag & 7)
      continue
    }
    if (inner !== undefined) {
      const end = readNumber() + at
      room(1)
      output[written++] = COMMA
      if (inner !== keyValue || !writeTextAttribute(at, end)) writeMessage(inner, at, end, depth + 1)
      at = end
      continue
    }
    const end = packed && tag === field.tag ? readNumber() + at : at + 1
    while (at < end) {
      room(FIELD)
      output[written++] = COMMA
      writeScalar(field)
    }
  }
  room(2)
  if (written === start) written++
  output[start] = 0x5b // [ in place of the first comma
  output[written++] = 0x5d // ]
}

const ATTRIBUTE = Buffer.from('{"key":')
const VALUE = Buffer.from(',"value":{"stringValue":')

/**
 * Writes the attribute that almost all points have, a short text under a key, if it is encoded in the usual way.
 * Returns `false`, and writes nothing, if it is another.
 */
function writeTextAttribute(start: number, end: number): boolean {
  const key = start + 2
  const value = key + bytes[start + 1]
  if (end - start > 127 || value + 4 > end || bytes[start] !== 0x0a || bytes[value] !== 0x12) return false
  if (value + 2 + bytes[value + 1] !== end || bytes[value + 2] !== 0x0a || value + 4 + bytes[value + 3] !== end)
    return false
  room(FIELD)
  writeAscii(ATTRIBUTE)
  writeText(key, value)
  room(FIELD)
  writeAscii(VALUE)
  writeText(value + 4, end)
  room(2)
  output[written++] = CLOSE_OBJECT
  output[written++] = CLOSE_OBJECT
  return true
}

function writeAscii(text: Uint8Array): void {
  for (let index = 0; index < text.length; index++) output[written++] = text[index]
}

/** Writes the scalar at this position, or the default of proto3 if there is none. Returns whether it is another value than that. */
function writeScalar(field: JsonField): boolean {
  low = high = 0
  const absent = at < 0
  switch (field.type) {
    case 'string':
    case 'bytes':
    case 'id': {
      const length = absent ? 0 : readNumber()
      if (field.type === 'string') writeText(at, at + length)
      else writeRaw(`"${bytes.toString(field.type === 'id' ? 'hex' : 'base64', at, at + length)}"`)
      at += length
      return length > 0
    }
    case 'double': {
      const value = absent ? 0 : view.getFloat64(at, true)
      at += 8
      writeDouble(value)
      return !Object.is(value, 0)
    }
    case 'fixed32':
      if (!absent) {
        low = view.getUint32(at, true)
        at += 4
      }
      written = writeDigits(output, written, low)
      break
    case 'fixed64':
    case 'sfixed64':
      if (!absent) {
        low = view.getUint32(at, true)
        high = view.getUint32(at + 4, true)
        at += 8
      }
      writeLong(field.type === 'sfixed64')
      break
    case 'int64':
    case 'uint64':
      if (!absent) readLong()
      writeLong(field.type === 'int64')
      break
    case 'bool':
      if (!absent) readLong()
      writeRaw(low === 0 && high === 0 ? 'false' : 'true')
      break
    case 'uint32':
      if (!absent) readLong()
      high = 0
      written = writeDigits(output, written, low)
      break
    case 'sint32':
      if (!absent) readLong()
      high = 0
      writeDouble((low >>> 1) ^ -(low & 1))
      break
    case 'enum':
      if (!absent) readLong()
      writeDouble(low | 0)
      break
    case 'message':
      throw new TypeError(`${field.name} holds a message`)
  }
  return low !== 0 || high !== 0
}

/** Writes the UTF-8 text from `start` to `end`. */
function writeText(start: number, end: number): void {
  room(end - start + FIELD)
  const before = written
  output[written++] = QUOTE
  for (let index = start; index < end; index++) {
    const byte = bytes[index]
    if (byte < 0x20 || byte > 0x7e || byte === QUOTE || byte === 0x5c) {
      written = before
      writeRaw(JSON.stringify(bytes.toString('utf8', start, end)))
      return
    }
    output[written++] = byte
  }
  output[written++] = QUOTE
}

function writeRaw(text: string): void {
  room(text.length * 3 + FIELD)
  written += output.write(text, written)
}

/** JSON has no NaN and no infinities; proto3 writes them as text. */
function writeDouble(value: number): void {
  if (Object.is(value, -0)) output[written++] = MINUS
  if (Number.isFinite(value)) written = writeNumber(output, written, value)
  else writeRaw(`"${value}"`)
}

const BILLION = 1e9

/** Writes the 64 bits that were read as text. */
function writeLong(signed: boolean): void {
  const negative = signed && high > 0x7fffffff
  const least = negative ? -low >>> 0 : low
  const most = negative ? (~high + (low === 0 ? 1 : 0)) >>> 0 : high
  output[written++] = QUOTE
  if (negative) output[written++] = MINUS
  if (most < 0x200000) written = writeDigits(output, written, most * 2 ** 32 + least)
  else {
    // Divided by a billion in steps of 16 bits, each exact in a JavaScript number.
    const upper = (most % BILLION) * 65536 + (least >>> 16)
    const lower = (upper % BILLION) * 65536 + (least & 65535)
    const billions =
      Math.floor(most / BILLION) * 2 ** 32 + Math.floor(upper / BILLION) * 65536 + Math.floor(lower / BILLION)
    written = writePadded(output, writeDigits(output, written, billions), lower % BILLION, 9)
  }
  output[written++] = QUOTE
}

function room(more: number): void {
  if (written + more <= output.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(written + more, output.length * 2))
  output.copy(larger, 0, 0, written)
  output = larger
}

/** Reads a varint of up to 32 bits: a tag or a length. */
function readNumber(): number {
  const byte = bytes[at]
  if (byte < 0x80) {
    at++
    return byte
  }
  // The length of a point, for the benchmark row "OTLP to OTLP/JSON".
  const second = bytes[at + 1]
  if (second < 0x80) {
    at += 2
    return (byte & 0x7f) | (second << 7)
  }
  readLong()
  return low
}

function readLong(): void {
  at = readVarint(bytes, at)
  low = lastVarint.low
  high = lastVarint.high
}

/** Skips a value; for a group, with all of its contents. */
function skip(wire: number): void {
  if (wire === LENGTH_DELIMITED) at = fieldEnd(bytes, at)
  else if (wire === FIXED64) at += 8
  else if (wire === FIXED32) at += 4
  else if (wire === VARINT) at = varintEnd(bytes, at)
  else if (wire === 3) {
    for (let tag = readNumber(); (tag & 7) !== 4; tag = readNumber()) skip(tag & 7)
  }
}
