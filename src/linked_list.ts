/** What a list can hold, with its place in it. */
export abstract class Linked<Item> {
  older: Item | undefined = undefined
  newer: Item | undefined = undefined
  isIn = false
}

/**
 * Items in the order in which they were added, of which each can be taken out. For what comes and goes with every request: of a
 * Set or Map that it goes through, the tables left behind keep what was in them until the next full garbage collection.
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

  /** Does nothing when it is out already. */
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

  /** From the oldest on. The one in hand may be taken out, no other. */
  *[Symbol.iterator](): Iterator<Item> {
    for (let item = this.#oldest; item !== undefined;) {
      const { newer } = item
      yield item
      item = newer
    }
  }
}
