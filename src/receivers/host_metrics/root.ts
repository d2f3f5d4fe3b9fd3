import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { errorMessage } from '../../errors.ts'
import { whole } from '../../host/numbers.ts'

/** The buffer for all file reads, so that a scrape leaves little garbage. It grows with the longest file. */
let buffer = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * The file system of the host, which may be below a folder (`root_path`). Paths are given without a leading slash.
 * Reads are synchronous, because the kernel makes these files in memory. A text is read once per scrape, however many
 * scrapers use it.
 */
export class Root {
  readonly #texts = new Map<string, string>()

  /** @param path the folder of the host's `/`; empty for this process's own */
  constructor(private readonly path: string) {}

  /** Whether this is the root that this process lives in. */
  get isOwn(): boolean {
    return this.path === ''
  }

  /** Ends a scrape: its files are read again in the next one. */
  forget(): void {
    this.#texts.clear()
  }

  /** The path of a file of the host as this process sees it. */
  resolve(path: string): string {
    return `${this.path}/${path}`
  }

  /** @throws the error of `fs` */
  text(path: string): string {
    let text = this.#texts.get(path)
    if (text === undefined) {
      text = this.#readText(path)
      this.#texts.set(path, text)
    }
    return text
  }

  /** A text that is read again each time and not kept, or `undefined` if there is no such file or it may not be read. */
  optionalText(path: string): string | undefined {
    return unlessItFails(() => this.#readText(path))
  }

  #readText(path: string): string {
    return this.#read(path).toString('utf8')
  }

  bytes(path: string): Buffer {
    return Buffer.from(this.#read(path))
  }

  /** A view of the buffer that is valid until the next read. */
  #read(path: string): Buffer {
    const file = openSync(this.resolve(path), 'r')
    try {
      // Files of /proc have no size: they end when a read returns nothing.
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
   * The text of a file below `/proc/1`, which shows the host's mounts and network, while `/proc/self` would show those
   * of a container. On the host itself, `/proc/self` is used if `/proc/1` cannot be read.
   * @throws the error of `fs`, and below a `root_path` an error that says why no other file will do
   */
  textOfInit(path: string): string {
    try {
      return this.#readText(`proc/1/${path}`)
    } catch (error) {
      if (this.isOwn) return this.#readText(`proc/self/${path}`)
      throw new Error(
        `${errorMessage(error)}: below a root_path, only this file shows the host's own mounts and network, so the host's /proc has to be mounted there and be readable.`,
        { cause: error },
      )
    }
  }

  /** Like `textOfInit`, or `undefined` if there is no such file. */
  optionalTextOfInit(path: string): string | undefined {
    return unlessItFails(() => this.textOfInit(path))
  }

  /** The whole number that is the only content of a file. */
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

  /** The last part of a symbolic link's target, or `undefined` if there is none. */
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
