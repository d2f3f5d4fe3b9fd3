import { constants } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Disk, DiskEntry, DiskFile } from '../../src/pipeline/queue/files.ts'
import { InUseError } from '../../src/pipeline/queue/lock.ts'
import type { Random } from '../kit/random.ts'
import type { Life } from './life.ts'

/** How the disk is at a time. */
export const diskWeathers = ['fine', 'slow', 'flaky', 'full', 'read-only', 'stuck'] as const
export type DiskWeather = (typeof diskWeathers)[number]

type Change = { readonly offset: number; readonly bytes: Buffer } | { readonly size: number }

/** What a file holds now, and what of it would be there after the power was lost. */
class Inode {
  #now: Buffer = Buffer.alloc(0)
  #durable: Buffer = Buffer.alloc(0)
  /** Made since the last flush. */
  #changes: Change[] = []
  links = 0

  get bytes(): Buffer {
    return this.#now
  }

  change(change: Change): void {
    this.#now = changed(this.#now, change)
    this.#changes.push(change)
  }

  flush(): void {
    this.#durable = this.#changes.reduce(changed, this.#durable)
    this.#changes = []
  }

  /** A flush that fails: the system forgets that pages are to be written, whatever has become of them. */
  failToFlush(random: Random): void {
    this.#durable = this.#changes.filter(() => random.chance(0.5)).reduce(changed, this.#durable)
    this.#changes = []
  }

  /** Each change since the last flush is there, is not, or is there in part: as it was written, or as zeros. */
  losePower(random: Random): void {
    for (const change of this.#changes) {
      const fate = random.below(4)
      if (fate === 0) continue
      if (fate === 1 || !('bytes' in change)) {
        this.#durable = changed(this.#durable, change)
        continue
      }
      const { offset, bytes } = change
      const part = bytes.subarray(0, random.below(bytes.length + 1))
      this.#durable = changed(this.#durable, { offset, bytes: fate === 2 ? part : Buffer.alloc(part.length) })
    }
    this.#changes = []
    this.#now = this.#durable
  }
}

function changed(before: Buffer, change: Change): Buffer {
  if ('size' in change && change.size <= before.length) return before.subarray(0, change.size)
  const size = 'size' in change ? change.size : Math.max(before.length, change.offset + change.bytes.length)
  const after = Buffer.alloc(size)
  before.copy(after)
  if ('bytes' in change) change.bytes.copy(after, change.offset)
  return after
}

/** A folder's names, now and after the power was lost. */
class Folder {
  now = new Map<string, Inode | Folder>()
  durable = new Map<string, Inode | Folder>()

  flush(): void {
    this.durable = new Map(this.now)
  }

  /** A name that came or went since the last flush did so, or did not. */
  losePower(random: Random): void {
    for (const name of [...new Set([...this.now.keys(), ...this.durable.keys()])].sort()) {
      const entry = (random.chance(0.5) ? this.now : this.durable).get(name)
      if (this.now.get(name) === this.durable.get(name)) continue
      if (entry === undefined) this.durable.delete(name)
      else this.durable.set(name, entry)
    }
    this.now = new Map(this.durable)
    for (const entry of this.now.values()) entry.losePower(random)
  }
}

/**
 * A disk that keeps what POSIX promises and no more: after the power was lost, what was flushed is there, and of the rest anything.
 * It outlives the processes that use it.
 */
export class SimulatedDisk {
  weather: DiskWeather = 'fine'
  /** Whether a call has failed, or has taken very long, since this was last set to `false`. */
  failed = false
  readonly #root = new Folder()
  readonly #locks = new Map<string, Life>()

  constructor(private readonly random: Random) {}

  losePower(): void {
    this.#root.losePower(this.random)
  }

