import { constants } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { systemDisk } from './system_disk.ts'
import type { Disk, DiskFile } from './files.ts'
import { ForeignError } from './folder.ts'
import { beginsLike, HEADER_SIZE, readRecords } from './record.ts'
import type { Damage, StoredRecord } from './record.ts'

/** `<sequence>-<salt>.log`: a file of records; next to it `<sequence>-<salt>.acks`. */
const NAME = /^(\d{10})-([0-9a-f]{8})\.log$/
const ACKS_NAME = /^\d{10}-([0-9a-f]{8})\.acks$/

/*
 * An entry of an acknowledgement file, 16 bytes: index, items and length of a record that need not be sent any more, and a
 * CRC started with the salt. The index SEALED says instead that the segment gets no more records, and how many items
 * and (as the length) records it has; the index FLUSHED, how many it has at least; the index GIVEN_UP, how many of them
 * cannot be read and were counted as lost.
 */
const ENTRY_SIZE = 16
const SEALED = 0xffff_ffff
const FLUSHED = 0xffff_fffe
const GIVEN_UP = 0xffff_fffd

interface SegmentEntry {
  readonly index: number
  readonly items: number
  readonly length: number
}

/** The contents of a segment's file from an offset on. */
interface SegmentContents {
  readonly bytes: Buffer
  readonly records: readonly StoredRecord[]
  readonly damages: readonly Damage[]
}

/** The waiting part of a segment: records that were not handed out yet. */
export interface Waiting {
  records: number
  items: number
  /** Bytes of the payloads. */
  bytes: number
}

/** One file of the log, and this process's knowledge of it. */
export class Segment {
  /** Bytes of the file that hold records, all of them flushed. */
  size = 0
  /** The number of records in it so far, and their items; the next record gets this index. */
  records = 0
  items = 0
  readonly waiting: Waiting = { records: 0, items: 0, bytes: 0 }
  /** The offset of the first record that waits; the records before it were handed out, or are about to be. */
  readTo = 0
  /** Records that were handed out and are not acknowledged. */
  out = 0
  /** Indices of the records that earlier processes acknowledged. */
  readonly acknowledged = new Set<number>()
  /** Items of all records that were given up. */
  readonly #givenUp = { records: 0, items: 0 }
  #unwritten: SegmentEntry[] = []
  #file: DiskFile | undefined
  #fileSize = 0
  #writing: Promise<void> | undefined

  constructor(
    private readonly disk: Disk,
    private readonly folder: string,
    readonly sequence: number,
    readonly salt: number,
  ) {}

  /** The file's name without its extension. Segments are ordered by it; after a disk failure, several may have the same sequence. */
  get name(): string {
    return `${String(this.sequence).padStart(10, '0')}-${this.salt.toString(16).padStart(8, '0')}`
  }

  get path(): string {
    return join(this.folder, `${this.name}.log`)
  }

