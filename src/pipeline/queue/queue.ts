import type { Clock } from '../../time/clock.ts'
import type { ExporterState } from '../../component/exporter.ts'
import type { Held } from '../../host/memory_limiter.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { DeliveryConfig } from '../config/settings.ts'

/** The queue of an exporter's prepared batches, first in, first out. */
export interface Queue {
  /** Batches waiting, except for those that cannot be read at the moment. */
  readonly length: number
  /** Items that `shift` gives without waiting. */
  readonly items: number
  /** Whether `batch` may be pushed now, or after the batches `ahead` of it. A batch larger than the whole queue fits an empty one. */
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
  /** The data that is in memory only. */
  readonly held: Held
  /** Drops the oldest batch that is in memory only. Returns its items; `undefined` if there is none. */
  dropHeld(): number | undefined
  /** Takes other limits, and from now on keeps the memory of another exporter; the data in the queue stays. */
  configure(config: QueueConfig, state: ExporterState | undefined): void
  /** Opens the queue. Resolves when it is certain that no other process uses the same folder. @throws InUseError */
  open(): Promise<void>
  /**
   * Closes the queue, and returns how many of the waiting items are kept for the next start. Work that is left to keep
   * them has half a second once `deadline` has aborted.
   */
  close(deadline: AbortSignal): Promise<{ kept: number }>
  status(): QueueStatus
  /** Bytes that it takes on disk, including those about to be written. */
  readonly bytesOnDisk: number
}

/** A batch taken out of a queue. */
export interface Taken {
  readonly batch: Batch
  /** Whether it comes back at the next start unless `done` is called. */
  readonly stored: boolean
  /** When the queue took it, or the first of the joined batches; milliseconds since 1970. */
  readonly since: number
  /** Reports that it was sent, or counted as lost: the queue need not keep it any longer. */
  readonly done: () => void
}

export interface QueueStatus {
  readonly batches: number
  /** The amount that counts against `capacity`, and `capacity` itself, in units of `sizer`; a queue on disk may have no such limit. */
  readonly size: number
  readonly capacity?: number
  /** When the oldest batch was taken, as far as that is known; milliseconds since 1970. */
  readonly oldest?: number
  /** For a queue on disk. */
  readonly bytes_on_disk?: number
  /** Why batches wait in memory although they should be on disk, or why a part of the queue cannot be read. */
  readonly problem?: { readonly since: Date; readonly message: string }
  /** When such a problem ended. */
  readonly recovered?: Date
}

export type QueueConfig = DeliveryConfig['sending_queue']

/** `queue_size` of a queue in memory if it is not set. */
const DEFAULT_SIZE = 1000

interface Waiting {
  readonly batch: Batch
  readonly since: number
}

export class MemoryQueue implements Queue {
  #batches: (Waiting | undefined)[] = []
  /** The index of the oldest batch: shifting a large array would move all of its items. */
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

/** The size of a batch in units of `sizer`. */
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
