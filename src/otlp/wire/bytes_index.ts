import { viewOf } from './lazy_message.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'

/** The fields of an entry, as positions in its part of `#entries`. */
const OWNER = 0
const HASH = 1
const START = 2
const LENGTH = 3
/** The number that followed this one in the last round of lookups. */
const NEXT = 4
const STRIDE = 5
const NONE = -1
const MIN_BYTES = 4096
/** From this size on, the array of all texts grows by half instead of twofold. */
const LARGE = 2 ** 20
/** Bytes that the array keeps although they are unused: it may need them again. */
const KEPT = 8 * 2 ** 20
/** Bytes of an entry in `#entries` and `#slots`, as they grow twofold. */
const ENTRY_BYTES = 48

/** A buffer for writing, from `start` on. */
export interface Room {
  readonly bytes: Buffer
  readonly view: DataView
  readonly start: number
}

/**
 * Numbers texts, from 0 on, by an owner's number and their bytes. All of them are in a few large arrays, one behind the
 * other: a million series cost the garbage collector nothing, and texts that come in the same order as before, as those
 * of one sender do, are found by comparing adjacent memory. Pays for the benchmark rows "cumulative to delta" and "OTLP
 * to Datadog".
 */
export class BytesIndex {
  #bytes = Buffer.allocUnsafeSlow(MIN_BYTES)
  #view = viewOf(this.#bytes)
  #used = 0
  /** The part of these that belongs to forgotten texts. */
  #unused = 0
  #entries = new Int32Array(64 * STRIDE)
  /** Numbers given so far, not counting those that were given again after they had been forgotten. */
  #count = 0
  #free: number[] = []
  /** Open addressing: a number plus one in the slot of its hash, or as near behind it as there was room. */
  #slots = new Int32Array(128)
  #last = NONE
  /** For the text that was last looked for and not found: its hash, and the slot that it would have. */
  #missedHash = 0
  #missedSlot = 0
  /** A sender that chooses texts with equal hashes would have to know it. */
  readonly #seed = Math.floor(Math.random() * 0x100000000) | 0

  /** `beside`: bytes that the owner of the numbers takes for each. */
  constructor(
    private readonly remembered?: RememberedBytes,
    private readonly beside = 0,
  ) {}

  get size(): number {
    return this.#count - this.#free.length
  }

  /** Every number is below it. */
  get end(): number {
    return this.#count
  }

  /** The bytes that are counted for a text of this length. */
  bytesFor(length: number): number {
    return ENTRY_BYTES + this.beside + length
  }

  length(number: number): number {
    return this.#entries[number * STRIDE + LENGTH]
  }

  owner(number: number): number {
    return this.#entries[number * STRIDE + OWNER]
  }

  /** A view of a text, valid until a text is added or forgotten, or room is asked for. */
  bytes(number: number): Uint8Array {
    const start = this.#entries[number * STRIDE + START]
    return this.#bytes.subarray(start, start + this.length(number))
  }

  /** Copies a text to `at` in the result of `roomBehind`; returns its end. */
  copy(number: number, at: number): number {
    const entry = number * STRIDE
    const start = this.#entries[entry + START]
    const length = this.#entries[entry + LENGTH]
    this.#bytes.copyWithin(at, start, start + length)
    return at + length
  }

