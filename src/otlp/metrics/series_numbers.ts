import { doubled } from '../wire/bytes_index.ts'

/**
 * Which series the points of a metric are, in their order, by numbers that `of` stands for: where it is the same, a number is
 * the same series. Who has met a number before need not compare the bytes of the point. Pays for the benchmark rows "OTLP to Datadog".
 */
export interface SeriesNumbers {
  readonly of: object
  readonly numbers: Int32Array
  /** Where those of the metric begin. */
  readonly start: number
}

interface Own {
  readonly of: object | undefined
  /** Each plus one, so that 0 is none. */
  numbers: Int32Array
}

/** What series are called here, by the numbers that somebody else gave them. */
export class Renumbering {
  #all = new WeakMap<object, Own>()
  #current: Own = { of: undefined, numbers: new Int32Array(0) }

  /** Goes to the numbers that `of` stands for. */
  begin(of: object): void {
    if (this.#current.of === of) return
    this.#current = this.#all.get(of) ?? { of, numbers: new Int32Array(64) }
    this.#all.set(of, this.#current)
  }

  /** The own number for another's; -1 when none was set. */
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
