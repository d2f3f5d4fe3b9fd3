import type { Logger } from '../../component/logger.ts'
import type { Held, Shedder, MemoryGuard } from '../../host/memory_limiter.ts'
import type { Batch } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { throttled } from '../../throttled.ts'
import type { DeliveryConfig } from '../config/settings.ts'
import type { Envelope } from '../graph/receipt.ts'
import { thisMachine } from '../machine.ts'
import type { Machine } from '../machine.ts'
import { DiskQueue } from '../queue/disk.ts'
import { MemoryQueue } from '../queue/queue.ts'
import type { Queue, QueueStatus, Taken } from '../queue/queue.ts'
import type { ExporterSheet } from '../telemetry/telemetry.ts'
import { Admission } from './admission.ts'
import { Batcher } from './batcher.ts'
import { Consumers } from './consumers.ts'
import { Counting } from './counting.ts'
import type { Leftovers } from './counting.ts'
import { Draining } from './draining.ts'
import { Encoding } from './encoding.ts'
import { Handover } from './handover.ts'
import { Preparation } from './preparation.ts'
import type { AnyExporter, Outcome, Sending } from './sending.ts'
import { Shared } from './shared.ts'
import { Stop } from './stop.ts'

/*
 * The life of a batch, and the file of each step:
 *
 *   offered ─> waits for room ─> prepared ─> queued ─> joined, split ─> in hand: encoded, sent ─> settled: sent, or dropped and counted
 *      │             │                         │             ^             │  │
 *      └──> refused <┘                         └> dropped    └── renewed <─┘  └> left: kept on disk, or dropped, at the stop
 *
 *   admission.ts        preparation.ts      queue/     batcher.ts     consumers.ts, encoding.ts, sending.ts
 *
 * A batch is renewed when a reload has replaced what sends it, or when a disk that failed can store it. It is then the next here, or
 * waits in the queue of the delivery that takes this one's place.
 */

