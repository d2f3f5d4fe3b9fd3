import type { Timer } from '../../time/clock.ts'
import type { ExporterState } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Held } from '../../host/memory_limiter.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { deliveryId } from '../delivery/id.ts'
import { thisMachine } from '../machine.ts'
import type { Machine } from '../machine.ts'
import { sizeOf } from './queue.ts'
import type { Queue, QueueConfig, QueueStatus, Taken } from './queue.ts'
import type { Disk } from './files.ts'
import { makeFolder } from './folder.ts'
import { InUseError } from './lock.ts'
import { queueFolder, RecordLog } from './record_log.ts'
import type { RecordPosition } from './record_log.ts'
import { HEADER_SIZE } from './record.ts'
import type { Segment } from './segment.ts'
import { count } from './segment.ts'
import { StateLog } from './state_log.ts'
import type { Change, LogEnd } from './state_log.ts'

/** Bytes of a segment: what is read, and what space is given back, at once. A small queue has eight segments. */
const SEGMENT_SIZE = 8 * 2 ** 20

/** Bytes of batches that are held in memory while they are written, or because they cannot be. */
const MAX_HELD = 64 * 2 ** 20

/** Milliseconds that the start and the stop wait for a disk that does not answer. */
const PATIENCE = 5000

/** Milliseconds that the stop waits for it once its time is over: less than the process takes for its end, so that all is counted. */
const LAST_PATIENCE = 500

/** Milliseconds between attempts on a disk, or a part of the queue, that failed. */
const RETRY_INTERVAL = 1000

/** What is written of a batch of which nothing is left. */
const NOTHING = Buffer.alloc(0)

/** What a queue on disk tells the delivery around it. */
export interface QueueEvents {
  /** There may be something to `shift`, or room to `push`. */
  changed(): void
  /** Items came back from an earlier process. */
  restored(items: number): void
  /** Waiting items are gone. */
  lost(reason: string, items: number): void
  /** The disk takes batches again, also those that were handed out while it did not. */
  recovered(): void
}

interface QueueEntry {
  readonly payload: Uint8Array
  readonly items: number
  /** When it was taken, in milliseconds since 1970. */
  readonly time: number
  /** The batch that was pushed; one that was read from disk is made when it is taken. */
  readonly batch?: Batch
  /** As of `Queue.push`. */
  readonly isSame?: boolean
  /** What the exporter remembers since it prepared the batch. */
  readonly change?: Change
}

interface StoredEntry extends QueueEntry {
  readonly place: Omit<RecordPosition, 'offset'>
}

interface Writing extends QueueEntry {
  readonly resolve: () => void
}

type Limits = Pick<QueueConfig, 'queue_size' | 'sizer' | 'max_disk_size'>

export interface DiskQueueOptions {
  /** As in `sending_queue.directory`. */
  readonly directory: string
  readonly exporter: string
  readonly signal?: Signal
  readonly config: Limits
  /** What is remembered beside the batches. */
  readonly state?: ExporterState
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
  #records: RecordLog | undefined
  readonly #state: StateLog
  #opening: Promise<void> | undefined
  #closed = false
  /** All that waits, in the three places below and on disk. */
  readonly #waiting = { records: 0, items: 0, bytes: 0 }
  /** Next to be handed out; the records before `#position`. */
  #ready: StoredEntry[] = []
  readonly #readySize = { records: 0, items: 0, bytes: 0 }
  /** To be written, or being so. */
  #writing: Writing[] = []
  /** What the disk could not take. */
  #memory: QueueEntry[] = []
  readonly #heldSize = { records: 0, items: 0, bytes: 0 }
  #memoryItems = 0
  /** By segment and index of their records: batches that must come back as the objects they were. */
  readonly #same = new WeakMap<Segment, Map<number, Batch>>()
  /** The first record that was not handed out or made ready. */
  #position: { segment: Segment; offset: number } | undefined
  #committing: Promise<void> | undefined
  #reading: Promise<void> | undefined
  #unreadable = false
  #problem: { readonly since: Date; readonly message: string } | undefined
  #lastRecovered: Date | undefined
  #retry: Timer | undefined
  #readmission: Timer | undefined

