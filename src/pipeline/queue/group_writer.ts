import type { Clock } from '../../time/clock.ts'
import type { QueueEntry } from './entry.ts'
import type { RecordLog, RecordPosition } from './record_log.ts'
import type { StateLog } from './state_log.ts'

interface Writing extends QueueEntry {
  readonly resolve: () => void
}

interface GroupWriterOptions {
  readonly state: StateLog
  /** Bytes of a group, about. */
  readonly groupSize: number
  readonly clock: Clock
  /** Called with each batch that has become a record, before its `write` resolves. */
  readonly written: (entry: QueueEntry, position: RecordPosition) => void
  /** Called when all of a group are written. */
  readonly flushed: () => void
  /** Called when the disk failed, while those that were to be written still wait. */
  readonly failed: (error: unknown) => void
}

/** Writes batches, and what the exporter remembers with them, a group at a time: one flush serves all that came during the one before. */
export class GroupWriter {
  /** To be written, or being so. */
  #entries: Writing[] = []
  #records: RecordLog | undefined
  #committing: Promise<void> | undefined

  constructor(private readonly options: GroupWriterOptions) {}

  get oldest(): QueueEntry | undefined {
    return this.#entries[0]
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#committing
  }

  /** Writes from now on, also what came before. */
  start(records: RecordLog): void {
    this.#records = records
    this.#commit()
  }

  /** Resolves when the entry is written, or the disk has failed. One without items is only what the exporter remembers. */
  write(entry: QueueEntry): Promise<void> {
    return new Promise((resolve) => {
      this.#entries.push({ ...entry, resolve })
      this.#commit()
    })
  }

  /** Writes entries for which nobody waits. */
  rewrite(entries: readonly QueueEntry[]): void {
    this.#entries.push(...entries.map((entry) => ({ ...entry, resolve: () => undefined })))
    this.#commit()
  }

  /** Takes out all that is not written, and resolves its promises. */
  takeAll(): QueueEntry[] {
    const entries = this.#entries.splice(0)
    for (const { resolve } of entries) resolve()
    return entries
  }

  #commit(): void {
    if (this.#records === undefined || this.#committing !== undefined || this.#entries.length === 0) return
    this.#committing = this.#writeGroups(this.#records)
  }

  async #writeGroups(records: RecordLog): Promise<void> {
    const { written, flushed, failed } = this.options
    while (this.#entries.length > 0) {
      const group = this.#nextGroup()
      const batches = group.filter(({ items }) => items > 0)
      let positions: RecordPosition[]
      try {
        positions = await this.#append(records, group, batches)
      } catch (error) {
        this.#entries.unshift(...group)
        failed(error)
        break
      }
      batches.forEach((entry, index) => written(entry, positions[index]))
      for (const { resolve } of group) resolve()
      flushed()
    }
    // At once, not when the promise settles: whoever was resolved above may push before that.
    this.#committing = undefined
  }

  /** What is remembered is written first, so that there is no record without it, and flushed at the same time. */
  async #append(records: RecordLog, group: readonly Writing[], batches: readonly Writing[]): Promise<RecordPosition[]> {
    const { state, clock } = this.options
    if (batches.length > 0) await records.writable()
    await state.write(group, records.end)
    const flushed = state.flush()
    try {
      const positions = batches.length > 0 ? await records.append(batches, clock.now()) : []
      await flushed
      state.commit()
      return positions
    } catch (error) {
      await flushed
      await state.withdraw()
      throw error
    }
  }

  #nextGroup(): Writing[] {
    let length = 0
    let bytes = 0
    while (length < this.#entries.length && bytes < this.options.groupSize)
      bytes += this.#entries[length++].payload.length
    return this.#entries.splice(0, length)
  }
}
