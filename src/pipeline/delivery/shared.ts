/** A delivery, as the others of its exporter see it. */
interface Sharing {
  /** Bytes that its queue takes on disk, and those about to be written there. */
  readonly bytesOnDisk: number
  /** Starts what there may be room for now. */
  pump(): void
}

/** What the deliveries of one exporter, one for each signal, have together: `num_consumers` and `max_disk_size`. */
export class Shared {
  readonly #deliveries = new Set<Sharing>()
  /** Batches taken out of the queues that have not come to their end. */
  consumers = 0

  join(delivery: Sharing): void {
    this.#deliveries.add(delivery)
  }

  leave(delivery: Sharing): void {
    this.#deliveries.delete(delivery)
  }

  /** Bytes on disk of all but one. */
  bytesBeside(delivery: Sharing): number {
    let bytes = 0
    for (const other of this.#deliveries) if (other !== delivery) bytes += other.bytesOnDisk
    return bytes
  }

  /** Something that the delivery took is free: the others come first, the one after it at the head, so that each has its turn. */
  freed(delivery: Sharing): void {
    const all = [...this.#deliveries]
    const next = all.indexOf(delivery) + 1
    for (const other of [...all.slice(next), ...all.slice(0, next)]) if (other !== delivery) other.pump()
    delivery.pump()
  }
}
