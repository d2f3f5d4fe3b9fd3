import { keyBit } from './lazy_message.ts'
import type { Encoded, EncodedRequest } from './lazy_message.ts'

const NONE: Buffer = Buffer.alloc(0)

/**
 * Finds out from their bytes which metrics may have points with an attribute under one of some keys, without reading
 * them. Metrics are best checked in the order in which they are in the request: then each key is searched for only once
 * in a request, which is held until `end`.
 */
export class KeySearch {
  readonly #keys: readonly { readonly bytes: Buffer; readonly bit: number }[]
  #source: EncodedRequest | undefined
  #bytes = NONE
  /** The position of the metric that was checked last. */
  #start = 0
  /** The keys that may occur at all, each with its first position behind the metric that was checked last. */
  #candidates: { readonly bytes: Buffer; next: number }[] = []

  constructor(keys: Iterable<string>) {
    this.#keys = [...keys].map((key) => {
      const bytes = Buffer.from(key)
      return { bytes, bit: keyBit(bytes, 0, bytes.length) }
    })
  }

  /** `false` only if no point of the metric has an attribute with one of the keys. */
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
