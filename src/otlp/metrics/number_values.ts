/** A number as a data point holds it: an int (a bigint beyond 2^53) or a double. */
export interface NumberValue {
  readonly value: number | bigint | undefined
  readonly isInt: boolean
}

/** The number in a form that a data point can hold: an int beyond int64 becomes a double. */
export function storable({ value, isInt }: NumberValue): NumberValue {
  if (typeof value !== 'bigint') return { value, isInt }
  const double = Number(value)
  if (BigInt.asIntN(64, value) !== value) return { value: double, isInt: false }
  return { value: Number.isSafeInteger(double) ? double : value, isInt }
}

/** `left + right`: exact, and an int, if both are ints and int64 holds the result. */
export function addValues(left: NumberValue, right: NumberValue): NumberValue {
  return subtractValues(left, { value: -(right.value ?? 0), isInt: right.isInt })
}

/** `left - right`: exact, and an int, if both are ints and int64 holds the result. */
export function subtractValues(left: NumberValue, right: NumberValue): NumberValue {
  if (left.isInt && right.isInt) {
    return storable({ value: subtractInts(left.value ?? 0, right.value ?? 0), isInt: true })
  }
  return { value: Number(left.value ?? 0) - Number(right.value ?? 0), isInt: false }
}

/** The exact sum of ints of any size. */
export function addInts(left: number | bigint, right: number | bigint): number | bigint {
  return subtractInts(left, -right)
}

/** The exact difference of ints of any size. */
export function subtractInts(left: number | bigint, right: number | bigint): number | bigint {
  if (typeof left === 'number' && typeof right === 'number') {
    const value = left - right
    if (Number.isSafeInteger(value)) return value
  }
  const exact = BigInt(left) - BigInt(right)
  const value = Number(exact)
  return Number.isSafeInteger(value) ? value : exact
}
