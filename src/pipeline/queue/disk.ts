import type { ExporterState } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import type { Held } from '../../host/memory_limiter.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { deliveryId } from '../delivery/id.ts'
import { thisMachine } from '../machine.ts'
import type { Machine } from '../machine.ts'
import { countEntry } from './entry.ts'
import type { QueueEntry } from './entry.ts'
import { Fallback } from './fallback.ts'
import type { Disk } from './files.ts'
import { makeFolder } from './folder.ts'
import { GroupWriter } from './group_writer.ts'
import { InUseError } from './lock.ts'
import { patiently } from './patience.ts'
import { sizeOf } from './queue.ts'
import type { Queue, QueueConfig, QueueStatus, Taken } from './queue.ts'
import { ReadAhead } from './read_ahead.ts'
import { HEADER_SIZE } from './record.ts'
import { queueFolder, RecordLog } from './record_log.ts'
import type { Segment, Waiting } from './segment.ts'
import { StateLog } from './state_log.ts'

/** Bytes of a segment: what is read, and what space is given back, at once. A small queue has eight segments. */
const SEGMENT_SIZE = 8 * 2 ** 20

/** Bytes of batches that are held in memory while they are written, or because they cannot be. */
const MAX_HELD = 64 * 2 ** 20

/** What is written of a batch of which nothing is left. */
const NOTHING = Buffer.alloc(0)

/** What a queue on disk tells the delivery around it. */
interface QueueEvents {
  /** There may be something to `shift`, or room to `push`. */
  changed(): void
  /** Items came back from an earlier process. */
  restored(items: number): void
  /** Waiting items are gone, because the disk or a file is damaged. */
  lost(items: number): void
  /** The disk takes batches again, also those that were handed out while it did not. */
  recovered(): void
}

type Limits = Pick<QueueConfig, 'queue_size' | 'sizer' | 'max_disk_size'>

interface DiskQueueOptions {
  /** As in `sending_queue.directory`. */
  readonly directory: string
  readonly exporter: string
  readonly signal?: Signal
  readonly config: Limits
  readonly events: QueueEvents
  readonly log: Logger
  readonly memoryIsShort?: () => boolean
  /** What other queues take of `max_disk_size`. */
  readonly bytesBeside?: () => number
  readonly machine?: Pick<Machine, 'clock' | 'disk' | 'random'>
}

/**
 * A queue in the folder of one exporter and signal. A batch is taken when it is flushed to a `RecordLog`; what fits into memory is
 * handed out from there, and read back only after that was not enough. When the disk fails, batches wait in memory,
 * and are written as soon as it takes them again.
 */
export class DiskQueue implements Queue {
  readonly #folder: string
  readonly #segmentSize: number
  #lock: Awaited<ReturnType<Disk['lock']>> | undefined
  /** Once the folder is open. */
  #records: RecordLog | undefined
  #reader: ReadAhead | undefined
  readonly #state: StateLog
  readonly #writer: GroupWriter
  readonly #fallback: Fallback
  #opening: Promise<void> | undefined
  #closed = false
  /** Whether `close` has said what is kept: what the disk answers afterwards is for the next process to find. */
  #isOver = false
  /** All that waits, in memory and on disk. */
  readonly #waiting: Waiting = { records: 0, items: 0, bytes: 0 }
  /** What is to be written, or could not be. */
  readonly #heldSize: Waiting = { records: 0, items: 0, bytes: 0 }
  #lastRecovered: Date | undefined
  #config: Limits
  readonly #options: Required<DiskQueueOptions>

