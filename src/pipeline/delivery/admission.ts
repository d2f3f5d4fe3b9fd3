import { retryable } from '../../errors.ts'
import type { Batch } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { InTurns, LONG } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import type { Envelope, Receipt } from '../graph/receipt.ts'
import type { Queue } from '../queue/queue.ts'
import type { Counting } from './counting.ts'
import { mustBeWritten } from './preparation.ts'
import type { Preparation } from './preparation.ts'
import type { Sending } from './sending.ts'
import type { Shared } from './shared.ts'
import type { Stop } from './stop.ts'

/** Batches that may wait for room in a full queue, behind a large one or for a reload; further ones are refused. */
const MAX_WAITING = 1000

interface AdmissionOptions {
  readonly queue: Queue
  readonly counting: Counting
  readonly preparation: Preparation
  readonly shared: Shared
  readonly stop: Stop
  readonly sending: () => Sending
  /** While it returns `true`, batches wait, whatever room there is. */
  readonly isAtRest: () => boolean
  /** Sends what is left in the queue to grow, as far as there are consumers. */
  readonly flush: () => void
  /** Sends a batch where there is no queue. */
  readonly consume: (batch: Batch, done: () => void) => void
  /** Called when a large batch has been prepared. */
  readonly prepared: () => void
}

/** The way of a batch into the queue, one after the other: each waits until there is room, is prepared and is stored, or is refused. */
export class Admission {
  /** Batches that wait for room in the queue, or until the one before them is prepared. */
  readonly #waiting: Envelope[] = []
  /** Batches that room was found for and that are not in the queue yet: they are in processors, wait here or are being prepared. */
  readonly #ahead = new Map<Receipt, Batch>()
  /** The work on a large batch that is written or prepared in turns. Batches that come after it wait. */
  #work: InTurns<void> | undefined

  constructor(private readonly options: AdmissionOptions) {}

  get work(): InTurns<void> | undefined {
    return this.#work
  }

