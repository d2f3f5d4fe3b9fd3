import { setMaxListeners } from 'node:events'
import type { Account, Exporter, ExporterState, ExportRequest } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage, retryable } from '../../errors.ts'
import type { Held, Shedder, MemoryGuard } from '../../host/memory_limiter.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import { describe } from '../../otlp/common/handed_over.ts'
import type { Batch, SignalType } from '../../otlp/signal.ts'
import { handedOver, signals } from '../../otlp/signals.ts'
import { isTooOld, withinAge } from './age.ts'
import { Batcher } from './batcher.ts'
import { Counting, Preparing } from './counting.ts'
import { throttled } from '../../throttled.ts'
import { thisMachine } from '../machine.ts'
import type { Machine } from '../machine.ts'
import { InTurns, LONG, ownTurn } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import { MemoryQueue } from '../queue/queue.ts'
import type { Queue, QueueStatus, Taken } from '../queue/queue.ts'
import { DiskQueue } from '../queue/disk.ts'
import type { Envelope, Receipt } from '../graph/receipt.ts'
import { betweenBatches, passOn } from './handover.ts'
import { InHand } from './in_hand.ts'
import type { Said } from './in_hand.ts'
import { Shared } from './shared.ts'
import { Sending } from './sending.ts'
import type { Attempt, Outcome, Sent } from './sending.ts'
import type { DeliveryConfig } from '../config/settings.ts'
import type { ExporterSheet } from '../telemetry/telemetry.ts'

/** Batches that may wait for room in a full queue, or behind a large one; further ones are refused. */
const MAX_BLOCKED = 1000

const MORE =
  'the requests of `encode` must not hold more items than it was given; items that it makes must first be reported with `account.created`'

/** Items that were not sent at the end: left on disk, or lost. */
export interface Leftovers {
  readonly kept: number
  readonly dropped: number
}

/** What has taken a batch out of the queue, until it has come to its end. */
class Consumer extends Linked<Consumer> {
  end: Promise<void> = Promise.resolve()

  constructor(readonly taken: Taken) {
    super()
  }
}

/** What an exporter made of a batch of which nothing has come to an end. */
interface Encoded {
  readonly exporter: AnyExporter
  /** The batch as far as it was timely. */
  readonly timely: Batch
  readonly requests: Iterable<ExportRequest>
  readonly said: readonly Said[]
}

type AnyExporter = Exporter<ExportRequest, Batch>

export interface DeliveryOptions {
  readonly exporter: AnyExporter
  readonly config: DeliveryConfig
  /** Says also which exporter it is, and which signal is delivered to it. */
  readonly sheet: ExporterSheet
  readonly log: Logger
  readonly memory: MemoryGuard
  /** With the deliveries of other signals to the exporter. */
  readonly shared?: Shared
  /** Whether the exporter's memory is about batches of this signal, so that it is kept beside them. */
  readonly remembers?: boolean
  /** Whether another delivery will bequeath to it; else the exporter remembers what its folder does. */
  readonly isHeir?: boolean
  readonly machine?: Pick<Machine, 'clock' | 'disk' | 'random'>
  /** Whether what the exporter hands over has to be looked at. */
  readonly custom?: boolean
}

/**
 * What stands around every exporter, for each of its signals: a bounded queue, batching, sending, and the count of what became of
 * every item. Collection never waits for it.
 */
