/*
 * Texts for people who read them in a terminal.
 */

const grouped = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 6 })
const whole = new Intl.NumberFormat('en-US')

/** Whole numbers in full, others with six digits. */
export function numberText(value: number | bigint): string {
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return whole.format(value)
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e-4 && size < 1e15) return grouped.format(value)
  return Number(value.toPrecision(6)).toExponential()
}

/** Text that cannot steer the terminal: control characters are written out. */
export function visible(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}

/** At most `width` columns of a text. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

/** Words in lines of at most `width`; a word that alone is longer is cut. */
export function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const word of words.map((text) => cut(text, width))) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
