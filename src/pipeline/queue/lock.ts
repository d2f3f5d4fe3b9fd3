import { randomBytes } from 'node:crypto'
import { link, lstat, open, rename, unlink } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'

/** Another process uses the folder. */
export class InUseError extends Error {
  override readonly name = 'InUseError'
}

/** The system's limit for the path of a socket is 104 to 108 bytes. */
const LONGEST_PATH = 100

/** How long the owner of the lock may take to say who it is. */
const PATIENCE = 1000

/**
 * Locks a folder for this process until `release` or until the process dies, with a Unix socket named `lock` on which
 * the process listens. The system knows whether a process listens there, also between containers that share the folder,
 * and even if process numbers have been used again.
 */
export class FolderLock {
  private constructor(
    private readonly path: string,
    private readonly server: Server,
    private readonly inode: number,
  ) {}

  /**
   * @throws InUseError if another process, or another queue of this one, has the folder; otherwise the error of the file system
   */
  static async acquire(folder: string): Promise<FolderLock> {
    const path = join(folder, 'lock')
    const own = `${path}.${randomBytes(6).toString('hex')}`
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(String(process.pid))
    })
    server.unref()
    await atShortPath(own, (short) => {
      return new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(short, resolve)
      })
    })
    try {
      const { ino } = await lstat(own)
      // Its name appears only now, when the process listens.
      while (!(await linked(own, path))) await removeStale(path)
      return new FolderLock(path, server, ino)
    } catch (error) {
      server.close()
      throw error
    } finally {
      await unlink(own).catch(() => undefined)
    }
  }

  /** Whether the folder is still the locked one: deleting the folder deletes the lock, too, and another process may take it. */
  async stands(): Promise<boolean> {
    const found = await lstat(this.path).catch(() => undefined)
    return found?.ino === this.inode
  }

  async release(): Promise<void> {
    if (await this.stands()) await unlink(this.path).catch(() => undefined)
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** Whether a process holds a folder now. */
export async function isHeld(folder: string): Promise<boolean> {
  return (await atShortPath(join(folder, 'lock'), askHolder)) !== undefined
}

async function linked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock of a dead process. @throws InUseError if its process lives */
async function removeStale(path: string): Promise<void> {
  await refuseIfHeld(path)
  // Another process may take over at the same time: the moved socket is asked again before it is deleted.
  const moved = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await rename(path, moved)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  try {
    await refuseIfHeld(moved)
  } catch (error) {
    await link(moved, path).catch(() => undefined)
    throw error
  } finally {
    // A file that is no socket was not made by a lock, and stays under its new name.
    if ((await lstat(moved)).isSocket()) await unlink(moved)
  }
}

async function refuseIfHeld(path: string): Promise<void> {
  const holder = await atShortPath(path, askHolder)
  if (holder !== undefined) throw new InUseError(`is used by another process${holder === '' ? '' : ` (${holder})`}`)
}

/** The listening process: its process number as it sees it, '' if it is too busy to answer, `undefined` if there is none. */
function askHolder(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    let answer: string | undefined
    socket.setEncoding('utf8').setTimeout(PATIENCE, () => socket.destroy())
    socket.on('connect', () => (answer = ''))
    socket.on('data', (text: string) => (answer = `process ${text}`))
    socket.on('error', (error) => {
      // Any other error, such as too many waiting connections, does not prove that no process listens.
      if (!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')) answer ??= ''
    })
    socket.on('close', () => resolve(answer))
  })
}

/** Calls `use` with a path that means the same and is short enough for a socket; Linux can name files relative to an open folder. */
async function atShortPath<T>(path: string, use: (path: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= LONGEST_PATH || process.platform !== 'linux') return use(path)
  const folder = await open(join(path, '..'))
  try {
    return await use(`/proc/self/fd/${folder.fd}/${path.slice(path.lastIndexOf('/') + 1)}`)
  } finally {
    await folder.close()
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