  /**
   * Room for `length` bytes to write texts to; valid until a text is added or forgotten, or room is asked for again. It
   * is behind the texts, because copying within one array takes a third of the time of copying between two.
   */
  roomBehind(length: number): Room {
    this.#reserve(length)
    return { bytes: this.#bytes, view: this.#view, start: this.#used }
  }

  /** The number of the text from `start` to `end` in `view`; -1 if it is not known. */
  find(owner: number, view: DataView, start: number, end: number): number {
    const last = this.#last
    if (last !== NONE) {
      const expected = this.#entries[last * STRIDE + NEXT]
      if (expected !== NONE && this.#is(expected, owner, view, start, end)) return (this.#last = expected)
    }
    const hash = this.#hash(owner, view, start, end)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const number = this.#slots[slot] - 1
      if (this.#entries[number * STRIDE + HASH] === hash && this.#is(number, owner, view, start, end)) {
        return this.#follow(number)
      }
    }
    this.#missedHash = hash
    this.#missedSlot = slot
    return NONE
  }

  /** Gives a number to the text that `find` has not found. */
  add(owner: number, view: DataView, start: number, end: number): number {
    const length = end - start
    this.remembered?.add(this.bytesFor(length))
    const number = this.#free.pop() ?? this.#count++
    if ((number + 1) * STRIDE > this.#entries.length) this.#entries = doubled(this.#entries)
    this.#reserve(length)
    const entry = number * STRIDE
    this.#entries[entry + OWNER] = owner
    this.#entries[entry + HASH] = this.#missedHash
    this.#entries[entry + START] = this.#used
    this.#entries[entry + LENGTH] = length
    this.#entries[entry + NEXT] = NONE
    this.#write(view, start, end)
    if (this.size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    else this.#slots[this.#missedSlot] = number + 1
    return this.#follow(number)
  }

  /** Forgets the numbers for which `gone` returns true; they will be given again. The others stay valid. */
  forget(gone: (number: number) => boolean): void {
    let forgotten = 0
    for (let number = 0; number < this.#count; number++) {
      if (this.#isFree(number) || !gone(number)) continue
      forgotten += this.bytesFor(this.length(number))
      this.#entries[number * STRIDE + LENGTH] = NONE
      this.#free.push(number)
    }
    if (forgotten === 0) return
    this.remembered?.add(-forgotten)
    for (let number = 0; number < this.#count; number++) this.#entries[number * STRIDE + NEXT] = NONE
    this.#last = NONE
    this.#compact()
    this.#rehash(this.#slots.length)
  }

  /** Closes the gaps between the texts. */
  #compact(): void {
    let used = 0
    for (let number = 0; number < this.#count; number++) used += Math.max(0, this.length(number))
    const kept = Buffer.allocUnsafeSlow(roomFor(used))
    this.#used = 0
    for (let number = 0; number < this.#count; number++) {
      const entry = number * STRIDE
      const length = this.#entries[entry + LENGTH]
      if (length <= 0) continue
      const start = this.#entries[entry + START]
      this.#bytes.copy(kept, this.#used, start, start + length)
      this.#entries[entry + START] = this.#used
      this.#used += length
    }
    this.#unused = 0
    this.#bytes = kept
    this.#view = viewOf(kept)
  }

  /** Forgets one number, in a time that does not depend on how many there are. */
  forgetOne(number: number): void {
    const entry = number * STRIDE
    const mask = this.#slots.length - 1
    let gap = this.#entries[entry + HASH] & mask
    while (this.#slots[gap] !== number + 1) gap = (gap + 1) & mask
    // Entries behind it move to where they will be looked for.
    for (let slot = (gap + 1) & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#entries[(this.#slots[slot] - 1) * STRIDE + HASH]
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      this.#slots[gap] = this.#slots[slot]
      gap = slot
    }
    this.#slots[gap] = 0
    const length = this.length(number)
    this.remembered?.add(-this.bytesFor(length))
    if (this.#entries[entry + START] + length === this.#used) this.#used -= length
    else this.#unused += length
    // A number that names it as its follower finds that it is no text.
    this.#entries[entry + LENGTH] = NONE
    this.#free.push(number)
    this.#last = NONE
    if (this.#unused > this.#used / 2 + LARGE || this.#bytes.length > roomFor(this.#used + KEPT)) this.#compact()
  }

  /** Word by word: making a view of so few bytes would take longer than copying them. */
  #write(view: DataView, start: number, end: number): void {
    const own = this.#view
    let at = this.#used
    let from = start
    for (; from + 4 <= end; from += 4, at += 4) own.setInt32(at, view.getInt32(from, true), true)
    for (; from < end; from++, at++) own.setUint8(at, view.getUint8(from))
    this.#used = at
  }

  #reserve(length: number): void {
    if (this.#used + length > this.#bytes.length) this.#moveTo(roomFor(this.#used + length))
  }

  /** Moves the texts to an array of this many bytes. */
  #moveTo(bytes: number): void {
    const moved = Buffer.allocUnsafeSlow(bytes)
    moved.set(this.#bytes.subarray(0, this.#used))
    this.#bytes = moved
    this.#view = viewOf(moved)
  }

  #follow(number: number): number {
    if (this.#last !== NONE) this.#entries[this.#last * STRIDE + NEXT] = number
    return (this.#last = number)
  }

  #is(number: number, owner: number, view: DataView, start: number, end: number): boolean {
    const entries = this.#entries
    const entry = number * STRIDE
    if (entries[entry + LENGTH] !== end - start || entries[entry + OWNER] !== owner) return false
    const own = this.#view
    let at = entries[entry + START]
    let other = start
    // As doubles, which have equal values for different bytes only at zero: most of the time for a known series goes here.
    for (; other + 8 <= end; other += 8, at += 8) {
      const eight = own.getFloat64(at, true)
      if (eight !== view.getFloat64(other, true) || eight === 0) break
    }
    for (; other + 4 <= end; other += 4, at += 4) {
      if (own.getInt32(at, true) !== view.getInt32(other, true)) return false
    }
    for (; other < end; other++, at++) if (own.getUint8(at) !== view.getUint8(other)) return false
    return true
  }

  #hash(owner: number, view: DataView, start: number, end: number): number {
    let hash = Math.imul(this.#seed ^ owner, 0x9e3779b1)
    let at = start
    for (; at + 4 <= end; at += 4) {
      hash = Math.imul(hash ^ view.getInt32(at, true), 0x85ebca6b)
      hash ^= hash >>> 13
    }
    for (; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35)
    return hash ^ (hash >>> 15)
  }

  #isFree(number: number): boolean {
    return this.#entries[number * STRIDE + LENGTH] === NONE
  }

  #rehash(length: number): void {
    this.#slots = new Int32Array(length)
    for (let number = 0; number < this.#count; number++) if (!this.#isFree(number)) this.#place(number)
  }

  #place(number: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#entries[number * STRIDE + HASH] & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = number + 1
  }
}

/** The length of an array for this many bytes, with some spare room. */
function roomFor(bytes: number): number {
  return Math.max(MIN_BYTES, bytes * 2)
}

/** The same numbers in an array of twice the size. */
export function doubled<T extends Int32Array | Float64Array>(array: T): T {
  const larger = new (array.constructor as new (length: number) => T)(array.length * 2)
  larger.set(array)
  return larger
}
