import { constants } from 'node:fs'
import { basename, join } from 'node:path'
import { isUint8Array } from 'node:util/types'
import { crc32 } from 'node:zlib'
import type { ExporterState } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Machine } from '../machine.ts'
import type { Disk, DiskFile } from './files.ts'
import { CORRUPT, ForeignError, makeFolder } from './folder.ts'
import { beginsLike } from './record.ts'
import type { Segment } from './segment.ts'
import { ignoreMissing, NEW, writeAll } from './segment.ts'

/** `<number>.state`, the records of one checkpoint; after an orderly stop `<number>-<bytes>.state`. */
const NAME = /^(\d{10})(?:-(\d+))?\.state$/

/*
 * An entry: a header of 36 bytes, all numbers little endian, and the bytes that the exporter returned with one batch.
 *
 *    0  magic      4   `HEKS`
 *    4  number     8   of the entry, as a double; those of all files are one behind the other
 *   12  segment    4   where the log of records ends with the batch: the sequence of its last segment,
 *   16  records    4   and how many records that has
 *   20  time       8   milliseconds since 1970 as a double
 *   28  length     4   bytes behind the header
 *   32  CRC        4   of all but itself
 */
const HEADER_SIZE = 36
const MAGIC = Buffer.from('HEKS')
const CHECKED = 32

/** The end of the log of records. */
export interface LogEnd {
  /** Records of the last segment. */
  readonly sequence: number
  readonly records: number
}

/** A checkpoint of the exporter, and its file once an entry is written. */
interface Checkpoint {
  file: DiskFile | undefined
  path: string | undefined
  /** Bytes that count. */
  size: number
  /** Bytes when the checkpoint was complete. */
  whole: number | undefined
  /** How often it was incomplete. */
  parts: number
  /** The next checkpoint starts from nothing, because this one is not on disk completely. */
  abandoned: boolean
}

/** The changes of the exporter's memory by a `prepare`. */
export interface Change {
  readonly bytes: Uint8Array
  readonly all: boolean
  readonly checkpoint: Checkpoint
}

interface StateEntry extends LogEnd {
  readonly number: number
  readonly time: number
  readonly bytes: Buffer
  /** Where it ends in its file. */
  readonly end: number
}

interface StateFile {
  readonly path: string
  readonly entries: readonly StateEntry[]
}

interface StateLogOptions {
  readonly folder: string
  /** Bytes of a file before the exporter begins another checkpoint, however little it remembers. */
  readonly minSize: number
  readonly log: Logger
  readonly machine: Pick<Machine, 'clock' | 'disk'>
}

/**
 * The exporter's memory of the batches that it prepared, in files next to the log of records. An entry is written
 * before its records, and counts only if they are there: so the memory after a crash matches exactly the batches that
 * the queue took. From time to time the exporter begins another checkpoint, in a new file, a part with each batch; when
 * it is complete, the previous file is deleted. Only `restore` and `retry` ever reject: otherwise, a failing disk costs
 * the memory that is stored on it, but no batch.
 */
export class StateLog {
  #checkpoint = newCheckpoint()
  /** Those that have files, oldest first. */
  #checkpoints: Checkpoint[] = []
  /** The numbers of the next entry, of the first pending entry, and of the next file. */
  #number = 1
  #pendingNumber = 1
  #fileNumber = 1
  /** An entry that was written and may not count: the size of its file with it, and whether the checkpoint is complete then. */
  readonly #pending = new Map<Checkpoint, { size: number; all: boolean }>()
  #hasTold = false
  /** Files to be deleted, including those that could not be deleted before. */
  readonly #undeleted = new Set<string>()
  #deleting: Promise<unknown> = Promise.resolve()
  #state: ExporterState | undefined

  constructor(private readonly options: StateLogOptions) {}

  /** The changes since the last call; `undefined` if the exporter has no memory. */
  take(): Change | undefined {
    this.#hasTold = true
    const { whole, size } = this.#checkpoint
    if (whole !== undefined && size > Math.max(this.options.minSize, 2 * whole)) this.#beginCheckpoint()
    return this.#changes()
  }

  /** Goes on with an exporter, which has what the one before it remembered. */
  renew(state: ExporterState | undefined): void {
    if (state === undefined) this.abandon()
    this.#state = state
    this.#beginCheckpoint()
  }

