import { keyBit } from './lazy_message.ts'
import type { Encoded, EncodedRequest } from './lazy_message.ts'

/** A key that may be there at all, with the first place where its bytes stand behind the last metric asked about. */
interface Candidate {
  readonly bytes: Buffer
  next: number
}

/** Finds out by their bytes which metrics may have points with an attribute of one of some keys, without reading them. */
export class KeySearch {
  readonly #keys: readonly { readonly bytes: Buffer; readonly bit: number }[]
  /** Of all keys. */
  readonly #bits: number

  constructor(keys: Iterable<string>) {
    this.#keys = [...keys].map((key) => {
      const bytes = Buffer.from(key)
      return { bytes, bit: keyBit(bytes, 0, bytes.length) }
    })
    this.#bits = this.#keys.reduce((bits, { bit }) => bits | bit, 0)
  }

  /**
   * Makes the test of the metrics of one batch: `false` only when no point of the metric has an attribute of one of the keys.
   * They are best asked about in the order in which they stand: then each key is looked for only once in a request.
   */
  mayBeIn(): (metric: Encoded<object>) => boolean {
    let last: EncodedRequest | undefined
    let lastStart = 0
    let candidates: readonly Candidate[] = []
    return ({ source, start, end }) => {
      if ((source.pointKeys & this.#bits) === 0) return false
      if (source !== last || start < lastStart) candidates = this.#candidatesIn(source)
      last = source
      lastStart = start
      let found = false
      for (const candidate of candidates) {
        if (candidate.next < start) {
          const place = source.bytes.indexOf(candidate.bytes, start)
          candidate.next = place < 0 ? source.bytes.length : place
        }
        if (candidate.next < end) found = true
      }
      return found
    }
  }

  #candidatesIn({ pointKeys }: EncodedRequest): readonly Candidate[] {
    const candidates: Candidate[] = []
    for (const { bytes, bit } of this.#keys) if ((bit & pointKeys) !== 0) candidates.push({ bytes, next: -1 })
    return candidates
  }
}
