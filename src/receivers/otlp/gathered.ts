/** Pieces of this many bytes or more are kept as they come. */
const LARGE = 4096
/** Smaller ones are copied to blocks, each of as many bytes as all before it, and at most of this many. */
const MAX_BLOCK = 65_536

/**
 * Bytes that come in pieces. Small pieces are copied together: an object for each byte would take hundreds of bytes,
 * and a piece of a larger buffer keeps the whole buffer in memory.
 */
export class Gathered {
  length = 0
  /** Bytes that are held in memory. */
  held = 0
  #parts: Buffer[] = []
  /** The block that pieces are copied to, and the number of bytes in it. */
  #block: Buffer | undefined
  #taken = 0

  add(piece: Buffer): void {
    this.length += piece.length
    const size = piece.buffer.byteLength
    // The only piece of a small request is not copied.
    if ((this.#parts.length === 0 || piece.length >= LARGE) && piece.length * 2 >= size) {
      this.#close()
      this.#parts.push(piece)
      this.held += size
      return
    }
    for (let at = 0; at < piece.length;) {
      const block = this.#block ?? this.#open(piece.length - at)
      const copied = piece.copy(block, this.#taken, at)
      at += copied
      this.#taken += copied
      if (this.#taken === block.length) this.#close()
    }
  }

  /** All of the bytes. Nothing is held from then on. */
  take(): Buffer {
    this.#close()
    const parts = this.#parts
    const { length } = this
    this.clear()
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, length)
  }

  clear(): void {
    this.#parts = []
    this.#block = undefined
    this.#taken = this.length = this.held = 0
  }

  #open(wanted: number): Buffer {
    const size = Math.min(Math.max(this.length, wanted), MAX_BLOCK)
    this.held += size
    return (this.#block = Buffer.allocUnsafe(size))
  }

  #close(): void {
    if (this.#block === undefined) return
    this.#parts.push(this.#block.subarray(0, this.#taken))
    this.#block = undefined
    this.#taken = 0
  }
}
