import type { MetricBatch } from '../otlp/batch.ts'
import type { DeliveryConfig } from './settings.ts'

/** Where an exporter's prepared batches wait, first in, first out. */
export interface Queue {
  /** Batches waiting. */
  readonly length: number
  /** Data points waiting. */
  readonly points: number
  /** Whether `batch` may be pushed now. A batch larger than the whole queue fits an empty one. */
  fits(batch: MetricBatch): boolean
  push(batch: MetricBatch): void
  /** Takes the oldest batch out. */
  shift(): MetricBatch | undefined
}

type QueueConfig = DeliveryConfig['sending_queue']

export class MemoryQueue implements Queue {
  #batches: MetricBatch[] = []
  #size = 0
  #points = 0
  readonly #capacity: number
  readonly #sizer: QueueConfig['sizer']

  constructor(config: Pick<QueueConfig, 'queue_size' | 'sizer'>) {
    this.#capacity = config.queue_size
    this.#sizer = config.sizer
  }

  get length(): number {
    return this.#batches.length
  }

  get points(): number {
    return this.#points
  }

  fits(batch: MetricBatch): boolean {
    return this.#batches.length === 0 || this.#size + this.#sizeOf(batch) <= this.#capacity
  }

  push(batch: MetricBatch): void {
    this.#batches.push(batch)
    this.#size += this.#sizeOf(batch)
    this.#points += batch.pointCount
  }

  shift(): MetricBatch | undefined {
    const batch = this.#batches.shift()
    if (batch === undefined) return undefined
    this.#size -= this.#sizeOf(batch)
    this.#points -= batch.pointCount
    return batch
  }

  #sizeOf(batch: MetricBatch): number {
    switch (this.#sizer) {
      case 'requests':
        return 1
      case 'items':
        return batch.pointCount
      case 'bytes':
        return batch.toOtlp().length
    }
  }
}
