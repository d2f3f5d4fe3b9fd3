import { keyBit } from './lazy_message.ts'
import type { Encoded, EncodedRequest } from './lazy_message.ts'

const NONE: Buffer = Buffer.alloc(0)

/**
 * Finds out by their bytes which metrics may have points with an attribute of one of some keys, without reading them.
 * Metrics are best asked about in the order in which they stand: then each key is looked for only once in a request, which it
 * holds until `end`.
 */
export class KeySearch {
  readonly #keys: readonly { readonly bytes: Buffer; readonly bit: number }[]
  #source: EncodedRequest | undefined
  #bytes = NONE
  /** Of the metric asked about last. */
  #start = 0
  /** The keys that may be there at all, each with the first place where its bytes stand behind the last metric asked about. */
  #candidates: { readonly bytes: Buffer; next: number }[] = []

  constructor(keys: Iterable<string>) {
    this.#keys = [...keys].map((key) => {
      const bytes = Buffer.from(key)
      return { bytes, bit: keyBit(bytes, 0, bytes.length) }
    })
  }

  /** `false` only when no point of the metric has an attribute of one of the keys. */
  mayBeIn({ source, start, end }: Encoded<object>): boolean {
    if (this.#source !== source || start < this.#start) this.#begin(source)
    this.#start = start
    let found = false
    for (const candidate of this.#candidates) {
      if (candidate.next < start) {
        const place = this.#bytes.indexOf(candidate.bytes, start)
        candidate.next = place < 0 ? this.#bytes.length : place
      }
      if (candidate.next < end) found = true
    }
    return found
  }

  end(): void {
    this.#source = undefined
    this.#bytes = NONE
  }

  #begin(source: EncodedRequest): void {
    const { bytes, pointKeys } = source
    this.#source = source
    this.#bytes = bytes
    this.#candidates = []
    for (const { bytes: key, bit } of this.#keys) {
      if ((bit & pointKeys) !== 0) this.#candidates.push({ bytes: key, next: -1 })
    }
  }
}