  /**
   * Restores the exporter's memory from an earlier process, as far as it belongs to records that are there, and writes
   * it again. Does nothing if the exporter has already prepared a batch. `end`: where this process will write its first
   * record.
   * @throws the error of the file system if the files cannot be listed: a new one must come after all existing ones
   */
  async restore(segments: readonly Segment[], end: LogEnd): Promise<void> {
    const names = (await this.options.machine.disk.readdir(this.options.folder))
      .filter((name) => NAME.test(name))
      .sort()
    const paths = names.map((name) => join(this.options.folder, name))
    this.#fileNumber = Number(NAME.exec(names.at(-1) ?? '')?.[1] ?? 0) + 1
    const foreign = new Set<string>()
    try {
      const read = async (path: string): Promise<StateFile> => {
        try {
          return await readStateFile(path, this.options.machine.disk)
        } catch (error) {
          if (error instanceof ForeignError) foreign.add(path)
          throw error
        }
      }
      const files: StateFile[] = []
      const results = await Promise.allSettled(paths.map(read))
      for (const result of results) {
        if (result.status === 'rejected') throw result.reason
        files.push(result.value)
      }
      await this.#restore(files, segments)
      await this.#writeAll(end)
    } catch (error) {
      this.#failed(error)
    }
    for (const path of paths) {
      if (foreign.has(path)) await this.#setAside(path).catch(() => undefined)
      else this.#undeleted.add(path)
    }
    await this.retry().catch(() => undefined)
  }

