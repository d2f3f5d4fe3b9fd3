import { MINUS, Mistake, POINT, QUOTE, ZERO, isDigit } from './text.ts'
import type { JsonText } from './text.ts'

/*
 * Numbers of proto3's JSON mapping: bare or as text, and 64-bit integers exact in either form.
 * Source: https://protobuf.dev/programming-guides/json/.
 */

/** Powers of ten up to the digits that a JavaScript number holds exactly. */
const POWERS = Array.from({ length: 16 }, (_power, exponent) => 10 ** exponent)
const DIGITS = POWERS.length - 1

/** Reads a double. JSON has no NaN and no infinities; proto3 writes them as text. @throws Mistake */
export function readDouble(text: JsonText): number {
  const first = text.peek()
  if (first === QUOTE) return doubleOf(text)
  if (first !== MINUS && !isDigit(first as number)) throw text.mistake('must be a number')

  // A few digits, perhaps with a point: the quotient of two exact integers is rounded correctly.
  const { bytes, at: start } = text
  const negative = first === MINUS
  let at = negative ? start + 1 : start
  const integer = at
  let digits = 0
  let decimals = 0
  for (; isDigit(bytes[at]); at++) digits = digits * 10 + bytes[at] - ZERO
  let exact = at === integer + 1 || (at > integer && bytes[integer] !== ZERO)
  if (bytes[at] === POINT) {
    const decimal = ++at
    for (; isDigit(bytes[at]); at++) digits = digits * 10 + bytes[at] - ZERO
    decimals = at - decimal
    exact &&= decimals > 0
  }
  if (exact && at - integer <= DIGITS && (bytes[at] | 0x20) !== 0x65) {
    text.at = at
    const value = digits / POWERS[decimals]
    return negative ? -value : value
  }

  text.skipNumber()
  return Number(bytes.toString('latin1', start, text.at))
}

function doubleOf(text: JsonText): number {
  const value = text.string()
  if (/^(?:NaN|-?Infinity|-?\d[\d.eE+-]*)$/.test(value)) {
    const number = Number(value)
    if (!Number.isNaN(number) || value === 'NaN') return number
  }
  throw new Mistake('must be a number')
}

/** The range of an integer type, as two bounds and as the two halves of the magnitude of each. */
interface IntegerRange {
  readonly least: bigint
  readonly most: bigint
  readonly below: Halves
  readonly above: Halves
}

/** 64 bits as two unsigned 32-bit numbers. */
interface Halves {
  readonly low: number
  readonly high: number
}

function halves(bits: bigint): Halves {
  return { low: Number(BigInt.asUintN(32, bits)), high: Number(BigInt.asUintN(32, bits >> 32n)) }
}

function range(least: bigint, most: bigint): IntegerRange {
  return { least, most, below: halves(-least), above: halves(most) }
}

export const INT32 = range(-(2n ** 31n), 2n ** 31n - 1n)
export const UINT32 = range(0n, 2n ** 32n - 1n)
export const INT64 = range(-(2n ** 63n), 2n ** 63n - 1n)
export const UINT64 = range(0n, 2n ** 64n - 1n)

const TWO_32 = 2 ** 32
/** Digits are taken six at a time: 32 bits times a million are exact in a JavaScript number. */
const CHUNK = 1e6

/** An integer as its 64 bits, in two's complement; the object is used again, because a request has many numbers. */
export class JsonInteger {
  low = 0
  high = 0

  /** Reads a whole number: as text or bare, also with a zero fraction or an exponent. @throws Mistake */
  read(text: JsonText, range: IntegerRange): void {
    const first = text.peek()
    const quoted = first === QUOTE
    if (!quoted && first !== MINUS && !isDigit(first as number)) throw text.mistake(message(range))

    const { bytes, at: start } = text
    let at = quoted ? start + 1 : start
    const negative = bytes[at] === MINUS
    if (negative) at++
    const digits = at
    let low = 0
    let high = 0
    while (isDigit(bytes[at]) && high < TWO_32) {
      let chunk = 0
      let scale = 1
      for (; scale < CHUNK && isDigit(bytes[at]); at++, scale *= 10) chunk = chunk * 10 + bytes[at] - ZERO
      const product = low * scale + chunk
      low = product >>> 0
      high = high * scale + Math.floor(product / TWO_32)
    }
    const plain = quoted
      ? bytes[at] === QUOTE
      : bytes[at] !== POINT && (bytes[at] | 0x20) !== 0x65 && (bytes[digits] !== ZERO || at === digits + 1)
    if (!plain || at === digits || high >= TWO_32) {
      this.readOther(text, range)
      return
    }
    const limit = negative ? range.below : range.above
    if (high > limit.high || (high === limit.high && low > limit.low)) throw new Mistake(message(range))
    text.at = quoted ? at + 1 : at
    this.low = negative ? -low >>> 0 : low
    this.high = negative ? (~high + (low === 0 ? 1 : 0)) >>> 0 : high
  }

  /** Anything but digits: escaped, with a point or an exponent, too large, or not a number. */
  private readOther(text: JsonText, range: IntegerRange): void {
    let value: string
    if (text.peek() === QUOTE) value = text.string()
    else {
      const start = text.at
      text.skipNumber()
      value = text.bytes.toString('latin1', start, text.at)
    }
    const number = /^-?\d[\d.eE+-]*$/.test(value) ? Number(value) : NaN
    if (!Number.isInteger(number)) throw new Mistake(message(range))
    const integer = /^-?\d{1,32}$/.test(value) ? BigInt(value) : BigInt(number)
    if (integer < range.least || integer > range.most) throw new Mistake(message(range))
    const { low, high } = halves(integer)
    this.low = low
    this.high = high
  }
}

function message({ least, most }: IntegerRange): string {
  return `must be a whole number from ${least} to ${most}, as text or number`
}
