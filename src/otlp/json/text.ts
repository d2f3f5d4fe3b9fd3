import { isUtf8 } from 'node:buffer'
import { MalformedError } from '../wire/check.ts'

/** How deep objects and lists may be nested; OTLP itself ends at 100 messages. */
const MAX_DEPTH = 200

export const QUOTE = 0x22
export const MINUS = 0x2d
export const POINT = 0x2e
export const ZERO = 0x30
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const SPACE = 0x20

/** A well-formed value where OTLP wants another kind, with the path to it, which grows on the way out. */
export class Mistake extends Error {
  path = ''

  /** The same mistake, seen from outside of `place`: a key or an index in brackets. */
  within(place: string): this {
    this.path = this.path === '' || this.path.startsWith('[') ? place + this.path : `${place}.${this.path}`
    return this
  }
}

/** A piece of a JSON text, as 32-bit words to compare at once; the last may begin within the one before it. */
export class JsonPiece {
  readonly length: number
  readonly words: Int32Array

  /** `text`: in ASCII, of four characters or more. */
  constructor(text: string) {
    const bytes = Buffer.from(text)
    this.length = bytes.length
    this.words = Int32Array.from({ length: Math.ceil(bytes.length / 4) }, (_word, index) =>
      bytes.readInt32LE(Math.min(index * 4, bytes.length - 4)),
    )
  }
}

/**
 * A JSON text in UTF-8, read once from front to back. It takes exactly what `JSON.parse` takes, to a depth of `MAX_DEPTH`;
 * everything throws a `MalformedError` that names the byte where the text stops being JSON.
 * Source: RFC 8259.
 */
export class JsonText {
  /** Where reading goes on. */
  at = 0
  readonly bytes: Buffer
  private readonly view: DataView
  private depth = 0

  constructor(bytes: Uint8Array) {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    // What is not UTF-8 becomes U+FFFD, as everywhere in JavaScript.
    this.bytes = isUtf8(bytes) ? buffer : Buffer.from(buffer.toString())
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  }

  /** Bytes that are left to be read. */
  get left(): number {
    return this.bytes.length - this.at
  }

  /** Goes to the next token. Returns its first byte; `undefined` at the end. */
  peek(): number | undefined {
    const { bytes } = this
    let byte = bytes[this.at]
    while (byte <= SPACE && isSpace(byte)) byte = bytes[++this.at]
    return byte
  }

  /** Expects nothing more. */
  end(): void {
    if (this.peek() !== undefined) throw this.unexpected()
  }

  /** Goes into an object. @throws Mistake when the value is none. */
  openObject(): void {
    if (this.peek() !== OPEN_OBJECT) throw this.mistake('must be an object')
    this.open()
  }

  /** Goes to the next member of the object, `first` or behind another; out of the object when there is none. */
  nextMember(first: boolean): boolean {
    const byte = this.peek()
    if (byte === CLOSE_OBJECT) return this.close()
    if (!first) {
      if (byte !== COMMA) throw this.unexpected()
      this.at++
      this.peek()
    }
    if (this.bytes[this.at] !== QUOTE) throw this.unexpected()
    return true
  }

  /** Goes over a piece of text if it stands here byte by byte, so not with other spaces or escapes. */
  skip({ length, words }: JsonPiece): boolean {
    const { view, at } = this
    if (at + length > view.byteLength) return false
    const last = words.length - 1
    for (let word = 0; word < last; word++) if (view.getInt32(at + word * 4, true) !== words[word]) return false
    if (view.getInt32(at + length - 4, true) !== words[last]) return false
    this.at = at + length
    return true
  }

  /** Goes over two braces that close objects, if they stand here together. */
  skipBraces(): boolean {
    const { bytes, at } = this
    if (bytes[at] !== CLOSE_OBJECT || bytes[at + 1] !== CLOSE_OBJECT) return false
    this.at += 2
    return true
  }

  /** Goes over the colon behind a key, to its value. */
  skipColon(): void {
    if (this.peek() !== COLON) throw this.unexpected()
    this.at++
  }

  /** Goes into a list. @throws Mistake when the value is none. */
  openList(): void {
    if (this.peek() !== OPEN_LIST) throw this.mistake('must be a list')
    this.open()
  }

  /** Goes to the next item of the list, `first` or behind another; out of the list when there is none. */
  nextItem(first: boolean): boolean {
    const byte = this.peek()
    if (byte === CLOSE_LIST) return this.close()
    if (first) return true
    if (byte !== COMMA) throw this.unexpected()
    this.at++
    return true
  }

  /** Goes over `null`; `false` when the value is another. */
  skipNull(): boolean {
    return this.peek() === 0x6e && this.skipWord('null')
  }

  /** Reads `true` or `false`. @throws Mistake when the value is another. */
  boolean(): boolean {
    const byte = this.peek()
    if (byte === 0x74) return this.skipWord('true')
    if (byte === 0x66) return !this.skipWord('false')
    throw this.mistake('must be true or false')
  }

