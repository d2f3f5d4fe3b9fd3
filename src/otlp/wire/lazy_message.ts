import protobuf from 'protobufjs/minimal.js'
import type { Reader } from 'protobufjs/minimal.js'
import { fieldEnd, LENGTH_DELIMITED, varintEnd } from './wire_format.ts'

/** What is known of a request without reading it. */
interface Findings {
  /** Data points, log records or spans in it, unless a singular field occurs twice; of a request that was written here, 0. */
  readonly items: number
  /**
   * Whether it is written in the usual way: no singular field twice, no group. Any other is just as valid, but its
   * parts cannot be found without reading the whole.
   */
  readonly canonical: boolean
  /** The `keyBit` of every key of a point's attribute. */
  readonly pointKeys: number
  /** Whether every number point certainly has a time and a finite value, no flags, and nothing behind its attributes. */
  readonly plainNumbers: boolean
  /** Whether it was written here, of data points that somebody changed. */
  readonly pointsChanged: boolean
}

/** A request as it came on the wire, with the findings of `check`. */
export class EncodedRequest implements Findings {
  readonly items: number
  readonly canonical: boolean
  readonly pointKeys: number
  readonly plainNumbers: boolean
  readonly pointsChanged: boolean
  #view: DataView | undefined

  constructor(
    readonly bytes: Buffer,
    { items, canonical, pointKeys, plainNumbers, pointsChanged }: Findings,
  ) {
    this.items = items
    this.canonical = canonical
    this.pointKeys = pointKeys
    this.plainNumbers = plainNumbers
    this.pointsChanged = pointsChanged
    this.#view = undefined
  }

  /** Made when it is first needed: many requests pass unread. */
  get view(): DataView {
    return (this.#view ??= viewOf(this.bytes))
  }

  /** A copy that may be changed in place. */
  copy(): EncodedRequest {
    return new EncodedRequest(copyOf(this.bytes), this)
  }
}

/** `Buffer.from` in fewer steps, for the benchmark rows with 10 points a request. */
export function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length)
  copy.set(bytes)
  return copy
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** One of 32 bits for a text in UTF-8: different bits certainly mean different texts. */
export function keyBit(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  return length === 0
    ? 1
    : 1 << ((length * 5 + bytes[start] * 3 + bytes[end - 1] * 7 + bytes[start + (length >> 1)]) & 31)
}

/** Reads the fields of a message that stands from `start` to `end`. */
export type ReadFields<Fields> = (source: EncodedRequest, start: number, end: number) => Fields

/** The tag of field 1, length-delimited. */
const FIRST_TEXT = (1 << 3) | LENGTH_DELIMITED

/** A message in its request, with the function that reads it on first access. */
export class Encoded<Fields> {
  constructor(
    readonly source: EncodedRequest,
    readonly start: number,
    readonly end: number,
    private readonly read: ReadFields<Fields>,
  ) {}

  decode(): Fields {
    return this.read(this.source, this.start, this.end)
  }

  /** The changed message, in other bytes: by default at the same position, in a copy of its request. */
  movedTo(source: EncodedRequest, start = this.start, end = this.end): Encoded<Fields> {
    return new Encoded(source, start, end, this.read)
  }

  /** Whether it is read by `read`, which identifies the kind of message. */
  reads(read: ReadFields<Fields>): boolean {
    return this.read === read
  }

  /** The text in field 1 of a message that begins with it, made by `text`; `undefined` if finding it takes more. */
  firstText(text: (source: EncodedRequest, start: number, end: number) => string): string | undefined {
    const { bytes, canonical } = this.source
    if (!canonical || this.start === this.end || bytes[this.start] !== FIRST_TEXT) return undefined
    const at = this.start + 1
    return text(this.source, varintEnd(bytes, at), fieldEnd(bytes, at))
  }

  /** The bytes of the message, without its tag and length. A view, not a copy. */
  bytes(): Uint8Array {
    return this.source.bytes.subarray(this.start, this.end)
  }
}

export function readerAt(bytes: Uint8Array, position: number): Reader {
  const reader = protobuf.Reader.create(bytes)
  reader.pos = position
  return reader
}

/** The approximate bytes of a message that was made here. */
const MADE_SIZE = 128

/** What the fields of every message have in common. */
export interface MessageFields {
  /** Fields this version does not know, as they came. */
  readonly unknown?: Uint8Array
}

/** An immutable message, made from its fields or from bytes that are read when a field is. */
export abstract class LazyMessage<Fields extends MessageFields> {
  /** The bytes the message was made from, and still means. */
  readonly encoded: Encoded<Fields> | undefined
  /** The bytes it was written as, if it was, and is likely to be written again. */
  written: Uint8Array | undefined
  private read: Fields | undefined

  constructor(source: Fields | Encoded<Fields>) {
    this.written = undefined
    if (source instanceof Encoded) {
      this.encoded = source
      this.read = undefined
    } else {
      this.encoded = undefined
      this.read = source
    }
  }

  /** The fields it was made of, if not from bytes. */
  get made(): Fields | undefined {
    return this.encoded === undefined ? this.read : undefined
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  /** About as many bytes as it takes. */
  get expectedSize(): number {
    return this.encoded === undefined ? MADE_SIZE : this.encoded.end - this.encoded.start
  }

  /** Lets go of what was read of its bytes, which is read again when a field is asked for. */
  forget(): void {
    if (this.encoded !== undefined) this.read = undefined
  }

  protected get fields(): Fields {
    return (this.read ??= (this.encoded as Encoded<Fields>).decode())
  }
}
