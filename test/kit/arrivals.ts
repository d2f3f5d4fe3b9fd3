/** What has arrived at a server of a test, in order, with a promise for the one that is still to come. */
export class Arrivals<T> {
  readonly all: T[] = []
  #waiting: { count: number; resolve: () => void }[] = []

  add(item: T): void {
    this.all.push(item)
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.all.length >= count) resolve()
      return this.all.length < count
    })
  }

  /** Resolves when `count` have arrived in all. */
  reached(count: number): Promise<void> {
    if (this.all.length >= count) return Promise.resolve()
    return new Promise((resolve) => void this.#waiting.push({ count, resolve }))
  }
}
