import type { Clock } from '../../time/clock.ts'

/** Attributes of a resource, scope or point that take more bytes than this are not remembered. */
export const MAX_ATTRIBUTES = 16_384

/** Instead of a number: the attributes, or a name, are too large to be remembered. */
export const TOO_LARGE = -2
/** Instead of a number: too much is remembered already. */
export const NO_ROOM = -3

/** Intervals of its own that a series has to miss before it may be forgotten for another, plus a half for late points. */
export const MISSED_INTERVALS = 3.5
/** Milliseconds that stand for the interval of a series that occurred only once. */
export const UNKNOWN_INTERVAL = 300_000

/**
 * The interval of a series that occurred again after `gap`. It falls slowly, so that it is about the longest of the
 * recent ones: after an outage much data comes at once, and requests that share a series take turns.
 */
export function nextInterval(interval: number, gap: number): number {
  return Math.max(gap, interval - (interval >> 6))
}

/** Which numbers are the oldest `part` of all, by their ages; those with ages below 0 never are. */
export function oldestOf(ages: Int32Array, part: number): Uint8Array {
  const isOld = new Uint8Array(ages.length)
  const sorted = ages.filter((age) => age >= 0).sort()
  let left = Math.ceil(sorted.length * part)
  const limit = sorted[sorted.length - left] ?? Infinity
  ages.forEach((age, number) => {
    if (age <= limit) return
    isOld[number] = 1
    left -= 1
  })
  ages.forEach((age, number) => {
    if (age === limit && left-- > 0) isOld[number] = 1
  })
  return isOld
}

/** The largest part of the time that may go into the search for data to forget. */
const LOOKING = 0.01

/** A memory that lasts from batch to batch. */
export interface Memory {
  /**
   * Never called within a batch. Forgets everything that missed three of its own intervals, and then `part`, from 0 to
   * 1, of the rest: the least recently used.
   */
  shrink(part: number): void
}

/** Data that is remembered to save time. It has a limit of its own. */
export interface Cache {
  clear(): void
}

/**
 * Counts the bytes of the memories that share a limit. Only additions and removals are counted, so known data costs
 * nothing; each memory also estimates what it takes in arrays and objects.
 */
export class RememberedBytes {
  readonly memories = new Set<Memory>()
  readonly #caches = new Set<WeakRef<Cache>>()
  limit = Infinity
  #used = 0
  #isFull = false
  /** The time from which the search for data to forget may run again. */
  #next = -Infinity

  get used(): number {
    return this.#used
  }

  /** Whether something new of this many bytes may be remembered. */
  hasRoom(bytes: number): boolean {
    if (this.#used + bytes <= this.limit) return true
    this.#isFull = true
    return false
  }

  /** A limit other than the one in bytes is reached. */
  isFull(): void {
    this.#isFull = true
  }

  /** Counts bytes that are remembered from now on; negative: that were forgotten. */
  add(bytes: number): void {
    this.#used += bytes
  }

  /** Clears the cache when memory is short, for as long as its owner lives. */
  addCache(cache: Cache): void {
    this.#caches.add(new WeakRef(cache))
  }

  /** To be called between batches: if something found no room, forgets what may be forgotten. */
  makeRoom(clock: Clock): void {
    if (!this.#isFull) return
    const begin = clock.monotonic()
    if (begin < this.#next) return
    this.#isFull = false
    for (const memory of this.memories) memory.shrink(0)
    const end = clock.monotonic()
    this.#next = end + (end - begin) * (1 / LOOKING - 1)
  }

  /** To be called between batches where memory is short: clears all caches and shrinks all memories. */
  shrink(part: number): void {
    for (const reference of this.#caches) {
      const cache = reference.deref()
      if (cache === undefined) this.#caches.delete(reference)
      else cache.clear()
    }
    for (const memory of this.memories) memory.shrink(part)
  }
}

/** The memories of this process. */
export const rememberedBytes = new RememberedBytes()