  readonly #signal: Signal
  #config: Limits
  readonly #events: QueueEvents
  readonly #log: Logger
  readonly #memoryIsShort: () => boolean
  readonly #bytesBeside: () => number
  readonly #machine: Pick<Machine, 'clock' | 'disk' | 'random'>

  constructor({ directory, exporter, signal = 'metrics', config, state, events, log, ...given }: DiskQueueOptions) {
    const { memoryIsShort = () => false, bytesBeside = () => 0, machine = thisMachine } = given
    this.#signal = signal
    this.#config = config
    this.#events = events
    this.#log = log
    this.#memoryIsShort = memoryIsShort
    this.#bytesBeside = bytesBeside
    this.#machine = machine
    this.#folder = queueFolder(directory, deliveryId(exporter, signal))
    this.#segmentSize = Math.min(SEGMENT_SIZE, Math.ceil(config.max_disk_size / 8))
    this.#state = new StateLog(this.#folder, this.#segmentSize, state, log, machine)
  }

  get length(): number {
    return this.#waiting.records - (this.#records?.recordsAside ?? 0)
  }

  get items(): number {
    return this.#readySize.items + (this.#memoryIsNext ? this.#memoryItems : 0)
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

  push(batch: Batch, isSame = false): Promise<void> | undefined {
    const change = this.#state.take()
    const time = this.#machine.clock.now()
    const entry = { batch, isSame, payload: batch.toOtlp(), items: batch.itemCount, time, change }
    this.#count(this.#waiting, entry, 1)
    this.#count(this.#heldSize, entry, 1)
    if (this.#problem !== undefined) {
      this.#remember(entry)
      return undefined
    }
    return this.#write(entry)
  }

  note(): Promise<void> | undefined {
    const change = this.#state.take()
    if (change === undefined || change.bytes.length === 0) return undefined
    if (this.#problem === undefined)
      return this.#write({ payload: NOTHING, items: 0, time: this.#machine.clock.now(), change })
    this.#state.abandon()
    return undefined
  }

  shift(inMemoryOnly = false): Taken | undefined {
    for (;;) {
      const entry = this.#next(inMemoryOnly)
      if (entry === undefined) return undefined
      const batch = entry.batch ?? this.#readBatch(entry)
      if (batch !== undefined) {
        let done = false
        const finish = (): void => {
          if (!done && 'place' in entry) this.#acknowledge(entry)
          done = true
        }
        return { batch, stored: 'place' in entry, since: entry.time, done: finish }
      }
      if ('place' in entry) this.#acknowledge(entry)
      this.#events.lost('corrupt', entry.items)
      this.#log.error('A batch in the queue on disk cannot be read; it is dropped and counted.', {
        event: 'queue_damaged',
      })
    }
  }

