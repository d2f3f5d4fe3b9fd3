import type { Batch, SignalType } from '../../otlp/signal.ts'
import type { Clock, Timer } from '../../time/clock.ts'
import type { Queue, QueueConfig, Taken } from '../queue/queue.ts'

/** A batch of so many items does not wait to be joined with more, so that encoding it stays quick. */
const MAX_JOINED = 100_000

interface BatcherOptions {
  readonly queue: Queue
  readonly config: QueueConfig
  readonly type: SignalType
  readonly clock: Clock
  /** Whether requests were made of the batch and may have arrived: it must not be changed then. */
  readonly wasEncoded: (batch: Batch) => boolean
  /** Called when the batches that were left in the queue to grow are to be sent. */
  readonly due: () => void
}

/** Takes batches out of a queue, joined and split according to its settings. */
export class Batcher {
  /** Parts of a split batch, and batches to be encoded again, which are sent next. */
  readonly #ready: Taken[] = []
  #config: QueueConfig
  /** Waits until the batches left in the queue are sent. */
  #timer: Timer | undefined
  /** When a batch was last taken from the queue, and until when batches there are left to grow, by the monotonic clock. */
  #lastTaken = -Infinity
  #flushAt: number | undefined
  /** The batches in the queue are sent now. */
  #flushing = false

  constructor(private readonly options: BatcherOptions) {
    this.#config = options.config
  }

  configure(config: QueueConfig): void {
    this.#config = config
  }

  /** Batches that were taken out of the queue and are sent next. */
  get ready(): readonly Taken[] {
    return this.#ready
  }

  /** Whether nothing is left. */
  get isEmpty(): boolean {
    return this.#ready.length === 0 && this.options.queue.length === 0
  }

  /** Makes a batch the next one to send. */
  putBack(taken: Taken): void {
    this.#ready.unshift(taken)
  }

  /** Removes the batches taken out of the queue for which `test` is true. */
  takeReady(test: (taken: Taken) => boolean = () => true): Taken[] {
    const all = this.#ready.splice(0)
    this.#ready.push(...all.filter((taken) => !test(taken)))
    return all.filter(test)
  }

  /** From now on, no batch is left to grow. */
  hurry(): void {
    this.#flushing = true
  }

  /** No batch is left to grow while `act` runs. */
  flush(act: () => void): void {
    const before = this.#flushing
    this.#flushing = true
    act()
    this.#flushing = before
  }

  stop(): void {
    this.options.clock.clearTimeout(this.#timer)
  }

  /** The next batch that would be lost with the process. */
  nextInMemory(): Taken | undefined {
    const place = this.#ready.findIndex(({ stored }) => !stored)
    return place === -1 ? this.options.queue.shiftHeld() : this.#ready.splice(place, 1)[0]
  }

  /** The next batch to send; `undefined` if there is none yet. */
  next(): Taken | undefined {
    const ready = this.#ready.shift()
    if (ready !== undefined) return ready
    const { batch, join_interval } = this.#config
    const joins = batch !== undefined || join_interval > 0
    if (!joins || this.options.queue.items === 0) return this.options.queue.shift()
    const wait = this.#waitToGrow()
    this.stop()
    if (wait > 0) {
      this.#timer = this.options.clock.setTimeout(() => this.options.due(), Math.ceil(wait))
      return undefined
    }
    this.#lastTaken = this.options.clock.monotonic()
    this.#flushAt = undefined
    const { min_size = 0, max_size = 0 } = batch ?? {}
    const joined = this.#join(Math.max(min_size, max_size, join_interval > 0 ? MAX_JOINED : 0))
    // Data joined for a destination that keeps one value a second has to be encoded in one piece.
    if (joined === undefined || max_size === 0 || join_interval > 0) return joined
    const parts = this.options.type.split(joined.batch, max_size)
    let left = parts.length
    const done = (): void => {
      if (--left === 0) joined.done()
    }
    this.#ready.unshift(...parts.map((batch) => ({ ...joined, batch, done })))
    return this.#ready.shift()
  }

  /** Milliseconds for which batches stay in the queue to be joined with more; 0 or less: they are sent now. */
  #waitToGrow(): number {
    if (this.#flushing) return 0
    const { batch, join_interval } = this.#config
    const now = this.options.clock.monotonic()
    const { items } = this.options.queue
    let until = -Infinity
    if (batch !== undefined && items < batch.min_size) until = this.#flushAt ??= now + batch.flush_timeout
    if (join_interval === 0 || items >= MAX_JOINED) return until - now
    // A batch that has waited for a whole interval is part of a backlog.
    const { oldest = Infinity } = this.options.queue.status()
    if (this.options.clock.now() - oldest >= join_interval) return until - now
    return Math.max(until, this.#lastTaken + join_interval) - now
  }

  /** Joins batches into one of at least `size` items, or of all items that there are. */
  #join(size: number): Taken | undefined {
    const joined: Taken[] = []
    for (let items = 0; items === 0 || items < size;) {
      const next = this.options.queue.shift()
      if (next === undefined) break
      // Only a batch on disk can be left there at a stop, so the two kinds are not joined. An encoded batch may have arrived as it was.
      const wasEncoded = this.options.wasEncoded(next.batch)
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
      batch: this.options.type.merge(joined.map(({ batch }) => batch)),
      stored: joined[0].stored,
      since: joined[0].since,
      done: () => joined.forEach(({ done }) => done()),
    }
  }
}
