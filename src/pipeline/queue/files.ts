import type { FolderLock } from './lock.ts'

/** Milliseconds between attempts on a disk, or a part of a queue, that failed. */
export const RETRY_INTERVAL = 1000

/** What queues do to the disk. No link is followed. A simulation puts a disk of its own in its place. */
export interface Disk {
  /** Makes a folder and its parents. Resolves with the first one that it made. */
  mkdir(path: string): Promise<string | undefined>
  /** Flushes the folder, so that the names in it survive the loss of power. */
  syncFolder(path: string): Promise<void>
  /** `flags` as in `node:fs`; default: for reading. */
  open(path: string, flags?: number): Promise<DiskFile>
  readdir(path: string): Promise<string[]>
  readdir(path: string, options: { readonly withFileTypes: true }): Promise<DiskEntry[]>
  readFile(path: string): Promise<Buffer>
  rename(from: string, to: string): Promise<void>
  stat(path: string): Promise<{ readonly size: number }>
  unlink(path: string): Promise<void>
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
  stat(): Promise<{ readonly nlink: number; readonly size: number }>
  truncate(size: number): Promise<void>
  datasync(): Promise<void>
  close(): Promise<void>
}
