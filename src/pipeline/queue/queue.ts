import type { Clock } from '../../time/clock.ts'
import type { ExporterState } from '../../component/exporter.ts'
import type { Held } from '../../host/memory_limiter.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { DeliveryConfig } from '../config/settings.ts'

/** Where an exporter's prepared batches wait, first in, first out. */
export interface Queue {
  /** Batches waiting, but for those that cannot be read just now. */
  readonly length: number
  /** Items that `shift` gives without waiting. */
  readonly items: number
  /** Whether `batch` may be pushed now, or once those `ahead` of it are. A batch larger than the whole queue fits an empty one. */
  fits(batch: Batch, ahead?: Iterable<Batch>): boolean
  /**
   * Takes the batch. Where it is kept only later, a promise that resolves then; it never rejects, since a queue that
   * cannot write keeps batches in memory.
   */
  push(batch: Batch): Promise<void> | undefined
  /** `push` for a batch that was taken out of a queue before. `shift` returns this very object: a delivery or an exporter knows it by that. */
  pushAgain(batch: Batch): Promise<void> | undefined
  /** Keeps, as `push` does, what the exporter remembers of a batch of which it left nothing. */
  note(): Promise<void> | undefined
  /** Takes the oldest batch out; `undefined` when there is none, or none yet. */
  shift(): Taken | undefined
  /** Takes out the oldest batch that is in memory only. */
  shiftHeld(): Taken | undefined
  /** Drops the oldest batch that stands in the way of `batch`. Returns its items; `undefined` when there is none. */
  dropOldest(batch: Batch): number | undefined
  /** What is in memory only. */
  readonly held: Held
  /** Drops the oldest batch that is in memory only. Returns its items; `undefined` when there is none. */
  dropHeld(): number | undefined
  /** Takes other limits, and from now on keeps what another exporter remembers; what it holds already stays. */
  configure(config: QueueConfig, state: ExporterState | undefined): void
  /** Begins to keep batches. Resolves when it is known that no other process uses the same place. @throws InUseError */
  open(): Promise<void>
  /**
   * Lets go of what it holds, and says how many of the items waiting are kept for the next start. What still has to be done to
   * keep them has half a second once `deadline` has aborted.
   */
  close(deadline: AbortSignal): Promise<{ kept: number }>
  status(): QueueStatus
  /** What it takes on disk, and what is about to be written there. */
  readonly bytesOnDisk: number
}

/** A batch taken out of a queue. */
export interface Taken {
  readonly batch: Batch
  /** Whether it comes back at the next start unless `done` is called. */
  readonly stored: boolean
  /** When the queue took it, or the first of what was joined; milliseconds since 1970. */
  readonly since: number
  /** Says that it was sent, or counted as lost: the queue need not keep it any longer. */
  readonly done: () => void
}

export interface QueueStatus {
  readonly batches: number
  /** What counts against `capacity`, and that, in units of `sizer`; a queue on disk may have no such limit. */
  readonly size: number
  readonly capacity?: number
  /** When the oldest batch was taken, as far as it is known; milliseconds since 1970. */
  readonly oldest?: number
  /** Of a queue on disk. */
  readonly bytes_on_disk?: number
  /** Why batches wait in memory although they should be on disk, or a part of it cannot be read. */
  readonly problem?: { readonly since: Date; readonly message: string }
  /** When they did no more, after such a problem. */
  readonly recovered?: Date
}

export type QueueConfig = DeliveryConfig['sending_queue']

/** `queue_size` of a queue in memory when it is not set. */
const DEFAULT_SIZE = 1000

interface Waiting {
  readonly batch: Batch
  readonly since: number
}

export class MemoryQueue implements Queue {
  #batches: (Waiting | undefined)[] = []
  /** Where the oldest is: to shift a large array moves all that is left in it. */
  #head = 0
  #size = 0
  #items = 0
  #capacity = DEFAULT_SIZE
  #sizer: QueueConfig['sizer'] = 'requests'

  constructor(
    config: Pick<QueueConfig, 'queue_size' | 'sizer'>,
    private readonly clock: Clock,
  ) {
    this.configure(config)
  }

  configure({ queue_size: capacity = DEFAULT_SIZE, sizer }: Pick<QueueConfig, 'queue_size' | 'sizer'>): void {
    this.#capacity = capacity
    this.#sizer = sizer
    this.#size = this.#batches.reduce(
      (size, waiting) => size + (waiting === undefined ? 0 : this.#sizeOf(waiting.batch)),
      0,
    )
  }

  get length(): number {
    return this.#batches.length - this.#head
  }

  get items(): number {
    return this.#items
  }

  fits(batch: Batch, ahead: Iterable<Batch> = []): boolean {
    let before = this.#size
    for (const other of ahead) before += this.#sizeOf(other)
    return before === 0 || before + this.#sizeOf(batch) <= this.#capacity
  }

  push(batch: Batch): undefined {
    this.#batches.push({ batch, since: this.clock.now() })
    this.#size += this.#sizeOf(batch)
    this.#items += batch.itemCount
  }

  pushAgain(batch: Batch): undefined {
    this.push(batch)
  }

  note(): undefined {}

  shift(): Taken | undefined {
    const oldest = this.#oldest
    if (oldest === undefined) return undefined
    this.#batches[this.#head++] = undefined
    if (this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head)
      this.#head = 0
    }
    const { batch, since } = oldest
    this.#size -= this.#sizeOf(batch)
    this.#items -= batch.itemCount
    return { batch, stored: false, since, done: () => undefined }
  }

  shiftHeld(): Taken | undefined {
    return this.shift()
  }

  dropOldest(): number | undefined {
    return this.shift()?.batch.itemCount
  }

  get held(): Held {
    return { batches: this.length, oldest: this.#oldest?.since }
  }

  dropHeld(): number | undefined {
    return this.dropOldest()
  }

  async open(): Promise<void> {}

  async close(): Promise<{ kept: number }> {
    return { kept: 0 }
  }

  status(): QueueStatus {
    return { batches: this.length, size: this.#size, capacity: this.#capacity, oldest: this.#oldest?.since }
  }

  get bytesOnDisk(): number {
    return 0
  }

  get #oldest(): Waiting | undefined {
    return this.#batches[this.#head]
  }

  #sizeOf(batch: Batch): number {
    return sizeOf(this.#sizer, batch.itemCount, () => batch.toOtlp().length)
  }
}

/** What a batch counts for in the units of `sizer`. */
export function sizeOf(sizer: QueueConfig['sizer'], items: number, bytes: () => number): number {
  switch (sizer) {
    case 'requests':
      return 1
    case 'items':
      return items
    case 'bytes':
      return bytes()
  }
}