  /** Reads a text. @throws Mistake when the value is none. */
  string(): string {
    if (this.peek() !== QUOTE) throw this.mistake('must be a text')
    const start = this.at
    const escaped = this.skipString()
    const { bytes, at } = this
    return escaped
      ? (JSON.parse(bytes.toString('utf8', start, at)) as string)
      : bytes.toString('utf8', start + 1, at - 1)
  }

  /** Goes over the quote that begins a text. @throws Mistake when the value is none */
  openText(): void {
    if (this.peek() !== QUOTE) throw this.mistake('must be a text')
    this.at++
  }

  /**
   * Writes the text whose quote was just read to `to`, which has room for as many bytes as are left here, from `start`.
   * Returns where it ends.
   */
  copyText(to: Buffer, start: number): number {
    const { bytes } = this
    let end = start
    for (let at = this.at; bytes[at] >= SPACE && bytes[at] !== BACKSLASH; at++) {
      if (bytes[at] === QUOTE) {
        this.at = at + 1
        return end
      }
      to[end++] = bytes[at]
    }
    this.at--
    return start + to.write(this.string(), start)
  }

  /** Goes over a value of any kind. */
  skipValue(): void {
    switch (this.peek()) {
      case QUOTE:
        this.skipString()
        break
      case OPEN_OBJECT:
        this.open()
        for (let first = true; this.nextMember(first); first = false) {
          this.skipString()
          this.skipColon()
          this.skipValue()
        }
        break
      case OPEN_LIST:
        this.open()
        for (let first = true; this.nextItem(first); first = false) this.skipValue()
        break
      case 0x74:
        this.skipWord('true')
        break
      case 0x66:
        this.skipWord('false')
        break
      case 0x6e:
        this.skipWord('null')
        break
      default:
        this.skipNumber()
    }
  }

  /** Goes over the number that begins here. */
  skipNumber(): void {
    const { bytes } = this
    if (bytes[this.at] === MINUS) this.at++
    if (bytes[this.at] === ZERO) this.at++
    else this.skipDigits()
    if (bytes[this.at] === POINT) {
      this.at++
      this.skipDigits()
    }
    if ((bytes[this.at] | 0x20) === 0x65) {
      this.at++ // e or E
      if (bytes[this.at] === MINUS || bytes[this.at] === 0x2b) this.at++
      this.skipDigits()
    }
  }

  /** The error of a value of another kind than OTLP wants; of what begins no value at all, that of a text that is not JSON. */
  mistake(message: string): Error {
    return VALUES.has(this.peek()) ? new Mistake(message) : this.unexpected()
  }

  unexpected(): MalformedError {
    const { bytes, at } = this
    if (at >= bytes.length) return new MalformedError('is not JSON: Unexpected end')
    const [character] = bytes.toString('utf8', at, at + 4)
    return new MalformedError(`is not JSON: Unexpected ${JSON.stringify(character)} at byte ${at}`)
  }

  private open(): void {
    if (++this.depth > MAX_DEPTH) throw new MalformedError(`byte ${this.at}: is nested more than ${MAX_DEPTH} deep`)
    this.at++
  }

  private close(): false {
    this.depth--
    this.at++
    return false
  }

  private skipWord(word: string): true {
    for (let index = 0; index < word.length; index++, this.at++) {
      if (this.bytes[this.at] !== word.charCodeAt(index)) throw this.unexpected()
    }
    return true
  }

  private skipDigits(): void {
    const { bytes } = this
    const start = this.at
    while (isDigit(bytes[this.at])) this.at++
    if (this.at === start) throw this.unexpected()
  }

  /** Goes over the string that begins here. Returns whether there are escapes in it. */
  private skipString(): boolean {
    const { bytes } = this
    let escaped = false
    for (this.at++; bytes[this.at] !== QUOTE; this.at++) {
      if (bytes[this.at] === BACKSLASH) {
        escaped = true
        this.at++
        this.skipEscape()
      } else if (!(bytes[this.at] >= SPACE)) throw this.unexpected()
    }
    this.at++
    return escaped
  }

  /** Goes over what follows a backslash, but for its last character. */
  private skipEscape(): void {
    const { bytes } = this
    if (!ESCAPES.has(bytes[this.at])) throw this.unexpected()
    if (bytes[this.at] !== 0x75) return
    for (let digit = 0; digit < 4; digit++) {
      this.at++
      if (!HEX_DIGITS.has(bytes[this.at])) throw this.unexpected()
    }
  }
}

const bytesOf = (text: string): ReadonlySet<number | undefined> => new Set(Buffer.from(text))
/** What a value begins with, what may follow a backslash, and what stands for a code unit behind `\\u`. */
const VALUES = bytesOf('"{[-0123456789tfn')
const ESCAPES = bytesOf('"\\/bfnrtu')
const HEX_DIGITS = bytesOf('0123456789abcdefABCDEF')

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09
}

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39
}