  dropOldest(batch: Batch): number | undefined {
    // Nothing on disk stands in its way then.
    if (!this.#fitsMemory(batch.toOtlp().length)) return this.#forget()?.items
    const entry = this.#takeReady()
    if (entry !== undefined) {
      this.#acknowledge(entry)
      return entry.items
    }
    return this.#dropUnread() ?? this.#forget()?.items
  }

  /** What the disk has not is what it could not take. */
  get held(): Held {
    return { batches: this.#memory.length, oldest: this.#memory[0]?.time }
  }

  dropHeld(): number | undefined {
    return this.#forget()?.items
  }

  configure(config: Limits, state: ExporterState | undefined): void {
    this.#config = config
    this.#state.renew(state)
  }

  async open(): Promise<void> {
    let late = false
    this.#opening = this.#open()
      .catch((error: unknown) => {
        if (error instanceof InUseError && !late) throw error
        this.#failed(error)
      })
      .finally(() => this.#machine.clock.clearTimeout(timer))
    let timer: Timer | undefined
    // A disk that hangs must not keep the process from starting.
    const patience = new Promise<void>((resolve) => (timer = this.#machine.clock.setTimeout(resolve, PATIENCE)))
    await Promise.race([this.#opening, patience])
    late = true
  }

  async close(deadline: AbortSignal): Promise<{ kept: number }> {
    this.#closed = true
    this.#machine.clock.clearTimeout(this.#retry)
    this.#machine.clock.clearTimeout(this.#readmission)
    let timer: Timer | undefined
    // A disk that hangs must not keep the process from ending.
    const { clock } = this.#machine
    let hurry = (): void => undefined
    const patience = new Promise<void>((resolve) => {
      const wait = (milliseconds: number): void => {
        clock.clearTimeout(timer)
        timer = clock.setTimeout(resolve, milliseconds)
      }
      hurry = () => wait(LAST_PATIENCE)
      wait(deadline.aborted ? LAST_PATIENCE : PATIENCE)
    })
    deadline.addEventListener('abort', hurry)
    await Promise.race([this.#finish(), patience])
    deadline.removeEventListener('abort', hurry)
    clock.clearTimeout(timer)
    return { kept: this.#waiting.items - this.#heldSize.items }
  }

  status(): QueueStatus {
    const { queue_size: capacity, sizer } = this.#config
    const { records, items, bytes } = this.#waiting
    const problem = this.#problem ?? this.#records?.problem
    return {
      batches: records,
      size: { requests: records, items: items, bytes }[sizer],
      capacity,
      oldest: (this.#ready[0] ?? this.#writing[0] ?? this.#memory[0])?.time,
      bytes_on_disk: this.#records?.bytes ?? 0,
      ...(problem !== undefined && { problem }),
      ...(this.#lastRecovered !== undefined && { recovered: this.#lastRecovered }),
    }
  }

  async #finish(): Promise<void> {
    await this.#opening?.catch(() => undefined)
    await this.#committing
    await this.#reading
    // A last attempt: what the disk takes now is not lost.
    this.#rewrite()
    await this.#committing
    await this.#state.close()
    await this.#records?.close()
    await this.#lock?.release()
  }

  async #open(): Promise<void> {
    await makeFolder(this.#folder, this.#machine.disk)
    this.#lock ??= await this.#machine.disk.lock(this.#folder)
    const failed = (error: unknown): void => this.#failed(error)
    const found = (segments: readonly Segment[], end: LogEnd): Promise<void> => this.#state.restore(segments, end)
    const records = await RecordLog.open(this.#folder, this.#segmentSize, this.#log, failed, this.#machine, found)
    this.#records = records
    this.#restored(records.segments)
    const [first] = records.segments
    if (first !== undefined) this.#moveTo(first)
    this.#readmitLater()
    this.#commit()
    this.#readAhead()
  }

  /** Counts what an earlier process left. */
  #restored(segments: readonly Segment[]): void {
    let restored = 0
    for (const { waiting } of segments) {
      this.#waiting.records += waiting.records
      this.#waiting.items += waiting.items
      this.#waiting.bytes += waiting.bytes
      restored += waiting.items
    }
    if (restored === 0) return
    this.#events.restored(restored)
    this.#log.info('Data that an earlier process did not send is being sent now.', {
      event: 'queue_restored',
      items: restored,
    })
  }

  #fitsMemory(bytes: number): boolean {
    return this.#heldSize.records === 0 || this.#heldSize.bytes + bytes <= MAX_HELD
  }

  #fitsDisk(bytes: number): boolean {
    const records = this.#records
    if (records === undefined || this.#problem !== undefined) return true
    const held = this.#heldSize
    if (records.finished && held.records === 0) return true
    return this.#bytesBeside() + this.bytesOnDisk + bytes + HEADER_SIZE <= this.#config.max_disk_size
  }

  get bytesOnDisk(): number {
    const { records, bytes } = this.#heldSize
    return (this.#records?.bytes ?? 0) + bytes + records * HEADER_SIZE
  }

  #readBatch({ payload, items }: QueueEntry): Batch | undefined {
    try {
      const batch = signals[this.#signal].fromOtlp(payload)
      return batch.itemCount === items ? batch : undefined
    } catch {
      return undefined
    }
  }

  #count(size: Segment['waiting'], { items, payload }: QueueEntry, sign: 1 | -1): void {
    count(size, { items, length: payload.length }, sign)
  }

  // ---- writing ----

  /** Writes what there is to write, a group at a time: one flush serves all that were pushed during the one before. */
  #commit(): void {
    if (this.#records === undefined || this.#committing !== undefined || this.#writing.length === 0) return
    this.#committing = this.#writeGroups(this.#records)
  }

  async #writeGroups(records: RecordLog): Promise<void> {
    while (this.#writing.length > 0) {
      const group = this.#nextGroup()
      const batches = group.filter(({ items }) => items > 0)
      let places: RecordPosition[]
      try {
        places = await this.#append(records, group, batches)
      } catch (error) {
        this.#writing.unshift(...group)
        this.#failed(error)
        break
      }
      batches.forEach((entry, index) => this.#written(entry, places[index]))
      this.#recovered()
      for (const { resolve } of group) resolve()
      this.#readAhead()
      this.#events.changed()
    }
    // At once, not when the promise settles: whoever was resolved above may push before that.
    this.#committing = undefined
  }

  /** What is remembered is written first, so that there is no record without it, and flushed at the same time. */
  async #append(records: RecordLog, group: readonly Writing[], batches: readonly Writing[]): Promise<RecordPosition[]> {
    if (batches.length > 0) await records.writable()
    await this.#state.write(group, records.end)
    const flushed = this.#state.flush()
    try {
      const places = batches.length > 0 ? await records.append(batches, this.#machine.clock.now()) : []
      await flushed
      this.#state.commit()
      return places
    } catch (error) {
      await flushed
      await this.#state.withdraw()
      throw error
    }
  }

  #write(entry: QueueEntry): Promise<void> {
    return new Promise((resolve) => {
      this.#writing.push({ ...entry, resolve })
      this.#commit()
    })
  }

  #nextGroup(): Writing[] {
    let length = 0
    let bytes = 0
    while (length < this.#writing.length && bytes < this.#segmentSize) bytes += this.#writing[length++].payload.length
    return this.#writing.splice(0, length)
  }

  /** A batch that is next to be read and has room in memory stays there, unless memory is short. */
  #written(entry: Writing, place: RecordPosition): void {
    this.#count(this.#heldSize, entry, -1)
    if (this.#position === undefined) this.#moveTo(place.segment)
    this.#advance()
    const { segment, offset } = this.#position!
    const { batch, isSame, payload, items, time } = entry
    const isNext = segment === place.segment && offset === place.offset
    if (!isNext || this.#readySize.bytes >= this.#segmentSize || this.#memoryIsShort()) {
      if (isSame && batch !== undefined) this.#keepSame(place, batch)
      return
    }
    this.#makeReady({ batch, payload, items, time, place })
    this.#moveTo(segment, offset + HEADER_SIZE + entry.payload.length)
  }

  #keepSame({ segment, index }: RecordPosition, batch: Batch): void {
    const ofSegment = this.#same.get(segment) ?? new Map<number, Batch>()
    this.#same.set(segment, ofSegment.set(index, batch))
  }

  // ---- reading ----

  get #hasUnread(): boolean {
    return this.#position !== undefined && this.#position.segment.waiting.records > 0
  }

  /** Whether nothing older than what waits in memory can be handed out. */
  get #memoryIsNext(): boolean {
    return this.#ready.length === 0 && (!this.#hasUnread || this.#unreadable)
  }

  #next(inMemoryOnly: boolean): QueueEntry | StoredEntry | undefined {
    if (inMemoryOnly) return this.#forget()
    const entry = this.#takeReady() ?? (this.#memoryIsNext ? this.#forget() : undefined)
    this.#readAhead()
    return entry
  }

  #makeReady(entry: StoredEntry): void {
    this.#ready.push(entry)
    this.#count(this.#readySize, entry, 1)
    this.#count(entry.place.segment.waiting, entry, -1)
    entry.place.segment.out += 1
  }

  #takeReady(): StoredEntry | undefined {
    const entry = this.#ready.shift()
    if (entry === undefined) return undefined
    this.#count(this.#readySize, entry, -1)
    this.#count(this.#waiting, entry, -1)
    return entry
  }

  #acknowledge({ place: { segment, index }, items, payload }: StoredEntry): void {
    this.#records?.acknowledge(segment, { index, items, length: payload.length })
  }

