import { constants } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Machine } from '../machine.ts'
import type { DiskFile } from './files.ts'
import { CORRUPT, makeFolder } from './folder.ts'
import { encodeHeader, HEADER_SIZE } from './record.ts'
import type { Damage, RecordHeader, StoredRecord } from './record.ts'
import { count, deleteOrphans, ignoreMissing, listSegments, NEW, Segment, writeAll } from './segment.ts'
import type { LogEnd } from './state_log.ts'

/** A batch to append. */
interface Appended {
  readonly payload: Uint8Array
  readonly items: number
}

/** The position of a record. */
export interface RecordPosition {
  readonly segment: Segment
  readonly offset: number
  readonly index: number
}

/** The segment that records are appended to. */
interface Active {
  readonly segment: Segment
  readonly file: DiskFile
}

/** Why a segment cannot be read, and whether its contents are known. */
interface Aside {
  readonly since: Date
  readonly message: string
  readonly restored: boolean
}

interface RecordLogOptions {
  readonly folder: string
  readonly segmentSize: number
  readonly log: Logger
  readonly machine: Pick<Machine, 'clock' | 'disk' | 'random'>
  /** Called with errors when nobody waits for what failed: acknowledging, deleting. */
  readonly failed: (error: unknown) => void
  /** Called with the segments that an earlier process left, before those in which nothing is to be sent any more are deleted. */
  readonly found?: (segments: readonly Segment[], end: LogEnd) => Promise<void>
}

/** The folder of an exporter's queue below the directory of its settings. */
export function queueFolder(directory: string, id: string): string {
  return join(directory, encodeURIComponent(id))
}

/**
 * An append-only log in segment files. Records are appended and flushed in groups, handed out in order, and
 * acknowledged in any order; a segment whose records are all acknowledged is deleted. The caller has to lock the folder
 * and append one group at a time.
 */
export class RecordLog {
  /** Oldest first. */
  readonly segments: Segment[] = []
  /** Segments that cannot be read at the moment. They stay where they are, and nothing waits for them. */
  readonly #aside = new Map<Segment, Aside>()
  #active: Active | undefined
  /** The number of the next segment; while the disk is tried again, a stop may need one, too. */
  #opening: Promise<Active> | undefined
  #sequence = 1
  /** Segments to be deleted, including those that could not be deleted before. */
  readonly #deleted = new Set<Segment>()
  /** Segments whose files may hold records that are not theirs. */
  readonly #uncut = new Set<Segment>()
  readonly #background = new Set<Promise<void>>()
  /** Bytes set aside as damaged, and the names of their files. */
  #setAsideBytes = 0
  readonly #setAside = new Set<string>()

  private constructor(private readonly options: RecordLogOptions) {}

  /** Reads what an earlier process left behind. @throws what the file system says */
  static async open(options: RecordLogOptions): Promise<RecordLog> {
    const opened = new RecordLog(options)
    const { folder, machine, found } = options
    await deleteOrphans(folder, machine.disk)
    for (const segment of await listSegments(folder, machine.disk)) {
      opened.#sequence = segment.sequence + 1
      try {
        await opened.#restore(segment)
        opened.#insert(segment)
      } catch (error) {
        opened.setAside(segment, error, { restored: false })
      }
    }
    await found?.(opened.segments, opened.end)
    for (const segment of [...opened.segments]) opened.tidy(segment)
    return opened
  }

