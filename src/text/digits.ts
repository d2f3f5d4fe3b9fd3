const ZERO = 0x30
const MINUS = 0x2d
const BILLION = 1e9

/** Writes a finite number as `JSON.stringify` does, without making a text of a whole one. Returns where it ends. */
export function writeNumber(out: Uint8Array, at: number, value: number): number {
  let end = at
  if (Number.isSafeInteger(value)) {
    if (value < 0) out[end++] = MINUS
    return writeDigits(out, end, Math.abs(value))
  }
  const text = String(value)
  for (let index = 0; index < text.length; index++) out[end++] = text.charCodeAt(index)
  return end
}

/** Writes a whole number from 0 to 2^53 - 1; returns where it ends. */
export function writeDigits(out: Uint8Array, at: number, value: number): number {
  let width = 1
  for (let limit = 10; limit <= value; limit *= 10) width++
  if (width <= 9) return writePadded(out, at, value, width)
  return writePadded(out, writePadded(out, at, Math.floor(value / BILLION), width - 9), value % BILLION, 9)
}

/** Writes a whole number in `width` digits, 9 at most, with zeros in front; returns where it ends. */
export function writePadded(out: Uint8Array, at: number, value: number, width: number): number {
  let rest = value | 0
  for (let place = at + width - 1; place >= at; place--) {
    const tenth = (rest / 10) | 0
    out[place] = ZERO + rest - tenth * 10
    rest = tenth
  }
  return at + width
}
