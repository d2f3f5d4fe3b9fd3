import { setMaxListeners } from 'node:events'
import { Linked, LinkedList } from '../../linked_list.ts'

export const nothing = (): void => undefined

/** One attempt after the other: to make a signal for each would take as long as the rest of a small one. */
export class Attempt extends Linked<Attempt> {
  readonly controller = new AbortController()
  /** How often it is made. */
  times = 0
  stop = nothing

  constructor() {
    super()
    setMaxListeners(0, this.controller.signal)
  }
}

/** How far the stop of a delivery has come: batches that are on disk are tried once more after `leave`, none is after `abort`. */
export class Stop {
  readonly #leave = new AbortController()
  readonly #abort = new AbortController()
  /** Those under way. Together, because a listener of a signal for each costs more than the attempt. */
  readonly attempts = new LinkedList<Attempt>()

  constructor() {
    // Every consumer listens while it sends or waits.
    setMaxListeners(0, this.leave, this.abort)
  }

  get leave(): AbortSignal {
    return this.#leave.signal
  }

  get abort(): AbortSignal {
    return this.#abort.signal
  }

  /** Nothing more is taken, and what is on disk may stay there. */
  begin(): void {
    this.#leave.abort()
  }

  /** Nothing more is sent. */
  end(): void {
    this.#abort.abort()
    for (const attempt of this.attempts) attempt.stop()
  }
}
