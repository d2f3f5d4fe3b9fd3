import { isUtf8 } from 'node:buffer'
import { MalformedError } from '../wire/check.ts'

/** The deepest nesting of objects and lists; OTLP itself ends at 100 messages. */
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

/** A well-formed value of another kind than OTLP requires, with the path to it, which grows on the way out. */
export class Mistake extends Error {
  path = ''

  /** The same mistake, seen from outside of `place`: a key or an index in brackets. */
  within(place: string): this {
    this.path = this.path === '' || this.path.startsWith('[') ? place + this.path : `${place}.${this.path}`
    return this
  }
}

/** A piece of JSON text, as 32-bit words to compare at once; the last word may overlap the one before it. */
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
 * A JSON text in UTF-8, read once from front to back. It accepts exactly the texts that `JSON.parse` accepts, to a
 * depth of `MAX_DEPTH`; for any other it throws a `MalformedError` that names the byte where the text stops being JSON.
 * Source: RFC 8259.
 */
export class JsonText {
  /** The current position. */
  at = 0
  readonly bytes: Buffer
  private readonly view: DataView
  private depth = 0

  constructor(bytes: Uint8Array) {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    // Invalid UTF-8 becomes U+FFFD, as everywhere in JavaScript.
    this.bytes = isUtf8(bytes) ? buffer : Buffer.from(buffer.toString())
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  }

  /** Bytes that are left to read. */
  get left(): number {
    return this.bytes.length - this.at
  }

  /** Moves to the next token. Returns its first byte; `undefined` at the end. */
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

  /** Enters an object. @throws Mistake if the value is not one */
  openObject(): void {
    if (this.peek() !== OPEN_OBJECT) throw this.mistake('must be an object')
    this.open()
  }

  /** Moves to the next member of the object, the `first` or another one; leaves the object if there is none. */
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

  /** Skips a piece of text if exactly these bytes are here, without other spaces or escapes. */
  skip({ length, words }: JsonPiece): boolean {
    const { view, at } = this
    if (at + length > view.byteLength) return false
    const last = words.length - 1
    for (let word = 0; word < last; word++) if (view.getInt32(at + word * 4, true) !== words[word]) return false
    if (view.getInt32(at + length - 4, true) !== words[last]) return false
    this.at = at + length
    return true
  }

  /** Skips two braces that close objects, if they are here together. */
  skipBraces(): boolean {
    const { bytes, at } = this
    if (bytes[at] !== CLOSE_OBJECT || bytes[at + 1] !== CLOSE_OBJECT) return false
    this.at += 2
    return true
  }

  /** Skips the colon after a key, to its value. */
  skipColon(): void {
    if (this.peek() !== COLON) throw this.unexpected()
    this.at++
  }

  /** Enters a list. @throws Mistake if the value is not one */
  openList(): void {
    if (this.peek() !== OPEN_LIST) throw this.mistake('must be a list')
    this.open()
  }

  /** Moves to the next item of the list, the `first` or another one; leaves the list if there is none. */
  nextItem(first: boolean): boolean {
    const byte = this.peek()
    if (byte === CLOSE_LIST) return this.close()
    if (first) return true
    if (byte !== COMMA) throw this.unexpected()
    this.at++
    return true
  }

  /** Skips `null`; `false` if the value is another. */
  skipNull(): boolean {
    return this.peek() === 0x6e && this.skipWord('null')
  }

  /** Reads `true` or `false`. @throws Mistake if the value is another */
  boolean(): boolean {
    const byte = this.peek()
    if (byte === 0x74) return this.skipWord('true')
    if (byte === 0x66) return !this.skipWord('false')
    throw this.mistake('must be true or false')
  }

  /** Reads a text. @throws Mistake if the value is not one */
  string(): string {
    if (this.peek() !== QUOTE) throw this.mistake('must be a text')
    const start = this.at
    const escaped = this.skipString()
    const { bytes, at } = this
    return escaped
      ? (JSON.parse(bytes.toString('utf8', start, at)) as string)
      : bytes.toString('utf8', start + 1, at - 1)
  }

  /** Skips the quote that begins a text. @throws Mistake if the value is not one */
  openText(): void {
    if (this.peek() !== QUOTE) throw this.mistake('must be a text')
    this.at++
  }

  /**
   * Writes the text whose quote was just read to `to`, from `start`; it has room for as many bytes as are left to read.
   * Returns the end.
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

  /** Skips a value of any kind. */
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

  /** Skips the number that begins here. */
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

  /** The error for a value of another kind than OTLP requires or, if no value begins here, for text that is not JSON. */
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

  /** Skips the string that begins here. Returns whether it has escapes. */
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

  /** Skips the characters after a backslash, except the last one. */
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
/** The first bytes of values, the characters allowed after a backslash, and those of a code unit after `\\u`. */
const VALUES = bytesOf('"{[-0123456789tfn')
const ESCAPES = bytesOf('"\\/bfnrtu')
const HEX_DIGITS = bytesOf('0123456789abcdefABCDEF')

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09
}

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39
}
