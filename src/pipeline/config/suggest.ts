import { closest as nearest, distance } from 'fastest-levenshtein'

/**
 * The word that was probably meant: the nearest one, if at most about a third of it has to change. Text that is copied
 * along with a site from the browser does not count: otherwise `app.` would be near to `ap1.`.
 */
export function closest(word: string, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined
  const bare = word.toLowerCase().replace(/^(https?:\/\/)?(app\.)?|\/+$/g, '')
  const lower = words.map((known) => known.toLowerCase())
  const found = nearest(bare, lower)
  const near = distance(bare, found) <= Math.ceil(Math.max(bare.length, found.length) / 3)
  return near ? words[lower.indexOf(found)] : undefined
}
