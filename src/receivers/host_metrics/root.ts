import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { errorMessage } from '../../errors.ts'
import { whole } from '../../host/numbers.ts'

/** What files are read into, all of them, so that a scrape leaves little behind. Grows with the longest. */
let buffer = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * The file system of the host, which may stand below a folder (`root_path`). Paths are given without a leading slash.
 * Reads are synchronous: the kernel makes these files in memory. A text is read once per scrape, whoever asks for it.
 */
export class Root {
  readonly #texts = new Map<string, string>()

  /** @param path the folder of the host's `/`; empty for this process's own */
  constructor(private readonly path: string) {}

  /** Whether this is the root this process lives in. */
  get isOwn(): boolean {
    return this.path === ''
  }

  /** Ends a scrape: what was read in it is read again in the next. */
  forget(): void {
    this.#texts.clear()
  }

  /** The path of a file of the host as this process sees it. */
  resolve(path: string): string {
    return `${this.path}/${path}`
  }

  /** @throws what `fs` throws */
  text(path: string): string {
    let text = this.#texts.get(path)
    if (text === undefined) {
      text = this.#readText(path)
      this.#texts.set(path, text)
    }
    return text
  }

  /** A text that is read again each time and not kept, or `undefined` where there is no such file or it may not be read. */
  optionalText(path: string): string | undefined {
    return unlessItFails(() => this.#readText(path))
  }

  #readText(path: string): string {
    return this.#read(path).toString('utf8')
  }

  bytes(path: string): Buffer {
    return Buffer.from(this.#read(path))
  }

  /** A view of the buffer that holds until the next read. */
  #read(path: string): Buffer {
    const file = openSync(this.resolve(path), 'r')
    try {
      // Files of /proc have no size: they end where a read yields nothing.
      for (let length = 0; ;) {
        const count = readSync(file, buffer, length, buffer.length - length, null)
        if (count === 0) return buffer.subarray(0, length)
        length += count
        if (length === buffer.length) buffer = Buffer.concat([buffer], 2 * length)
      }
    } finally {
      closeSync(file)
    }
  }

  /**
   * The text of a file below `/proc/1`, which shows the host's mounts and network where `/proc/self` would show those of
   * a container. On the host itself `/proc/self` stands in for a `/proc/1` that cannot be read.
   * @throws what `fs` throws, and below a `root_path` an error that says why nothing else will do
   */
  textOfInit(path: string): string {
    try {
      return this.#readText(`proc/1/${path}`)
    } catch (error) {
      if (this.isOwn) return this.#readText(`proc/self/${path}`)
      throw new Error(
        `${errorMessage(error)}: below a root_path only this file shows what the host has, so the host's own /proc has to be mounted there and be readable.`,
        { cause: error },
      )
    }
  }

  /** Like `textOfInit`, or `undefined` where there is no such file. */
  optionalTextOfInit(path: string): string | undefined {
    return unlessItFails(() => this.textOfInit(path))
  }

  /** The whole number that is all a file holds. */
  number(path: string): number | bigint {
    const text = this.text(path).trim()
    try {
      return whole(text)
    } catch (error) {
      throw new Error(`${this.resolve(path)} is not understood: ${errorMessage(error)}.`, { cause: error })
    }
  }

  /** The names in a folder. */
  list(path: string): string[] {
    return readdirSync(this.resolve(path))
  }

  /** The last part of what a symbolic link points at, or `undefined` where there is none. */
  linkName(path: string): string | undefined {
    return unlessItFails(() => basename(readlinkSync(this.resolve(path))))
  }
}

function unlessItFails<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
