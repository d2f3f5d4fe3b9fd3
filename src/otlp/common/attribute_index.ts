import { BytesIndex, doubled } from '../wire/bytes_index.ts'
import { MAX_SPELLINGS } from './spellings.ts'
import type { KeyValue } from './attributes.ts'
import { MAX_ATTRIBUTES } from './remembered_bytes.ts'
import type { RememberedBytes } from './remembered_bytes.ts'
import { AttributeOrder } from './attribute_order.ts'
import type { Run } from './attribute_order.ts'

const NONE = -1
/** Bytes that a number takes in `#sets` and `#spellings`. */
const NUMBER_BYTES = 5

/**
 * Numbers sets of attributes, from 0 on, by an owner's number and by their meaning: the order of the attributes does
 * not matter. Bytes are the fast key. A set is numbered by its canonical spelling, and up to four other spellings lead
 * to that number:
 *
 *   bytes -> number -> the number of the canonical spelling (its own, if it is that)
 */
export class AttributeIndex {
  readonly #bytes: BytesIndex
  readonly #order: AttributeOrder
  /** By number in `#bytes`: the set. */
  #sets = new Int32Array(64)
  /** By set: how many other spellings of it are remembered. */
  #spellings = new Uint8Array(64)
  /** Whether the last set that was not found is spelled canonically. */
  #missedCanonical = false

  /**
   * `most`: a limit that `size` never exceeds unless more sets are added than that. `beside`: bytes that the owner of
   * the numbers takes for each.
   */
  constructor(
    private readonly most: number,
    private readonly remembered: RememberedBytes,
    beside: number,
  ) {
    this.#bytes = new BytesIndex(remembered, NUMBER_BYTES + beside)
    this.#order = new AttributeOrder(remembered)
  }

  /** The remembered sets and spellings of them. */
  get size(): number {
    return this.#bytes.size
  }

  /** Every number is below it; not every one below it is a set. */
  get end(): number {
    return this.#bytes.end
  }

  /** Whether the number is that of a set, and not of another spelling of one. */
  isSet(number: number): boolean {
    return this.#sets[number] === number
  }

  owner(set: number): number {
    return this.#bytes.owner(set)
  }

  /** A view of the canonical spelling, until another is added or forgotten. */
  bytes(set: number): Uint8Array {
    return this.#bytes.bytes(set)
  }

  /** The set whose attributes are from `start` to `end` in `view`; -1 if it is not known. None has more than `MAX_ATTRIBUTES`. */
  find(owner: number, view: DataView, start: number, end: number): number {
    const number = this.#bytes.find(owner, view, start, end)
    if (number !== NONE) return this.#sets[number]
    return end - start > MAX_ATTRIBUTES ? NONE : this.#findMeaning(owner, view, start, end)
  }

  /** Whether there is room for a set that takes this many more bytes. */
  hasRoom(length: number): boolean {
    if (this.size < this.most) return this.remembered.hasRoom(this.#bytes.bytesFor(length))
    this.remembered.isFull()
    return false
  }

  /** The canonical spelling of attributes that are not written yet, in fields with this tag; valid until the next call. */
  written(attributes: Iterable<KeyValue>, tag: number): Run {
    return this.#order.written(attributes, tag)
  }

  /** Gives a number to the set that `find` has not found. */
  add(owner: number, view: DataView, start: number, end: number): number {
    if (this.#missedCanonical) return this.#add(owner, view, start, end)
    const canonical = this.#order.canonical({ view, start, end })
    return this.#add(owner, canonical.view, canonical.start, canonical.end)
  }

  /** Forgets the sets for which `gone` returns true, with all their spellings; the numbers will be used again. */
  forget(gone: (set: number) => boolean): void {
    this.#bytes.forget((number) => gone(this.#sets[number]))
  }

  /** Releases its memory; it must not be used afterwards. */
  close(): void {
    this.forget(() => true)
    this.#order.close()
  }

  #findMeaning(owner: number, view: DataView, start: number, end: number): number {
    this.#missedCanonical = this.#order.isRecent(view, start, end)
    if (this.#missedCanonical) return NONE
    const canonical = this.#order.canonical({ view, start, end })
    this.#missedCanonical = canonical.view === view
    if (this.#missedCanonical) return NONE
    const set = this.#bytes.find(owner, canonical.view, canonical.start, canonical.end)
    if (set === NONE || this.#spellings[set] === MAX_SPELLINGS || !this.hasRoom(end - start)) return set
    // A spelling is remembered from its second occurrence on: one that occurs only once needs no entry.
    this.#spellings[set]++
    this.#bytes.find(owner, view, start, end)
    const spelling = this.#add(owner, view, start, end)
    this.#sets[spelling] = set
    return set
  }

  #add(owner: number, view: DataView, start: number, end: number): number {
    const number = this.#bytes.add(owner, view, start, end)
    if (number >= this.#sets.length) {
      this.#sets = doubled(this.#sets)
      const spellings = new Uint8Array(this.#sets.length)
      spellings.set(this.#spellings)
      this.#spellings = spellings
    }
    this.#sets[number] = number
    this.#spellings[number] = 0
    return number
  }
}