interface DeliveryOptions {
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
  readonly #counting: Counting
  readonly #admission: Admission
  readonly #batcher: Batcher
  readonly #consumers: Consumers
  readonly #handover: Handover
  readonly #draining: Draining
  readonly #stop = new Stop()
  readonly #shared: Shared
  readonly #memory: MemoryGuard
  /** Who has what waits in memory here, what waits for room and what still comes. */
  #heir: Delivery | undefined

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
    const { clock } = machine
    const { sending_queue } = config
    const { directory } = sending_queue
    const type = signals[sheet.signal]
    const stop = this.#stop
    const sending = (): Sending => this.#handover.sending
    const pump = (): void => this.pump()
    const counting = (this.#counting = new Counting(sheet, throttled(log, clock)))
    const queue = (this.#queue =
      directory === undefined
        ? new MemoryQueue(sending_queue, clock)
        : new DiskQueue({
            ...{ directory, exporter: sheet.exporter, signal: sheet.signal, config: sending_queue },
            ...{ events: this.#events, log: counting.log, machine },
            memoryIsShort: () => memory.isShort(),
            bytesBeside: () => shared.bytesBeside(this),
          }))
    const encoding = new Encoding({ queue, counting, clock, sending })
    const consumers = (this.#consumers = new Consumers({
      ...{ counting, encoding, shared, clock, custom, sending },
      successor: () => this.#handover.successor,
      ended: (taken, outcome) => this.#ended(taken, outcome),
    }))
    const admission = (this.#admission = new Admission({
      ...{ queue, counting, shared, stop, sending },
      isAtRest: () => this.#handover.isAtRest,
      preparation: new Preparation({ counting, sending, clock, custom }),
      flush: () => batcher.flush(() => this.#consumeAll()),
      consume: (batch, done) => consumers.consume({ batch, stored: false, since: clock.now(), done }),
      prepared: () => {
        pump()
        this.#draining.checkIdle()
      },
    }))
    const wasEncoded = (batch: Batch): boolean => encoding.has(batch)
    const batcher = (this.#batcher = new Batcher({ queue, config: sending_queue, type, clock, wasEncoded, due: pump }))
    const parts = { queue, counting, admission, batcher, encoding, consumers, stop, pump }
    const begun = (): void => {
      sheet.queueStatus = this.#config.enabled ? () => this.#status() : undefined
      pump()
    }
    const handover = (this.#handover = new Handover({ ...parts, exporter, config, remembers, machine, begun }))
    this.#draining = new Draining({ ...parts, handover })
    if (!isHeir) this.#handover.keepState()
    this.#shared = shared
    this.#memory = memory
    shared.join(this)
    memory.shedders.add(this)
  }

  get #config(): DeliveryConfig['sending_queue'] {
    return this.#handover.sending.config.sending_queue
  }

  /** What the queue on disk tells. */
  get #events() {
    return {
      changed: () => {
        this.#shared.freed(this)
        this.#draining.checkIdle()
      },
      restored: (items: number) => {
        this.#counting.sheet.restored += items
        this.#counting.queue(items)
      },
      lost: (items: number) => {
        this.#counting.queue(-items)
        this.#counting.sheet.lost('corrupt', items)
      },
      recovered: () => this.#handover.storeAll(),
    }
  }

  /** Of the queue, as if batches left it only when they are delivered or given up. */
  #status(): QueueStatus {
    const status = this.#queue.status()
    const since = [...this.#consumers.taken, ...this.#batcher.ready].map((taken) => taken.since)
    const oldest = Math.min(...since, status.oldest ?? Infinity)
    return { ...status, oldest: oldest === Infinity ? undefined : oldest }
  }

  get bytesOnDisk(): number {
    return this.#queue.bytesOnDisk
  }

  /** Sends from now on what it has and is offered. Not for an heir, which begins when it has inherited. */
  begin(): void {
    this.#handover.begin()
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
    return this.#heir === undefined ? this.#admission.findRoom(envelope) : this.#heir.findRoom(envelope)
  }

  /** Takes the batch into the queue, or refuses it. Ends one branch of the receipt, once the queue has it for good. */
  offer(envelope: Envelope): void {
    if (this.#heir !== undefined) return this.#heir.offer(envelope)
    this.#admission.offer(envelope)
    this.pump()
  }

  /** Refuses the batch for want of room, or because this stops. Ends one branch of the receipt. */
  refuse(envelope: Envelope): void {
    this.#admission.refuse(envelope)
  }

  /** What waits for room counts as the oldest: to let go of it costs nothing, its receivers have it. */
  get held(): Held {
    const { batches, oldest } = this.#queue.held
    const { waiting } = this.#admission
    return { batches: batches + waiting, oldest: waiting > 0 ? 0 : oldest }
  }

  /** Lets go of the oldest batch that is in memory only, because memory is short. */
  shed(): void {
    if (this.#admission.refuseOldest()) return
    const items = this.#queue.dropHeld()
    if (items === undefined) return
    this.#counting.queue(-items)
    this.#counting.sheet.lost('memory_limit', items)
    this.#counting.log.error('Memory is short; the oldest batch in memory is dropped and counted.', {
      event: 'memory_dropped',
    })
  }

  /** Starts consumers as long as there is work for them, and takes what waits for room. */
  pump(): void {
    while (this.#consumeAll() && this.#admission.admit());
  }

  /** Returns `false` where nothing is to be sent now. */
  #consumeAll(): boolean {
    if (this.#handover.isAtRest || this.#stop.abort.aborted) return false
    while (this.#shared.consumers < this.#config.num_consumers) {
      const taken = this.#draining.isLeaving ? this.#batcher.nextInMemory() : this.#batcher.next()
      if (taken === undefined) break
      this.#consumers.consume(taken)
    }
    return true
  }

  #ended(taken: Taken, outcome: Outcome): void {
    if (outcome === 'renewed') this.#handover.takeBack(taken)
    else if (outcome === 'left' && taken.stored) this.#draining.isLeaving = true
    else taken.done()
    this.#shared.freed(this)
    this.#draining.checkIdle()
  }

  /**
   * Goes on with another exporter and other settings, which may not say another `sending_queue.directory`. What waits, or has to be
   * sent again, is for the new one; what was delivered in part stays with the old one. A large batch that is being prepared or encoded is
   * ended first, in turns. Resolves when the old one has nothing in hand.
   */
  renew(exporter: AnyExporter, config: DeliveryConfig): Promise<void> {
    return this.#handover.renew(exporter, config)
  }

  /**
   * Leaves what waits in memory or for room, or has to be sent again, to the delivery that takes this one's place and has its sheet. What
   * is on disk stays there: it is to be drained. What still comes is for the heir, too: only its exporter remembers what was before. Resolves
   * when the heir has all that and has begun, which waits for a large batch as `renew` does.
   */
  bequeath(heir: Delivery): Promise<void> {
    this.#heir = heir
    for (const envelope of this.#admission.takeWaiting()) heir.offer(envelope)
    return this.#handover.bequeath(heir.#handover)
  }

  /**
   * Sends what is left, until `deadline` aborts. What is on disk stays there then, and also when the destination does not
   * take it: that is counted as kept. All else that has not been sent is dropped and counted under `shutdown`.
   */
  async drain(deadline: AbortSignal): Promise<Leftovers> {
    const left = await this.#draining.drain(deadline)
    this.#memory.shedders.delete(this)
    this.#shared.leave(this)
    return left
  }
}