  get #acksPath(): string {
    return join(this.folder, `${this.name}.acks`)
  }

  /** Whether nothing in it is left to be sent. */
  get finished(): boolean {
    return this.waiting.records === 0 && this.out === 0
  }

  /** Bytes that it takes on disk. */
  get bytes(): number {
    return this.size + this.#fileSize
  }

  /**
   * Finds out what a segment of an earlier process holds: from its acknowledgement file or, if that does not say how
   * many records there are because the process died, by reading it. Returns the records that it read. May be called
   * again after a failure.
   * @throws the error of the file system, also if the file could only be read later; ForeignError if no queue wrote it
   */
  async restore(): Promise<SegmentContents | undefined> {
    this.size = (await this.disk.stat(this.path)).size
    const file = await this.disk.open(this.path)
    const { size } = await file.stat().finally(() => file.close())
    const bytes = await this.disk.readFile(this.#acksPath).catch(ignoreMissing)
    this.#fileSize = bytes === undefined ? 0 : bytes.length - (bytes.length % ENTRY_SIZE)
    const { entries, sealed, flushed, givenUp } = readEntries(bytes ?? Buffer.alloc(0), this.salt)
    this.size = size
    let contents: SegmentContents | undefined
    let payloads = 0
    if (sealed !== undefined) {
      this.records = sealed.length
      this.items = sealed.items
      payloads = Math.max(0, size - this.records * HEADER_SIZE)
    } else {
      contents = await this.read()
      const { records, damages } = contents
      const isOurs = records.length > 0 || entries.size > 0 || flushed !== undefined || givenUp !== undefined
      if (!isOurs && !damages.some(({ header }) => header !== undefined) && !beginsLike(contents.bytes)) {
        throw new ForeignError('it is not a queue file')
      }
      const torn = damages.find((damage) => damage.torn)
      if (torn !== undefined) this.size = torn.start
      // The last entry knows of all records before it, also of those that can no longer be seen.
      const damaged = damages.flatMap((damage) => (damage.torn ? [] : (damage.header ?? [])))
      for (const { index, before, items, length } of [...records, ...damaged]) {
        payloads += length
        if (index < this.records) continue
        this.records = index + 1
        this.items = before + items
      }
      if (flushed !== undefined && flushed.length > this.records) {
        this.records = flushed.length
        this.items = flushed.items
      }
    }
    if (givenUp !== undefined) Object.assign(this.#givenUp, { records: givenUp.length, items: givenUp.items })
    this.waiting.records = this.records - this.#givenUp.records
    this.waiting.items = this.items - this.#givenUp.items
    this.waiting.bytes = payloads
    for (const entry of entries.values()) {
      this.acknowledged.add(entry.index)
      if (entry.index < this.records) count(this.waiting, entry, -1)
    }
    return contents
  }

  /** Cuts off for good what stands behind `size`: a record that was not written completely, or that is written again elsewhere. */
  async cut(): Promise<void> {
    const file = await this.disk.open(this.path, constants.O_RDWR)
    try {
      await file.truncate(this.size)
      await file.datasync()
    } finally {
      await file.close()
    }
  }

  /** Reads the records from `offset` to `end`, even while more are appended. */
  async read(offset = 0, end = this.size): Promise<SegmentContents> {
    const file = await this.disk.open(this.path)
    try {
      const buffer = Buffer.allocUnsafe(end - offset)
      let filled = 0
      for (;;) {
        const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled)
        filled += bytesRead
        if (bytesRead === 0 || filled === buffer.length) break
      }
      const bytes = buffer.subarray(0, filled)
      return { bytes, ...readRecords(bytes, this.salt) }
    } finally {
      await file.close()
    }
  }

  /** Notes that a record need not be sent any more; `writeAcks` writes it down. */
  acknowledge(entry: SegmentEntry): void {
    this.#unwritten.push(entry)
  }

  /** Notes the flushed size, so that a file that is cut off later from outside is not taken for an unfinished write. */
  noteFlushed(): void {
    this.#unwritten.push({ index: FLUSHED, items: this.items, length: this.records })
  }

  /** Notes that records cannot be read and are counted as lost, so that the next process does not count them again. */
  giveUp({ records, items }: Pick<Waiting, 'records' | 'items'>): void {
    this.#givenUp.records += records
    this.#givenUp.items += items
    this.#unwritten.push({ index: GIVEN_UP, items: this.#givenUp.items, length: this.#givenUp.records })
  }

  /** Notes that no more records come. */
  seal(): void {
    this.#unwritten.push({ index: SEALED, items: this.items, length: this.records })
  }

  /**
   * Writes down the acknowledgements. They are never flushed: if they are lost with the power, records are sent a
   * second time.
   * @throws the error of the file system; nothing is forgotten then
   */
  async writeAcks(): Promise<void> {
    // Records that were sent together are acknowledged in one task, and written at once.
    await Promise.resolve()
    while (this.#writing !== undefined) await this.#writing.catch(() => undefined)
    if (this.#unwritten.length === 0) return
    this.#writing = this.#writeAcks()
    try {
      await this.#writing
    } finally {
      this.#writing = undefined
    }
  }

  async #writeAcks(): Promise<void> {
    const entries = this.#unwritten
    this.#unwritten = []
    try {
      this.#file ??= await this.disk.open(this.#acksPath, constants.O_WRONLY | constants.O_CREAT)
      const bytes = Buffer.concat(entries.map((entry) => encodeEntry(entry, this.salt)))
      await writeAll(this.#file, [bytes], this.#fileSize)
      this.#fileSize += bytes.length
    } catch (error) {
      this.#unwritten = [...entries, ...this.#unwritten]
      throw error
    }
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing.catch(() => undefined)
    await this.#file?.close()
    this.#file = undefined
  }

  /** Deletes its files. May be called again after a failure. */
  async delete(): Promise<void> {
    this.#unwritten = []
    await this.close()
    await this.disk.unlink(this.path).catch(ignoreMissing)
    await this.disk.unlink(this.#acksPath).catch(ignoreMissing)
  }
}

/** The segments in a folder, oldest first, not yet restored. */
export async function listSegments(folder: string, disk = systemDisk): Promise<Segment[]> {
  const segments: Segment[] = []
  for (const name of (await disk.readdir(folder)).sort()) {
    const [, sequence, salt] = NAME.exec(name) ?? []
    if (sequence !== undefined) segments.push(new Segment(disk, folder, Number(sequence), parseInt(salt, 16)))
  }
  return segments
}

/** Deletes acknowledgement files whose segment is gone: their process died between the two deletions. */
export async function deleteOrphans(folder: string, disk: Disk): Promise<void> {
  const names = new Set(await disk.readdir(folder))
  for (const name of names) {
    const [, salt] = ACKS_NAME.exec(name) ?? []
    if (salt === undefined || names.has(name.replace(/acks$/, 'log'))) continue
    // A name that is no file, or that we may not delete, is left there and does no harm.
    const bytes = await disk.readFile(join(folder, name)).catch(() => undefined)
    if (bytes !== undefined && isAcks(bytes, parseInt(salt, 16))) {
      await disk.unlink(join(folder, name)).catch(() => undefined)
    }
  }
}

/** Adds records to the waiting ones, or with a negative sign takes them away; damage cannot make the number negative. */
export function count(waiting: Waiting, { items, length }: Pick<SegmentEntry, 'items' | 'length'>, sign: 1 | -1): void {
  waiting.records = Math.max(0, waiting.records + sign)
  waiting.items = Math.max(0, waiting.items + sign * items)
  waiting.bytes = Math.max(0, waiting.bytes + sign * length)
}

/** The flags to open a new file that must not exist yet. */
export const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL

/** Writes all buffers completely; a single call may write less when the disk is nearly full. */
export async function writeAll(file: DiskFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
  const { bytesWritten } = await file.writev(buffers, position)
  const total = buffers.reduce((sum, { length }) => sum + length, 0)
  if (bytesWritten === 0 && total > 0) throw new Error('nothing could be written')
  if (bytesWritten === total) return
  await writeAll(file, [Buffer.concat(buffers).subarray(bytesWritten)], position + bytesWritten)
}

function encodeEntry({ index, items, length }: SegmentEntry, salt: number): Buffer {
  const bytes = Buffer.allocUnsafe(ENTRY_SIZE)
  bytes.writeUInt32LE(index, 0)
  bytes.writeUInt32LE(items, 4)
  bytes.writeUInt32LE(length, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12), salt), 12)
  return bytes
}

interface Entries {
  readonly entries: Map<number, SegmentEntry>
  readonly sealed: SegmentEntry | undefined
  readonly flushed: SegmentEntry | undefined
  readonly givenUp: SegmentEntry | undefined
}

/** The acknowledgements by index, and the other entries. Damaged entries are left out: their records are sent again. */
function readEntries(bytes: Buffer, salt: number): Entries {
  const entries = new Map<number, SegmentEntry>()
  for (let offset = 0; offset + ENTRY_SIZE <= bytes.length; offset += ENTRY_SIZE) {
    if (crc32(bytes.subarray(offset, offset + 12), salt) !== bytes.readUInt32LE(offset + 12)) continue
    const [index, items, length] = [0, 4, 8].map((field) => bytes.readUInt32LE(offset + field))
    entries.set(index, { index, items, length })
  }
  const sealed = entries.get(SEALED)
  const flushed = entries.get(FLUSHED)
  const givenUp = entries.get(GIVEN_UP)
  for (const index of [SEALED, FLUSHED, GIVEN_UP]) entries.delete(index)
  return { entries, sealed, flushed, givenUp }
}

/** Whether a file was written as an acknowledgement file; its first write may have left it empty or full of zeros. */
function isAcks(bytes: Buffer, salt: number): boolean {
  const { entries, sealed, flushed, givenUp } = readEntries(bytes, salt)
  return (
    entries.size > 0 ||
    [sealed, flushed, givenUp].some((entry) => entry !== undefined) ||
    bytes.every((byte) => byte === 0)
  )
}

export function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  return undefined
}