  constructor(given: DiskQueueOptions) {
    const { directory, exporter, config, events, log, signal = 'metrics' } = given
    const { memoryIsShort = () => false, bytesBeside = () => 0, machine = thisMachine } = given
    const { clock } = machine
    this.#options = { ...given, signal, memoryIsShort, bytesBeside, machine }
    this.#config = config
    const folder = (this.#folder = queueFolder(directory, deliveryId(exporter, signal)))
    this.#segmentSize = Math.min(SEGMENT_SIZE, Math.ceil(config.max_disk_size / 8))
    this.#state = new StateLog({ folder, minSize: this.#segmentSize, log, machine })
    this.#writer = new GroupWriter({
      ...{ state: this.#state, groupSize: this.#segmentSize, clock },
      written: (entry, position) => {
        countEntry(this.#heldSize, entry, -1)
        this.#reader?.written(entry, position)
      },
      flushed: () => {
        this.#fallback.recovered()
        this.#reader?.readOn()
        events.changed()
      },
      failed: (error) => this.#fallback.failed(error),
    })
    this.#fallback = new Fallback({
      ...{ folder, writer: this.#writer, state: this.#state, log, clock },
      tryAgain: () => this.#tryAgain(),
      probe: async () => void (await this.#records?.writable()),
      changed: () => events.changed(),
      recovered: () => {
        this.#noteRecovered()
        events.recovered()
      },
    })
  }

  get length(): number {
    return this.#waiting.records - (this.#records?.recordsAside ?? 0)
  }

  get items(): number {
    return (this.#reader?.items ?? 0) + (this.#heldIsNext ? this.#fallback.items : 0)
  }

  fits(batch: Batch, ahead: Iterable<Batch> = []): boolean {
    const { queue_size: capacity = Infinity, sizer } = this.#config
    const { records, items, bytes } = this.#waiting
    const size = (each: Batch): number => sizeOf(sizer, each.itemCount, () => each.toOtlp().length)
    let before = { requests: records, items, bytes }[sizer]
    let { length } = batch.toOtlp()
    for (const other of ahead) {
      before += size(other)
      length += other.toOtlp().length + HEADER_SIZE
    }
    if (before > 0 && before + size(batch) > capacity) return false
    return this.#fitsMemory(length) && this.#fitsDisk(length)
  }

  push(batch: Batch): Promise<void> | undefined {
    return this.#push(batch, { isSame: false })
  }

  pushAgain(batch: Batch): Promise<void> | undefined {
    return this.#push(batch, { isSame: true })
  }

  #push(batch: Batch, { isSame }: Pick<QueueEntry, 'isSame'>): Promise<void> | undefined {
    const change = this.#state.take()
    const time = this.#options.machine.clock.now()
    const entry = { batch, isSame, payload: batch.toOtlp(), items: batch.itemCount, time, change }
    countEntry(this.#waiting, entry, 1)
    countEntry(this.#heldSize, entry, 1)
    if (this.#fallback.problem === undefined) return this.#writer.write(entry)
    this.#fallback.push(entry)
    return undefined
  }

  note(): Promise<void> | undefined {
    const change = this.#state.take()
    if (change === undefined || change.bytes.length === 0) return undefined
    if (this.#fallback.problem === undefined)
      return this.#writer.write({ payload: NOTHING, items: 0, time: this.#options.machine.clock.now(), change })
    this.#state.abandon()
    return undefined
  }

  shift(): Taken | undefined {
    const reader = this.#reader
    const { events, log } = this.#options
    for (;;) {
      const entry = reader?.shift()
      const held = entry === undefined && this.#heldIsNext ? this.shiftHeld() : undefined
      reader?.readOn()
      if (reader === undefined || entry === undefined) return held
      const batch = entry.batch ?? this.#readBatch(entry)
      if (batch !== undefined) {
        let done = false
        const finish = (): void => {
          if (!done) reader.acknowledge(entry)
          done = true
        }
        return { batch, stored: true, since: entry.time, done: finish }
      }
      reader.acknowledge(entry)
      events.lost(entry.items)
      log.error('A batch in the queue on disk cannot be read; it is dropped and counted.', {
        event: 'queue_damaged',
      })
    }
  }

  shiftHeld(): Taken | undefined {
    const entry = this.#takeHeld()
    // It was pushed in this process.
    return entry && { batch: entry.batch!, stored: false, since: entry.time, done: () => undefined }
  }

  dropOldest(batch: Batch): number | undefined {
    // Nothing on disk stands in its way then.
    if (!this.#fitsMemory(batch.toOtlp().length)) return this.dropHeld()
    return this.#reader?.dropOldest() ?? this.dropHeld()
  }

  /** What the disk has not is what it could not take. */
  get held(): Held {
    return { batches: this.#fallback.length, oldest: this.#fallback.oldest?.time }
  }

  dropHeld(): number | undefined {
    return this.#takeHeld()?.items
  }

  configure(config: Limits, state: ExporterState | undefined): void {
    this.#config = config
    this.#state.renew(state)
  }

  async open(): Promise<void> {
    let late = false
    this.#opening = this.#open().catch((error: unknown) => {
      if (error instanceof InUseError && !late) throw error
      this.#fallback.failed(error)
    })
    await patiently(this.#opening, this.#options.machine.clock)
    late = true
  }

  async close(deadline: AbortSignal): Promise<{ kept: number }> {
    this.#closed = true
    this.#fallback.close()
    await patiently(this.#finish(this.#reader?.close()), this.#options.machine.clock, deadline)
    this.#isOver = true
    this.#reader?.abandon()
    return { kept: this.#waiting.items - this.#heldSize.items }
  }

  status(): QueueStatus {
    const { queue_size: capacity, sizer } = this.#config
    const { records, items, bytes } = this.#waiting
    const problem = this.#fallback.problem ?? this.#records?.problem
    return {
      batches: records,
      size: { requests: records, items: items, bytes }[sizer],
      capacity,
      oldest: (this.#reader?.oldest ?? this.#writer.oldest ?? this.#fallback.oldest)?.time,
      bytes_on_disk: this.#records?.bytes ?? 0,
      ...(problem !== undefined && { problem }),
      ...(this.#lastRecovered !== undefined && { recovered: this.#lastRecovered }),
    }
  }

  get bytesOnDisk(): number {
    const { records, bytes } = this.#heldSize
    return (this.#records?.bytes ?? 0) + bytes + records * HEADER_SIZE
  }

  async #finish(read: Promise<void> | undefined): Promise<void> {
    await this.#opening?.catch(() => undefined)
    await this.#writer.settled()
    await read
    // A last attempt: what the disk takes now is not lost.
    this.#fallback.rewrite()
    await this.#writer.settled()
    await this.#state.close()
    await this.#records?.close()
    await this.#lock?.release()
  }

  async #open(): Promise<void> {
    const { log, machine, events, memoryIsShort } = this.#options
    const folder = this.#folder
    await makeFolder(folder, machine.disk)
    this.#lock ??= await machine.disk.lock(folder)
    const records = await RecordLog.open({
      ...{ folder, segmentSize: this.#segmentSize, log, machine },
      failed: (error) => this.#fallback.failed(error),
      found: (segments, end) => this.#state.restore(segments, end),
    })
    this.#records = records
    this.#restored(records.segments)
    this.#reader = new ReadAhead({
      ...{ records, waiting: this.#waiting, segmentSize: this.#segmentSize, log, clock: machine.clock },
      memoryIsShort,
      changed: () => events.changed(),
      restored: (segment) => this.#restored([segment]),
      lost: (items) => events.lost(items),
      failed: (error) => this.#fallback.failed(error),
      readable: () => this.#noteRecovered(),
    })
    if (this.#closed) void this.#reader.close()
    this.#writer.start(records)
    this.#reader.readOn()
  }

  /** Counts what an earlier process left. */
  #restored(segments: readonly Segment[]): void {
    if (this.#isOver) return
    let restored = 0
    for (const { waiting } of segments) {
      this.#waiting.records += waiting.records
      this.#waiting.items += waiting.items
      this.#waiting.bytes += waiting.bytes
      restored += waiting.items
    }
    if (restored === 0) return
    this.#options.events.restored(restored)
    this.#options.log.info('Data that an earlier process did not send is sent now.', {
      event: 'queue_restored',
      items: restored,
    })
  }

  #noteRecovered(): void {
    this.#lastRecovered = new Date(this.#options.machine.clock.now())
  }

  #fitsMemory(bytes: number): boolean {
    return this.#heldSize.records === 0 || this.#heldSize.bytes + bytes <= MAX_HELD
  }

  #fitsDisk(bytes: number): boolean {
    const records = this.#records
    if (records === undefined || this.#fallback.problem !== undefined) return true
    if (records.finished && this.#heldSize.records === 0) return true
    return this.#options.bytesBeside() + this.bytesOnDisk + bytes + HEADER_SIZE <= this.#config.max_disk_size
  }

  #readBatch({ payload, items }: QueueEntry): Batch | undefined {
    try {
      const batch = signals[this.#options.signal].fromOtlp(payload)
      return batch.itemCount === items ? batch : undefined
    } catch {
      return undefined
    }
  }

  /** Whether nothing older than what the disk could not take can be handed out. */
  get #heldIsNext(): boolean {
    return this.#reader?.isEmpty ?? true
  }

  #takeHeld(): QueueEntry | undefined {
    const entry = this.#fallback.shift()
    if (entry === undefined) return undefined
    countEntry(this.#heldSize, entry, -1)
    countEntry(this.#waiting, entry, -1)
    return entry
  }

  async #tryAgain(): Promise<void> {
    this.#reader?.retry()
    if (this.#records === undefined) await (this.#opening = this.#open())
    else await this.#reclaim()
    await this.#records?.retry()
    await this.#state.retry()
  }

  /** Makes the folder again where it was deleted, and with it the lock and what the exporter remembers. */
  async #reclaim(): Promise<void> {
    if (await this.#lock?.stands()) return
    await makeFolder(this.#folder, this.#options.machine.disk)
    const lock = await this.#options.machine.disk.lock(this.#folder)
    await this.#lock?.release()
    this.#lock = lock
    this.#state.abandon()
  }
}
