/*
 * The parts of protobuf's wire format: wire types and varints. A loop that cannot spare the call has its own copy, which names
 * its twin here and the benchmark row that needs it. Source: https://protobuf.dev/programming-guides/encoding/.
 */

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH_DELIMITED = 2
export const FIXED32 = 5

/** The bytes of a varint at most. */
export const MAX_VARINT = 10

/** The bytes of a whole number from 0 to 2^53 - 1 as a varint. */
export function varintLength(value: number): number {
  if (value < 128) return 1
  if (value < 16_384) return 2
  let length = 3
  for (let limit = 2_097_152; value >= limit; limit *= 128) length++
  return length
}

/** Writes a whole number from 0 to 2^53 - 1 at `at`; returns where it ends. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  if (value < 128) {
    out[at] = value
    return at + 1
  }
  let end = at
  let rest = value
  // `>>` takes 31 bits.
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) out[end++] = (rest % 128) | 128
  for (; rest > 127; rest >>= 7) out[end++] = (rest & 127) | 128
  out[end++] = rest
  return end
}

/** Writes a whole number from 0 to 2^53 - 1 that ends at `end`; returns where it begins. */
export function writeVarintBefore(out: Uint8Array, end: number, value: number): number {
  if (value < 128) {
    out[end - 1] = value
    return end - 1
  }
  if (value < 16_384) {
    out[end - 1] = value >> 7
    out[end - 2] = (value & 127) | 128
    return end - 2
  }
  const start = end - varintLength(value)
  writeVarint(out, start, value)
  return start
}

/** The end of the varint at `at`. */
export function varintEnd(bytes: Uint8Array, at: number): number {
  let end = at
  while (bytes[end++] > 127);
  return end
}

/** The end of the field whose length stands at `at`. */
export function fieldEnd(bytes: Uint8Array, at: number): number {
  let length = bytes[at] & 127
  for (let shift = 7; bytes[at++] > 127; shift += 7) length |= (bytes[at] & 127) << shift
  return at + length
}

/** The number that `readVarint` read last, as two unsigned halves: a result of its own would be an object for each number. */
export const lastVarint = { low: 0, high: 0 }

/** Reads the varint of up to 64 bits at `at` into `lastVarint`; returns where it ends. */
export function readVarint(bytes: Uint8Array, at: number): number {
  let end = at
  let low = 0
  let high = 0
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = bytes[end++]
    const part = byte & 127
    if (shift < 28) low |= part << shift
    else if (shift === 28) {
      low |= part << 28
      high = part >>> 4
    } else high |= part << (shift - 32)
    if (byte < 128) break
  }
  lastVarint.low = low >>> 0
  lastVarint.high = high >>> 0
  return end
}
