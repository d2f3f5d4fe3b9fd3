/** A number as a data point holds it: an int (a bigint beyond 2^53) or a double. */
export interface NumberValue {
  readonly value: number | bigint | undefined
  readonly isInt: boolean
}

/** The number as a data point can hold it: an int that int64 does not hold becomes a double. */
export function storable({ value, isInt }: NumberValue): NumberValue {
  if (typeof value !== 'bigint') return { value, isInt }
  const double = Number(value)
  if (BigInt.asIntN(64, value) !== value) return { value: double, isInt: false }
  return { value: Number.isSafeInteger(double) ? double : value, isInt }
}

/** `left + right`: exact, and an int, when both are ints. */
export function addValues(left: NumberValue, right: NumberValue): NumberValue {
  return subtractValues(left, { value: -(right.value ?? 0), isInt: right.isInt })
}

/** `left - right`: exact, and an int, when both are ints. */
export function subtractValues(left: NumberValue, right: NumberValue): NumberValue {
  if (!left.isInt || !right.isInt) return { value: Number(left.value ?? 0) - Number(right.value ?? 0), isInt: false }
  if (typeof left.value === 'number' && typeof right.value === 'number') {
    const value = left.value - right.value
    if (Number.isSafeInteger(value)) return { value, isInt: true }
  }
  const exact = BigInt(left.value ?? 0) - BigInt(right.value ?? 0)
  const value = Number(exact)
  return { value: Number.isSafeInteger(value) ? value : exact, isInt: true }
}

/** `addValues` of ints. */
export function addInts(left: number | bigint, right: number | bigint): number | bigint {
  return addValues({ value: left, isInt: true }, { value: right, isInt: true }).value ?? 0
}

/** `subtractValues` of ints. */
export function subtractInts(left: number | bigint, right: number | bigint): number | bigint {
  return subtractValues({ value: left, isInt: true }, { value: right, isInt: true }).value ?? 0
}
