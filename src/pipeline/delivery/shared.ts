/** A delivery, as seen by the other deliveries of its exporter. */
interface Sharing {
  /** Bytes that its queue takes on disk, including those about to be written. */
  readonly bytesOnDisk: number
  /** Starts any work that there is room for now. */
  pump(): void
}

/** The limits that the deliveries of one exporter, one for each signal, share: `num_consumers` and `max_disk_size`. */
export class Shared {
  readonly #deliveries = new Set<Sharing>()
  /** Batches taken out of the queues that are not completed. */
  consumers = 0

  join(delivery: Sharing): void {
    this.#deliveries.add(delivery)
  }

  leave(delivery: Sharing): void {
    this.#deliveries.delete(delivery)
  }

  /** Bytes on disk of all deliveries but one. */
  bytesBeside(delivery: Sharing): number {
    let bytes = 0
    for (const other of this.#deliveries) if (other !== delivery) bytes += other.bytesOnDisk
    return bytes
  }

  /** A share that the delivery used is free again: the others come first, starting with the one after it, so that each has its turn. */
  freed(delivery: Sharing): void {
    const all = [...this.#deliveries]
    const next = all.indexOf(delivery) + 1
    for (const other of [...all.slice(next), ...all.slice(0, next)]) if (other !== delivery) other.pump()
    delivery.pump()
  }
}
