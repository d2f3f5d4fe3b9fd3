import { protoName, schema } from '../schema.ts'
import type { Field, MessageType } from '../schema.ts'
import { LENGTH_DELIMITED, VARINT } from './wire_format.ts'
import { EncodedRequest, keyBit } from './lazy_message.ts'
import type { Encoded } from './lazy_message.ts'

/*
 * One pass over an OTLP request that proves its whole nested structure and counts its data points, log records or
 * spans, without making an object. All later reading relies on it.
 */

/** Bytes that are not an OTLP message. Its message names the place. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
}

/** Messages in a request that are always allowed; beyond that, one for every `BYTES_PER_MESSAGE` of its bytes. */
const MANY_MESSAGES = 1_000_000
const BYTES_PER_MESSAGE = 8

/** The most messages, at all levels together, that a request of that many bytes from outside may hold. */
export function maxMessages(bytes: number): number {
  return Math.max(MANY_MESSAGES, bytes / BYTES_PER_MESSAGE)
}

/** A request with more messages: they take only a few bytes each on the wire, but hundreds of bytes in memory. */
export function tooManyMessages(): MalformedError {
  return new MalformedError(
    `the request holds more than ${MANY_MESSAGES} messages (resources, scopes, data points, log records, spans, attributes and anything ` +
      `else that is nested) and more than one for every ${BYTES_PER_MESSAGE} bytes; leave out empty ones, or send several smaller requests`,
  )
}

/** The most nested messages; protobufjs and the official implementations also stop at 100. */
const MAX_DEPTH = 100

// The contents of a length-delimited field, in addition to the numbers of messages: their positions in the schema, from 1.
const BYTES = 0
const PACKED_FIXED64 = -1
const PACKED_VARINT = -2

const types: readonly MessageType[] = Object.values(schema)
const kindOf = (type: MessageType): number => types.indexOf(type) + 1
const METRICS = kindOf(schema.ExportMetricsServiceRequest)
const LOGS = kindOf(schema.ExportLogsServiceRequest)
const TRACES = kindOf(schema.ExportTraceServiceRequest)
const NUMBER_POINT = kindOf(schema.NumberDataPoint)
const KEY_VALUE = kindOf(schema.KeyValue)

/** Fields with these numbers and above are not examined. */
const FIELDS = 16
/** The slot of the members of a `oneof`. */
const ONE_OF = 31
/** The contents of field `number` of message `kind`: `holds[kind * FIELDS + number]`; unknown fields hold bytes. */
const holds = new Int8Array((types.length + 1) * FIELDS)
/** In the same position: fields of a message that share a slot exclude each other; slot 0 is for repeated fields. */
const slots = new Uint8Array(holds.length)
for (const type of types) {
  for (const { number, label, message, tag, itemTag } of type.fields) {
    const isDelimited = (tag & 7) === LENGTH_DELIMITED
    if (number >= FIELDS && isDelimited) throw new RangeError(`${type.name} has a field ${number}`)
    if (number >= FIELDS) continue
    const index = kindOf(type) * FIELDS + number
    slots[index] = label === 'repeated' ? 0 : label === 'oneof' ? ONE_OF : number
    if (!isDelimited) continue
    if (message !== undefined) holds[index] = kindOf(message)
    else if (itemTag !== tag) holds[index] = (itemTag & 7) === VARINT ? PACKED_VARINT : PACKED_FIXED64
  }
}

/** The repeated levels of a request by message: resources 1, scopes 2, and 3 for metrics, log records and spans. */
const levels = new Uint8Array(types.length + 1)
for (const request of [METRICS, LOGS, TRACES]) {
  repeatedFields(request).forEach(({ message }, level) => (levels[kindOf(message as MessageType)] = level + 1))
}

/** The fields that lead from a request to its metrics, log records or spans. */
function repeatedFields(request: number): readonly Field[] {
  const [resources] = types[request - 1].fields
  const scopes = repeatedIn(resources)
  return [resources, scopes, repeatedIn(scopes)]
}

function repeatedIn({ message }: Field): Field {
  return message?.fields.find(({ label }) => label === 'repeated') as Field
}

/** 1 for the messages that are counted: data points, log records and spans. */
const items = new Uint8Array(types.length + 1)
for (const item of [
  schema.NumberDataPoint,
  schema.HistogramDataPoint,
  schema.ExponentialHistogramDataPoint,
  schema.SummaryDataPoint,
  schema.LogRecord,
  schema.Span,
]) {
  items[kindOf(item)] = 1
}

// The state of the one pass that runs at a time: passing it along would cost more than the work.
const NONE: Uint8Array = new Uint8Array()
let buffer = NONE
let position = 0
let itemCount = 0
let canonical = true
let pointKeys = 0
let plainNumbers = true
let depth = 0
/** Messages within the request, and their limit. */
let messageCount = 0
let messageLimit = Infinity
/** How many messages of each repeated level precede the current position. */
const path = new Int32Array(3)
/** The message that is the request. */
let root = 0

