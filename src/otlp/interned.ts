import { BytesIndex } from './bytes_index.ts'
import { Encoded, viewOf } from './message.ts'
import type { Message, ReadFields, Source } from './message.ts'
import { rememberedBytes } from './remembered_bytes.ts'
import type { Cache } from './remembered_bytes.ts'

/** Messages that are remembered before all are forgotten, the bytes of all and of one. */
const MAX_MESSAGES = 4096
const MAX_BYTES = 1024 * 1024
const MAX_LENGTH = 4096
/** What a message takes, and each of its bytes, with the objects that are read from it and made of it. */
const MESSAGE_BYTES = 1000
const BYTE_BYTES = 4

/**
 * Makes one object of all messages of a kind whose bytes are the same. What a sender repeats in every request, its resource
 * and scopes, is read, changed and written once then. Bounded, and it holds copies: no request lives on in it. Pays for the
 * benchmark rows with 10 points a request.
 */
export class Interned<Fields extends object, Kind extends Message<Fields>> implements Cache {
  #index = new BytesIndex()
  #messages: Kind[] = []
  #size = 0

  constructor(
    private readonly make: (encoded: Encoded<Fields>) => Kind,
    private readonly read: ReadFields<Fields>,
  ) {
    rememberedBytes.addCache(this)
  }

  /** Forgets all: what comes again is remembered again. */
  clear(): void {
    rememberedBytes.add(-this.#bytes)
    this.#index = new BytesIndex()
    this.#messages = []
    this.#size = 0
  }

  /** The message that stands from `start` to `end`. */
  of(source: Source, start: number, end: number): Kind {
    if (end - start > MAX_LENGTH) return this.make(new Encoded(source, start, end, this.read))
    const number = this.#index.find(0, source.view, start, end)
    return number < 0 ? this.#add(source, start, end) : this.#messages[number]
  }

  get #bytes(): number {
    return MESSAGE_BYTES * this.#messages.length + BYTE_BYTES * this.#size
  }

  #add(source: Source, start: number, end: number): Kind {
    const length = end - start
    if (this.#messages.length === MAX_MESSAGES || this.#size + length > MAX_BYTES) {
      this.clear()
      this.#index.find(0, source.view, start, end)
    }
    const bytes = Buffer.allocUnsafeSlow(length)
    source.bytes.copy(bytes, 0, start, end)
    const own = { bytes, view: viewOf(bytes), regular: false, pointKeys: 0, plainNumbers: true }
    const message = this.make(new Encoded(own, 0, length, this.read))
    this.#size += length
    rememberedBytes.add(MESSAGE_BYTES + BYTE_BYTES * length)
    this.#messages[this.#index.add(0, source.view, start, end)] = message
    return message
  }
}
