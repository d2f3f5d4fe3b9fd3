import { normalizeTag } from '../../../datadog/names.ts'
import { anyValueText } from '../../../otlp/common/attributes.ts'
import type { Attributes } from '../../../otlp/common/attributes.ts'
import { doubled } from '../../../otlp/wire/bytes_index.ts'
import { fieldEnd, lastVarint, readVarint, varintEnd } from '../../../otlp/wire/wire_format.ts'
import { writeDigits } from '../../../text/digits.ts'

/** The most bytes of a tag that is copied byte by byte; as in `normalizeTag`, which cuts longer ones. */
const MAX_LENGTH = 200

/** Digits of the largest number that is copied. */
const MAX_DIGITS = 11

const COLON = 0x3a
const UNDERSCORE = 0x5f
const NOT_AVAILABLE = Buffer.from('n/a')

/** The result of `normalizeTag` for each byte of ASCII; 0 for the others. */
const NORMALIZED = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte > 127 ? 0 : /[A-Za-z0-9_\-:./]/.test(String.fromCharCode(byte)) ? lowerCase(byte) : UNDERSCORE,
)

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

function isLetter(byte: number): boolean {
  return byte >= 0x61 && byte <= 0x7a
}

/** The part of a resource that all of its series share: its tags, each with its key. */
export type KeyedTags = readonly (readonly [key: string, tag: string])[]

/**
 * The tags of one series as bytes: as Datadog stores them, sorted, without duplicates. Those of a point are written
 * from the bytes of its attributes, without a text for any of them. Pays for the benchmark rows of ever-new series.
 */
export class TagList {
  /** The positions of the tags, in their order. */
  starts = new Int32Array(64)
  ends = new Int32Array(64)
  count = 0
  bytes = Buffer.allocUnsafeSlow(4096)
  /** The point's attribute `host`, which is Datadog's host and not a tag. */
  host: string | undefined
  #used = 0
  /** The tags of the resource, at the beginning of `bytes`, and their order. */
  #resource: KeyedTags = []
  #resourceKeys: readonly Buffer[] = [Buffer.from('host')]
  #resourceUsed = 0
  #resourceCount = 0
  #resourceStarts = new Int32Array(64)
  #resourceEnds = new Int32Array(64)
  /** The positions of the attributes' keys in the point's own bytes. */
  #keyStarts = new Int32Array(64)
  #keyEnds = new Int32Array(64)

  /** The most bytes of all tags together. */
  get length(): number {
    return this.#used
  }

  /** The tags of a resource and of a point, whose attributes win, and `more` tags that are already normalised. */
  fill(resource: KeyedTags, point: Attributes, more: readonly string[]): void {
    if (resource !== this.#resource) this.#begin(resource)
    this.#reset()
    const { encoded } = point
    const byBytes =
      encoded?.source.canonical === true && this.#addBytes(encoded.source.bytes, encoded.start, encoded.end)
    this.host = undefined
    if (!byBytes) this.#addTexts(resource, point)
    for (const tag of more) this.#addText(tag)
  }

  #begin(resource: KeyedTags): void {
    this.#used = this.count = 0
    for (const [, tag] of resource) this.#addText(tag)
    this.#resource = resource
    this.#resourceKeys = ['host', ...resource.map(([key]) => key)].map((key) => Buffer.from(key))
    this.#resourceUsed = this.#used
    this.#resourceCount = this.count
    this.#resourceStarts = this.starts.slice()
    this.#resourceEnds = this.ends.slice()
  }

