import { constants, lstat, mkdir, open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Disk } from './files.ts'

/*
 * The folder of a queue and its files belong to the queue alone. If somebody has put a link there instead, it is not
 * followed: writing through it could overwrite any file that this process may write. A hard link looks like a regular
 * file, but the file counts its names.
 */

/** The folder for damaged data, below the folder of the queue. */
export const CORRUPT = 'corrupt'

/** A file in place of one of the queue's that no queue wrote. It is neither changed nor deleted. */
export class ForeignError extends Error {
  override readonly name = 'ForeignError'
}

/**
 * Makes a folder whose name, which is an entry of the parent folder, survives the loss of power. An earlier process may
 * have made it and died before it was flushed. @throws the error of the file system, or if it is a link
 */
export async function makeFolder(path: string, disk: Disk): Promise<void> {
  const first = (await disk.mkdir(path)) ?? path
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    await disk.syncFolder(dirname(made)).catch((error: unknown) => {
      // A process that may not read a folder cannot flush it either.
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    })
  }
}

/** Makes a folder and its parents. Resolves with the first one that it made. @throws the error of the file system, or if it is a link */
export async function makeOwn(path: string): Promise<string | undefined> {
  const first = await makeWithParents(path)
  if ((await lstat(path)).isSymbolicLink()) throw new Error(`${path} is a link; the folder of a queue must not be one`)
  return first
}

/** Flushes the folder, so that the names of new files survive the loss of power, too. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  await folder.sync().finally(() => folder.close())
}

async function makeWithParents(path: string): Promise<string | undefined> {
  try {
    return (await make(path)) ? path : undefined
  } catch (error) {
    // With `recursive`, Node.js tries forever if a file system, such as /proc, has no folder of that name.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error
    const first = await makeWithParents(dirname(path))
    return (await make(path)) ? (first ?? path) : first
  }
}

/** Returns whether it was absent. */
async function make(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
    return false
  }
}

/** Opens a file of a queue. @throws the error of the file system; ForeignError if it is a link, has a second name, or is no regular file */
export async function openOwn(path: string, flags: number = constants.O_RDONLY): Promise<FileHandle> {
  const own = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  let file: FileHandle
  try {
    file = await open(path, flags | own, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error
    throw new ForeignError(`${path} is a link, which is not followed`, { cause: error })
  }
  const stats = await file.stat()
  if (stats.isFile() && stats.nlink <= 1) return file
  await file.close()
  if (!stats.isFile()) throw new ForeignError(`${path} is not a regular file`)
  throw new ForeignError(`${path} has another name elsewhere (a hard link), so it may belong to another program`)
}

/** The contents of a file of a queue. @throws as `openOwn` */
export async function readOwn(path: string): Promise<Buffer> {
  const file = await openOwn(path)
  return file.readFile().finally(() => file.close())
}
