import protobuf from 'protobufjs/minimal.js'
import type { AnyValue, KeyValue } from '../attributes.ts'
import { readerAt, viewOf } from '../message.ts'
import { readKeyValue, writeKeyValue } from './attributes.ts'
import { messageEnd, writeMessage } from './fields.ts'

/** Bytes from `start` to `end` of `view`. */
export interface Run {
  readonly view: DataView
  readonly start: number
  readonly end: number
}

/** Where the attributes are that `isCanonical` and `sorted` have seen: of each its start, and those of its key and value. */
const MAX_ATTRIBUTES = 128
const starts = new Int32Array(MAX_ATTRIBUTES + 1)
const keys = new Int32Array(MAX_ATTRIBUTES)
const values = new Int32Array(MAX_ATTRIBUTES)
const order = new Int32Array(MAX_ATTRIBUTES)
let scratch: Buffer = Buffer.allocUnsafeSlow(4096)
let scratchView = viewOf(scratch)

/**
 * The one spelling that all encodings of a set of attributes have in common: sorted by the bytes of their keys, the first of
 * those with one key, each as this package writes it. `run`: fields with one tag that hold a `KeyValue` each. Returns `run` itself where it is that
 * spelling; other bytes stay what they are until the next call.
 */
export function canonicalAttributes(run: Run): Run {
  const count = measure(run)
  if (count < 0) return written(readAll(run), run.view.getUint8(run.start))
  let ascending = true
  for (let index = 1; index < count && ascending; index++) {
    ascending = compareKeys(run.view, index - 1, index) < 0
  }
  return ascending ? run : sorted(run, count)
}

/** The canonical spelling of attributes that have none yet, in fields with this tag. */
export function writtenAttributes(attributes: Iterable<KeyValue>, tag: number): Run {
  return written([...attributes], tag)
}

/**
 * Notes where the attributes are, when each is written as this package does and is of a kind that is common; returns how many
 * there are, or -1.
 */
function measure({ view, start, end }: Run): number {
  let count = 0
  let at = start
  while (at < end) {
    if (count === MAX_ATTRIBUTES) return -1
    starts[count] = at++
    let length = view.getUint8(at++)
    if (length > 127) {
      const high = view.getUint8(at++)
      if (high === 0 || high > 127) return -1
      length = (length & 127) | (high << 7)
    }
    const next = at + length
    // string key = 1; AnyValue value = 2;
    if (next > end || length < 4 || view.getUint8(at) !== 0x0a) return -1
    const keyLength = view.getUint8(at + 1)
    keys[count] = at + 2
    const valueAt = at + 2 + keyLength
    if (keyLength === 0 || keyLength > 127 || valueAt + 2 > next || view.getUint8(valueAt) !== 0x12) return -1
    values[count] = valueAt
    if (!isPlainValue(view, valueAt + 1, next)) return -1
    count++
    at = next
  }
  starts[count] = end
  return count
}

/** Whether a text, a bool, an int or a double stands from its length at `at` to `end`, in the only way to write it. */
function isPlainValue(view: DataView, at: number, end: number): boolean {
  let length = view.getUint8(at++)
  if (length > 127) {
    if (at >= end) return false
    const high = view.getUint8(at++)
    if (high === 0 || high > 127) return false
    length = (length & 127) | (high << 7)
  }
  if (at + length !== end || length < 2) return false
  switch (view.getUint8(at)) {
    case 0x0a: {
      // string string_value = 1;
      const text = view.getUint8(at + 1)
      if (text < 128) return text === length - 2
      if (length < 3) return false
      const high = view.getUint8(at + 2)
      return high > 0 && high < 128 && ((text & 127) | (high << 7)) === length - 3
    }
    case 0x10: // bool bool_value = 2;
      return length === 2 && view.getUint8(at + 1) < 2
    case 0x18: // int64 int_value = 3;
      if (length > 11 || view.getUint8(end - 1) > 127 || (length > 2 && view.getUint8(end - 1) === 0)) return false
      for (let byte = at + 1; byte < end - 1; byte++) if (view.getUint8(byte) < 128) return false
      return true
    case 0x21: // double double_value = 4;
      return length === 9
    default:
      return false
  }
}

function compareKeys(view: DataView, left: number, right: number): number {
  const leftLength = values[left] - keys[left]
  const rightLength = values[right] - keys[right]
  const length = Math.min(leftLength, rightLength)
  for (let offset = 0; offset < length; offset++) {
    const difference = view.getUint8(keys[left] + offset) - view.getUint8(keys[right] + offset)
    if (difference !== 0) return difference
  }
  return leftLength - rightLength
}

/** The measured attributes in the order of their keys. */
function sorted({ view, start, end }: Run, count: number): Run {
  // Few, and often nearly sorted; equal keys keep their order.
  for (let index = 0; index < count; index++) {
    let place = index
    for (; place > 0 && compareKeys(view, order[place - 1], index) > 0; place--) order[place] = order[place - 1]
    order[place] = index
  }
  const room = scratchOf(end - start)
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength)
  let at = 0
  for (let place = 0; place < count; place++) {
    const index = order[place]
    if (place > 0 && compareKeys(view, order[place - 1], index) === 0) continue
    at += bytes.copy(room, at, starts[index], starts[index + 1])
  }
  return { view: scratchView, start: 0, end: at }
}

function readAll({ view, start, end }: Run): KeyValue[] {
  const reader = readerAt(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), start)
  const attributes: KeyValue[] = []
  while (reader.pos < end) {
    reader.uint32()
    attributes.push(readKeyValue(reader, messageEnd(reader)))
  }
  return attributes
}

function written(attributes: readonly KeyValue[], tag: number): Run {
  const writer = protobuf.Writer.create()
  for (const attribute of canonical(attributes)) writeMessage(writer, tag >> 3, attribute, writeKeyValue)
  const bytes = writer.finish()
  scratchOf(bytes.length).set(bytes)
  return { view: scratchView, start: 0, end: bytes.length }
}

/** Sorted by the bytes of their keys, also within values; the first of those with one key. */
function canonical(attributes: readonly KeyValue[]): KeyValue[] {
  const byKey = new Map<string, KeyValue>()
  for (const attribute of attributes) if (!byKey.has(attribute.key)) byKey.set(attribute.key, attribute)
  return [...byKey.values()]
    .sort((left, right) => Buffer.compare(Buffer.from(left.key), Buffer.from(right.key)))
    .map(({ key, value }) => ({ key, value: canonicalValue(value) }))
}

function canonicalValue(value: AnyValue): AnyValue {
  if ('kvlistValue' in value) return { kvlistValue: canonical(value.kvlistValue) }
  if ('arrayValue' in value) return { arrayValue: value.arrayValue.map(canonicalValue) }
  return value
}

function scratchOf(length: number): Buffer {
  if (length > scratch.length) {
    scratch = Buffer.allocUnsafeSlow(length * 2)
    scratchView = viewOf(scratch)
  }
  return scratch
}
