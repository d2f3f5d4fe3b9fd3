import protobuf from 'protobufjs/minimal.js'
import type { AnyValue, KeyValue } from './attributes.ts'
import { readerAt, viewOf } from '../wire/lazy_message.ts'
import type { RememberedBytes } from './remembered_bytes.ts'
import { readKeyValue, writeKeyValue } from './attributes_codec.ts'
import { messageEnd, writeMessage } from '../wire/fields.ts'

/** Fields of one tag from `start` to `end` of `view`, each of which holds a `KeyValue`. */
export interface Run {
  readonly view: DataView
  readonly start: number
  readonly end: number
}

/** Keys in an order, as their bytes one behind the other and the length of each. */
interface Order {
  readonly view: DataView
  readonly lengths: readonly number[]
}

/**
 * The most sets of keys whose order is remembered, and the bytes that they may take; the keys of further sets are
 * sorted. The limit is for each index alone, and no set is ever forgotten: another spelling of it would be another
 * series.
 */
const MAX_ORDERS = 10_000
const MAX_BYTES = 2 ** 21
/** The memory of an order, and of each key in it, in addition to the five copies of its text. */
const ORDER_BYTES = 300
const KEY_BYTES = 32
/** Orders that are compared key by key before the keys are made into a text. */
const MAX_RECENT = 8
const MAX_ATTRIBUTES = 128

// The attributes that `measure` has found: their starts, those of their keys, and the ends of the keys.
const starts = new Int32Array(MAX_ATTRIBUTES + 1)
const keys = new Int32Array(MAX_ATTRIBUTES)
const keyEnds = new Int32Array(MAX_ATTRIBUTES)
let scratch: Buffer = Buffer.allocUnsafeSlow(4096)
let scratchView = viewOf(scratch)

/**
 * Gives every set of attributes one spelling: in the order in which this set of keys first occurred, the first of
 * several attributes with one key, and each written as this package does. A sender that always keeps one order, as
 * almost all do, writes that spelling itself.
 */
export class AttributeOrder {
  /** By the keys in their own order, and by the sorted keys. */
  readonly #orders = new Map<string, Order>()
  readonly #bySet = new Map<string, readonly string[]>()
  #recent: Order[] = []
  #bytes = 0

  constructor(private readonly remembered: RememberedBytes) {}

  /** Releases its memory; it must not be used afterwards. */
  close(): void {
    this.remembered.add(-this.#bytes)
    this.#bytes = 0
  }

  /**
   * Whether attributes are certainly in that spelling: `canonical` may return others unchanged, too. Makes no object,
   * because it runs for every new series.
   */
  isRecent(view: DataView, start: number, end: number): boolean {
    for (const order of this.#recent) if (isInOrder(view, start, end, order)) return true
    return false
  }

  /** Returns `run` itself if it has that spelling; other bytes are valid until the next call. */
  canonical(run: Run): Run {
    const count = measure(run)
    return count < 0 ? this.#written(readAll(run), run.view.getUint8(run.start)) : this.#ordered(run, count)
  }

  /** The same for attributes that are not written yet, in fields with this tag. */
  written(attributes: Iterable<KeyValue>, tag: number): Run {
    return this.#written([...attributes], tag)
  }

  /** The attributes that were measured. */
  #ordered(run: Run, count: number): Run {
    const bytes = Buffer.from(run.view.buffer, run.view.byteOffset, run.view.byteLength)
    const texts = Array.from({ length: count }, (_, index) => bytes.toString('latin1', keys[index], keyEnds[index]))
    const known = this.#orders.get(texts.join('\0'))
    if (known !== undefined) {
      this.#use(known)
      return run
    }
    const order = this.#orderOf(texts)
    if (order.length === texts.length && order.every((key, index) => key === texts[index])) return run
    const room = roomOf(run.end - run.start)
    let at = 0
    for (const key of order) {
      const index = texts.indexOf(key)
      at += bytes.copy(room, at, starts[index], starts[index + 1])
    }
    return { view: scratchView, start: 0, end: at }
  }

  #written(attributes: readonly KeyValue[], tag: number): Run {
    const byKey = new Map<string, KeyValue>()
    for (const { key, value } of attributes) {
      const bytes = Buffer.from(key).toString('latin1')
      if (!byKey.has(bytes)) byKey.set(bytes, { key, value: canonicalValue(value) })
    }
    const writer = protobuf.Writer.create()
    for (const key of this.#orderOf([...byKey.keys()])) {
      writeMessage(writer, tag, byKey.get(key) as KeyValue, writeKeyValue)
    }
    const bytes = writer.finish()
    return { view: viewOf(bytes), start: 0, end: bytes.length }
  }