export class Delivery implements Shedder {
  readonly #queue: Queue
  readonly #log: Logger
  readonly #counting: Counting
  readonly #abort = new AbortController()
  readonly #attempts = new LinkedList<Attempt>()
  /** Ends the waits of batches that are on disk: at a stop they stay there. */
  readonly #leave = new AbortController()
  readonly #type: SignalType
  readonly #shared: Shared
  readonly #remembers: boolean
  readonly #custom: boolean
  private readonly sheet: ExporterSheet
  private readonly memory: MemoryGuard
  private readonly machine: Pick<Machine, 'clock' | 'disk' | 'random'>
  #exporter: AnyExporter
  #config: DeliveryConfig
  #sending: Sending
  /** Data points that wait here; the sheet may count those of a predecessor, too. */
  #queued = 0
  /** Data points that the end of this delivery left on disk, or dropped. */
  readonly #left = { kept: 0, dropped: 0 }
  readonly #batcher: Batcher
  /**
   * Of batches that are sent again by the same exporter: an attempt whose answer was lost may have been taken, and an exporter need
   * not make the same of a batch twice.
   */
  readonly #encoded = new WeakMap<Batch, Encoded>()
  /** Batches that wait for room in the queue, or until that before them is prepared. */
  readonly #blocked: Envelope[] = []
  /** Batches that room was found for, and that are not in the queue yet: they are in processors, wait here or are prepared. */
  readonly #ahead = new Map<Receipt, Batch>()
  readonly #taken = new LinkedList<Consumer>()
  #begun = false
  #draining = false
  /** Who has what waits in memory here, what waits for room and what still comes. */
  #heir: Delivery | undefined
  #drained: Promise<Leftovers> | undefined
  /** What is on disk stays there; only what is not is still sent. */
  #leaving = false
  #whenIdle: (() => void) | undefined
  /** A large batch that is prepared in turns: what comes behind it waits, and the exporter's memory is not to be asked for. */
  #preparing: InTurns<void> | undefined
  /** Set while a large batch is encoded, and while others have a turn before. */
  #turn: Promise<void> | undefined
  /** What is encoded in turns; the same holds for the memory. */
  #encoding: InTurns<Iterable<ExportRequest>> | undefined

