import { BytesIndex, grown } from './bytes_index.ts'

/** Spellings of one thing that are remembered. Each further one costs its text whenever it comes. */
export const MAX_SPELLINGS = 4
const UNKNOWN = -1

interface Known {
  readonly number: number
  seen: number
  spellings: number
}

/**
 * Numbers things by a text that says what they are. Their bytes are the fast key: bytes that are not known are read once, and
 * are another spelling of the thing from then on.
 */
export class Spellings {
  readonly #byText = new Map<string, Known>()
  /** By number. */
  readonly #texts: string[] = []
  readonly #free: number[] = []
  readonly #bytes = new BytesIndex()
  /** By spelling: the number of its thing, and when it was asked for. */
  #numbers = new Int32Array(64)
  #seen = new Float64Array(64)

  /** The number of the thing that stands from `start` to `end`, below `owner`; -1 when the bytes are not known. */
  find(owner: number, view: DataView, start: number, end: number, now: number): number {
    const spelling = this.#bytes.find(owner, view, start, end)
    if (spelling === UNKNOWN) return UNKNOWN
    this.#seen[spelling] = now
    return this.#numbers[spelling]
  }

  /** The number of the thing that `text` says it is, whose bytes `find` has just looked for in vain. */
  add(owner: number, view: DataView, start: number, end: number, text: string, now: number): number {
    const known = this.#know(text, now)
    if (known.spellings === MAX_SPELLINGS) return known.number
    known.spellings++
    const spelling = this.#bytes.add(owner, view, start, end)
    if (spelling >= this.#numbers.length) {
      this.#numbers = grown(this.#numbers)
      this.#seen = grown(this.#seen)
    }
    this.#numbers[spelling] = known.number
    this.#seen[spelling] = now
    return known.number
  }

  /** `now` is what `forget` asks for later. */
  numberOfText(text: string, now: number): number {
    return this.#know(text, now).number
  }

  /** What the thing with a number is. */
  text(number: number): string {
    return this.#texts[number]
  }

  /** Forgets what was not asked for since `before`. Its numbers will be used again. */
  forget(before: number): void {
    const spellings = new Map<number, number>()
    this.#bytes.forget((spelling) => {
      if (this.#seen[spelling] < before) return true
      const number = this.#numbers[spelling]
      spellings.set(number, (spellings.get(number) ?? 0) + 1)
      return false
    })
    for (const [text, known] of this.#byText) {
      known.spellings = spellings.get(known.number) ?? 0
      if (known.seen >= before || known.spellings > 0) continue
      this.#byText.delete(text)
      this.#free.push(known.number)
      this.#texts[known.number] = ''
    }
  }

  #know(text: string, now: number): Known {
    let known = this.#byText.get(text)
    if (known === undefined) {
      known = { number: this.#free.pop() ?? this.#byText.size, seen: now, spellings: 0 }
      this.#byText.set(text, known)
      this.#texts[known.number] = text
    }
    known.seen = now
    return known
  }
}
