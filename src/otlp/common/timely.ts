import type { ItemBatch } from './batch.ts'
import { mapSome } from './shared_lists.ts'
import { AFTER, BEFORE, WITHIN } from './time_window.ts'
import type { TimeWindow } from './time_window.ts'

/** Whether everything in the batch is before the window. */
export function isBefore(batch: ItemBatch, window: TimeWindow): boolean {
  return batch.everyItem((item) => batch.kind.placesOf(item, window) === BEFORE)
}

/** The batch without the items outside the window; `dropped` is called with their number. */
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
