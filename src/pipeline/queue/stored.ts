import { basename, join } from 'node:path'
import { errorMessage } from '../../errors.ts'
import { systemDisk } from './system_disk.ts'
import type { Disk } from './files.ts'
import type { StoredRecord } from './record.ts'
import { listSegments } from './segment.ts'
import type { Segment, Waiting } from './segment.ts'

/** A queue on disk as it is found there, whether a process uses it or not. */
export interface StoredQueue {
  /** The id of its exporter. */
  readonly id: string
  readonly folder: string
  readonly inUse: boolean
  /** What waits to be sent, sent but unacknowledged batches included. */
  readonly waiting: Waiting
  readonly segments: readonly Segment[]
  /** Why something in it cannot be read. */
  readonly problems: readonly string[]
}

/** The queues in the `directory` of a configuration, or the one whose own folder it is. @throws what the file system says */
export async function findQueues(directory: string, disk = systemDisk): Promise<StoredQueue[]> {
  const entries = await disk.readdir(directory, { withFileTypes: true })
  const own = await readQueue(directory, disk)
  if (own !== undefined) return [own]
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name))
  const queues = await Promise.all(folders.map((folder) => readQueue(folder, disk)))
  return queues.filter((queue) => queue !== undefined)
}

/** Every batch that waits, oldest first. What is damaged is left out. */
export async function* storedRecords({ segments }: StoredQueue): AsyncGenerator<StoredRecord> {
  for (const segment of segments) {
    const contents = await unlessDeleted(segment.read())
    for (const record of contents?.records ?? []) {
      if (record.index < segment.records && !segment.acknowledged.has(record.index)) yield record
    }
  }
}

/** Deletes what a queue holds, once it is found again under the lock. Returns what it was. @throws InUseError */
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
  return { id: idOf(folder), folder, inUse, waiting, segments, problems }
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

/** A process that uses the queue deletes what it has sent. */
async function unlessDeleted<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}