/**
 * Proves that `bytes` is an OTLP `ExportMetricsServiceRequest` of at most `limit` messages at all levels together.
 * @throws MalformedError
 */
export function checkMetrics(bytes: Uint8Array, limit = Infinity): EncodedRequest {
  return check(bytes, METRICS, limit)
}

/** `checkMetrics` for an `ExportLogsServiceRequest`. */
export function checkLogs(bytes: Uint8Array, limit = Infinity): EncodedRequest {
  return check(bytes, LOGS, limit)
}

/** `checkMetrics` for an `ExportTraceServiceRequest`. */
export function checkTraces(bytes: Uint8Array, limit = Infinity): EncodedRequest {
  return check(bytes, TRACES, limit)
}

/** The data points, log records or spans in a message of a canonical request that was checked. */
export function countItems({ source, start, end }: Encoded<unknown>, type: MessageType): number {
  buffer = source.bytes
  position = start
  itemCount = 0
  messageLimit = Infinity
  checkMessage(kindOf(type), end)
  buffer = NONE
  return itemCount
}

function check(bytes: Uint8Array, request: number, limit: number): EncodedRequest {
  root = request
  buffer = bytes
  position = 0
  itemCount = 0
  canonical = true
  pointKeys = 0
  plainNumbers = true
  depth = 0
  // The request itself is none of them.
  messageCount = -1
  messageLimit = limit
  path[0] = path[1] = path[2] = -1
  try {
    checkMessage(request, bytes.length)
    if (messageCount > limit) throw tooManyMessages()
    const { byteOffset, length } = bytes
    return new EncodedRequest(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, byteOffset, length), {
      items: itemCount,
      canonical,
      pointKeys,
      plainNumbers,
      pointsChanged: false,
    })
  } finally {
    buffer = NONE
  }
}

function checkMessage(kind: number, end: number): void {
  if (depth > MAX_DEPTH) throw malformed(`more than ${MAX_DEPTH} messages are nested`)
  if (++messageCount > messageLimit) throw tooManyMessages()
  depth++
  let seen = 0
  const table = kind * FIELDS
  while (position < end) {
    const tag = buffer[position] < 128 ? buffer[position++] : readTag(end)
    const number = tag >>> 3
    if (number === 0) throw malformed('a field has the number 0')
    const index = number < FIELDS ? table + number : 0
    const slot = slots[index]
    if (slot !== 0) {
      if ((seen & (1 << slot)) !== 0) canonical = false
      seen |= 1 << slot
    }
    switch (tag & 7) {
      case 0:
        skipVarint(end)
        break
      case 1:
        position += 8
        break
      case 2: {
        const length = readLength(end)
        const inner = position + length
        if (inner > end)
          throw malformed(`length ${length} runs past its parent, which has ${end - position} bytes left`)
        const inside = holds[index]
        if (inside === BYTES) position = inner
        else if (inside === KEY_VALUE) {
          if (items[kind] === 1) noteKey(inner)
          checkKeyValue(inner)
        } else if (inside === NUMBER_POINT) {
          itemCount++
          checkNumberPoint(inner)
        } else checkInside(inside, inner)
        break
      }
      case 3:
        canonical = false
        skipGroup(number, end)
        break
      case 5:
        position += 4
        break
      default:
        throw malformed(`a field has the wire type ${tag & 7}`)
    }
  }
  if (position !== end) throw malformed('a field runs past its parent')
  depth--
}

function checkInside(kind: number, end: number): void {
  if (kind === PACKED_FIXED64) {
    if ((end - position) % 8 !== 0) throw malformed('a list of 64-bit numbers has a part of one')
    position = end
    return
  }
  if (kind === PACKED_VARINT) {
    while (position < end) skipVarint(end)
    return
  }
  const level = levels[kind]
  if (level !== 0) {
    path[level - 1]++
    for (let below = level; below < path.length; below++) path[below] = -1
  }
  itemCount += items[kind]
  checkMessage(kind, end)
}

/** Notes the key of the attribute that begins here; one that does not begin with its key may have any. */
function noteKey(end: number): void {
  const start = position + 2
  const keyEnd = start + buffer[position + 1]
  if (buffer[position] === 0x0a && buffer[position + 1] < 128 && keyEnd <= end) {
    pointKeys |= keyBit(buffer, start, keyEnd)
  } else pointKeys = -1
}

function checkKeyValue(end: number): void {
  if (isText(buffer, position, end)) {
    messageCount += TEXT_ATTRIBUTE
    position = end
  } else checkMessage(KEY_VALUE, end)
}

/** Messages in such an attribute: a `KeyValue` and an `AnyValue`. */
const TEXT_ATTRIBUTE = 2

/**
 * Whether it is the attribute that almost all points have, a text under a key, from `start` to `end`: `checkMessage` of a
 * `KeyValue`, its twin, for the benchmark row "check and count".
 */