  #moveTo(segment: Segment, offset = segment.readTo): void {
    segment.readTo = offset
    this.#position = { segment, offset }
  }

  /** Moves the position on from segments that are read to their end and get no more records. */
  #advance(): void {
    for (;;) {
      if (this.#hasUnread || this.#position === undefined || this.#records?.isActive(this.#position.segment)) return
      const segment = this.#records?.after(this.#position.segment)
      if (segment === undefined) return
      this.#moveTo(segment)
    }
  }

  /** Reads the next segment as soon as half of the last one was handed out, or all of it where memory is short. */
  #readAhead(): void {
    if (this.#reading !== undefined || this.#unreadable || this.#closed || this.#records === undefined) return
    this.#advance()
    if (!this.#hasUnread || this.#readySize.bytes > (this.#memoryIsShort() ? 0 : this.#segmentSize / 2)) return
    this.#reading = this.#read(this.#records, this.#position!).finally(() => {
      this.#reading = undefined
      this.#readAhead()
      this.#events.changed()
    })
  }

  async #read(records: RecordLog, position: { segment: Segment; offset: number }): Promise<void> {
    const { segment, offset } = position
    const { size } = segment
    const expected = { ...segment.waiting }
    let found: Awaited<ReturnType<RecordLog['read']>> = []
    try {
      found = await records.read(segment, offset, size)
      this.#unreadable = false
    } catch (error) {
      // A file that is not there any more is read as empty.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return this.#cannotRead(records, segment, error)
    }
    // What was dropped meanwhile to make room is not handed out.
    if (this.#position !== position) return
    this.#moveTo(segment, size)
    const same = this.#same.get(segment)
    for (const { index, items, length, payload, time } of found) {
      this.#makeReady({ batch: same?.get(index), payload, items, time, place: { segment, index } })
      same?.delete(index)
      count(expected, { items, length }, -1)
    }
    const isLost = expected.records > 0 || expected.items > 0
    if (isLost) segment.giveUp(expected)
    this.#forgetWaiting(segment, expected)
    if (isLost) {
      this.#events.lost('corrupt', expected.items)
      this.#log.error('Batches in the queue on disk are damaged; they are dropped and counted.', {
        event: 'queue_damaged',
        batches: expected.records,
        items: expected.items,
      })
    }
  }

  /** One segment that cannot be read keeps nothing else from being sent; what is written goes into the last one. */
  #cannotRead(records: RecordLog, segment: Segment, error: unknown): void {
    if (records.isActive(segment)) {
      this.#unreadable = true
      return this.#failed(error)
    }
    records.setAside(segment, error)
    const next = records.after(segment)
    if (this.#position?.segment === segment) this.#position = undefined
    if (this.#position === undefined && next !== undefined) this.#moveTo(next)
    this.#readmitLater()
  }

  #readmitLater(): void {
    if (this.#closed || this.#records?.problem === undefined) return
    this.#readmission ??= this.#machine.clock.setTimeout(() => {
      void this.#readmit(this.#records!).finally(() => {
        this.#readmission = undefined
        this.#readmitLater()
      })
    }, RETRY_INTERVAL)
  }

  async #readmit(records: RecordLog): Promise<void> {
    await records.readmit((segment, isNew) => {
      if (isNew) this.#restored([segment])
      if (this.#position === undefined || this.#position.segment.name > segment.name) this.#moveTo(segment)
    })
    if (records.problem === undefined) this.#lastRecovered = new Date(this.#machine.clock.now())
    this.#readAhead()
    this.#events.changed()
  }

  /** Takes away what was waiting in a segment and never will be handed out. */
  #forgetWaiting(segment: Segment, gone: Readonly<Segment['waiting']>): void {
    for (const size of [segment.waiting, this.#waiting]) {
      size.records -= gone.records
      size.items -= gone.items
      size.bytes -= gone.bytes
    }
    this.#records?.tidy(segment)
  }

  /** Drops what was not read of the oldest segment, and so gives its space back. */
  #dropUnread(): number | undefined {
    this.#advance()
    if (!this.#hasUnread) return undefined
    const { segment, offset } = this.#position!
    const dropped = { ...segment.waiting }
    this.#moveTo(segment, segment.size)
    this.#forgetWaiting(segment, dropped)
    this.#records?.acknowledgeFrom(segment, offset)
    return dropped.items
  }

  // ---- when the disk fails ----

  #remember(entry: QueueEntry): void {
    this.#memory.push(entry)
    this.#memoryItems += entry.items
    this.#events.changed()
  }

  #forget(): QueueEntry | undefined {
    const entry = this.#memory.shift()
    if (entry === undefined) return undefined
    this.#state.abandon()
    this.#memoryItems -= entry.items
    this.#count(this.#heldSize, entry, -1)
    this.#count(this.#waiting, entry, -1)
    return entry
  }

  #failed(error: unknown): void {
    const message = errorMessage(error)
    if (this.#problem === undefined) {
      this.#log.error(
        'The queue cannot use its directory. Until it can, batches wait in memory and would not survive a crash.',
        {
          event: 'queue_disk_failed',
          directory: this.#folder,
          error: message,
        },
      )
    }
    this.#problem = { since: this.#problem?.since ?? new Date(this.#machine.clock.now()), message }
    const unwritten = this.#writing.splice(0)
    const entries = unwritten.filter(({ items }) => items > 0)
    if (entries.length < unwritten.length) this.#state.abandon()
    // They are older than what came since the disk fails, and what is remembered is written in that order.
    this.#memory = [...entries, ...this.#memory]
    this.#memoryItems += entries.reduce((sum, { items }) => sum + items, 0)
    for (const { resolve } of unwritten) resolve()
    if (entries.length > 0) this.#events.changed()
    if (!this.#closed) this.#retry ??= this.#machine.clock.setTimeout(() => void this.#tryAgain(), RETRY_INTERVAL)
  }

  async #tryAgain(): Promise<void> {
    this.#retry = undefined
    this.#unreadable = false
    this.#readAhead()
    try {
      if (this.#records === undefined) await (this.#opening = this.#open())
      else await this.#reclaim()
      await this.#records?.retry()
      await this.#state.retry()
      await this.#committing
      if (this.#memory.length === 0) {
        await this.#records?.writable()
        this.#recovered()
      }
    } catch (error) {
      return this.#failed(error)
    }
    // A stop has made its own last attempt, and counted what it did not take.
    if (!this.#closed) this.#rewrite()
  }

  /** Makes the folder anew where it was deleted, and with it the lock and what the exporter remembers. */
  async #reclaim(): Promise<void> {
    if (await this.#lock?.stands()) return
    await makeFolder(this.#folder, this.#machine.disk)
    const lock = await this.#machine.disk.lock(this.#folder)
    await this.#lock?.release()
    this.#lock = lock
    this.#state.abandon()
  }

  /** Moves what waits in memory to where it is written. */
  #rewrite(): void {
    const entries = this.#memory.splice(0).map((entry) => ({ ...entry, resolve: () => undefined }))
    this.#memoryItems = 0
    this.#writing.push(...entries)
    this.#commit()
  }

  #recovered(): void {
    if (this.#problem === undefined) return
    this.#problem = undefined
    this.#lastRecovered = new Date(this.#machine.clock.now())
    this.#log.info('The queue uses its directory again.', { event: 'queue_disk_recovered', directory: this.#folder })
    this.#rewrite()
    this.#events.recovered()
  }
}