  /** How many batches wait. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** As of `Delivery`. */
  findRoom(envelope: Envelope): boolean {
    const { batch, receipt } = envelope
    if (!this.#hasRoom(envelope)) return false
    this.#ahead.set(receipt, batch)
    receipt.whenSettled(() => this.#ahead.delete(receipt))
    return true
  }

  #hasRoom(envelope: Envelope): boolean {
    const { batch } = envelope
    const { queue, shared } = this.options
    const { enabled, on_full, num_consumers } = this.#config
    if (this.#isStopping || this.#waiting.length >= MAX_WAITING) return false
    if (this.#mayWait(envelope)) return true
    if (!enabled) return shared.consumers + this.#ahead.size < num_consumers
    if (on_full !== 'refuse' || mustBeWritten(batch, this.#config)) return true
    const fits = (): boolean => queue.fits(batch, this.#ahead.values())
    if (!fits()) this.options.flush()
    return fits()
  }

  /** Takes the batch, lets it wait or refuses it. Ends one branch of the receipt. */
  offer(envelope: Envelope): void {
    const { isAtRest } = this.options
    const isBehind = this.#work !== undefined || isAtRest() || mustBeWritten(envelope.batch, this.#config)
    if (!isBehind && this.#waiting.length === 0 && this.#makeRoom(envelope.batch)) this.#take(envelope)
    else if (this.#waiting.length < MAX_WAITING && (isBehind ? !this.#isStopping : this.#mayWait(envelope)))
      this.#waiting.push(envelope)
    else this.refuse(envelope)
  }

  /** Takes batches that waited. Returns whether it took any. */
  admit(): boolean {
    let admitted = false
    while (this.#waiting.length > 0 && this.#work === undefined) {
      const [envelope] = this.#waiting
      if (mustBeWritten(envelope.batch, this.#config)) {
        this.#doInTurns(this.#write(envelope.batch))
        break
      }
      const hasRoom = this.#makeRoom(envelope.batch)
      if (!hasRoom && this.#mayWait(envelope)) break
      this.#waiting.shift()
      if (hasRoom) this.#take(envelope)
      else this.refuse(envelope)
      admitted ||= hasRoom
    }
    return admitted
  }

  /** Takes out the batches that wait. */
  takeWaiting(): Envelope[] {
    return this.#waiting.splice(0)
  }

  /** Refuses the batch that has waited longest. Returns `false` when none waits. */
  refuseOldest(): boolean {
    const oldest = this.#waiting.shift()
    if (oldest !== undefined) this.refuse(oldest)
    return oldest !== undefined
  }

  /** As of `Delivery`. */
  refuse({ batch, receipt }: Envelope): void {
    const { sheet, log } = this.options.counting
    sheet.enqueueFailed += batch.itemCount
    receipt.whenSettled((refused) => {
      if (refused) return
      sheet.handedIn += batch.itemCount
      if (this.#isStopping) return this.options.counting.leave(batch.itemCount, { stored: false })
      sheet.lost('queue_full', batch.itemCount)
      log.error('The sending queue is full; data that its source cannot keep is dropped and counted.', {
        event: 'queue_full',
      })
    })
    const why = this.#isStopping ? 'The exporter is stopping.' : 'The sending queue is full.'
    receipt.refuse(retryable(why, this.options.sending().config.retry_on_failure.initial_interval))
  }

  get #config() {
    return this.options.sending().config.sending_queue
  }

  get #isStopping(): boolean {
    return this.options.stop.leave.aborted
  }

  /** Whether a batch may wait where there is no room for it. */
  #mayWait({ receipt }: Envelope): boolean {
    return this.#config.block_on_overflow && receipt.refusable && !this.#isStopping
  }

  #makeRoom(batch: Batch): boolean {
    const { queue, counting, shared, flush } = this.options
    const { enabled, on_full, num_consumers } = this.#config
    if (this.#isStopping) return false
    if (!enabled) return shared.consumers < num_consumers
    if (!queue.fits(batch)) flush()
    while (!queue.fits(batch)) {
      const dropped = on_full === 'refuse' ? undefined : queue.dropOldest(batch)
      if (dropped === undefined) return false
      counting.queue(-dropped)
      counting.sheet.lost('queue_full', dropped)
      counting.log.error('The sending queue is full; its oldest batch is dropped and counted.', { event: 'queue_full' })
    }
    return true
  }

  #take({ batch, receipt }: Envelope): void {
    const { counting, preparation } = this.options
    counting.sheet.handedIn += batch.itemCount
    counting.queue(batch.itemCount)
    if (batch.itemCount < LONG) this.#store(preparation.prepare(batch), batch, receipt)
    else this.#doInTurns(this.#takeInTurns(batch, receipt))
  }

  /** Stores as well: if that had a turn of its own, other batches would come before this one. */
  *#takeInTurns(batch: Batch, receipt: Receipt): Divided<void> {
    const prepared = yield* this.options.preparation.prepareInTurns(batch)
    this.#work = undefined
    this.#store(prepared, batch, receipt)
  }

  *#write(batch: Batch): Divided<void> {
    yield* signals[batch.signal].writeInTurns(batch)
    this.#work = undefined
  }

  /** Before it ends, the work sets `#work` back. */
  #doInTurns(work: Divided<void>): void {
    this.#work = new InTurns(work)
    void this.#work.result.then(this.options.prepared)
  }

  /** Puts into the queue what a batch has become; `prepared` is `undefined` when the exporter failed. */
  #store(prepared: Batch | undefined, batch: Batch, receipt: Receipt): void {
    const { queue, consume } = this.options
    this.#ahead.delete(receipt)
    if (prepared === undefined) {
      return receipt.lose(batch.itemCount, `An exporter failed on these ${signals[batch.signal].items}.`)
    }
    const isEmpty = prepared.itemCount === 0
    if (!isEmpty && !this.#config.enabled) return consume(prepared, () => receipt.close())
    const written = isEmpty ? queue.note() : queue.push(prepared)
    if (written === undefined) receipt.close()
    else void written.then(() => receipt.close())
  }
}
