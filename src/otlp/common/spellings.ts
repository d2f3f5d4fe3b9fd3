import { BytesIndex, doubled } from '../wire/bytes_index.ts'
import { MAX_ATTRIBUTES, NO_ROOM } from './remembered_bytes.ts'
import type { RememberedBytes } from './remembered_bytes.ts'

/** The most spellings of one thing that are remembered. Each further one costs its text whenever it occurs. */
export const MAX_SPELLINGS = 4
const UNKNOWN = -1
/** Bytes that a thing takes in addition to its text. */
const THING_BYTES = 240

interface Known {
  readonly number: number
  spellings: number
}

/**
 * Numbers things by a text that identifies them. Their bytes are the fast key: unknown bytes are read once, and are
 * another spelling of the thing from then on.
 */
export class Spellings {
  readonly #byText = new Map<string, Known>()
  /** By number. */
  readonly #texts: string[] = []
  readonly #free: number[] = []
  readonly #bytes: BytesIndex
  /** By spelling: the number of its thing. */
  #numbers = new Int32Array(64)

  /** `beside`: bytes that the owner of the numbers takes for each. */
  constructor(
    private readonly remembered: RememberedBytes,
    private readonly beside = 0,
  ) {
    this.#bytes = new BytesIndex(remembered, Int32Array.BYTES_PER_ELEMENT)
  }

  /** The number of the thing from `start` to `end`, below `owner`; -1 if the bytes are not known. */
  find(owner: number, view: DataView, start: number, end: number): number {
    const spelling = this.#bytes.find(owner, view, start, end)
    return spelling === UNKNOWN ? UNKNOWN : this.#numbers[spelling]
  }

  /** The number of the thing that `text` identifies, whose bytes `find` has not found; or `NO_ROOM`. */
  add(owner: number, view: DataView, start: number, end: number, text: string): number {
    const known = this.#know(text)
    if (known === undefined) return NO_ROOM
    if (known.spellings === MAX_SPELLINGS || end - start > MAX_ATTRIBUTES) return known.number
    if (!this.remembered.hasRoom(this.#bytes.bytesFor(end - start))) return known.number
    known.spellings++
    const spelling = this.#bytes.add(owner, view, start, end)
    if (spelling >= this.#numbers.length) this.#numbers = doubled(this.#numbers)
    this.#numbers[spelling] = known.number
    return known.number
  }

  /** The number of the thing that `text` identifies; or `NO_ROOM`. */
  numberOfText(text: string): number {
    return this.#know(text)?.number ?? NO_ROOM
  }

  /** The identity of the thing with a number. */
  text(number: number): string {
    return this.#texts[number]
  }

  /** Forgets the things that are not among these. Their numbers will be used again. Returns the owners of all remaining bytes. */
  keep(numbers: ReadonlySet<number>): ReadonlySet<number> {
    const owners = new Set<number>()
    this.#bytes.forget((spelling) => {
      if (!numbers.has(this.#numbers[spelling])) return true
      owners.add(this.#bytes.owner(spelling))
      return false
    })
    for (const [text, { number }] of this.#byText) {
      if (numbers.has(number)) continue
      this.#byText.delete(text)
      this.#free.push(number)
      this.#texts[number] = ''
      this.remembered.add(-this.#bytesFor(text))
    }
    return owners
  }

  #know(text: string): Known | undefined {
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    const bytes = this.#bytesFor(text)
    if (!this.remembered.hasRoom(bytes)) return undefined
    this.remembered.add(bytes)
    const added = { number: this.#free.pop() ?? this.#byText.size, spellings: 0 }
    this.#byText.set(text, added)
    this.#texts[added.number] = text
    return added
  }

  #bytesFor(text: string): number {
    return THING_BYTES + this.beside + Buffer.byteLength(text)
  }
}
