import type { Queue } from '../queue/queue.ts'
import type { Admission } from './admission.ts'
import type { Batcher } from './batcher.ts'
import type { Consumers } from './consumers.ts'
import type { Counting, Leftovers } from './counting.ts'
import type { Handover } from './handover.ts'
import type { Stop } from './stop.ts'

interface DrainingOptions {
  readonly queue: Queue
  readonly counting: Counting
  readonly admission: Admission
  readonly batcher: Batcher
  readonly consumers: Consumers
  readonly stop: Stop
  readonly handover: Handover
  /** Starts consumers. */
  readonly pump: () => void
}

/** The end of a delivery: nothing more is taken, what is left is sent as far as that is possible, and the rest is counted. */
export class Draining {
  /** What is on disk stays there; only what is not is still sent. */
  isLeaving = false
  #drained: Promise<Leftovers> | undefined
  #whenIdle: (() => void) | undefined

  constructor(private readonly options: DrainingOptions) {}

  /** As of `Delivery`. */
  drain(deadline: AbortSignal): Promise<Leftovers> {
    return (this.#drained ??= this.#drain(deadline))
  }

  /** To be called when a batch has come to its end, or the queue has changed. */
  checkIdle(): void {
    const { queue, batcher, consumers, stop } = this.options
    if (!stop.leave.aborted || consumers.size > 0) return
    const isOver = this.isLeaving
      ? queue.held.batches === 0 && batcher.ready.every(({ stored }) => stored)
      : batcher.isEmpty
    if (isOver || stop.abort.aborted) this.#whenIdle?.()
  }

  async #drain(deadline: AbortSignal): Promise<Leftovers> {
    const { queue, counting, admission, batcher, stop, handover } = this.options
    const hurry = (): void => handover.hurry()
    deadline.addEventListener('abort', hurry)
    if (deadline.aborted) hurry()
    await handover.settled()
    // What came is taken as far as there is room.
    for (let { work } = admission; work !== undefined; { work } = admission) {
      if (deadline.aborted) work.finish()
      else await work.result
    }
    deadline.removeEventListener('abort', hurry)
    stop.begin()
    batcher.hurry()
    handover.sending.hurry()
    for (const envelope of admission.takeWaiting()) admission.refuse(envelope)
    await this.#idle(deadline)
    batcher.stop()
    for (const { batch, stored } of batcher.takeReady()) {
      counting.queue(-batch.itemCount)
      counting.leave(batch.itemCount, { stored })
    }
    const { kept } = await queue.close(deadline)
    counting.leave(kept, { stored: true })
    counting.leave(counting.queued - kept, { stored: false })
    counting.queue(-counting.queued)
    // Once for all of them: they came in many groups.
    if (counting.left.dropped > 0) {
      counting.log.error(
        `${counting.sheet.items} could not be sent before the stop and are dropped and counted. A longer service.shutdown_timeout gives them time; a sending_queue.directory keeps them.`,
        { event: 'items_unsent', items: counting.left.dropped },
      )
    }
    return counting.left
  }

  /** Resolves when nothing is left to be sent, or nothing is in hand once `deadline` has aborted. From then on nothing is sent. */
  async #idle(deadline: AbortSignal): Promise<void> {
    const { stop, pump } = this.options
    const idle = new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const abort = (): void => {
      stop.end()
      // Nobody may be sending, and the disk may never say that there is something to send.
      this.checkIdle()
    }
    deadline.addEventListener('abort', abort, { once: true })
    if (deadline.aborted) abort()
    pump()
    this.checkIdle()
    await idle
    deadline.removeEventListener('abort', abort)
    // What the queue cannot write from now on is not sent either: it is about to be counted.
    stop.end()
  }
}
