import { constants, open, stat } from 'node:fs/promises'
import { systemClock } from './time/clock.ts'
import { inTime } from './time/in_time.ts'

/** The most bytes of a configuration's file. */
const MAX_SIZE = 2 ** 20

/** The most milliseconds for reading a file, including the wait for its turn. */
const PATIENCE = 5000

/** File descriptors that the starting process hands over, as a shell does with `<(...)` or a pipe; another process writes to them. */
const HANDED_OVER = /^\/dev\/(stdin|fd\/\d+)$/

/**
 * Files are read one after the other: each holds one of the four threads on which Node.js also resolves names,
 * permanently if a dead mount does not answer.
 */
let reading = false
const waiting = new Set<() => void>()

/**
 * Reads a file that a configuration names: a regular one of at most `limit` bytes, 1 MiB unless given, within 5
 * seconds. Anything else, such as a FIFO or a device, may never end; only a pipe that the process was started with is
 * read as well.
 * @throws the error of the file system, or a description of the mistake; `readFailure` puts it in terms of the file
 */
export function readSmallFile(path: string, limit = MAX_SIZE): Promise<Buffer> {
  return inTurn(() => read(path, limit), 'it')
}

/** Whether there is a regular file of that name. @throws if that cannot be found out in time */
export function isFile(path: string): Promise<boolean> {
  const isOne = async (): Promise<boolean> => (await stat(path).catch(() => undefined))?.isFile() === true
  return inTurn(isOne, path)
}

async function inTurn<T>(work: () => Promise<T>, name: string): Promise<T> {
  const end = systemClock.monotonic() + PATIENCE
  const message = `${name}, or a file that is read before it, has not answered within ${PATIENCE / 1000} s`
  if (!reading) reading = true
  else {
    let begin = (): void => undefined
    const turn = new Promise<void>((resolve) => waiting.add((begin = resolve)))
    await inTime(systemClock, turn, PATIENCE, message).finally(() => waiting.delete(begin))
  }
  return inTime(systemClock, work().finally(endTurn), end - systemClock.monotonic(), message)
}

function endTurn(): void {
  const [next] = waiting
  if (next === undefined) reading = false
  else {
    waiting.delete(next)
    next()
  }
}

async function read(path: string, limit: number): Promise<Buffer> {
  const isHandedOver = HANDED_OVER.test(path)
  // Opening a FIFO does not wait for a writer.
  const file = await open(path, constants.O_RDONLY | (isHandedOver ? 0 : (constants.O_NONBLOCK ?? 0)))
  try {
    const stats = await file.stat()
    if (!stats.isFile() && !stats.isDirectory() && !(isHandedOver && stats.isFIFO()))
      throw new Error('it is not a regular file')
    const parts: Buffer[] = []
    // Files of /proc have no size before they are read.
    for (let size = 0; ;) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(64 * 1024))
      if (bytesRead === 0) return Buffer.concat(parts)
      size += bytesRead
      if (size > limit) throw new Error(`it is larger than ${limit / 2 ** 20} MiB`)
      parts.push(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}
