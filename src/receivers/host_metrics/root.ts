import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { MalformedField, whole } from '../../host/numbers.ts'
import type { Scrape } from './scraper.ts'

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
      text = this.#read(path).toString('utf8')
      this.#texts.set(path, text)
    }
    return text
  }

  /** A text read anew and not kept, or `undefined` where there is no such file or it may not be read. */
  optionalText(path: string): string | undefined {
    return unlessItFails(() => this.#read(path).toString('utf8'))
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
   * a container; or of the one below `/proc/self` where `/proc/1` cannot be read.
   */
  textOfInit(path: string): string {
    return this.optionalText(`proc/1/${path}`) ?? this.text(`proc/self/${path}`)
  }

  /** Like `textOfInit`, or `undefined` where there is no such file. */
  optionalTextOfInit(path: string): string | undefined {
    return unlessItFails(() => this.textOfInit(path))
  }

  /** The whole number that is all a file holds. */
  number(path: string): number | bigint {
    return whole(this.text(path).trim())
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

/** A table without its first lines. */
export function withoutHeading(text: string, lines: number): string {
  return text.split('\n').slice(lines).join('\n')
}

/** Calls `parse` with the fields of every line that is not empty. A line for which it throws is reported and left out. */
export function forEachLine(scrape: Scrape, file: string, text: string, parse: (fields: string[]) => void): void {
  for (const line of text.split('\n')) {
    if (line === '') continue
    try {
      parse(line.trim().split(/\s+/))
    } catch (error) {
      if (!(error instanceof MalformedField)) throw error
      scrape.fail(`A line of ${file} is not understood.`, line.slice(0, 200))
    }
  }
}

/**
 * The number that follows `key` on its own line of a file such as `/proc/stat` or `/proc/vmstat`.
 * @param file the name for the message
 * @throws when there is none
 */
export function countOf(text: string, key: string, file: string): number | bigint {
  const digits = new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]
  if (digits === undefined) throw new Error(`${file} does not say ${key}.`)
  return whole(digits)
}

/** A path as the kernel writes it, in which blanks and backslashes are octal: `/mnt/my\040disk`. */
export function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
}