  /** Writes the changes by batches that are about to become records behind `end`, or that nothing is left of. */
  async write(batches: readonly { readonly change?: Change; readonly items: number }[], end: LogEnd): Promise<void> {
    this.#pendingNumber = this.#number
    let { records } = end
    const buffers = new Map<Checkpoint, Uint8Array[]>()
    for (const { change, items } of batches) {
      if (items > 0) records += 1
      if (change === undefined || change.checkpoint.abandoned) continue
      const { checkpoint, bytes, all } = change
      const list = buffers.get(checkpoint) ?? []
      buffers.set(checkpoint, list)
      list.push(
        encodeHeader(this.#number++, { sequence: end.sequence, records }, this.options.machine.clock.now(), bytes),
        bytes,
      )
      const { size } = this.#pending.get(checkpoint) ?? checkpoint
      this.#pending.set(checkpoint, { size: size + HEADER_SIZE + bytes.length, all })
    }
    try {
      for (const [checkpoint, list] of buffers) {
        const file = await this.#fileOf(checkpoint)
        if (!checkpoint.abandoned) await writeAll(file, list, checkpoint.size)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Flushes the written entries. */
  async flush(): Promise<void> {
    try {
      await Promise.all(Array.from(this.#pending.keys(), async ({ file }) => file?.datasync()))
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Makes the written and flushed entries count: their records are there, too. */
  commit(): void {
    for (const [checkpoint, { size, all }] of this.#pending) {
      checkpoint.size = size
      if (all) checkpoint.whole ??= size
    }
    this.#pending.clear()
    if (this.#checkpoints.at(-1)?.whole !== undefined)
      this.#delete(this.#checkpoints.splice(0, this.#checkpoints.length - 1))
  }

  /** Takes the written entries back: their records were not written. */
  async withdraw(): Promise<void> {
    const written = [...this.#pending.keys()]
    if (written.length > 0) this.#number = this.#pendingNumber
    this.#pending.clear()
    try {
      for (const { file, size } of written) await file?.truncate(size)
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Gives up the memory on disk, because the fate of a batch will not be recorded there. The exporter begins another checkpoint. */
  abandon(): void {
    for (const checkpoint of [...this.#checkpoints, this.#checkpoint]) checkpoint.abandoned = true
    this.#pending.clear()
    this.#delete(this.#checkpoints.splice(0))
    // If a file stays, it must not be taken for the one before the next.
    this.#number += 1
    this.#beginCheckpoint()
  }

  /**
   * Deletes the files that could not be deleted before: another process would take them for the memory. @throws the
   * error of the file system
   */
  async retry(): Promise<void> {
    for (const path of this.#undeleted) {
      await this.options.machine.disk.unlink(path).catch(ignoreMissing)
      this.#undeleted.delete(path)
    }
  }

  /** Closes the files, and renames them to say that they are complete: damage is then not taken for an unfinished write. */
  async close(): Promise<void> {
    await this.#deleting
    for (const { file, path, size } of this.#checkpoints) {
      await file?.close().catch(() => undefined)
      if (path !== undefined)
        await this.options.machine.disk.rename(path, path.replace(/\.state$/, `-${size}.state`)).catch(() => undefined)
    }
  }

  /** Moves a file that no queue wrote out of the way, so that it is not taken for the memory. */
  async #setAside(path: string): Promise<void> {
    const { clock, disk } = this.options.machine
    await makeFolder(join(this.options.folder, CORRUPT), disk)
    await disk.rename(path, join(this.options.folder, CORRUPT, `${basename(path)}-${clock.now()}`))
  }

  async #restore(files: readonly StateFile[], segments: readonly Segment[]): Promise<void> {
    const all = files.flatMap(({ entries }) => entries)
    // No entry must follow entries that are not taken over.
    this.#number = (all.at(-1)?.number ?? 0) + 2
    const records = new Map(segments.map((segment) => [segment.sequence, segment.records]))
    // If a segment is not there, all of it was sent.
    const missing = all.findIndex((entry) => entry.records > (records.get(entry.sequence) ?? Infinity))
    const kept = new Set(missing === -1 ? all : all.slice(0, missing))
    const first = all.findLastIndex(
      ({ number }, index) => kept.has(all[index]) && number !== all[index - 1]?.number + 1,
    )
    for (const entry of all.slice(0, first)) kept.delete(entry)
    const last = [...kept].at(-1)
    for (const { path, entries } of files) {
      // From now on a segment that is not there may be one that never got its records.
      await cut(this.options.machine.disk, path, entries.findLast((entry) => kept.has(entry))?.end ?? 0)
    }
    if (last === undefined || this.#hasTold) return
    for (const { sequence, records } of segments) {
      if (records > 0 && (sequence > last.sequence || (sequence === last.sequence && records > last.records))) {
        throw new Error('it ends before the batches in the queue do')
      }
    }
    const now = this.options.machine.clock.now()
    const checkpoints = files.map(({ entries }) => {
      const records = entries.filter((entry) => kept.has(entry) && entry.bytes.length > 0)
      return records.map(({ bytes, time }) => ({ bytes, age: Math.max(0, now - time) }))
    })
    this.#state?.restore(checkpoints)
    this.#number = last.number + 1
  }

  /** Writes the whole memory of the exporter to a file of its own. */
  async #writeAll(end: LogEnd): Promise<void> {
    if (this.#hasTold) return
    this.#beginCheckpoint()
    const changes: { change: Change; items: 0 }[] = []
    for (let next = this.#changes(); next !== undefined; next = next.all ? undefined : this.#changes()) {
      if (next.bytes.length > 0) changes.push({ change: next, items: 0 })
    }
    await this.write(changes, end)
    await this.flush()
    this.commit()
  }

  #changes(): Change | undefined {
    if (this.#state === undefined) return undefined
    try {
      return { ...changesOf(this.#state, this.#checkpoint), checkpoint: this.#checkpoint }
    } catch (error) {
      this.#forget(error)
      return undefined
    }
  }

  #beginCheckpoint(): void {
    this.#checkpoint = newCheckpoint()
    try {
      this.#state?.beginCheckpoint()
    } catch (error) {
      this.#forget(error)
    }
  }

  /** The exporter failed to report its changes; its memory is not kept from now on. */
  #forget(error: unknown): void {
    this.#state = undefined
    this.#failed(error)
  }

  async #fileOf(checkpoint: Checkpoint): Promise<DiskFile> {
    if (checkpoint.file !== undefined) return checkpoint.file
    checkpoint.path = join(this.options.folder, `${String(this.#fileNumber++).padStart(10, '0')}.state`)
    checkpoint.file = await this.options.machine.disk.open(checkpoint.path, NEW)
    // It may have been abandoned meanwhile. Otherwise it is listed before anything can fail, so that its file is closed.
    if (checkpoint.abandoned) this.#delete([checkpoint])
    else this.#checkpoints.push(checkpoint)
    await this.options.machine.disk.syncFolder(this.options.folder)
    return checkpoint.file
  }

  #delete(checkpoints: readonly Checkpoint[]): void {
    if (checkpoints.length === 0) return
    this.#deleting = this.#deleting.then(async () => {
      for (const { file, path } of checkpoints) {
        await file?.close().catch(() => undefined)
        if (path !== undefined) this.#undeleted.add(path)
      }
      await this.retry().catch(() => undefined)
    })
  }

  #failed(error: unknown): void {
    this.options.log.warn(
      'The state of the exporter cannot be kept on disk or read from it. The first value of a series after a restart may be left out.',
      { event: 'state_disk_failed', directory: this.options.folder, error: errorMessage(error) },
    )
    this.abandon()
  }
}

/**
 * Calls of `changes` after which an exporter must have returned everything; our own return a thousand series per call,
 * of a million at most.
 */
const MAX_PARTS = 10_000

/**
 * The changes in an exporter's memory; `checkpoint` counts the calls that left a remainder.
 * @throws TypeError if `changes` returns an invalid value, or never finishes
 */
export function changesOf(
  state: ExporterState,
  checkpoint: { parts: number },
): { readonly bytes: Uint8Array; readonly all: boolean } {
  const { bytes, all } = state.changes()
  if (!isUint8Array(bytes) || typeof all !== 'boolean') {
    throw new TypeError('`state.changes` must return `{ bytes, all }`, a Uint8Array and a boolean')
  }
  if (!all && ++checkpoint.parts > MAX_PARTS) {
    throw new TypeError(
      `\`state.changes\` must return \`all: true\` within ${MAX_PARTS} calls after \`beginCheckpoint\``,
    )
  }
  return { bytes, all }
}

function newCheckpoint(): Checkpoint {
  return { file: undefined, path: undefined, size: 0, whole: undefined, parts: 0, abandoned: false }
}

async function cut(disk: Disk, path: string, size: number): Promise<void> {
  const file = await disk.open(path, constants.O_RDWR)
  try {
    await file.truncate(size)
    await file.datasync()
  } finally {
    await file.close()
  }
}

function encodeHeader(number: number, { sequence, records }: LogEnd, time: number, bytes: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(HEADER_SIZE)
  MAGIC.copy(header)
  header.writeDoubleLE(number, 4)
  header.writeUInt32LE(sequence, 12)
  header.writeUInt32LE(records, 16)
  header.writeDoubleLE(time, 20)
  header.writeUInt32LE(bytes.length, 28)
  header.writeUInt32LE(crc32(bytes, crc32(header.subarray(0, CHECKED))), CHECKED)
  return header
}

/** @throws the error of the file system, or if it is damaged; ForeignError if no queue wrote it */
async function readStateFile(path: string, disk: Disk): Promise<StateFile> {
  const bytes = await disk.readFile(path)
  const entries = readEntries(bytes)
  if (entries.length === 0 && !beginsLike(bytes, MAGIC)) throw new ForeignError(`${path} is not a file of a queue`)
  const [, , size] = NAME.exec(basename(path)) ?? []
  if (size !== undefined && (bytes.length !== Number(size) || entries.at(-1)?.end !== bytes.length)) {
    throw new Error('it is damaged')
  }
  return { path, entries }
}

/** The entries of a file, except for an unfinished one at its end. @throws if one is damaged */
function readEntries(bytes: Buffer): StateEntry[] {
  const entries: StateEntry[] = []
  let offset = 0
  for (let entry = entryAt(bytes, offset); entry !== undefined; entry = entryAt(bytes, offset)) {
    entries.push(entry)
    offset = entry.end
  }
  for (let at = bytes.indexOf(MAGIC, offset); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (entryAt(bytes, at) !== undefined) throw new Error('it is damaged')
  }
  return entries
}

function entryAt(bytes: Buffer, offset: number): StateEntry | undefined {
  if (offset + HEADER_SIZE > bytes.length || bytes.indexOf(MAGIC, offset) !== offset) return undefined
  const start = offset + HEADER_SIZE
  const end = start + bytes.readUInt32LE(offset + 28)
  if (end > bytes.length) return undefined
  const content = bytes.subarray(start, end)
  const checksum = crc32(content, crc32(bytes.subarray(offset, offset + CHECKED)))
  if (checksum !== bytes.readUInt32LE(offset + CHECKED)) return undefined
  return {
    number: bytes.readDoubleLE(offset + 4),
    sequence: bytes.readUInt32LE(offset + 12),
    records: bytes.readUInt32LE(offset + 16),
    time: bytes.readDoubleLE(offset + 20),
    bytes: content,
    end,
  }
}
