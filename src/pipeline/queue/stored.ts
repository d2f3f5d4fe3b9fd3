import { basename, join } from 'node:path'
import { errorMessage } from '../../errors.ts'
import type { Signal } from '../../otlp/signal.ts'
import { readDeliveryId } from '../delivery/id.ts'
import { systemDisk } from './system_disk.ts'
import type { Disk } from './files.ts'
import type { StoredRecord } from './record.ts'
import { listSegments } from './segment.ts'
import type { Segment, Waiting } from './segment.ts'

/** A queue as it is found on disk, whether a process uses it or not. */
export interface StoredQueue {
  /** The exporter and the signal, as in `deliveryId`. */
  readonly id: string
  readonly exporter: string
  readonly signal: Signal
  readonly folder: string
  readonly inUse: boolean
  /** The data that is left to be sent, including batches that were sent but not acknowledged. */
  readonly waiting: Waiting
  readonly segments: readonly Segment[]
  /** Why a part of it cannot be read. */
  readonly problems: readonly string[]
}

/** The queues in the `directory` of a configuration, or the single queue whose folder it is. @throws the error of the file system */
export async function findQueues(directory: string, disk = systemDisk): Promise<StoredQueue[]> {
  const entries = await disk.readdir(directory, { withFileTypes: true })
  const own = await readQueue(directory, disk)
  if (own !== undefined) return [own]
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name))
  const queues = await Promise.all(folders.map((folder) => readQueue(folder, disk)))
  return queues.filter((queue) => queue !== undefined)
}

/** Every waiting batch, oldest first. Damaged ones are left out. */
export async function* storedRecords({ segments }: StoredQueue): AsyncGenerator<StoredRecord> {
  for (const segment of segments) {
    const contents = await unlessDeleted(segment.read())
    for (const record of contents?.records ?? []) {
      if (record.index < segment.records && !segment.acknowledged.has(record.index)) yield record
    }
  }
}

/** Deletes the batches of a queue after reading them again under the lock. Returns what was deleted. @throws InUseError */
export async function dropQueue({ folder }: StoredQueue): Promise<Waiting> {
  const lock = await systemDisk.lock(folder)
  try {
    const { waiting, segments } = (await readQueue(folder, systemDisk)) ?? { waiting: nothing(), segments: [] }
    for (const segment of segments) await segment.delete()
    return waiting
  } finally {
    await lock.release()
  }
}

async function readQueue(folder: string, disk: Disk): Promise<StoredQueue | undefined> {
  const segments: Segment[] = []
  const problems: string[] = []
  const waiting = nothing()
  for (const segment of await listSegments(folder, disk)) {
    const restored = segment.restore().then(() => true)
    const there = await unlessDeleted(restored).catch((error: unknown) => {
      problems.push(`${segment.path} cannot be read: ${errorMessage(error)}`)
      return undefined
    })
    if (there === undefined) continue
    segments.push(segment)
    waiting.records += segment.waiting.records
    waiting.items += segment.waiting.items
    waiting.bytes += segment.waiting.bytes
  }
  const inUse = await disk.isLocked(folder)
  if (segments.length === 0 && problems.length === 0 && !inUse) return undefined
  const id = idOf(folder)
  return { id, ...readDeliveryId(id), folder, inUse, waiting, segments, problems }
}

function idOf(folder: string): string {
  try {
    return decodeURIComponent(basename(folder))
  } catch {
    return basename(folder)
  }
}

function nothing(): Waiting {
  return { records: 0, items: 0, bytes: 0 }
}

/** A process that uses the queue deletes the batches that it has sent. */
async function unlessDeleted<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}
