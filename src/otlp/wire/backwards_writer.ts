import protobuf from 'protobufjs/minimal.js'
import type { Writer } from 'protobufjs/minimal.js'
import type { Encoded, LazyMessage } from './lazy_message.ts'
import { copyOf, viewOf } from './lazy_message.ts'
import { MAX_VARINT, writeVarintBefore } from './wire_format.ts'

/** At most one part in so many of a buffer may stay empty. */
const MOST_WASTE = 8

/** Strings of up to this many characters are quicker to write one by one than all at once. */
const MAX_NAME = 64

/** The destination of small writes before they are copied. There is one writer at a time. */
const desk = Buffer.allocUnsafeSlow(65_536)

/**
 * Writes messages from their last byte to their first: the length of a message precedes it, and is known when it has to
 * be written, so nothing is moved to make room. Parts of a request are copied once.
 */
export class BackwardsWriter {
  #bytes: Buffer
  #view: DataView | undefined
  /** Where what is written begins. */
  at: number
  /** For what is no copy. */
  #forwards: Writer | undefined

  /** @param size about as many bytes as will be written */
  constructor(size: number) {
    this.#bytes = size > desk.length ? Buffer.allocUnsafe(size) : desk
    this.at = this.#bytes.length
  }

  /** The written bytes. */
  get length(): number {
    return this.#bytes.length - this.at
  }

  copy(bytes: Uint8Array): void {
    const at = this.#make(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** A part of a request as it came. */
  copyOf({ source, start, end }: Pick<Encoded<object>, 'source' | 'start' | 'end'>): void {
    if (start === end) return
    const at = this.#make(end - start)
    source.bytes.copy(this.#bytes, at, start, end)
  }

  /** A string, unless it is empty. */
  text(tag: number, value: string): void {
    if (value === '') return
    let { length } = value
    let at = this.#make(length)
    if (!this.#ascii(value, at)) {
      this.at += length
      length = Buffer.byteLength(value)
      at = this.#make(length)
      this.#bytes.write(value, at)
    }
    this.head(tag, length)
  }

  /** A message as it came if it is unchanged, otherwise from its fields. */
  view<T extends { readonly encoded: Encoded<object> | undefined }>(
    tag: number,
    value: T,
    write: (writer: Writer, value: T) => void,
  ): void {
    if (value.encoded === undefined) return this.fields(tag, value, write)
    this.copyOf(value.encoded)
    this.head(tag, value.encoded.end - value.encoded.start)
  }

  /** `view` of a message that may be written again with many requests, and remembers its bytes. */
  repeated<T extends LazyMessage<object>>(tag: number, value: T, write: (writer: Writer, value: T) => void): void {
    if (value.encoded !== undefined) return this.view(tag, value, write)
    if (value.written === undefined) {
      value.written = Uint8Array.from(this.#write(value, write).finish(true))
    }
    this.copy(value.written)
    this.head(tag, value.written.length)
  }

  /** A message from its fields. */
  fields<T>(tag: number, value: T, write: (writer: Writer, value: T) => void): void {
    const writer = this.#write(value, write)
    this.copy(writer.finish(true))
    this.head(tag, writer.pos)
  }

  /** Writes the tag and length of a field whose content has been written. */
  head(tag: number, length: number): void {
    this.varint(tag, length)
  }

  varint(tag: number, value: number): void {
    const out = this.reserve(2 * MAX_VARINT)
    this.at = writeVarintBefore(out, writeVarintBefore(out, this.at, value), tag)
  }

  double(tag: number, value: number): void {
    const out = this.reserve(8 + MAX_VARINT)
    this.#view ??= viewOf(out)
    this.#view.setFloat64(this.at - 8, value, true)
    this.at = writeVarintBefore(out, this.at - 8, tag)
  }

  /** Makes room for so many bytes before what is written, for a loop that writes them itself and moves `at` to them. */
  reserve(length: number): Buffer {
    if (length <= this.at) return this.#bytes
    const grown = Buffer.allocUnsafe(2 * this.#bytes.length + length)
    const start = grown.length - this.length
    this.#bytes.copy(grown, start, this.at)
    this.#bytes = grown
    this.#view = undefined
    this.at = start
    return grown
  }

  /** All that was written; the writer is not to be used any more. */
  finish(): Buffer {
    const written = this.#bytes.subarray(this.at)
    return this.#bytes !== desk && this.at * MOST_WASTE <= this.#bytes.length ? written : copyOf(written)
  }

  #write<T>(value: T, write: (writer: Writer, value: T) => void): Writer {
    const writer = (this.#forwards ??= protobuf.Writer.create()).reset()
    write(writer, value)
    return writer
  }

  /** Writes a string into existing room; `false` if it is long, or not all ASCII. */
  #ascii(value: string, at: number): boolean {
    if (value.length > MAX_NAME) return false
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 127) return false
      this.#bytes[at + index] = code
    }
    return true
  }

  /** Makes room before what is written, and returns where it begins. */
  #make(length: number): number {
    this.reserve(length)
    return (this.at -= length)
  }
}
