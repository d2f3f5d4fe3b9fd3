import type { ExporterState, StateRecord } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { DeliveryConfig } from '../config/settings.ts'
import type { Machine } from '../machine.ts'
import type { InTurns } from '../../time/turns.ts'
import type { Queue, Taken } from '../queue/queue.ts'
import { changesOf } from '../queue/state_log.ts'
import type { Admission } from './admission.ts'
import type { Batcher } from './batcher.ts'
import type { Consumers } from './consumers.ts'
import type { Counting } from './counting.ts'
import type { Encoding } from './encoding.ts'
import { Sending } from './sending.ts'
import type { AnyExporter } from './sending.ts'
import type { Stop } from './stop.ts'

const NOTHING = new Uint8Array()

interface HandoverOptions {
  readonly exporter: AnyExporter
  readonly config: DeliveryConfig
  /** Whether the exporter's memory is about the batches of this delivery. */
  readonly remembers: boolean
  readonly queue: Queue
  readonly counting: Counting
  readonly admission: Admission
  readonly batcher: Batcher
  readonly encoding: Encoding
  readonly consumers: Consumers
  readonly stop: Stop
  readonly machine: Pick<Machine, 'clock' | 'random'>
  /** Starts consumers. */
  readonly pump: () => void
  /** Called when this begins, and again after each hand-over. */
  readonly begun: () => void
}

/**
 * Who sends the batches of a delivery: its exporter, until a reload puts another one, other settings, or another delivery in its place.
 * That one gets the exporter's memory, and the batches that wait or have to be sent again.
 */
export class Handover {
  #sending: Sending
  /** Nothing is begun: not before the start, and not while a hand-over waits. */
  #isAtRest = true
  /** The hand-over that waits, from or to this delivery. */
  #waiting: Promise<void> | undefined
  /** The delivery that has taken the place of this one. */
  #heir: Handover | undefined

  constructor(private readonly options: HandoverOptions) {
    this.#sending = this.#newSending(options)
  }

  /** Holds the exporter and its settings. */
  get sending(): Sending {
    return this.#sending
  }

  /** Who sends what has to be sent again. */
  get successor(): { readonly exporter: AnyExporter; readonly encoding: Encoding } {
    const { sending, options } = this.#heir ?? this
    return { exporter: sending.exporter, encoding: options.encoding }
  }

  get isAtRest(): boolean {
    return this.#isAtRest
  }

  /** Resolves when no hand-over waits. */
  async settled(): Promise<void> {
    await this.#waiting
  }

  begin(): void {
    this.#isAtRest = false
    this.options.begun()
  }