function isText(bytes: Uint8Array, start: number, end: number): boolean {
  // string key = 1; AnyValue value = 2; string string_value = 1;
  if (bytes[start] !== 0x0a || bytes[start + 1] > 127) return false
  const at = start + 2 + bytes[start + 1]
  if (at + 4 > end || bytes[at] !== 0x12 || bytes[at + 2] !== 0x0a) return false
  const length = bytes[at + 1]
  return length < 128 && at + 2 + length === end && length === bytes[at + 3] + 2
}

/**
 * `checkMessage` of a `NumberDataPoint`, its twin, for the benchmark row "check and count". Of numbers that stand twice, which it does not
 * notice, every reader takes the last.
 */
function checkNumberPoint(end: number): void {
  const bytes = buffer
  let at = position
  let hasTime = false
  let hasValue = false
  let hasAttributes = false
  let messages = 1
  while (at < end) {
    switch (bytes[at]) {
      case 0x3a: {
        // repeated KeyValue attributes = 7;
        hasAttributes = true
        const length = bytes[at + 1]
        const start = at + 2
        at = start + length
        if (length < 128 && at <= end) {
          if (isText(bytes, start, at)) {
            pointKeys |= keyBit(bytes, start + 2, start + 2 + bytes[start + 1])
            messages += TEXT_ATTRIBUTE
          } else {
            position = start
            noteKey(at)
            checkMessage(KEY_VALUE, at)
          }
          continue
        }
        at = start - 2
        break
      }
      case 0x11: // fixed64 start_time_unix_nano = 2;
      case 0x19: // fixed64 time_unix_nano = 3;
      case 0x21: // double as_double = 4;
      case 0x31: // sfixed64 as_int = 6;
        if (at + 9 <= end) {
          // The highest byte of a time since 1972 is not 0, nor are the highest bits of a finite number all 1.
          if (bytes[at] === 0x19) hasTime = bytes[at + 8] !== 0
          else if (bytes[at] === 0x21) hasValue = (bytes[at + 8] & 0x7f) !== 0x7f
          else if (bytes[at] === 0x31) hasValue = true
          if (hasAttributes) plainNumbers = false
          at += 9
          continue
        }
        break
    }
    // Anything else, and any mistake: in general, from here.
    plainNumbers = false
    position = at
    // It counts itself.
    messageCount += messages - 1
    checkMessage(NUMBER_POINT, end)
    return
  }
  plainNumbers &&= hasTime && hasValue
  messageCount += messages
  position = at
}

function skipGroup(number: number, end: number): void {
  if (depth > MAX_DEPTH) throw malformed(`more than ${MAX_DEPTH} messages are nested`)
  depth++
  for (;;) {
    if (position >= end) throw malformed('a group has no end')
    const tag = readTag(end)
    if (tag >>> 3 === 0) throw malformed('a field has the number 0')
    switch (tag & 7) {
      case 0:
        skipVarint(end)
        break
      case 1:
        position += 8
        break
      case 2: {
        const length = readLength(end)
        position += length
        break
      }
      case 3:
        skipGroup(tag >>> 3, end)
        break
      case 4:
        if (tag >>> 3 !== number) throw malformed('a group ends under another number')
        depth--
        return
      case 5:
        position += 4
        break
      default:
        throw malformed(`a field has the wire type ${tag & 7}`)
    }
    if (position > end) throw malformed('a field runs past its parent')
  }
}

// Twins of the varints in wire_format.ts that take nothing for granted, for the benchmark row "check and count".

function readTag(end: number): number {
  const start = position
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    if (position >= end) throw malformed('a field runs past its parent')
    const byte = buffer[position++]
    if (shift === 28 && byte > 15) break
    value |= (byte & 127) << shift
    if (byte < 128) {
      // A tag in more bytes than it needs is valid, but too unusual to rely on.
      if (position - start > 1 && value < 128) canonical = false
      return value >>> 0
    }
  }
  throw malformed('a tag is too long')
}

function readLength(end: number): number {
  const first = buffer[position++]
  if (first < 128 && position <= end) return first
  let value = first & 127
  for (let shift = 7; shift < 35; shift += 7) {
    if (position >= end) throw malformed('a field runs past its parent')
    const byte = buffer[position++]
    if (shift < 28) value |= (byte & 127) << shift
    else if (shift === 28) value = (value | ((byte & 15) << 28)) >>> 0
    if (byte < 128) return value
  }
  throw malformed('a length is longer than five bytes')
}

function skipVarint(end: number): void {
  for (let count = 0; count < 10; count++) {
    if (position >= end) throw malformed('a field runs past its parent')
    if (buffer[position++] < 128) return
  }
  throw malformed('a number is longer than ten bytes')
}

function malformed(reason: string): MalformedError {
  const place = repeatedFields(root).flatMap(({ name }, level) =>
    path[level] < 0 ? [] : [`${protoName(name)}[${path[level]}]`],
  )
  return new MalformedError(`${place.join('.') || 'request'}: ${reason}`)
}
