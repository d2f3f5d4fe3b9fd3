/** Where items lie: one of the three, or several. */
export const BEFORE = 1
export const WITHIN = 2
export const AFTER = 4

/** From one time to another, inclusive, in nanoseconds since 1970. */
export class TimeWindow {
  /** The upper 32 bits, which decide for almost every time; one of their steps is 4.3 seconds. */
  readonly #fromHigh: number
  readonly #toHigh: number

  constructor(
    private readonly from: bigint,
    private readonly to: bigint,
  ) {
    this.#fromHigh = Number(from >> 32n)
    this.#toHigh = Number(to >> 32n)
  }

  /** Where a time lies. */
  place(time: bigint): number {
    return time < this.from ? BEFORE : time > this.to ? AFTER : WITHIN
  }

  /** Where the time lies whose 64 bits are at `at`. */
  placeAt(view: DataView, at: number): number {
    const high = view.getUint32(at + 4, true)
    return high > this.#fromHigh && high < this.#toHigh ? WITHIN : this.place(view.getBigUint64(at, true))
  }
}
