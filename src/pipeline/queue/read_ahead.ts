import type { Logger } from '../../component/logger.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { Clock, Timer } from '../../time/clock.ts'
import { countEntry } from './entry.ts'
import type { QueueEntry, StoredEntry } from './entry.ts'
import { RETRY_INTERVAL } from './files.ts'
import { HEADER_SIZE } from './record.ts'
import type { RecordLog, RecordPosition } from './record_log.ts'
import { count } from './segment.ts'
import type { Segment, Waiting } from './segment.ts'

interface ReadAheadOptions {
  readonly records: RecordLog
  /** All that waits in the queue; what is taken out here, lost or found is counted in it. */
  readonly waiting: Waiting
  /** Bytes that are read, and held in memory, at once. */
  readonly segmentSize: number
  readonly log: Logger
  readonly clock: Clock
  readonly memoryIsShort: () => boolean
  /** There may be something to take out. */
  readonly changed: () => void
  /** Called with a segment of an earlier process that can be read only now. */
  readonly restored: (segment: Segment) => void
  /** Called with the number of items that turn out to be damaged. */
  readonly lost: (items: number) => void
  /** The disk failed where it is also written to. */
  readonly failed: (error: unknown) => void
  /** All that could not be read can be. */
  readonly readable: () => void
}

/**
 * Hands out the batches of a `RecordLog`, oldest first. Those that were just written stay in memory as far as there is room; the others
 * are read a segment at a time, before they are asked for.
 */
export class ReadAhead {
  /** Next to be handed out; the records before `#position`. */
  #ready: StoredEntry[] = []
  readonly #readySize: Waiting = { records: 0, items: 0, bytes: 0 }
  /** By segment and index of their records: batches that must come back as the objects they were. */
  readonly #same = new WeakMap<Segment, Map<number, Batch>>()
  /** The first record that was not handed out or made ready. */
  #position: { readonly segment: Segment; readonly offset: number } | undefined
  #reading: Promise<void> | undefined
  #unreadable = false
  #readmission: Timer | undefined
  #closed = false

  constructor(private readonly options: ReadAheadOptions) {
    const [first] = options.records.segments
    if (first !== undefined) this.#moveTo(first)
    this.#readmitLater()
  }

  /** Items that `shift` returns without waiting. */
  get items(): number {
    return this.#readySize.items
  }

  get oldest(): QueueEntry | undefined {
    return this.#ready[0]
  }

  /** Whether nothing can be handed out, now or soon. */
  get isEmpty(): boolean {
    return this.#ready.length === 0 && (!this.#hasUnread || this.#unreadable)
  }

  /** Takes out the oldest batch; `undefined` when there is none, or none yet. */
  shift(): StoredEntry | undefined {
    const entry = this.#ready.shift()
    if (entry === undefined) return undefined
    countEntry(this.#readySize, entry, -1)
    countEntry(this.options.waiting, entry, -1)
    return entry
  }

  /** Drops the oldest batch, or the unread ones of the oldest segment. Returns their items; `undefined` when there are none. */
  dropOldest(): number | undefined {
    const entry = this.shift()
    if (entry === undefined) return this.#dropUnread()
    this.acknowledge(entry)
    return entry.items
  }

  /** Notes that a batch that was taken out need not be kept any more. */
  acknowledge({ place: { segment, index }, items, payload }: StoredEntry): void {
    this.options.records.acknowledge(segment, { index, items, length: payload.length })
  }

  /** A batch was written. If it is next to be read and has room in memory it stays there, unless memory is short. */
  written(entry: QueueEntry, place: RecordPosition): void {
    const { segmentSize, memoryIsShort } = this.options
    if (this.#position === undefined) this.#moveTo(place.segment)
    this.#advance()
    const { segment, offset } = this.#position!
    const { batch, isSame, payload, items, time } = entry
    const isNext = segment === place.segment && offset === place.offset
    if (!isNext || this.#readySize.bytes >= segmentSize || memoryIsShort()) {
      if (isSame && batch !== undefined) this.#keepSame(place, batch)
      return
    }
    this.#makeReady({ batch, payload, items, time, place })
    this.#moveTo(segment, offset + HEADER_SIZE + payload.length)
  }

  /** Reads the next segment as soon as half of the last one was handed out, or all of it where memory is short. */
  readOn(): void {
    const { segmentSize, memoryIsShort, changed } = this.options
    if (this.#reading !== undefined || this.#unreadable || this.#closed) return
    this.#advance()
    if (!this.#hasUnread || this.#readySize.bytes > (memoryIsShort() ? 0 : segmentSize / 2)) return
    this.#reading = this.#read(this.#position!).finally(() => {
      this.#reading = undefined
      this.readOn()
      changed()
    })
  }

  /** Tries again to read what is also written to. */
  retry(): void {
    this.#unreadable = false
    this.readOn()
  }

  /** Reads no more. Resolves when nothing is being read. */
  async close(): Promise<void> {
    this.#closed = true
    this.options.clock.clearTimeout(this.#readmission)
    await this.#reading
  }

  /** Hands out nothing of what is still being read. */
  abandon(): void {
    this.#position = undefined
  }

  get #hasUnread(): boolean {
    return this.#position !== undefined && this.#position.segment.waiting.records > 0
  }

  #keepSame({ segment, index }: RecordPosition, batch: Batch): void {
    const ofSegment = this.#same.get(segment) ?? new Map<number, Batch>()
    this.#same.set(segment, ofSegment.set(index, batch))
  }

  #makeReady(entry: StoredEntry): void {
    this.#ready.push(entry)
    countEntry(this.#readySize, entry, 1)
    countEntry(entry.place.segment.waiting, entry, -1)
    entry.place.segment.out += 1
  }

  #moveTo(segment: Segment, offset = segment.readTo): void {
    segment.readTo = offset
    this.#position = { segment, offset }
  }

