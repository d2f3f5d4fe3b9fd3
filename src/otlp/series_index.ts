import type { NumberPointCursor } from './cursor.ts'

interface Entry<T> {
  readonly bytes: Uint8Array
  value: T
  /** What was asked for after this the last time. */
  next: Entry<T> | undefined
  gone: boolean
}

/**
 * Finds what is known of a series by the bytes of its attributes. Senders give their series in the same order time after
 * time, so the one after the last is tried first: comparing it costs a fraction of making a text and looking that up.
 */
export class SeriesIndex<T> {
  readonly #entries = new Map<string, Entry<T>>()
  #last: Entry<T> | undefined

  get size(): number {
    return this.#entries.size
  }

  /** By the cursor's point. */
  find(cursor: NumberPointCursor): T | undefined {
    const expected = this.#last?.next
    if (expected !== undefined && !expected.gone && cursor.hasAttributes(expected.bytes)) {
      this.#last = expected
      return expected.value
    }
    return this.get(cursor.attributesKey())
  }

  /** By an `Attributes.bytesIdentity`. */
  get(key: string): T | undefined {
    const found = this.#entries.get(key)
    if (found === undefined) return undefined
    if (this.#last !== undefined) this.#last.next = found
    this.#last = found
    return found.value
  }

  set(key: string, value: T): void {
    const known = this.#entries.get(key)
    if (known !== undefined) known.value = value
    else this.#entries.set(key, { bytes: Buffer.from(key, 'latin1'), value, next: undefined, gone: false })
  }

  delete(key: string): void {
    const found = this.#entries.get(key)
    if (found === undefined) return
    this.#entries.delete(key)
    // The one entry that may lead here holds on to this alone, and not to what came after it.
    found.gone = true
    found.next = undefined
  }

  *[Symbol.iterator](): Generator<[string, T]> {
    for (const [key, { value }] of this.#entries) yield [key, value]
  }
}
