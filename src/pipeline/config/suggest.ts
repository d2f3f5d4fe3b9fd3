import { closest as nearest, distance } from 'fastest-levenshtein'

/**
 * The word that may have been meant: the nearest, if about a third of it at most would have to change. What comes along
 * when a site is copied from the browser does not count: without that, `app.` would be near to `ap1.`.
 */
export function closest(word: string, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined
  const bare = word.toLowerCase().replace(/^(https?:\/\/)?(app\.)?|\/+$/g, '')
  const lower = words.map((known) => known.toLowerCase())
  const found = nearest(bare, lower)
  const near = distance(bare, found) <= Math.ceil(Math.max(bare.length, found.length) / 3)
  return near ? words[lower.indexOf(found)] : undefined
}