  /** As of `Delivery`. */
  async renew(exporter: AnyExporter, config: DeliveryConfig): Promise<void> {
    const { batcher, consumers } = this.options
    let ended: Promise<void> | undefined
    await this.#handOver(() => {
      ended = consumers.ended()
      this.#passOn(exporter)
      this.#replaceSending({ exporter, config })
      batcher.configure(config.sending_queue)
      this.keepState()
    })
    await ended
  }

  /** As of `Delivery`, but for the batches that wait for room. The heir begins when it has all. */
  bequeath(heir: Handover): Promise<void> {
    const { queue, batcher } = this.options
    const bequeathed = this.#handOver(() => {
      const { sending_queue } = this.#sending.config
      // What the folder remembers is over from now on.
      queue.configure(sending_queue, undefined)
      this.#passOn(heir.sending.exporter)
      heir.keepState()
      this.#heir = heir
      if (sending_queue.directory === undefined) {
        this.#sending.retire()
        for (const taken of batcher.takeReady()) this.takeBack(taken)
        for (let taken = queue.shift(); taken !== undefined; taken = queue.shift()) this.takeBack(taken)
      }
    }).then(() => heir.begin())
    heir.#waiting = bequeathed
    return bequeathed
  }

  /** Calls `act` once no large batch is prepared or encoded: in the midst of one nobody can take over what the exporter remembers. */
  #handOver(act: () => void): Promise<void> {
    const before = this.#waiting
    this.#isAtRest = true
    const work = (): InTurns<unknown> | undefined => this.options.admission.work ?? this.options.encoding.work
    const handOver = async (): Promise<void> => {
      await before
      // The one before has let it go on.
      this.#isAtRest = true
      for (let current = work(); current !== undefined; current = work()) await Promise.allSettled([current.result])
      act()
      this.begin()
    }
    return (this.#waiting = handOver())
  }

  /** Lets what is in hand and nowhere on the disk go back to the queue, which can write it again. */
  storeAll(): void {
    if (this.options.stop.leave.aborted) return
    this.#replaceSending(this.#sending)
    for (const taken of this.options.batcher.takeReady(({ stored }) => !stored)) this.takeBack(taken)
  }

  /** A batch that waits again: here, as the next, or in a queue, where another place is to have it. */
  takeBack(taken: Taken): void {
    const { batch, done, stored } = taken
    const isOnDisk = this.#sending.config.sending_queue.directory !== undefined
    const next = this.#heir ?? (isOnDisk ? this : undefined)
    if (stored || next === undefined) return this.options.batcher.putBack(taken)
    this.options.counting.queue(-batch.itemCount)
    next.options.counting.queue(batch.itemCount)
    const written = next.options.queue.pushAgain(batch)
    if (written === undefined) done()
    else void written.then(done)
    next.options.pump()
  }

  /** From now on the queue keeps what the exporter remembers. */
  keepState(): void {
    const { exporter, config } = this.#sending
    const { queue, remembers, admission, encoding } = this.options
    const { sending_queue } = config
    const isKept = sending_queue.enabled && remembers && exporter.state !== undefined
    const isWithin = (): boolean => (admission.work ?? encoding.work) !== undefined
    queue.configure(sending_queue, isKept ? betweenBatches(exporter.state, isWithin) : undefined)
  }

  /** Does now what is left of a large batch, for a hand-over that has no more time. */
  hurry(): void {
    this.options.admission.work?.finish()
    this.options.encoding.work?.finish()
  }

  #passOn(exporter: AnyExporter): void {
    if (this.options.remembers) passOn(this.#sending.exporter.state, exporter.state, this.options.counting.log)
  }

  #replaceSending(by: Pick<Sending, 'exporter' | 'config'>): void {
    this.#sending.retire()
    this.#sending = this.#newSending(by)
  }

  #newSending({ exporter, config }: Pick<Sending, 'exporter' | 'config'>): Sending {
    const { counting, stop, machine } = this.options
    return new Sending({ exporter, config, counting, stop, machine })
  }
}

/** Gives an exporter what the one before it remembers. */
function passOn(from: ExporterState | undefined, to: ExporterState | undefined, log: Logger): void {
  if (from === undefined || to === undefined || from === to) return
  try {
    from.beginCheckpoint()
    const records: StateRecord[] = []
    const checkpoint = { parts: 0 }
    for (let all = false; !all;) {
      const part = changesOf(from, checkpoint)
      all = part.all
      if (part.bytes.length > 0) records.push({ bytes: part.bytes, age: 0 })
    }
    from.forget?.()
    to.restore([records])
  } catch (error) {
    log.warn('The new exporter does not accept the state of the previous one.', {
      event: 'state_not_restored',
      error: errorMessage(error),
    })
  }
}

/** The memory as a queue may keep it: while a batch is being worked on, nothing of it. */
function betweenBatches(state: ExporterState, isWithin: () => boolean): ExporterState {
  /** Whether all was returned since `beginCheckpoint`: what changes meanwhile comes later. */
  let all = false
  return {
    beginCheckpoint() {
      all = false
      state.beginCheckpoint()
    },
    changes() {
      if (isWithin()) return { bytes: NOTHING, all }
      const changes = state.changes()
      all = (changes as Partial<typeof changes> | undefined)?.all === true
      return changes
    },
    restore: (checkpoints) => state.restore(checkpoints),
  }
}
