import { setImmediate } from 'node:timers/promises'
import { systemClock } from './clock.ts'

/** The number of data points from which other work should have a turn before and in between. */
export const LONG = 5_000

/** Milliseconds of one turn; divided work stops at the next opportunity after that. */
const TURN = 25

let last = Promise.resolve()

/** Resolves in a turn of the event loop that earlier callers do not use: for work that takes long. */
export function ownTurn(): Promise<void> {
  return (last = last.then(() => setImmediate()))
}

/**
 * Work (docs/decisions/0203-turns.md) that may be interrupted wherever it yields, which it does at least every few
 * milliseconds, and that ends with a result.
 */
export type Divided<T> = Generator<void, T>

/** Does all of the work in the current turn. */
export function atOnce<T>(work: Divided<T>): T {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** Does the work in turns of its own. Code that needs it done earlier, because it changes the input of the work, calls `finish`. */
export class InTurns<T> {
  readonly result: Promise<T>
  #finished: { readonly get: () => T } | undefined

  constructor(private readonly work: Divided<T>) {
    this.result = this.#run()
  }

  /** Does the rest of the work now. Never throws: `result` rejects. */
  finish(): void {
    if (this.#finished === undefined) this.#doFor(Infinity)
  }

  async #run(): Promise<T> {
    for (;;) {
      await ownTurn()
      if (this.#finished === undefined) this.#doFor(TURN)
      if (this.#finished !== undefined) return this.#finished.get()
    }
  }

  /** Works for this many milliseconds, or to the end. */
  #doFor(milliseconds: number): void {
    const begun = systemClock.monotonic()
    try {
      do {
        const { done, value } = this.work.next()
        if (!done) continue
        this.#finished = { get: () => value }
        return
      } while (systemClock.monotonic() - begun < milliseconds)
    } catch (error) {
      this.#finished = {
        get: () => {
          throw error
        },
      }
    }
  }
}

/** Milliseconds in turns of its own after which work is considered endless. Work on a batch takes a second or two. */
const ENDLESS = 60_000

/**
 * The work of somebody else's generator, which is left for good when it does not end.
 * @throws what the generator throws, or an Error that says so
 */
export function* limited<T>(work: Divided<T>): Divided<T> {
  for (let worked = 0; worked < ENDLESS;) {
    const begun = systemClock.monotonic()
    const { done, value } = work.next()
    if (done) return value
    worked += systemClock.monotonic() - begun
    yield
  }
  // It may go on, but nobody asks it any more.
  work.return(undefined as T)
  throw new Error(`the work on one batch must end: its generator has yielded for ${ENDLESS / 1000} s and not returned`)
}
