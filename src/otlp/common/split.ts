import type { ItemBatch } from './batch.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import { itemsIn } from './item_kind.ts'
import type { Item } from './item_kind.ts'

type Scopes = ScopeEntry<Item>

/** Cuts a batch into batches of at most `maxItems`, in order; returns the batch itself if it is small enough. */
export function splitBatch<B extends ItemBatch>(batch: B, maxItems: number): readonly B[] {
  if (batch.itemCount <= maxItems) return [batch]
  const { kind } = batch
  const batches: B[] = []
  let resources: ResourceEntry<Scopes>[] = []
  let room = maxItems
  const closeBatch = (): void => {
    batches.push(batch.withResources(resources, maxItems - room))
    resources = []
    room = maxItems
  }
  for (const resource of batch.resources) {
    const own = itemsIn(resource, kind)
    if (room === 0 && own > 0) closeBatch()
    if (own <= room) {
      resources.push(resource)
      room -= own
      continue
    }
    let scopes: Scopes[] = []
    const closeResource = (): void => {
      if (scopes.length > 0) resources.push(resource.withScopes(scopes))
      scopes = []
    }
    for (const scope of resource.scopes) {
      let items: Item[] = []
      const closeScope = (): void => {
        if (items.length > 0) scopes.push(scope.withItems(items))
        items = []
      }
      for (const item of scope.items) {
        const count = kind.countOf(item)
        for (let start = 0; start < count;) {
          if (room === 0) {
            closeScope()
            closeResource()
            closeBatch()
          }
          const end = Math.min(start + room, count)
          items.push(end - start === count ? item : kind.cut(item, start, end))
          room -= end - start
          start = end
        }
      }
      closeScope()
    }
    closeResource()
  }
  closeBatch()
  return batches
}