  /** The disk as one process uses it. */
  of(life: Life): Disk {
    const { random } = this
    const call = async <T>(name: string, path: string, act: () => T, writes = false): Promise<T> => {
      life.note(`${name} ${path}`)
      await this.#wait(life)
      const code = this.#fault(writes)
      if (code !== undefined) throw this.#error(life, name, path, code)
      return act()
    }
    const open = (path: string, flags: number): DiskFile => {
      const folder = this.#folder(dirname(path))
      const name = basename(path)
      let entry = folder.now.get(name)
      if ((flags & constants.O_EXCL) !== 0 && entry !== undefined) throw systemError('EEXIST', path)
      if (entry === undefined) {
        if ((flags & constants.O_CREAT) === 0) throw systemError('ENOENT', path)
        entry = new Inode()
        entry.links = 1
        folder.now.set(name, entry)
      }
      if (entry instanceof Folder) throw systemError('EISDIR', path)
      return fileHandle(path, entry)
    }
    const fileHandle = (path: string, inode: Inode): DiskFile => {
      const flush = async (): Promise<void> => {
        life.note(`datasync ${path}`)
        await this.#wait(life)
        const code = this.#fault(true)
        if (code !== undefined) inode.failToFlush(random)
        else inode.flush()
        if (code !== undefined) throw this.#error(life, 'datasync', path, code)
      }
      return {
        read: (into, offset, length, position) =>
          call('read', path, () => {
            // A read may give less than was asked for.
            const most = random.chance(0.05) ? Math.ceil(length / 2) : length
            return { bytesRead: inode.bytes.copy(into, offset, position, position + most) }
          }),
        writev: (buffers, position) => {
          const bytes = Buffer.concat(buffers)
          return call(
            'writev',
            path,
            () => {
              const isShort = bytes.length > 1 && (this.weather === 'full' || random.chance(0.02))
              const written = isShort ? 1 + random.below(bytes.length - 1) : bytes.length
              inode.change({ offset: position, bytes: bytes.subarray(0, written) })
              return { bytesWritten: written }
            },
            true,
          )
        },
        stat: () => call('fstat', path, () => ({ nlink: inode.links, size: inode.bytes.length })),
        truncate: (size) => call('ftruncate', path, () => inode.change({ size }), true),
        datasync: flush,
        close: () => call('close', path, () => undefined),
      }
    }
    const unlink = (path: string): void => {
      const folder = this.#folder(dirname(path))
      const entry = folder.now.get(basename(path))
      if (!(entry instanceof Inode)) throw systemError('ENOENT', path)
      folder.now.delete(basename(path))
      entry.links -= 1
    }
    return {
      mkdir: (path) => call('mkdir', path, () => this.#mkdir(path), true),
      syncFolder: (path) => call('sync', path, () => this.#folder(path).flush(), true),
      open: (path, flags = constants.O_RDONLY) =>
        call('open', path, () => open(path, flags), flags !== constants.O_RDONLY),
      readdir: (path: string, options?: object) =>
        call('readdir', path, () => {
          const entries = [...this.#folder(path).now]
          const found = entries.map(([name, entry]) => ({ name, isDirectory: () => entry instanceof Folder }))
          return (options === undefined ? found.map(({ name }) => name) : found) as string[] & DiskEntry[]
        }),
      readFile: (path) => call('readFile', path, () => Buffer.from(this.#file(path).bytes)),
      rename: (from, to) =>
        call(
          'rename',
          from,
          () => {
            const inode = this.#file(from)
            this.#folder(dirname(from)).now.delete(basename(from))
            this.#folder(dirname(to)).now.set(basename(to), inode)
          },
          true,
        ),
      stat: (path) => call('stat', path, () => ({ size: this.#file(path).bytes.length })),
      unlink: (path) => call('unlink', path, () => unlink(path), true),
      lock: (folder) =>
        call(
          'lock',
          folder,
          () => {
            const holder = this.#locks.get(folder)
            if (holder !== undefined && !holder.over) throw new InUseError('is used by another process')
            this.#locks.set(folder, life)
            return {
              stands: async () => this.#locks.get(folder) === life,
              release: async () => void this.#locks.delete(folder),
            }
          },
          true,
        ),
      isLocked: async (folder) => this.#locks.get(folder)?.over === false,
    }
  }

  /** Many calls are answered at once; every other moment is one in which the process may die. */
  async #wait(life: Life): Promise<void> {
    const { random } = this
    if (this.weather === 'stuck') {
      this.failed = true
      await life.clock.sleep(1 + random.below(20_000))
    }
    if (this.weather === 'slow') await life.clock.sleep(1 + random.below(300))
    else if (this.weather !== 'stuck' && random.chance(0.3)) await life.clock.sleep(1 + random.below(5))
  }

  #fault(writes: boolean): string | undefined {
    const { random } = this
    if (this.weather === 'flaky' && random.chance(0.1)) return random.pick(['EIO', 'EMFILE', 'EACCES'])
    if (this.weather === 'full' && writes && random.chance(0.7)) return 'ENOSPC'
    if (this.weather === 'read-only' && writes) return 'EROFS'
    return undefined
  }

  #error(life: Life, name: string, path: string, code: string): Error {
    life.note(`${name} ${path}: ${code}`)
    this.failed = true
    return systemError(code, path)
  }

  #entry(path: string): Inode | Folder | undefined {
    let entry: Inode | Folder | undefined = this.#root
    for (const name of path.split('/')) {
      if (name !== '') entry = entry instanceof Folder ? entry.now.get(name) : undefined
    }
    return entry
  }

  #folder(path: string): Folder {
    const entry = this.#entry(path)
    if (entry === undefined) throw systemError('ENOENT', path)
    if (entry instanceof Inode) throw systemError('ENOTDIR', path)
    return entry
  }

  #file(path: string): Inode {
    const entry = this.#entry(path)
    if (entry === undefined) throw systemError('ENOENT', path)
    if (entry instanceof Folder) throw systemError('EISDIR', path)
    return entry
  }

  /** Returns the first folder that it made, as Node does. */
  #mkdir(path: string): string | undefined {
    let first: string | undefined
    let folder = this.#root
    let at = ''
    for (const name of path.split('/').filter((part) => part !== '')) {
      at += `/${name}`
      let entry = folder.now.get(name)
      if (entry instanceof Inode) throw systemError('ENOTDIR', at)
      if (entry === undefined) {
        first ??= at
        folder.now.set(name, (entry = new Folder()))
      }
      folder = entry
    }
    return first
  }
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
