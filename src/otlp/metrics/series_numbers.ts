import { doubled } from '../wire/bytes_index.ts'

/**
 * The series of a metric's points, in their order, by numbers that `of` identifies: while `of` is the same, equal
 * numbers are the same series. Code that knows a number need not compare the bytes of the point. Pays for the benchmark
 * rows "OTLP to Datadog".
 */
export interface SeriesNumbers {
  readonly of: object
  readonly numbers: Int32Array
  /** The first number of the metric. */
  readonly start: number
}

interface Own {
  readonly of: object | undefined
  /** Each plus one, so that 0 means none. */
  numbers: Int32Array
}

/** The owner's names for series, by the numbers of another index. */
export class Renumbering {
  #all = new WeakMap<object, Own>()
  #current: Own = { of: undefined, numbers: new Int32Array(0) }

  /** Switches to the numbers that `of` identifies. */
  begin(of: object): void {
    if (this.#current.of === of) return
    this.#current = this.#all.get(of) ?? { of, numbers: new Int32Array(64) }
    this.#all.set(of, this.#current)
  }

  /** The owner's number for another's; -1 if none was set. */
  get(number: number): number {
    const { numbers } = this.#current
    return number < numbers.length ? numbers[number] - 1 : -1
  }

  set(number: number, own: number): void {
    const current = this.#current
    while (number >= current.numbers.length) current.numbers = doubled(current.numbers)
    current.numbers[number] = own + 1
  }

  clear(): void {
    this.#all = new WeakMap()
    this.#current = { of: undefined, numbers: new Int32Array(0) }
  }
}
