/** A field with an invalid value. */
export class MalformedField extends Error {
  override readonly name = 'MalformedField'
}

/**
 * A whole number from 0 times `factor`: a number if that is exact, otherwise a bigint. OTLP's ints hold 63 bits of a
 * 64-bit counter; beyond them it begins again at 0, like any counter that wraps.
 * @throws MalformedField
 */
export function whole(text: string | undefined, factor = 1): number | bigint {
  if (text === undefined || !/^\d+$/.test(text)) throw new MalformedField(`"${text}" is not a whole number`)
  const value = Number(text) * factor
  return Number.isSafeInteger(value) ? value : BigInt.asUintN(63, BigInt(text) * BigInt(factor))
}

/** The largest int of OTLP. */
const MAX_INT = 2n ** 63n - 1n

/** The int of OTLP for an amount from 0: the nearest one, or the largest one if the amount is beyond it. */
export function toInt(amount: number | bigint): number | bigint {
  const nearest = typeof amount === 'number' ? Math.round(amount) : amount
  if (Number.isSafeInteger(Number(nearest))) return Number(nearest)
  return nearest < MAX_INT ? BigInt(nearest) : MAX_INT
}

/** A finite number from 0. @throws MalformedField */
export function decimal(text: string | undefined): number {
  if (text === undefined || !/^\d+(\.\d+)?$/.test(text)) throw new MalformedField(`"${text}" is not a number`)
  return Number(text)
}
