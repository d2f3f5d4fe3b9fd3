import { lstat, readdir, rename, unlink } from 'node:fs/promises'
import type { Disk } from './files.ts'
import { makeOwn, openOwn, readOwn, syncFolder } from './folder.ts'
import { FolderLock, isHeld } from './lock.ts'

/** The disk of the machine. */
export const systemDisk: Disk = {
  mkdir: makeOwn,
  open: openOwn,
  readFile: readOwn,
  stat: lstat,
  ...{ readdir, rename, syncFolder, unlink },
  lock: (folder) => FolderLock.acquire(folder),
  isLocked: isHeld,
}