  constructor({
    exporter,
    config,
    sheet,
    log,
    memory,
    shared = new Shared(),
    remembers = true,
    isHeir = false,
    machine = thisMachine,
    custom = false,
  }: DeliveryOptions) {
    this.sheet = sheet
    this.memory = memory
    this.machine = machine
    this.#type = signals[sheet.signal]
    this.#shared = shared
    this.#remembers = remembers
    this.#custom = custom
    this.#exporter = exporter
    this.#config = config
    this.#log = throttled(log, machine.clock)
    this.#counting = new Counting(sheet, this.#log)
    const { directory } = config.sending_queue
    this.#queue =
      directory === undefined
        ? new MemoryQueue(config.sending_queue, machine.clock)
        : new DiskQueue({
            ...{ directory, exporter: sheet.exporter, signal: sheet.signal, config: config.sending_queue },
            ...{ state: isHeir ? undefined : this.#stateOf(exporter, config), events: this.#events, log: this.#log },
            memoryIsShort: () => memory.isShort(),
            bytesBeside: () => shared.bytesBeside(this),
            machine,
          })
    this.#batcher = new Batcher({
      ...{ queue: this.#queue, config: config.sending_queue, type: this.#type, clock: machine.clock },
      wasEncoded: (batch) => this.#encoded.has(batch),
      due: () => this.pump(),
    })
    shared.join(this)
    memory.shedders.add(this)
    // Every consumer listens while it sends or waits.
    setMaxListeners(0, this.#abort.signal, this.#leave.signal)
    this.#sending = this.#newSending()
  }

  #newSending(): Sending {
    const stop = { abort: this.#abort.signal, leave: this.#leave.signal, attempts: this.#attempts }
    const { sheet, machine } = this
    return new Sending({ exporter: this.#exporter, config: this.#config, sheet, log: this.#log, stop, machine })
  }

  #showQueue(): void {
    this.sheet.queueStatus = this.#config.sending_queue.enabled ? () => this.#status() : undefined
  }

  /** Of the queue, as if batches left it only when they are delivered or given up. */
  #status(): QueueStatus {
    const status = this.#queue.status()
    const since = [...Array.from(this.#taken, ({ taken }) => taken), ...this.#batcher.ready].map((taken) => taken.since)
    const oldest = Math.min(...since, status.oldest ?? Infinity)
    return { ...status, oldest: oldest === Infinity ? undefined : oldest }
  }

  /** What the queue on disk tells. */
  get #events() {
    return {
      changed: () => {
        this.#shared.freed(this)
        this.#checkIdle()
      },
      restored: (items: number) => {
        this.sheet.restored += items
        this.#count(items)
      },
      lost: (reason: string, items: number) => {
        this.#count(-items)
        this.sheet.lost(reason, items)
      },
      recovered: () => this.#storeAll(),
    }
  }

  #count(queued: number): void {
    this.#queued += queued
    this.sheet.queued += queued
  }

  get bytesOnDisk(): number {
    return this.#queue.bytesOnDisk
  }

  /** Sends from now on what it has and is offered. */
  begin(): void {
    this.#begun = true
    this.#showQueue()
    this.pump()
  }

  /** Opens the queue; batches may be offered before. @throws InUseError when another process has its directory */
  open(): Promise<void> {
    return this.#queue.open()
  }

  /**
   * Whether the batch, as it comes from its receiver, would be taken behind all those that room was found for before. If so, that
   * room is its own until it has come through the processors. Only for a batch that its receiver can keep.
   */
  findRoom(envelope: Envelope): boolean {
    if (this.#heir !== undefined) return this.#heir.findRoom(envelope)
    const { batch, receipt } = envelope
    if (!this.#hasRoom(envelope)) return false
    this.#ahead.set(receipt, batch)
    receipt.whenSettled(() => this.#ahead.delete(receipt))
    return true
  }

  #hasRoom(envelope: Envelope): boolean {
    const { batch } = envelope
    const { enabled, on_full, num_consumers } = this.#config.sending_queue
    if (this.#draining || this.#blocked.length >= MAX_BLOCKED) return false
    if (this.#mayWait(envelope)) return true
    if (!enabled) return this.#shared.consumers + this.#ahead.size < num_consumers
    if (on_full !== 'refuse' || this.#isToBeWritten(batch)) return true
    const fits = (): boolean => this.#queue.fits(batch, this.#ahead.values())
    if (!fits()) this.#flush()
    return fits()
  }

  /** Takes the batch into the queue, or refuses it. Ends one branch of the receipt, once the queue has it for good. */
  offer(envelope: Envelope): void {
    if (this.#heir !== undefined) return this.#heir.offer(envelope)
    const isBehind = this.#preparing !== undefined || this.#isToBeWritten(envelope.batch)
    if (!isBehind && this.#blocked.length === 0 && this.#makeRoom(envelope.batch)) {
      this.#take(envelope)
      this.pump()
    } else if (this.#blocked.length < MAX_BLOCKED && (isBehind ? !this.#draining : this.#mayWait(envelope))) {
      this.#blocked.push(envelope)
      this.#admit()
    } else this.refuse(envelope)
  }

  /**
   * Goes on with another exporter and other settings, which may not say another `sending_queue.directory`. What waits, or has to be
   * sent again, is for the new one; what was delivered in part stays with the old one. Resolves when that has nothing in hand.
   */
  async renew(exporter: AnyExporter, config: DeliveryConfig): Promise<void> {
    this.#finish()
    const consumers = Array.from(this.#taken, ({ end }) => end)
    this.#passOn(exporter)
    this.#exporter = exporter
    this.#config = config
    this.#queue.configure(config.sending_queue, this.#stateOf(exporter, config))
    this.#batcher.configure(config.sending_queue)
    this.#showQueue()
    this.#sending.retire()
    this.#sending = this.#newSending()
    this.pump()
    await Promise.all(consumers)
  }

  /** Does now what is left of a large batch, in whose midst nobody can take over what the exporter remembers. */
  #finish(): void {
    this.#preparing?.finish()
    this.#encoding?.finish()
  }

  /** What the queue is to keep of an exporter's memory. */
  #stateOf({ state }: AnyExporter, { sending_queue: { enabled } }: DeliveryConfig): ExporterState | undefined {
    if (!enabled || state === undefined || !this.#remembers) return undefined
    return betweenBatches(state, () => (this.#preparing ?? this.#encoding) !== undefined)
  }

  /** Gives an exporter what the one before it remembers. */
  #passOn(exporter: AnyExporter): void {
    if (this.#remembers) passOn(this.#exporter.state, exporter.state, this.#log)
  }

  /**
   * Leaves what waits in memory or for room, or has to be sent again, to the delivery that takes this one's place and has its sheet. What
   * is on disk stays there: it is to be drained. What still comes is for the heir, too: only its exporter remembers what was before.
   */
  bequeath(heir: Delivery): void {
    this.#finish()
    // What the folder remembers is over from now on.
    this.#queue.configure(this.#config.sending_queue, undefined)
    this.#passOn(heir.#exporter)
    heir.#queue.configure(heir.#config.sending_queue, heir.#stateOf(heir.#exporter, heir.#config))
    this.#heir = heir
    if (this.#config.sending_queue.directory === undefined) {
      this.#sending.retire()
      for (const taken of this.#batcher.takeReady()) this.#takeBack(taken)
      for (let taken = this.#queue.shift(); taken !== undefined; taken = this.#queue.shift()) this.#takeBack(taken)
    }
    for (const envelope of this.#blocked.splice(0)) heir.offer(envelope)
  }

  /** Lets what is in hand and nowhere on the disk go back to the queue, which can write it again. */
  #storeAll(): void {
    if (this.#draining) return
    this.#sending.retire()
    this.#sending = this.#newSending()
    for (const taken of this.#batcher.takeReady(({ stored }) => !stored)) this.#takeBack(taken)
  }

  /** A batch that waits again: here, as the next, or in a queue, where another place is to have it. */
  #takeBack(taken: Taken): void {
    const { batch, done, stored } = taken
    const isOnDisk = this.#config.sending_queue.directory !== undefined
    const next = this.#heir ?? (isOnDisk ? this : undefined)
    if (stored || next === undefined) {
      this.#batcher.putBack(taken)
      return
    }
    this.#count(-batch.itemCount)
    next.#count(batch.itemCount)
    const written = next.#queue.push(batch, true)
    if (written === undefined) done()
    else void written.then(done)
    next.pump()
  }

  /**
   * Sends what is left, until `deadline` aborts. What is on disk stays there then, and also when the destination does not
   * take it: that is counted as kept. All else that has not been sent is dropped and counted under `shutdown`.
   */
  drain(deadline: AbortSignal): Promise<Leftovers> {
    return (this.#drained ??= this.#drain(deadline))
  }

  async #drain(deadline: AbortSignal): Promise<Leftovers> {
    // What came is taken as far as there is room.
    while (this.#preparing !== undefined) {
      if (deadline.aborted) this.#preparing.finish()
      else await this.#preparing.result
    }
    this.#draining = true
    this.#leave.abort()
    this.#batcher.hurry()
    this.#sending.hurry()
    for (const envelope of this.#blocked.splice(0)) this.refuse(envelope)
    const idle = new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const abort = (): void => {
      this.#abort.abort()
      for (const attempt of this.#attempts) attempt.stop()
      // Nobody may be sending, and the disk may never say that there is something to send.
      this.#checkIdle()
    }
    deadline.addEventListener('abort', abort, { once: true })
    if (deadline.aborted) abort()
    this.pump()
    this.#checkIdle()
    await idle
    deadline.removeEventListener('abort', abort)
    // What the queue cannot write from now on is not sent either: it is about to be counted.
    this.#abort.abort()
    this.#batcher.stop()
    for (const { batch, stored } of this.#batcher.takeReady()) {
      this.#count(-batch.itemCount)
      this.#leaveBehind(batch.itemCount, stored)
    }
    const { kept } = await this.#queue.close(deadline)
    this.memory.shedders.delete(this)
    this.#shared.leave(this)
    this.#leaveBehind(kept, true)
    this.#leaveBehind(this.#queued - kept, false)
    this.#count(-this.#queued)
    // Once for all of them: they came in many groups.
    if (this.#left.dropped > 0) {
      this.#log.error(
        `${this.sheet.items} could not be sent before the stop and are dropped and counted. A longer service.shutdown_timeout gives them time; a sending_queue.directory keeps them.`,
        { event: 'items_unsent', items: this.#left.dropped },
      )
    }
    return this.#left
  }

  /** Counts items that are not sent before the end. */
  #leaveBehind(items: number, stored: boolean): void {
    this.#left[stored ? 'kept' : 'dropped'] += items
    if (stored) this.sheet.kept += items
    else if (items > 0) this.sheet.lost('shutdown', items)
  }

  /** Whether a batch may wait where there is no room for it. */
  #mayWait({ receipt }: Envelope): boolean {
    return this.#config.sending_queue.block_on_overflow && receipt.refusable && !this.#draining
  }

  /** Refuses the batch for want of room, or because this stops. Ends one branch of the receipt. */
  refuse({ batch, receipt }: Envelope): void {
    this.sheet.enqueueFailed += batch.itemCount
    receipt.whenSettled((refused) => {
      if (refused) return
      this.sheet.handedIn += batch.itemCount
      if (this.#draining) return this.#leaveBehind(batch.itemCount, false)
      this.sheet.lost('queue_full', batch.itemCount)
      this.#log.error('The sending queue is full; data that its source cannot keep is dropped and counted.', {
        event: 'queue_full',
      })
    })
    const why = this.#draining ? 'The exporter is stopping.' : 'The sending queue is full.'
    receipt.refuse(retryable(why, this.#config.retry_on_failure.initial_interval))
  }

  #take({ batch, receipt }: Envelope): void {
    this.sheet.handedIn += batch.itemCount
    this.#count(batch.itemCount)
    if (batch.itemCount < LONG) {
      this.#store(this.#prepare(batch), batch, receipt)
    } else this.#doInTurns(this.#prepareInTurns(batch, receipt))
  }

  /** Before it ends, the work sets `#preparing` back. */
  #doInTurns(work: Divided<void>): void {
    this.#preparing = new InTurns(work)
    void this.#preparing.result.then(() => {
      this.pump()
      this.#checkIdle()
    })
  }

  /** What a batch became goes into the queue; `prepared` is `undefined` where the exporter failed. */
  #store(prepared: Batch | undefined, batch: Batch, receipt: Receipt): void {
    this.#ahead.delete(receipt)
    if (prepared === undefined) return receipt.lose(batch.itemCount, `An exporter failed on these ${this.#type.items}.`)
    const isEmpty = prepared.itemCount === 0
    if (!isEmpty && !this.#config.sending_queue.enabled) {
      this.#consume({ batch: prepared, stored: false, since: this.machine.clock.now(), done: () => receipt.close() })
      return
    }
    const written = isEmpty ? this.#queue.note() : this.#queue.push(prepared.compacted())
    if (written === undefined) receipt.close()
    else void written.then(() => receipt.close())
  }

  /** Whether it takes long to say how many bytes a batch has, which the queue has to know. */
  #isToBeWritten(batch: Batch): boolean {
    const { directory, sizer } = this.#config.sending_queue
    return batch.itemCount >= LONG && !batch.isWritten && (directory !== undefined || sizer === 'bytes')
  }

  *#write(batch: Batch): Divided<void> {
    yield* this.#type.writeInTurns(batch)
    this.#preparing = undefined
  }

  #makeRoom(batch: Batch): boolean {
    const { enabled, on_full, num_consumers } = this.#config.sending_queue
    if (this.#draining) return false
    if (!enabled) return this.#shared.consumers < num_consumers
    if (!this.#queue.fits(batch)) this.#flush()
    while (!this.#queue.fits(batch)) {
      const dropped = on_full === 'refuse' ? undefined : this.#queue.dropOldest(batch)
      if (dropped === undefined) return false
      this.#count(-dropped)
      this.sheet.lost('queue_full', dropped)
      this.#log.error('The sending queue is full; its oldest batch is dropped and counted.', { event: 'queue_full' })
    }
    return true
  }

  /** `undefined` when the exporter failed. */
  #prepare(batch: Batch): Batch | undefined {
    const preparing = this.#newPreparing(batch)
    try {
      const timely = this.#timely(batch, preparing.account)
      const given = this.#exporter.prepare?.(timely, preparing.account) ?? timely
      const prepared = given === timely || !this.#custom ? given : this.#handedOver(given)
      preparing.end(prepared.itemCount)
      return prepared
    } catch (error) {
      preparing.failed(error)
      return undefined
    }
  }

  /** `#prepare` in turns, and what comes after it: a turn of its own for each would let others come before it. */
  *#prepareInTurns(batch: Batch, receipt: Receipt): Divided<void> {
    const exporter = this.#exporter
    const preparing = this.#newPreparing(batch)
    let prepared: Batch | undefined
    try {
      const timely = yield* this.#type.inParts(batch, (part) => this.#timely(part, preparing.account))
      const given =
        exporter.prepareInTurns === undefined
          ? (exporter.prepare?.(timely, preparing.account) ?? timely)
          : yield* exporter.prepareInTurns(timely, preparing.account)
      const result = given === timely || !this.#custom ? given : this.#handedOver(given)
      if (this.#isToBeWritten(result) || (result.itemCount >= LONG && result.mustBeWritten))
        yield* this.#type.writeInTurns(result)
      yield
      preparing.end(result.itemCount)
      prepared = result
    } catch (error) {
      preparing.failed(error)
    }
    this.#preparing = undefined
    this.#store(prepared, batch, receipt)
  }

  #newPreparing({ itemCount }: Batch): Preparing {
    return new Preparing(this.#counting, this.#log, (change) => this.#count(change), itemCount)
  }

  #handedOver(given: unknown): Batch {
    return handedOver(given, [this.sheet.signal])
  }

  /** What an exporter remembers must not be a point that is never sent: all that come after one of tomorrow would be too late. */
  #timely(batch: Batch, account: Account): Batch {
    const limits = { max_age: 0, max_ahead: this.#config.max_ahead }
    return withinAge(batch, limits, this.machine.clock.now(), (cause, items) => {
      account.dropped(cause, items)
      this.#counting.outOfAge(cause, items)
    })
  }

  /** What waits for room counts as the oldest: to let go of it costs nothing, its receivers have it. */
  get held(): Held {
    const { batches, oldest } = this.#queue.held
    return { batches: batches + this.#blocked.length, oldest: this.#blocked.length > 0 ? 0 : oldest }
  }

  /** Lets go of the oldest batch that is in memory only, because memory is short. */
  shed(): void {
    const blocked = this.#blocked.shift()
    if (blocked !== undefined) return this.refuse(blocked)
    const items = this.#queue.dropHeld()
    if (items === undefined) return
    this.#count(-items)
    this.sheet.lost('memory_limit', items)
    this.#log.error('Memory is short; the oldest batch in memory is dropped and counted.', {
      event: 'memory_dropped',
    })
  }

  /** Starts consumers as long as there is work for them, and takes what waits for room. */
  pump(): void {
    while (this.#consumeAll() && this.#admit());
  }

  /** Returns `false` where nothing is to be sent now. */
  #consumeAll(): boolean {
    if (!this.#begun || this.#abort.signal.aborted) return false
    while (this.#shared.consumers < this.#config.sending_queue.num_consumers) {
      const taken = this.#leaving ? this.#batcher.nextInMemory() : this.#batcher.next()
      if (taken === undefined) break
      this.#consume(taken)
    }
    return true
  }

  /** Sends what is left in the queue to grow, as far as there are consumers. */
  #flush(): void {
    this.#batcher.flush(() => this.#consumeAll())
  }

  /** Takes batches that waited. Returns whether it took any. */
  #admit(): boolean {
    let admitted = false
    while (this.#blocked.length > 0 && this.#preparing === undefined) {
      const [envelope] = this.#blocked
      if (this.#isToBeWritten(envelope.batch)) {
        this.#doInTurns(this.#write(envelope.batch))
        break
      }
      const hasRoom = this.#makeRoom(envelope.batch)
      if (!hasRoom && this.#mayWait(envelope)) break
      this.#blocked.shift()
      if (hasRoom) this.#take(envelope)
      else this.refuse(envelope)
      admitted ||= hasRoom
    }
    return admitted
  }

  #consume(taken: Taken): void {
    this.sheet.requestsInFlight += 1
    this.#shared.consumers += 1
    const consumer = new Consumer(taken)
    this.#taken.add(consumer)
    consumer.end = this.#send(taken).then((outcome) => {
      this.#taken.remove(consumer)
      this.sheet.requestsInFlight -= 1
      this.#shared.consumers -= 1
      if (outcome === 'renewed') this.#takeBack(taken)
      else if (outcome === 'left' && taken.stored) this.#leaving = true
      else taken.done()
      this.#shared.freed(this)
      this.#checkIdle()
    })
  }

  /**
   * Lets others have turns before and while a large batch is encoded. Whatever comes behind it waits, too: exporters see batches in their
   * order, one at a time.
   */
  #inOrder(
    items: number,
    encode: (inTurns: boolean) => Iterable<ExportRequest> | Promise<Iterable<ExportRequest>>,
  ): Iterable<ExportRequest> | Promise<Iterable<ExportRequest>> {
    const before = this.#turn
    const isLong = items >= LONG
    if (!isLong && before === undefined) return encode(false)
    const encoded = (async () => {
      await before
      if (isLong) await ownTurn()
      return encode(isLong)
    })()
    const end = (): void => {
      if (this.#turn === turn) this.#turn = undefined
    }
    const turn = encoded.then(end, end)
    this.#turn = turn
    return encoded
  }

  *#encodeInTurns(work: Divided<Iterable<ExportRequest>>): Divided<Iterable<ExportRequest>> {
    try {
      return yield* work
    } finally {
      this.#encoding = undefined
    }
  }

