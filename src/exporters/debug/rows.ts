import { PART } from '../../otlp/common/parts.ts'
import type { Attributes } from '../../otlp/common/attributes.ts'
import { visible, wrap } from '../../text/terminal.ts'
import type { Divided } from '../../time/turns.ts'

export interface Row {
  /** One for each column but the last. */
  readonly cells: readonly string[]
  /** The last column: texts in words; each text begins on a line of its own. */
  readonly texts: readonly (readonly string[])[]
}

export const GAP = '  '

/** The minimum width of the last column. */
const LAST_WIDTH = 24

/** The rows of the items of one resource. */
export function* rowsInTurns<I>(items: readonly I[], rowOf: (item: I) => Row): Divided<Row[]> {
  const rows: Row[] = []
  for (const item of items) {
    rows.push(rowOf(item))
    // Also between resources of a few items each.
    if (rows.length === items.length || rows.length % PART === 0) yield
  }
  return rows
}

/**
 * The items of one resource, at most `width` columns wide: its attributes once, then the rows under `head`; the last
 * column continues on the next line if it does not fit. Empty without rows.
 */
export function* rowTable(
  resource: Attributes,
  head: readonly string[],
  rows: readonly Row[],
  width: number,
): Divided<string> {
  if (rows.length === 0) return ''
  const widths = head.slice(0, -1).map(({ length }) => length)
  for (const { cells } of rows) {
    for (const [column, cell] of cells.entries()) widths[column] = Math.max(widths[column], cell.length)
  }
  const left = widths.reduce((sum, each) => sum + each + GAP.length, 0)
  const line = (cells: readonly string[], last: string): string =>
    [...widths.map((each, column) => (cells[column] ?? '').padEnd(each)), last].join(GAP).trimEnd()

  const lines = wrap(attributeTexts(resource), width)
  lines.push(line(head, head[head.length - 1]))
  for (const [index, { cells, texts }] of rows.entries()) {
    if (index % PART === PART - 1) yield
    const [first = '', ...more] = texts.flatMap((words) => wrap(words, Math.max(width - left, LAST_WIDTH)))
    lines.push(line(cells, first), ...more.map((text) => line([], text)))
  }
  return `${lines.join('\n')}\n\n`
}

/** Each as `key=value`, with the value in quotes if it would not be clear without. */
export function attributeTexts(attributes: Attributes): string[] {
  return attributes.keys().map((key) => attributeText(key, attributes.text(key) ?? ''))
}

export function attributeText(key: string, text: string): string {
  return `${visible(key)}=${/^[^\s"=]+$/.test(text) ? visible(text) : visible(JSON.stringify(text))}`
}

/** The words of a text, a list for each of its lines. */
export function wordsOf(text: string): string[][] {
  return text.split(/\r?\n/).map((line) => visible(line).split(' '))
}

/** Local time, to the millisecond. */
export function timeText(timeUnixNano: bigint): string {
  if (timeUnixNano === 0n) return '-'
  const date = new Date(Number(timeUnixNano / 1_000_000n))
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** The existing ids, under short names. */
export function idTexts(ids: Readonly<Record<string, string>>): string[] {
  return Object.entries(ids).flatMap(([name, id]) => (id === '' ? [] : [`${name}=${id}`]))
}