  /** Resets the list to the tags of the resource. */
  #reset(): void {
    this.#used = this.#resourceUsed
    this.count = this.#resourceCount
    for (let index = 0; index < this.count; index++) {
      this.starts[index] = this.#resourceStarts[index]
      this.ends[index] = this.#resourceEnds[index]
    }
  }

  /** Tags of attributes of any kind; a tag replaces that of the resource with the same key. */
  #addTexts(resource: KeyedTags, point: Attributes): void {
    this.#used = this.#resourceUsed
    this.count = 0
    for (const [key, tag] of resource) if (!point.has(key)) this.#addText(tag)
    this.host = point.text('host')
    const seen = new Set(['host'])
    for (const { key, value } of point) {
      if (!seen.has(key)) this.#addText(normalizeTag(key, anyValueText(value)))
      seen.add(key)
    }
  }

  /**
   * Tags of attributes on the wire, each behind a tag of one byte. Returns `false`, with the list half filled, if the
   * value of one is not a text in ASCII, a small whole number or a boolean, or if its key does not begin with a letter,
   * is one of the resource's, occurs twice, or is Datadog's host.
   */
  #addBytes(bytes: Buffer, start: number, end: number): boolean {
    let keys = 0
    for (let at = start; at < end;) {
      const attributeEnd = fieldEnd(bytes, at + 1)
      at = varintEnd(bytes, at + 1)
      // KeyValue { string key = 1; AnyValue value = 2; }, in this order and nothing else.
      if (bytes[at] !== 0x0a || bytes[at + 1] > 127) return false
      const keyStart = at + 2
      const keyEnd = keyStart + bytes[at + 1]
      if (bytes[keyEnd] !== 0x12 || keys === this.#keyStarts.length) return false
      if (!this.#isNew(bytes, keyStart, keyEnd, keys)) return false
      this.#keyStarts[keys] = keyStart
      this.#keyEnds[keys++] = keyEnd
      if (!this.#addTag(bytes, keyStart, keyEnd, keyEnd + 1, attributeEnd)) return false
      at = attributeEnd
    }
    return true
  }

  /** Whether the key differs from the resource's, from those of the `count` attributes before it, and from `host`. */
  #isNew(bytes: Buffer, start: number, end: number, count: number): boolean {
    for (const key of this.#resourceKeys) if (sameBytes(bytes, start, end, key, 0, key.length)) return false
    for (let index = 0; index < count; index++) {
      if (sameBytes(bytes, start, end, bytes, this.#keyStarts[index], this.#keyEnds[index])) return false
    }
    return true
  }

  /** Adds the tag of one attribute, whose value begins with its length at `valueAt`, as `normalizeTag` would. `false` as in `#addBytes`. */
  #addTag(bytes: Buffer, keyStart: number, keyEnd: number, valueAt: number, end: number): boolean {
    if (keyEnd === keyStart || end - keyStart > MAX_LENGTH - MAX_DIGITS) return false
    this.#reserve(MAX_LENGTH)
    const start = this.#used
    let at = this.#copy(bytes, keyStart, keyEnd, start)
    if (at < 0 || !isLetter(this.bytes[start])) return false
    this.bytes[at++] = COLON
    const kindAt = behindLength(bytes, valueAt, end)
    if (kindAt < 0) return false
    if (kindAt < end) {
      at = this.#addValue(bytes, kindAt, end, at)
      if (at < 0) return false
    }
    while (this.bytes[at - 1] === UNDERSCORE) at--
    if (this.bytes[at - 1] === COLON) at += NOT_AVAILABLE.copy(this.bytes, at)
    this.#insert(start, at)
    return true
  }

  /** Writes an AnyValue of one field to `to`; returns the end, or -1 if it is of another kind. */
  #addValue(bytes: Buffer, start: number, end: number, to: number): number {
    switch (bytes[start]) {
      case 0x0a: {
        // string string_value = 1;
        const textAt = behindLength(bytes, start + 1, end)
        return textAt < 0 ? -1 : this.#copy(bytes, textAt, end, to)
      }
      case 0x10: // bool bool_value = 2;
        if (end - start !== 2) return -1
        return to + this.bytes.write(bytes[start + 1] === 0 ? 'false' : 'true', to, 'latin1')
      case 0x18: // int64 int_value = 3; which takes ten bytes where it is negative.
        if (end - start > 6 || readVarint(bytes, start + 1) !== end) return -1
        return writeDigits(this.bytes, to, lastVarint.high * 2 ** 32 + lastVarint.low)
      default:
        return -1
    }
  }

  /** Returns the end of the copy; -1 if a character is not ASCII. */
  #copy(bytes: Buffer, start: number, end: number, to: number): number {
    const out = this.bytes
    let at = to
    for (let from = start; from < end; from++) {
      const byte = NORMALIZED[bytes[from]]
      if (byte === 0) return -1
      out[at++] = byte
    }
    return at
  }

  #addText(tag: string): void {
    if (tag === '') return
    this.#reserve(Buffer.byteLength(tag))
    const start = this.#used
    this.#insert(start, start + this.bytes.write(tag, start))
  }

  /** Moves the text that was written behind all tags to its place among them, unless it is there already. */
  #insert(start: number, end: number): void {
    const { starts, ends, bytes } = this
    let place = this.count
    for (; place > 0; place--) {
      const order = compare(bytes, starts[place - 1], ends[place - 1], start, end)
      if (order === 0) return
      if (order < 0) break
    }
    if (this.count === starts.length) {
      this.starts = doubled(starts)
      this.ends = doubled(ends)
    }
    for (let index = this.count; index > place; index--) {
      this.starts[index] = this.starts[index - 1]
      this.ends[index] = this.ends[index - 1]
    }
    this.starts[place] = start
    this.ends[place] = end
    this.count++
    this.#used = end
  }

  #reserve(length: number): void {
    if (this.#used + length <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.#used + length))
    this.bytes.copy(larger)
    this.bytes = larger
  }
}

/** The start of the content whose length is at `at`; -1 unless it ends at `end`. */
function behindLength(bytes: Uint8Array, at: number, end: number): number {
  return fieldEnd(bytes, at) === end ? varintEnd(bytes, at) : -1
}

function sameBytes(
  left: Uint8Array,
  start: number,
  end: number,
  right: Uint8Array,
  rightStart: number,
  rightEnd: number,
): boolean {
  if (end - start !== rightEnd - rightStart) return false
  for (let at = start, other = rightStart; at < end; at++, other++) if (left[at] !== right[other]) return false
  return true
}

/** Which of two texts in `bytes` comes first, byte by byte; 0 if they are equal. */
function compare(bytes: Uint8Array, left: number, leftEnd: number, right: number, rightEnd: number): number {
  let at = left
  let other = right
  for (; at < leftEnd && other < rightEnd; at++, other++) {
    if (bytes[at] !== bytes[other]) return bytes[at] - bytes[other]
  }
  return leftEnd - at - (rightEnd - other)
}
