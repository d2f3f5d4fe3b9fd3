import { mkdir, open, readdir, readFile, rename, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { FolderLock, isHeld } from './lock.ts'

/** What queues do to the disk, as `node:fs/promises` does it; a simulation puts its own in its place. */
export interface Disk {
  /** Resolves with the first folder that it made. */
  mkdir(path: string, options: { readonly recursive: true; readonly mode: number }): Promise<string | undefined>
  open(path: string, flags?: string | number, mode?: number): Promise<DiskFile>
  readdir(path: string): Promise<string[]>
  readdir(path: string, options: { readonly withFileTypes: true }): Promise<DiskEntry[]>
  readFile(path: string): Promise<Buffer>
  rename(from: string, to: string): Promise<void>
  stat(path: string): Promise<{ readonly size: number }>
  truncate(path: string, size: number): Promise<void>
  unlink(path: string): Promise<void>
  writeFile(path: string, bytes: Uint8Array, options: { readonly mode: number }): Promise<void>
  /** @throws InUseError when another process, or another queue of this one, holds the folder */
  lock(folder: string): Promise<Pick<FolderLock, 'release' | 'stands'>>
  isLocked(folder: string): Promise<boolean>
}

export interface DiskEntry {
  readonly name: string
  isDirectory(): boolean
}

export interface DiskFile {
  read(into: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  writev(buffers: readonly Uint8Array[], position: number): Promise<{ readonly bytesWritten: number }>
  stat(): Promise<{ readonly nlink: number }>
  truncate(size: number): Promise<void>
  sync(): Promise<void>
  datasync(): Promise<void>
  close(): Promise<void>
}

/** The disk of the machine. */
export const systemDisk: Disk = {
  ...{ mkdir, open, readdir, readFile, rename, stat, truncate, unlink, writeFile },
  lock: (folder) => FolderLock.acquire(folder),
  isLocked: isHeld,
}
