import { constants } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Machine } from '../machine.ts'
import type { DiskFile } from './files.ts'
import { CORRUPT, makeFolder } from './folder.ts'
import { encodeHeader, HEADER_SIZE } from './record.ts'
import type { Damage, RecordHeader, StoredRecord } from './record.ts'
import { count, deleteOrphans, listSegments, NEW, Segment, writeAll } from './segment.ts'
import type { LogEnd } from './state_log.ts'

/** A batch to append. */
export interface Appended {
  readonly payload: Uint8Array
  readonly items: number
}

/** Where a record stands. */
export interface RecordPosition {
  readonly segment: Segment
  readonly offset: number
  readonly index: number
}

/** The segment that is appended to. */
interface Active {
  readonly segment: Segment
  readonly file: DiskFile
}

/** Why a segment cannot be read, and whether it is known what it holds. */
interface Aside {
  readonly since: Date
  readonly message: string
  readonly restored: boolean
}

export interface RecordLogOptions {
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
 * An append-only log in segment files. Records are appended and flushed in groups, handed out in order, and acknowledged in
 * any order; a segment whose records are all acknowledged is deleted. The caller holds the lock of the folder and
 * appends one group at a time.
 */
export class RecordLog {
  /** Oldest first. */
  readonly segments: Segment[] = []
  /** Those that cannot be read just now. They stay where they are, and nothing waits for them. */
  readonly #aside = new Map<Segment, Aside>()
  #active: Active | undefined
  /** Of the next one; while the disk is tried again, a stop may ask for it, too. */
  #opening: Promise<Active> | undefined
  #sequence = 1
  /** Segments to be deleted, those that could not be included. */
  readonly #deleted = new Set<Segment>()
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

  /** How many records were counted as waiting that cannot be read just now. */
  get recordsAside(): number {
    return [...this.#aside].reduce((sum, [{ waiting }, { restored }]) => sum + (restored ? waiting.records : 0), 0)
  }

  /** Why something cannot be read just now. */
  get problem(): { readonly since: Date; readonly message: string } | undefined {
    const [first] = this.#aside.values()
    return first
  }

  /**
   * Tries again to read what could not be.
   * @param readmitted called with what is among the segments again, in the moment when it is, and whether it is new there
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

  /** What it takes on disk. */
  get bytes(): number {
    return [...this.segments, ...this.#aside.keys()].reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /** Whether nothing in it is still to be sent. */
  get finished(): boolean {
    return this.segments.every((segment) => segment.finished)
  }

  /** Where the next record is written, unless that goes into a new segment. */
  get end(): LogEnd {
    const { sequence, records } = this.#active?.segment ?? { sequence: this.#sequence, records: 0 }
    return { sequence, records }
  }

  isActive(segment: Segment): boolean {
    return segment === this.#active?.segment
  }

  /** The segment behind another one. */
  after({ name }: Segment): Segment | undefined {
    return this.segments.find((segment) => segment.name > name)
  }

  /**
   * Writes a group of records and flushes it once. Resolves with their places.
   * @throws what the file system says; then none of them is in the log
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
      // A file that was deleted takes what is written to it, and is gone with the process.
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

  /** Makes sure that there is a segment to append to, and so finds out whether the folder takes one. */
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

  /** Ends the segment that is appended to: the next group goes into a new one. */
  async retire(): Promise<void> {
    if (this.#active === undefined) return
    const { segment, file } = this.#active
    this.#active = undefined
    segment.seal()
    await file.close()
    this.tidy(segment)
  }

  /** Records of a segment from `offset` to `end`, which are flushed. What is damaged is set aside. @throws what the file system says, also where it cannot be */
  async read(segment: Segment, offset: number, end: number): Promise<StoredRecord[]> {
    const { bytes, records, damages } = await segment.read(offset, end)
    for (const damage of damages) {
      await this.#keepDamaged(segment, offset, damage, bytes)
    }
    // Behind the end of a sealed segment may stand what was written, but not flushed, before its disk failed.
    return records.filter(({ index }) => index < segment.records && !segment.acknowledged.has(index))
  }

  /** Notes that a record that was handed out need not be sent any more. */
  acknowledge(segment: Segment, record: Pick<RecordHeader, 'index' | 'items' | 'length'>): void {
    segment.out -= 1
    segment.acknowledge(record)
    this.tidy(segment)
  }

  /** Notes the same of all that it has from `offset` on, which is not handed out; nothing waits for that. */
  acknowledgeFrom(segment: Segment, offset: number): void {
    const { size } = segment
    this.#inBackground(async () => {
      if (!this.segments.includes(segment)) return
      const { records } = await segment.read(offset, size)
      for (const record of records) segment.acknowledge(record)
      this.tidy(segment)
    })
  }

  /** Deletes a segment in which nothing is to be sent any more, or writes down what was acknowledged. */
  tidy(segment: Segment): void {
    if (!segment.finished || this.isActive(segment)) return this.#inBackground(() => segment.writeAcks())
    const position = this.segments.indexOf(segment)
    if (position === -1) return
    this.segments.splice(position, 1)
    this.#deleted.add(segment)
    this.#inBackground(() => this.#delete(segment))
  }

  /** Does what failed before. @throws what the file system says */
  async retry(): Promise<void> {
    for (const segment of this.#deleted) await this.#delete(segment)
    for (const segment of this.segments) await segment.writeAcks()
  }

  /** Writes down what is known and closes all files. Never throws: what could not be written is sent a second time. */
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

  /** A segment that could not be written to gets no more records: what its file holds beyond them is not known. */
  async #abandon(): Promise<void> {
    const { segment, file } = this.#active!
    await file.truncate(segment.size).catch(() => undefined)
    await this.retire().catch(() => undefined)
  }

  #inBackground(act: () => Promise<void>): void {
    const done = act()
      .catch(this.options.failed)
      .finally(() => this.#background.delete(done))
    this.#background.add(done)
  }

  /** Copies what is damaged, for its segment is deleted once the rest is sent. @throws where that fails: the segment must stay then */
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
