import type { Clock } from '../../time/clock.ts'

/** Attributes of a resource, scope or point that take more bytes than this are not remembered. */
export const MAX_ATTRIBUTES = 16_384

/** Instead of a number: the attributes, or a name, are too large to be remembered. */
export const TOO_LARGE = -2
/** Instead of a number: too much is remembered already. */
export const NO_ROOM = -3

/** Intervals of its own that a series has to miss before it may be forgotten for another, and half of one for what comes late. */
export const MISSED_INTERVALS = 3.5
/** Milliseconds that stand for the interval of a series that came only once. */
export const UNKNOWN_INTERVAL = 300_000

/**
 * The interval of a series that came again after `gap`. It falls slowly, so that it is about the longest of the last: after an outage much
 * comes at once, and requests that share a series come in turns.
 */
export function nextInterval(interval: number, gap: number): number {
  return Math.max(gap, interval - (interval >> 6))
}

/** Which numbers, by the ages that they have here, are the oldest `part` of all; of ages less than 0 none is. */
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

/** The largest part of the time that may go into looking for what can be forgotten. */
const LOOKING = 0.01

/** What is remembered from batch to batch. */
export interface Memory {
  /**
   * Never called within a batch. Forgets what missed three of its own intervals, and, from 0 to 1, `part` of what is left: what
   * came longest ago.
   */
  shrink(part: number): void
}

/** What is remembered to save time. It has a bound of its own. */
export interface Cache {
  clear(): void
}

/**
 * Counts the bytes that memories take which share a limit. Only what is new or forgotten is counted, so that what is known costs
 * nothing; each counts what it takes in arrays and objects as well, as far as one can tell.
 */
export class RememberedBytes {
  readonly memories = new Set<Memory>()
  readonly #caches = new Set<WeakRef<Cache>>()
  limit = Infinity
  #used = 0
  #isFull = false
  /** When it may be looked again for what can be forgotten. */
  #next = -Infinity

  get used(): number {
    return this.#used
  }

  /** Whether something new that takes so many bytes may be remembered. */
  hasRoom(bytes: number): boolean {
    if (this.#used + bytes <= this.limit) return true
    this.#isFull = true
    return false
  }

  /** Another limit than that in bytes is reached. */
  isFull(): void {
    this.#isFull = true
  }

  /** Counts bytes that are remembered from now on; with a minus, that were forgotten. */
  add(bytes: number): void {
    this.#used += bytes
  }

  /** Clears the cache where memory is short, as long as there is someone who uses it. */
  addCache(cache: Cache): void {
    this.#caches.add(new WeakRef(cache))
  }

  /** To be called between batches: where something found no room, forgets what may be. */
  makeRoom(clock: Clock): void {
    const begin = clock.monotonic()
    if (!this.#isFull || begin < this.#next) return
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

/** Those of this process. */
export const rememberedBytes = new RememberedBytes()
