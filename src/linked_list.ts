/** An item of a list, with its position in it. */
export abstract class Linked<Item> {
  older: Item | undefined = undefined
  newer: Item | undefined = undefined
  isIn = false
}

/**
 * Items in the order in which they were added; each can be removed. For items that come and go with every request: a
 * Set or Map leaves tables behind that keep old items alive until the next full garbage collection.
 */
export class LinkedList<Item extends Linked<Item>> {
  #oldest: Item | undefined
  #newest: Item | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get oldest(): Item | undefined {
    return this.#oldest
  }

  add(item: Item): void {
    item.older = this.#newest
    item.isIn = true
    if (this.#newest === undefined) this.#oldest = item
    else this.#newest.newer = item
    this.#newest = item
    this.#size += 1
  }

  /** Does nothing if it was already removed. */
  remove(item: Item): void {
    if (!item.isIn) return
    const { older, newer } = item
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    item.older = item.newer = undefined
    item.isIn = false
    this.#size -= 1
  }

  /** From the oldest on. The current item may be removed, no other. */
  *[Symbol.iterator](): Iterator<Item> {
    for (let item = this.#oldest; item !== undefined;) {
      const { newer } = item
      yield item
      item = newer
    }
  }
}
