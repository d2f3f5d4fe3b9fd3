import { viewOf } from './lazy_message.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'

/** What an entry holds, as places in its part of `#entries`. */
const OWNER = 0
const HASH = 1
const START = 2
const LENGTH = 3
/** The number that was asked for after this one the last time. */
const NEXT = 4
const STRIDE = 5
const NONE = -1
const MIN_BYTES = 4096
/** From here on the array of all texts grows by half instead of twofold. */
const LARGE = 2 ** 20
/** Bytes that the array keeps although nothing is in them: it may need them again. */
const KEPT = 8 * 2 ** 20
/** What an entry takes in `#entries` and `#slots`, as they grow twofold. */
const ENTRY_BYTES = 48

/** Where something can be written, from `start` on. */
export interface Room {
  readonly bytes: Buffer
  readonly view: DataView
  readonly start: number
}

/**
 * Numbers texts, from 0 on, by an owner's number and their bytes. All of them lie one behind the other in few large arrays:
 * what is known of a million series is nothing to the garbage collector, and texts that come in the order of the last time,
 * as those of a sender do, are found by comparing memory that lies side by side. Pays for the benchmark rows "cumulative to
 * delta" and "OTLP to Datadog".
 */
export class BytesIndex {
  #bytes = Buffer.allocUnsafeSlow(MIN_BYTES)
  #view = viewOf(this.#bytes)
  #used = 0
  /** Of these, those of texts that were forgotten. */
  #unused = 0
  #entries = new Int32Array(64 * STRIDE)
  /** Numbers ever given, less those that were given anew after they had been forgotten. */
  #count = 0
  #free: number[] = []
  /** Open addressing: a number plus one where its hash leads, or as near behind as there was room. */
  #slots = new Int32Array(128)
  #last = NONE
  /** Of the text last looked for in vain: its hash, and the slot that it would have. */
  #missedHash = 0
  #missedSlot = 0
  /** A sender that chooses texts of one hash would have to know it. */
  readonly #seed = Math.floor(Math.random() * 0x100000000) | 0

  /** `beside`: bytes that whoever uses the numbers takes for each. */
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

  /** A view of a text, until one is added or forgotten, or room is asked for. */
  bytes(number: number): Uint8Array {
    const start = this.#entries[number * STRIDE + START]
    return this.#bytes.subarray(start, start + this.length(number))
  }

  /** Copies a text to `at` in what `behind` gave; returns where it ends. */
  copy(number: number, at: number): number {
    const entry = number * STRIDE
    const start = this.#entries[entry + START]
    const length = this.#entries[entry + LENGTH]
    this.#bytes.copyWithin(at, start, start + length)
    return at + length
  }

  /**
   * Room for `length` bytes to write texts to; until a text is added or forgotten, or the next room is asked for. It lies
   * behind the texts, because copying within one array takes a third of copying from one to another.
   */
  roomBehind(length: number): Room {
    this.#reserve(length)
    return { bytes: this.#bytes, view: this.#view, start: this.#used }
  }

  /** The number of the text from `start` to `end` in `view`; -1 when it is not known. */
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

  /** Gives the text that `find` has just looked for in vain a number. */
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

  /** Forgets the numbers for which `gone` says so; they will be given anew. The others stay what they are. */
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

  /** Puts the texts one behind the other again. */
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

  /** Forgets one number, which takes the same time however many there are. */
  forgetOne(number: number): void {
    const entry = number * STRIDE
    const mask = this.#slots.length - 1
    let gap = this.#entries[entry + HASH] & mask
    while (this.#slots[gap] !== number + 1) gap = (gap + 1) & mask
    // What lies behind is moved to where it will be looked for.
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
    // Whoever is followed by it finds that it is no text.
    this.#entries[entry + LENGTH] = NONE
    this.#free.push(number)
    this.#last = NONE
    if (this.#unused > this.#used / 2 + LARGE || this.#bytes.length > roomFor(this.#used + KEPT)) this.#compact()
  }

  /** Word by word: a view of so few bytes would take longer to make than they take to copy. */
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

  /** Puts the texts into an array of so many bytes. */
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
    // As doubles, of which only a zero may be equal to other bytes: this is where most of the time for a known series goes.
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

/** The length of an array that takes so many bytes, and some more that may come. */
function roomFor(bytes: number): number {
  return Math.max(MIN_BYTES, bytes * 2)
}

/** The same numbers in an array of twice the size. */
export function doubled<T extends Int32Array | Float64Array>(array: T): T {
  const larger = new (array.constructor as new (length: number) => T)(array.length * 2)
  larger.set(array)
  return larger
}