  /** Moves the position on from segments that are read to their end and get no more records. */
  #advance(): void {
    const { records } = this.options
    for (;;) {
      if (this.#hasUnread || this.#position === undefined || records.isActive(this.#position.segment)) return
      const segment = records.after(this.#position.segment)
      if (segment === undefined) return
      this.#moveTo(segment)
    }
  }

  async #read(position: { readonly segment: Segment; readonly offset: number }): Promise<void> {
    const { records, log, lost } = this.options
    const { segment, offset } = position
    const { size } = segment
    const expected = { ...segment.waiting }
    let found: Awaited<ReturnType<RecordLog['read']>> = []
    try {
      found = await records.read(segment, offset, size)
      this.#unreadable = false
    } catch (error) {
      // A file that is not there any more is read as empty.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return this.#cannotRead(segment, error)
    }
    // What was dropped meanwhile to make room, or is read after the end, is not handed out.
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
      lost(expected.items)
      log.error('Batches in the queue on disk are damaged; they are dropped and counted.', {
        event: 'queue_damaged',
        batches: expected.records,
        items: expected.items,
      })
    }
  }

  /** One segment that cannot be read keeps nothing else from being sent; what is written goes into the last one. */
  #cannotRead(segment: Segment, error: unknown): void {
    const { records, failed } = this.options
    if (records.isActive(segment)) {
      this.#unreadable = true
      return failed(error)
    }
    records.setAside(segment, error, { restored: true })
    const next = records.after(segment)
    if (this.#position?.segment === segment) this.#position = undefined
    if (this.#position === undefined && next !== undefined) this.#moveTo(next)
    this.#readmitLater()
  }

  #readmitLater(): void {
    const { records, clock } = this.options
    if (this.#closed || records.problem === undefined) return
    this.#readmission ??= clock.setTimeout(() => {
      void this.#readmit().finally(() => {
        this.#readmission = undefined
        this.#readmitLater()
      })
    }, RETRY_INTERVAL)
  }

  async #readmit(): Promise<void> {
    const { records, restored, readable, changed } = this.options
    await records.readmit((segment, { isNew }) => {
      if (isNew) restored(segment)
      if (this.#position === undefined || this.#position.segment.name > segment.name) this.#moveTo(segment)
    })
    if (records.problem === undefined) readable()
    this.readOn()
    changed()
  }

  /** Takes away what was waiting in a segment and never will be handed out. */
  #forgetWaiting(segment: Segment, gone: Readonly<Waiting>): void {
    for (const size of [segment.waiting, this.options.waiting]) {
      size.records -= gone.records
      size.items -= gone.items
      size.bytes -= gone.bytes
    }
    this.options.records.tidy(segment)
  }

  /** Drops what was not read of the oldest segment, and so gives its space back. */
  #dropUnread(): number | undefined {
    this.#advance()
    if (!this.#hasUnread) return undefined
    const { segment, offset } = this.#position!
    const dropped = { ...segment.waiting }
    this.#moveTo(segment, segment.size)
    this.#forgetWaiting(segment, dropped)
    this.options.records.acknowledgeFrom(segment, offset)
    return dropped.items
  }
}
