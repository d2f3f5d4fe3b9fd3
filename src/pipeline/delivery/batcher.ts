import type { Batch, SignalType } from '../../otlp/signal.ts'
import type { Clock, Timer } from '../../time/clock.ts'
import type { Queue, QueueConfig, Taken } from '../queue/queue.ts'

/** Items that are not left to be joined with more, so that to encode them takes little time. */
const MAX_JOINED = 100_000

export interface BatcherOptions {
  readonly queue: Queue
  readonly config: QueueConfig
  readonly type: SignalType
  readonly clock: Clock
  /** Whether requests were made of the batch, which may have arrived: it stays as it is. */
  readonly wasEncoded: (batch: Batch) => boolean
  /** Called when what was left in the queue to grow is to be sent. */
  readonly due: () => void
}

/** Takes batches out of a queue, joined and split as its settings say. */
export class Batcher {
  /** Parts of a batch that was split, and batches to be encoded again, next to be sent. */
  readonly #ready: Taken[] = []
  readonly #queue: Queue
  readonly #type: SignalType
  readonly #clock: Clock
  readonly #wasEncoded: BatcherOptions['wasEncoded']
  readonly #due: () => void
  #config: QueueConfig
  /** Waits until what waits in the queue is sent. */
  #timer: Timer | undefined
  /** When a batch was last taken from the queue, and when what waits there is no longer left to grow; as the monotonic clock has it. */
  #lastTaken = -Infinity
  #flushAt: number | undefined
  /** What waits in the queue is sent now. */
  #flushing = false

  constructor({ queue, config, type, clock, wasEncoded, due }: BatcherOptions) {
    this.#queue = queue
    this.#config = config
    this.#type = type
    this.#clock = clock
    this.#wasEncoded = wasEncoded
    this.#due = due
  }

  configure(config: QueueConfig): void {
    this.#config = config
  }

  /** What was taken out of the queue and is to be sent next. */
  get ready(): readonly Taken[] {
    return this.#ready
  }

  /** Whether nothing is left. */
  get isEmpty(): boolean {
    return this.#ready.length === 0 && this.#queue.length === 0
  }

  /** Makes a batch the next one. */
  putBack(taken: Taken): void {
    this.#ready.unshift(taken)
  }

  /** Takes out what was taken out of the queue, for which `test` holds. */
  takeReady(test: (taken: Taken) => boolean = () => true): Taken[] {
    const all = this.#ready.splice(0)
    this.#ready.push(...all.filter((taken) => !test(taken)))
    return all.filter(test)
  }

  /** From now on, nothing is left to grow. */
  hurry(): void {
    this.#flushing = true
  }

  /** Nothing is left to grow while `act` runs. */
  flush(act: () => void): void {
    const before = this.#flushing
    this.#flushing = true
    act()
    this.#flushing = before
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer)
  }

  /** The next batch that would be lost with the process. */
  nextInMemory(): Taken | undefined {
    const place = this.#ready.findIndex(({ stored }) => !stored)
    return place === -1 ? this.#queue.shiftHeld() : this.#ready.splice(place, 1)[0]
  }

  /** The next batch to send; `undefined` when there is nothing to send yet. */
  next(): Taken | undefined {
    const ready = this.#ready.shift()
    if (ready !== undefined) return ready
    const { batch, join_interval } = this.#config
    const joins = batch !== undefined || join_interval > 0
    if (!joins || this.#queue.items === 0) return this.#queue.shift()
    const wait = this.#waitToGrow()
    this.stop()
    if (wait > 0) {
      this.#timer = this.#clock.setTimeout(() => this.#due(), Math.ceil(wait))
      return undefined
    }
    this.#lastTaken = this.#clock.monotonic()
    this.#flushAt = undefined
    const { min_size = 0, max_size = 0 } = batch ?? {}
    const joined = this.#join(Math.max(min_size, max_size, join_interval > 0 ? MAX_JOINED : 0))
    // What is joined for a destination that keeps one value a second has to be encoded as one.
    if (joined === undefined || max_size === 0 || join_interval > 0) return joined
    const parts = this.#type.split(joined.batch, max_size)
    let left = parts.length
    const done = (): void => {
      if (--left === 0) joined.done()
    }
    this.#ready.unshift(...parts.map((batch) => ({ ...joined, batch, done })))
    return this.#ready.shift()
  }

  /** Milliseconds for which what is in the queue is left there to be joined with more; 0 or less: it is sent now. */
  #waitToGrow(): number {
    if (this.#flushing) return 0
    const { batch, join_interval } = this.#config
    const now = this.#clock.monotonic()
    const { items } = this.#queue
    let until = -Infinity
    if (batch !== undefined && items < batch.min_size) until = this.#flushAt ??= now + batch.flush_timeout
    if (join_interval === 0 || items >= MAX_JOINED) return until - now
    // What has waited for a whole interval is a backlog.
    const { oldest = Infinity } = this.#queue.status()
    if (this.#clock.now() - oldest >= join_interval) return until - now
    return Math.max(until, this.#lastTaken + join_interval) - now
  }

  /** Batches of at least `size` items together, or what there is of them, as one. */
  #join(size: number): Taken | undefined {
    const joined: Taken[] = []
    for (let items = 0; items === 0 || items < size;) {
      const next = this.#queue.shift()
      if (next === undefined) break
      // What is on disk may be left there at the stop, beside the other it could not be. What was encoded may have arrived as it was.
      const wasEncoded = this.#wasEncoded(next.batch)
      if (joined.length > 0 && (wasEncoded || next.stored !== joined[0].stored)) {
        this.#ready.push(next)
        break
      }
      joined.push(next)
      if (wasEncoded) break
      items += next.batch.itemCount
    }
    if (joined.length < 2) return joined[0]
    return {
      batch: this.#type.merge(joined.map(({ batch }) => batch)),
      stored: joined[0].stored,
      since: joined[0].since,
      done: () => joined.forEach(({ done }) => done()),
    }
  }
}
