import { errorMessage } from '../../errors.ts'
import { MalformedField, whole } from '../../host/numbers.ts'
import type { Scrape } from './scraper.ts'

/** A table without its first lines. */
export function withoutHeading(text: string, lines: number): string {
  return text.split('\n').slice(lines).join('\n')
}

/**
 * Calls `parse` with the fields of every non-empty line, and with a function that reads one of them: it returns the
 * result of its argument, or NaN if that finds no number. A line with such a field is reported once; one for which
 * `parse` itself throws MalformedField is reported and left out.
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

/** @throws MalformedField for a line with too few fields, because its values would go to the wrong columns */
export function atLeast(count: number, fields: readonly string[]): void {
  if (fields.length < count) throw new MalformedField(`there are ${fields.length} fields, not ${count}`)
}

/** Calls `read`. An error that it throws is reported, and only costs the values that it would have recorded. */
export function inPart(scrape: Pick<Scrape, 'fail'>, read: () => void): void {
  try {
    read()
  } catch (error) {
    scrape.fail(errorMessage(error))
  }
}

/**
 * The number after `key` on its own line of a file such as `/proc/stat` or `/proc/vmstat`.
 * @param file the name for the message
 * @throws if there is none
 */
export function countOf(text: string, key: string, file: string): number | bigint {
  const digits = new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]
  if (digits === undefined) throw new Error(`${file} does not say ${key}.`)
  return whole(digits)
}

/** A path as the kernel writes it, with blanks and backslashes in octal: `/mnt/my\040disk`. */
export function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
}
