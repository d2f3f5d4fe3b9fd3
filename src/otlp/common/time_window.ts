import type { ItemBatch } from './batch.ts'
import { mapSome } from './shared_lists.ts'

/** Where items lie: one or several of the three. */
export const BEFORE = 1
export const WITHIN = 2
export const AFTER = 4

/** From one time to another, in nanoseconds since 1970; both belong to it. */
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

  /** Where the time lies whose 64 bits stand at `at`. */
  placeAt(view: DataView, at: number): number {
    const high = view.getUint32(at + 4, true)
    return high > this.#fromHigh && high < this.#toHigh ? WITHIN : this.place(view.getBigUint64(at, true))
  }
}

/** Whether everything in the batch lies before the window. */
export function isBefore(batch: ItemBatch, window: TimeWindow): boolean {
  return batch.everyItem((item) => batch.kind.placesOf(item, window) === BEFORE)
}

/** The batch without what lies outside the window, whose number `dropped` is called with. */
export function within<B extends ItemBatch>(
  batch: B,
  window: TimeWindow,
  dropped: (place: number, count: number) => void,
): B {
  const { kind } = batch
  if (batch.everyItem((item) => (kind.placesOf(item, window) & ~WITHIN) === 0)) return batch
  const counts = { [BEFORE]: 0, [WITHIN]: 0, [AFTER]: 0 }
  const keep = (time: bigint): boolean => {
    const place = window.place(time)
    counts[place as keyof typeof counts] += 1
    return place === WITHIN
  }
  const timely = batch.mapScopes((scope) =>
    scope.withItems(
      mapSome(scope.items, (item) => {
        const places = kind.placesOf(item, window)
        if ((places & ~WITHIN) === 0) return item
        if (places === BEFORE || places === AFTER) {
          counts[places] += kind.countOf(item)
          return undefined
        }
        const left = kind.timely(item, keep)
        return kind.countOf(left) === 0 ? undefined : left
      }),
    ),
  )
  for (const place of [BEFORE, AFTER] as const) if (counts[place] > 0) dropped(place, counts[place])
  return timely
}