  /** Encodes a batch and sends its requests one after the other. Never rejects. */
  async #send({ batch, stored }: Taken): Promise<Outcome> {
    const [sending, exporter, config] = [this.#sending, this.#exporter, this.#config]
    const before = this.#encoded.get(batch)
    const known = before?.exporter === exporter ? before : undefined
    this.#encoded.delete(batch)
    this.#count(-batch.itemCount)
    const inHand = new InHand(this.#counting, batch.itemCount, known?.said)
    const timely =
      known?.timely ??
      withinAge(batch, config, this.machine.clock.now(), (cause, items) => {
        inHand.account.dropped(cause, items)
        this.#counting.outOfAge(cause, items)
      })
    const sent: Sent = {
      stored,
      isWhole: () => inHand.said !== undefined,
      isTooOld: () => isTooOld(timely, config, this.machine.clock.now()),
      leave: (items) => inHand.leave(items),
    }
    const { join_interval, batch: { max_size = 0 } = {} } = config.sending_queue
    const encode = (inTurns: boolean): Iterable<ExportRequest> | Promise<Iterable<ExportRequest>> => {
      if (timely.itemCount === 0) return []
      if (!inTurns || exporter.encodeInTurns === undefined) return taken(exporter.encode(timely, inHand.account))
      this.#encoding = new InTurns(this.#encodeInTurns(exporter.encodeInTurns(timely, inHand.account)))
      return this.#encoding.result.then(taken)
    }
    const taken = (requests: Iterable<ExportRequest>): Iterable<ExportRequest> => {
      this.#note(exporter)
      if (typeof (requests as Iterable<ExportRequest> | undefined | null)?.[Symbol.iterator] !== 'function') {
        if (requests instanceof Promise) requests.catch(() => undefined)
        throw new TypeError(
          `\`encode\` must return requests, at once: a list of them, or a generator; not ${describe(requests)}`,
        )
      }
      return join_interval > 0 && max_size > 0 ? divided(requests, max_size) : requests
    }
    let reason = 'unaccounted'
    let outcome: Outcome = 'settled'
    try {
      const encoded = known?.requests ?? this.#inOrder(timely.itemCount, encode)
      const requests = encoded instanceof Promise ? await encoded : encoded
      const again: ExportRequest[] = []
      const next = (): Delivery => this.#heir ?? this
      for (const request of requests) {
        if (this.#custom && Number((request as ExportRequest | undefined)?.items) > inHand.open)
          throw new TypeError(MORE)
        if (outcome === 'settled') outcome = await sending.send(request, sent)
        if (outcome === 'left' || (outcome === 'renewed' && next().#exporter !== exporter)) break
        if (outcome === 'renewed') again.push(request)
      }
      const { said } = inHand
      if (said !== undefined && again.length > 0)
        next().#encoded.set(batch, { exporter, timely, requests: again, said })
    } catch (error) {
      reason = 'exporter_error'
      this.#log.error('The exporter failed to encode a batch, which is dropped and counted.', {
        event: 'exporter_failed',
        error: errorMessage(error),
      })
    }
    if (outcome === 'renewed') this.#count(inHand.remaining)
    // What stays on disk as a whole is encoded, and spoken of, at the next start.
    else if (outcome === 'settled' || !stored) inHand.settle()
    if (outcome === 'left') this.#leaveBehind(inHand.remaining, stored)
    if (outcome === 'settled') {
      this.#counting.difference(reason, inHand.remaining)
      try {
        exporter.ended?.(timely)
        this.#note(exporter)
      } catch (error) {
        this.#log.error('The exporter failed at the end of a batch.', {
          event: 'exporter_failed',
          error: errorMessage(error),
        })
      }
    }
    inHand.close()
    return outcome
  }

  /** Keeps what an exporter remembers of what it encoded. */
  #note(exporter: AnyExporter): void {
    if (exporter.ended !== undefined && exporter === this.#exporter) void this.#queue.note()
  }

  #checkIdle(): void {
    if (!this.#draining || this.#taken.size > 0) return
    const isOver = this.#leaving
      ? this.#queue.held.batches === 0 && this.#batcher.ready.every(({ stored }) => stored)
      : this.#batcher.isEmpty
    if (isOver || this.#abort.signal.aborted) this.#whenIdle?.()
  }
}

/** Requests of at most so many `items` each, as far as they can be divided. */
function* divided(requests: Iterable<ExportRequest>, items: number): Generator<ExportRequest> {
  for (const request of requests) {
    const parts = request.items > items ? request.divide?.() : undefined
    if (parts === undefined) yield request
    else yield* divided(parts, items)
  }
}
