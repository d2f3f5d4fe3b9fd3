import { constants, lstat, mkdir, open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

/*
 * The folder of a queue and its files are our own. Where somebody else has put a link instead, it is not followed: what is written
 * would overwrite any file that this process may write.
 */

/** Makes a folder and those above it. @throws what the file system says, or when it is a link */
export async function makeFolder(path: string): Promise<void> {
  await makeWithParents(path)
  if ((await lstat(path)).isSymbolicLink()) throw new Error(`${path} is a link; the folder of a queue must not be one`)
}

async function makeWithParents(path: string): Promise<void> {
  try {
    await make(path)
  } catch (error) {
    // With `recursive`, Node.js tries for ever where a file system, like /proc, has no folder of that name.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error
    await makeWithParents(dirname(path))
    await make(path)
  }
}

async function make(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
  }
}

/** Opens a file of a queue. @throws what the file system says, or when it is a link or no regular file */
export async function openOwn(path: string, flags: number = constants.O_RDONLY): Promise<FileHandle> {
  const own = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  let file: FileHandle
  try {
    file = await open(path, flags | own, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error
    throw new Error(`${path} is a link, which is not followed`, { cause: error })
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new Error(`${path} is not a regular file`)
}

/** What a file of a queue holds. @throws as `openOwn` */
export async function readOwn(path: string): Promise<Buffer> {
  const file = await openOwn(path)
  return file.readFile().finally(() => file.close())
}
