/*
 * Texts for people who read them in a terminal.
 */

/** Whole numbers in full, others with six digits. */
export function numberText(value: number | bigint): string {
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return grouped(String(value))
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e-4 && size < 1e15) return grouped(String(Number(value.toPrecision(6))))
  return Number(value.toPrecision(6)).toExponential()
}

/** Digits before the point in groups of three. `Intl` does it too, for 7 MiB of memory. */
function grouped(digits: string): string {
  const [whole, fraction] = digits.split('.')
  const text = whole.replace(/\B(?=(?:\d{3})+$)/g, ',')
  return fraction === undefined ? text : `${text}.${fraction}`
}

/**
 * Characters that control a terminal, or make a text look like another: control characters (C0, C1), direction marks
 * and other invisible characters, line and paragraph separators. None of them is ever written unchanged.
 */
const STEERING = /[\p{C}\p{Zl}\p{Zp}]/u
const EACH = new RegExp(STEERING, 'gu')
/** In JSON and YAML, the line breaks between tokens and in blocks are ours. */
const EACH_BUT_BREAKS = new RegExp(`(?!\n)${STEERING.source}`, 'gu')

/** Whether a text could control the terminal. */
export function steers(text: string): boolean {
  return STEERING.test(text)
}

/** Text that cannot control the terminal: such characters are written out. */
export function visible(text: string): string {
  return text.replace(EACH, (character) => `\\u{${codeOf(character).toString(16)}}`)
}

/** The same for text whose line breaks are ours. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n')
}

/** The same for JSON text, which keeps its meaning. */
export function visibleJson(text: string): string {
  return text.replace(EACH_BUT_BREAKS, (character) =>
    Array.from({ length: character.length }, (_, index) => escape('u', character.charCodeAt(index), 4)).join(''),
  )
}

/** The same for YAML text in which texts that could control the terminal are in double quotes. */
export function visibleYaml(text: string): string {
  return text.replace(EACH_BUT_BREAKS, (character) =>
    character.length === 1 ? escape('u', codeOf(character), 4) : escape('U', codeOf(character), 8),
  )
}

function codeOf(character: string): number {
  return character.codePointAt(0) as number
}

function escape(letter: string, code: number, digits: number): string {
  return `\\${letter}${code.toString(16).padStart(digits, '0')}`
}

/** At most `width` columns of a text. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

/** Words in lines of at most `width`; a single word that is longer is cut. */
export function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const word of words.map((text) => cut(text, width))) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
