import type { ItemBatch } from './batch.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import type { Item } from './item_kind.ts'

/** Cuts a batch into batches of at most `maxItems`, in order; returns the batch itself if it is small enough. */
export function splitBatch<B extends ItemBatch>(batch: B, maxItems: number): readonly B[] {
  if (batch.itemCount <= maxItems) return [batch]
  const { kind } = batch
  const parts: ResourceEntry<ScopeEntry<Item>>[][] = [[]]
  let room = maxItems
  let filled: ResourceEntry | undefined
  /** Scopes of one resource stay together. */
  const fill = (part: ResourceEntry[], resource: ResourceEntry, scope: ScopeEntry): void => {
    const last = filled === resource ? part.pop() : undefined
    part.push(resource.withScopes([...(last?.scopes ?? []), scope]))
    filled = resource
  }
  for (const resource of batch.resources) {
    for (const scope of resource.scopes) {
      let items: Item[] = []
      const close = (): void => {
        if (items.length > 0) fill(parts[parts.length - 1], resource, scope.withItems(items))
        items = []
      }
      for (const item of scope.items) {
        const count = kind.countOf(item)
        for (let start = 0; start < count;) {
          if (room === 0) {
            close()
            parts.push([])
            room = maxItems
          }
          const end = Math.min(start + room, count)
          items.push(end - start === count ? item : kind.cut(item, start, end))
          room -= end - start
          start = end
        }
      }
      close()
    }
  }
  return parts.map((resources) => batch.withResources(resources))
}
