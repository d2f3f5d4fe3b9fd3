import {
  fieldEnd,
  FIXED32,
  FIXED64,
  lastVarint,
  LENGTH_DELIMITED,
  readVarint,
  varintEnd,
  writeVarint,
} from '../wire/wire_format.ts'

/** Bytes of memory that are kept for the next request; more than that is released. */
const KEPT = 4 * 1024 * 1024
/** A field without its text: tag, length, ten bytes of a number, and the lengths of the messages that it may open. */
const FIELD = 64

/** Protobuf, written from front to back into memory that grows and is used again. */
export class ProtobufOutput {
  at = 0
  bytes: Buffer
  private view: DataView

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(FIELD)
    this.view = new DataView(this.bytes.buffer)
  }

  /**
   * Makes room for a field and for `text` more bytes. If it is called before every field with the number of bytes left
   * to read, texts need no further check, because they never take more bytes than they took.
   */
  reserve(text: number): void {
    const needed = this.at + text + FIELD
    if (needed <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(larger, 0, 0, this.at)
    this.bytes = larger
    this.view = new DataView(larger.buffer)
  }

  /** A copy of the written bytes. The next write starts from the beginning. */
  take(): Buffer {
    const taken = Buffer.allocUnsafeSlow(this.at)
    this.bytes.copy(taken, 0, 0, this.at)
    this.clear()
    return taken
  }

  /** Forgets the written bytes. */
  clear(): void {
    this.at = 0
    if (this.bytes.length > KEPT) {
      this.bytes = Buffer.allocUnsafeSlow(FIELD)
      this.view = new DataView(this.bytes.buffer)
    }
  }

  byte(byte: number): void {
    this.bytes[this.at++] = byte
  }

  tag(tag: number): void {
    if (tag < 128) this.bytes[this.at++] = tag
    else this.at = writeVarint(this.bytes, this.at, tag)
  }

  fixed32(value: number): void {
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  fixed64(low: number, high: number): void {
    this.view.setUint32(this.at, low, true)
    this.view.setUint32(this.at + 4, high, true)
    this.at += 8
  }

  double(value: number): void {
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  /** A varint of 64 bits, given as two unsigned halves. */
  varint(low: number, high: number): void {
    for (; high > 0; high >>>= 7) {
      this.bytes[this.at++] = (low & 127) | 128
      low = ((low >>> 7) | (high << 25)) >>> 0
    }
    this.at = writeVarint(this.bytes, this.at, low)
  }

  /** Leaves `width` bytes for a length. Returns the start of the content. */
  open(width: number): number {
    this.at += width
    return this.at
  }

  /** Writes the length of the content since `open`; the content moves if the length takes another width, which is returned. */
  close(start: number, width: number): number {
    const length = this.at - start
    // As `varintLength` and `writeVarint`, for the benchmark rows "OTLP/JSON to OTLP".
    const needed = length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : length < 268_435_456 ? 4 : 5
    if (needed !== width) this.move(start, needed - width)
    const { bytes } = this
    let at = start - width
    let rest = length
    for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128
    bytes[at] = rest
    return needed
  }

  /**
   * Removes from the message that begins at `start` each field that lies before the position that `replaced` has for
   * its number.
   */
  drop(start: number, replaced: ReadonlyMap<number, number>): void {
    const { bytes } = this
    let to = start
    let at = start
    while (at < this.at) {
      const field = at
      at = readVarint(bytes, at)
      const tag = lastVarint.low
      const wireType = tag & 7
      if (wireType === FIXED64) at += 8
      else if (wireType === FIXED32) at += 4
      else at = wireType === LENGTH_DELIMITED ? fieldEnd(bytes, at) : varintEnd(bytes, at)
      if (field < (replaced.get(tag >>> 3) ?? 0)) continue
      bytes.copyWithin(to, field, at)
      to += at - field
    }
    this.at = to
  }

  private move(start: number, by: number): void {
    this.reserve(0)
    this.bytes.copyWithin(start + by, start, this.at)
    this.at += by
  }
}