  /** The order of a set of keys, each as the text of its bytes; this one becomes the order if it is the first. */
  #orderOf(texts: readonly string[]): readonly string[] {
    const sorted = [...new Set(texts)].sort()
    const set = sorted.join('\0')
    const known = this.#bySet.get(set)
    if (known !== undefined) return known
    // A key that holds a NUL could be taken for two.
    if (this.#bySet.size === MAX_ORDERS || texts.some((text) => text.includes('\0'))) return sorted
    const bytes = ORDER_BYTES + KEY_BYTES * sorted.length + 5 * set.length
    if (this.#bytes + bytes > MAX_BYTES) return sorted
    this.#bytes += bytes
    this.remembered.add(bytes)
    const order = [...new Set(texts)]
    this.#bySet.set(set, order)
    const kept = { view: viewOf(Buffer.from(order.join(''), 'latin1')), lengths: order.map(({ length }) => length) }
    this.#orders.set(order.join('\0'), kept)
    this.#use(kept)
    return order
  }

  #use(order: Order): void {
    this.#recent = [order, ...this.#recent.filter((other) => other !== order)].slice(0, MAX_RECENT)
  }
}

/** Whether the keys are in this order, each with a text written in the canonical way. Reads words, because it runs for every new series. */
function isInOrder(view: DataView, start: number, end: number, { view: own, lengths }: Order): boolean {
  let at = start
  let key = 0
  for (const length of lengths) {
    // The field, string key = 1; and AnyValue value = 2; string string_value = 1; with lengths of one byte.
    if (at + 8 + length > end) return false
    const head = view.getInt32(at, true)
    if ((head & 0xff8000) !== 0x0a0000 || head >>> 24 !== length) return false
    const next = at + 2 + ((head >> 8) & 0x7f)
    at += 4
    const keyEnd = key + length
    for (; key + 4 <= keyEnd; key += 4, at += 4) if (own.getInt32(key, true) !== view.getInt32(at, true)) return false
    for (; key < keyEnd; key++, at++) if (own.getUint8(key) !== view.getUint8(at)) return false
    const value = view.getInt32(at, true)
    if ((value & 0xff80ff) !== 0x0a0012) return false
    const valueLength = (value >> 8) & 0x7f
    if (value >>> 24 !== valueLength - 2 || at + 2 + valueLength !== next) return false
    at = next
  }
  return at === end
}

/**
 * Notes where the attributes are, when each is written as this package does and is of a kind that is common; returns how many
 * there are, or -1. Of varints it takes the shortest only, unlike wire_format.ts. For the benchmark rows of ever-new series.
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
    if (next > end || length < 4 || view.getUint8(at) !== 0x0a) return -1
    const keyLength = view.getUint8(at + 1)
    const valueAt = at + 2 + keyLength
    if (keyLength === 0 || keyLength > 127 || valueAt + 2 > next || view.getUint8(valueAt) !== 0x12) return -1
    if (!isPlainValue(view, valueAt + 1, next)) return -1
    keys[count] = at + 2
    keyEnds[count] = valueAt
    count++
    at = next
  }
  starts[count] = end
  return count
}

/** Whether a text, a bool, an int or a double is written in the canonical way from its length at `at` to `end`. */
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

function readAll({ view, start, end }: Run): KeyValue[] {
  const reader = readerAt(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), start)
  const attributes: KeyValue[] = []
  while (reader.pos < end) {
    reader.uint32()
    attributes.push(readKeyValue(reader, messageEnd(reader)))
  }
  return attributes
}

/** With the keys of maps sorted, and the first of several values with one key. */
function canonicalValue(value: AnyValue): AnyValue {
  if ('arrayValue' in value) return { arrayValue: value.arrayValue.map(canonicalValue) }
  if (!('kvlistValue' in value)) return value
  const byKey = new Map<string, AnyValue>()
  for (const { key, value: inner } of value.kvlistValue) if (!byKey.has(key)) byKey.set(key, canonicalValue(inner))
  const sorted = [...byKey].sort(([left], [right]) => (left < right ? -1 : 1))
  return { kvlistValue: sorted.map(([key, inner]) => ({ key, value: inner })) }
}

function roomOf(length: number): Buffer {
  if (length > scratch.length) {
    scratch = Buffer.allocUnsafeSlow(length * 2)
    scratchView = viewOf(scratch)
  }
  return scratch
}