  async #restore(segment: Segment): Promise<void> {
    const contents = await segment.restore()
    for (const damage of contents?.damages ?? []) {
      if (damage.torn) {
        const bytes = damage.end - damage.start
        this.options.log.info('The last write of an earlier process was not finished, and is cut off.', {
          file: segment.path,
          bytes,
        })
        await segment.cut()
      } else await this.#keepDamaged(segment, 0, damage, contents!.bytes)
    }
  }

  #insert(segment: Segment): void {
    const next = this.segments.findIndex(({ name }) => name > segment.name)
    this.segments.splice(next === -1 ? this.segments.length : next, 0, segment)
  }

  /**
   * Leaves out a segment that cannot be read, until `readmit` can.
   * @param known.restored whether it was among the segments
   */
  setAside(segment: Segment, error: unknown, { restored }: Pick<Aside, 'restored'>): void {
    const message = errorMessage(error)
    this.options.log.error(
      'A part of the queue on disk cannot be read. It stays there and is tried again; the rest is sent.',
      {
        event: 'queue_unreadable',
        file: segment.path,
        error: message,
      },
    )
    this.#aside.set(segment, {
      since: new Date(this.options.machine.clock.now()),
      message: `${segment.path}: ${message}`,
      restored,
    })
    if (restored) this.segments.splice(this.segments.indexOf(segment), 1)
  }

  /** The number of records that were counted as waiting and cannot be read at the moment. */
  get recordsAside(): number {
    return [...this.#aside].reduce((sum, [{ waiting }, { restored }]) => sum + (restored ? waiting.records : 0), 0)
  }

  /** Why something cannot be read at the moment. */
  get problem(): { readonly since: Date; readonly message: string } | undefined {
    const [first] = this.#aside.values()
    return first
  }

  /**
   * Tries again to read the segments that could not be read.
   * @param readmitted called with a segment in the moment when it is among the segments again, and whether it is new
   * there
   */
  async readmit(readmitted: (segment: Segment, how: { readonly isNew: boolean }) => void): Promise<void> {
    for (const [segment, { restored }] of this.#aside) {
      try {
        if (restored) await this.read(segment, segment.readTo, segment.size)
        else await this.#restore(segment)
      } catch {
        continue
      }
      this.#insert(segment)
      this.#aside.delete(segment)
      readmitted(segment, { isNew: !restored })
    }
  }

  /** Bytes that it takes on disk. */
  get bytes(): number {
    return [...this.segments, ...this.#aside.keys()].reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /** Whether nothing in it is left to be sent. */
  get finished(): boolean {
    return this.segments.every((segment) => segment.finished)
  }

  /** Where the next record is written, unless it starts a new segment. */
  get end(): LogEnd {
    const { sequence, records } = this.#active?.segment ?? { sequence: this.#sequence, records: 0 }
    return { sequence, records }
  }

  isActive(segment: Segment): boolean {
    return segment === this.#active?.segment
  }

  /** The segment after another one. */
  after({ name }: Segment): Segment | undefined {
    return this.segments.find((segment) => segment.name > name)
  }

  /**
   * Writes a group of records and flushes it once. Resolves with their positions.
   * @throws the error of the file system; then none of them is in the log
   */
  async append(group: readonly Appended[], time: number): Promise<RecordPosition[]> {
    const { segment, file } = await this.writable()
    let { size: offset, records: index, items: before } = segment
    const buffers: Uint8Array[] = []
    const places: RecordPosition[] = []
    for (const { payload, items } of group) {
      buffers.push(encodeHeader(segment.salt, { index, items, before, time }, payload), payload)
      places.push({ segment, offset, index })
      offset += HEADER_SIZE + payload.length
      index += 1
      before += items
    }
    try {
      await writeAll(file, buffers, segment.size)
      const [{ nlink }] = await Promise.all([file.stat(), file.datasync()])
      // A deleted file still takes writes, which are gone with the process.
      if (nlink === 0) throw new Error(`${segment.path} was deleted while it was written to`)
    } catch (error) {
      await this.#abandon()
      throw error
    }
    segment.size = offset
    segment.records = index
    for (const { payload, items } of group) {
      segment.items += items
      count(segment.waiting, { items, length: payload.length }, 1)
    }
    segment.noteFlushed()
    this.tidy(segment)
    return places
  }

  /** Makes sure that there is a segment to append to, which shows whether the folder can be written to. */
  writable(): Promise<Active> {
    this.#opening ??= this.#writable().finally(() => (this.#opening = undefined))
    return this.#opening
  }

  async #writable(): Promise<Active> {
    if (this.#active !== undefined && this.#active.segment.size < this.options.segmentSize) return this.#active
    await this.retire()
    const { disk, random } = this.options.machine
    // A file that can be neither used nor deleted keeps its number: nobody must take it for the one that came after it.
    const segment = new Segment(disk, this.options.folder, this.#sequence++, random() * 2 ** 32)
    const file = await disk.open(segment.path, NEW)
    try {
      await disk.syncFolder(this.options.folder)
    } catch (error) {
      await file.close()
      await disk.unlink(segment.path).catch(() => undefined)
      throw error
    }
    this.segments.push(segment)
    return (this.#active = { segment, file })
  }

  /** Ends the segment that records are appended to: the next group starts a new one. */
  async retire(): Promise<void> {
    if (this.#active === undefined) return
    const { segment, file } = this.#active
    this.#active = undefined
    segment.seal()
    await file.close()
    this.tidy(segment)
  }

  /**
   * The flushed records of a segment from `offset` to `end`. Damaged ones are set aside. @throws the error of the file
   * system, also if setting them aside fails
   */
  async read(segment: Segment, offset: number, end: number): Promise<StoredRecord[]> {
    const { bytes, records, damages } = await segment.read(offset, end)
    for (const damage of damages) {
      await this.#keepDamaged(segment, offset, damage, bytes)
    }
    // Bytes that were written but not flushed before the disk failed may follow the end of a sealed segment.
    return records.filter(({ index }) => index < segment.records && !segment.acknowledged.has(index))
  }

  /** Notes that a record that was handed out need not be sent any more. */
  acknowledge(segment: Segment, record: Pick<RecordHeader, 'index' | 'items' | 'length'>): void {
    segment.out -= 1
    segment.acknowledge(record)
    this.tidy(segment)
  }

  /** Notes the same for all records from `offset` on, which are not handed out; nothing waits for this. */
  acknowledgeFrom(segment: Segment, offset: number): void {
    const { size } = segment
    this.#inBackground(async () => {
      if (!this.segments.includes(segment)) return
      const { records } = await segment.read(offset, size)
      for (const record of records) segment.acknowledge(record)
      this.tidy(segment)
    })
  }

  /** Deletes a segment with nothing left to send, or writes down its acknowledgements. */
  tidy(segment: Segment): void {
    if (!segment.finished || this.isActive(segment)) return this.#inBackground(() => segment.writeAcks())
    const position = this.segments.indexOf(segment)
    if (position === -1) return
    this.segments.splice(position, 1)
    this.#deleted.add(segment)
    this.#inBackground(() => this.#delete(segment))
  }

  /** Repeats work that failed before. @throws the error of the file system */
  async retry(): Promise<void> {
    await this.#cut()
    for (const segment of this.#deleted) await this.#delete(segment)
    for (const segment of this.segments) await segment.writeAcks()
  }

  /**
   * Writes down the known acknowledgements and closes all files. Never throws: records whose acknowledgements could not
   * be written are sent again.
   */
  async close(): Promise<void> {
    try {
      await this.retire()
      await Promise.all(this.#background)
      await this.retry()
    } catch (error) {
      this.options.failed(error)
    }
    for (const segment of [...this.segments, ...this.#aside.keys()]) await segment.close().catch(() => undefined)
  }

  async #delete(segment: Segment): Promise<void> {
    await segment.delete()
    this.#deleted.delete(segment)
  }

  /**
   * A segment that could not be written to gets no more records, because the contents of its file beyond them are not known. They are cut
   * off before anything is written elsewhere: a loss of power would bring back records that are written again.
   */
  async #abandon(): Promise<void> {
    this.#uncut.add(this.#active!.segment)
    await this.retire().catch(() => undefined)
    await this.#cut().catch(() => undefined)
  }

  async #cut(): Promise<void> {
    for (const segment of this.#uncut) {
      await segment.cut().catch(ignoreMissing)
      this.#uncut.delete(segment)
    }
  }

  #inBackground(act: () => Promise<void>): void {
    const done = act()
      .catch(this.options.failed)
      .finally(() => this.#background.delete(done))
    this.#background.add(done)
  }

  /** Copies damaged bytes, because their segment is deleted once the rest is sent. @throws if that fails: the segment must stay then */
  async #keepDamaged(segment: Segment, from: number, { start, end, header }: Damage, bytes: Buffer): Promise<void> {
    const file = join(this.options.folder, CORRUPT, `${segment.name}-${from + start}`)
    if (this.#setAside.has(file)) return
    const length = end - start
    const details = { bytes: length, ...(header !== undefined && { items: header.items }) }
    // A disk that fails again and again must not fill up with what is of no use.
    if (this.#setAsideBytes + length > this.options.segmentSize) {
      this.#setAside.add(file)
      this.options.log.error(
        'A part of the queue on disk is damaged. Enough is set aside already, so this part is dropped; the rest is sent.',
        {
          event: 'queue_damaged',
          file: segment.path,
          ...details,
        },
      )
      return
    }
    try {
      await makeFolder(join(this.options.folder, CORRUPT), this.options.machine.disk)
      // Not emptied by opening it: it may turn out to belong to somebody else.
      const copy = await this.options.machine.disk.open(file, constants.O_WRONLY | constants.O_CREAT)
      try {
        await writeAll(copy, [bytes.subarray(start, end)], 0)
        await copy.truncate(length)
      } finally {
        await copy.close()
      }
    } catch (error) {
      throw new Error(`it is damaged, and the damaged part cannot be set aside in ${file}: ${errorMessage(error)}`, {
        cause: error,
      })
    }
    this.#setAside.add(file)
    this.#setAsideBytes += length
    this.options.log.error('A part of the queue on disk is damaged. It is set aside, and the rest is sent.', {
      event: 'queue_damaged',
      file,
      ...details,
    })
  }
}
