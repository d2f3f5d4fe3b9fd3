import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { errorMessage } from '../../errors.ts'
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

/** A table without its first lines. */
export function withoutHeading(text: string, lines: number): string {
  return text.split('\n').slice(lines).join('\n')
}

/**
 * Calls `parse` with the fields of every line that is not empty, and with a function that reads one of them: it returns what
 * its argument returns, and NaN where that finds no number. A line with such a field is reported once; one for which `parse`
 * itself throws MalformedField is reported and left out.
 */
export function forEachLine(
  scrape: Pick<Scrape, 'fail'>,
  file: string,
  text: string,
  parse: (fields: string[], figure: <T>(read: () => T) => T | number) => void,
): void {
  for (const line of text.split('\n')) {
    if (line === '') continue
    let understood = true
    const unlessMalformed = <T, Otherwise>(read: () => T, otherwise: Otherwise): T | Otherwise => {
      try {
        return read()
      } catch (error) {
        if (!(error instanceof MalformedField)) throw error
        understood = false
        return otherwise
      }
    }
    unlessMalformed(() => parse(line.trim().split(/\s+/), (read) => unlessMalformed(read, NaN)), undefined)
    if (!understood) scrape.fail(`A line of ${file} is not understood.`, line.slice(0, 200))
  }
}

/** @throws MalformedField for a line with fewer fields, as one that lacks a column gives the others to the wrong ones */
export function atLeast(count: number, fields: readonly string[]): void {
  if (fields.length < count) throw new MalformedField(`there are ${fields.length} fields, not ${count}`)
}

/** Calls `read`. What it throws is reported, and costs only what it would have recorded. */
export function inPart(scrape: Pick<Scrape, 'fail'>, read: () => void): void {
  try {
    read()
  } catch (error) {
    scrape.fail(errorMessage(error))
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
