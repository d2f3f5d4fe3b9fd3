/*
 * Finds secrets in texts from outside, in the forms in which a server, a proxy or a library repeats them.
 */

export const REDACTED = '[REDACTED]'

/** Hiding a shorter secret would destroy every other text. */
const SHORTEST_SECRET = 4
/** The same for a part of a secret. */
export const SHORTEST_PART = 8
/** If a secret is longer, its beginning or end of at least this many characters is also found. */
const SHORTEST_REST = 12
/**
 * The length of an end that is hidden, because only tokens have it. The end of a host name or of joined words also
 * occurs in other texts.
 */
const TOKEN_END = /(?:[A-Za-z\d+=]{12}|(?=.{0,11}\d)[\w+/=-]{12})$/

const SECRET_NAME =
  /(^|_)((api|app|application|access|account|auth|license|master|private|shared|signing|encryption|ingest(ion)?|secret)_?keys?|secrets?|tokens?|passwords?|passwd|pwd|passphrases?|credentials?|authorization|cookies?|connection_string|dsn)$/

/** Whether the name of a setting suggests a secret: `api_key`, `clientSecret`, `X-Auth-Token`. */
export function isNamedLikeSecret(name: string): boolean {
  return SECRET_NAME.test(
    name
      .replace(/([a-z\d])([A-Z])/g, '$1_$2')
      .replace(/[-. ]/g, '_')
      .toLowerCase(),
  )
}

/**
 * A secret and its parts that are secrets by themselves: the token after its scheme (`Bearer ...`), the value of a
 * parameter, the user and password in `Basic` or in a URL. `pieces`: the variables and files that it was made from.
 */
export function secretParts(text: string, pieces: readonly string[] = []): string[] {
  const [, ...words] = text.trim().split(/[\s,;]+/)
  const values = words.map((word) => /=\s*(.*)$/.exec(word)?.[1].replace(/^"|"$/g, '') ?? '')
  const passwords = [...basicCredentials(text), ...urlCredentials(text)]
  return [
    ...[text, ...passwords].filter(({ length }) => length >= SHORTEST_SECRET),
    ...[...words, ...values, ...pieces].filter(({ length }) => length >= SHORTEST_PART),
  ]
}

/** `user:password` and the password alone, because a server may repeat only that part of `Basic`. */
function basicCredentials(text: string): string[] {
  const encoded = /^\s*Basic\s+([\w+/=-]+)\s*$/i.exec(text)?.[1]
  if (encoded === undefined) return []
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  return [decoded, decoded.slice(decoded.indexOf(':') + 1)]
}

/** The secret parts of a URL: its user and password, as they are sent, and the values in its query. */
export function urlCredentials(text: string): string[] {
  if (!URL.canParse(text)) return []
  const { username, password, searchParams } = new URL(text)
  const [user, secret] = [username, password].map(decoded)
  // A user without a password is a token.
  const values = [...searchParams.values()].filter(({ length }) => length >= SHORTEST_PART)
  return [...(secret === '' ? [user] : [secret, `${user}:${secret}`]), ...values]
}

/** The decoded text of a part of a URL; the part itself if it is not well formed. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * Makes a function that hides secrets in a text, in plain form and as URLs, JSON, HTML and base64 write them, with each
 * character escaped or not. Secrets that are added to a set later are hidden from then on.
 */
export function hidingSecrets(secrets: Iterable<string>): (text: string) => string {
  let known = -1
  let pattern: RegExp | undefined
  return (text) => {
    const all = [...secrets]
    if (all.length !== known) {
      known = all.length
      pattern = patternOf(all)
    }
    return pattern === undefined ? text : hideMatches(text, pattern)
  }
}

/** Hides the matches in the text as it is, and in the text without its escapes. */
function hideMatches(text: string, pattern: RegExp): string {
  const ranges = rangesOf(text, pattern)
  let plain = text
  let places: readonly number[] = []
  for (let times = 0; times < MOST_ESCAPED && ESCAPED.test(plain); times++) {
    const { starts, plain: next } = unescaped(plain)
    places = starts.map((start) => places[start] ?? start)
    plain = next
    ranges.push(...rangesOf(plain, pattern).map(([start, end]): Range => [places[start], places[end]]))
  }
  ranges.sort(([a], [b]) => a - b)
  let shown = ''
  let done = 0
  for (const [start, end] of ranges) {
    if (start >= done) shown += text.slice(done, start) + REDACTED
    done = Math.max(done, end)
  }
  return shown + text.slice(done)
}

type Range = [start: number, end: number]

/** The positions of the matches. A group is the end of a secret, and begins before the match that found it. */
function rangesOf(text: string, pattern: RegExp): Range[] {
  return Array.from(text.matchAll(pattern), (match): Range => {
    const end = match.index + match[0].length
    const found = match.find((group, index) => index > 0 && group !== undefined) ?? match[0]
    return [end - found.length, end]
  })
}

/** How many times a text may have been escaped as a whole. */
const MOST_ESCAPED = 4
/** A visible ASCII character as URLs, JSON and HTML escape it, with its code. JSON doubles the backslash of JSON within it. */
const ESCAPED =
  /%([2-7][\da-f])|\\{1,8}u00([2-7][\da-f])|&(?:amp;)*#x0*([2-7][\da-f]);|&(?:amp;)*#0*(3[2-9]|[4-9]\d|1[01]\d|12[0-6]);/i
const ESCAPED_OR_NOT = new RegExp(`${ESCAPED.source}|[^]`, 'gi')

/** The text with its visible ASCII characters unescaped, and the position of each character in the original text. */
function unescaped(text: string): { plain: string; starts: number[] } {
  const starts: number[] = []
  let plain = ''
  for (const { index, 0: itself, 1: url, 2: json, 3: html, 4: decimal } of text.matchAll(ESCAPED_OR_NOT)) {
    const code = decimal === undefined ? parseInt(url ?? json ?? html, 16) : Number(decimal)
    plain += itself.length === 1 ? itself : String.fromCharCode(code)
    starts.push(index)
  }
  return { plain, starts: [...starts, text.length] }
}

function patternOf(secrets: readonly string[]): RegExp | undefined {
  // Of two that begin at the same position, the longer one is hidden.
  const longestFirst = [...new Set(secrets)]
    .filter(({ length }) => length >= SHORTEST_SECRET)
    .sort((a, b) => b.length - a.length)
  if (longestFirst.length === 0) return undefined
  return new RegExp(
    [...longestFirst.map(spelled), ...longestFirst.flatMap(encoded), ...longestFirst.flatMap(ending)].join('|'),
    'g',
  )
}

/** The text matched in any spelling, as a whole or cut off. URLs all begin alike, and are hidden as a whole. */
function spelled(secret: string): string {
  const pieces = spelledPieces(secret)
  const whole = pieces.join('')
  if (pieces.length <= SHORTEST_REST || secret.includes('://')) return whole
  return [whole, '|', ...pieces.slice(0, SHORTEST_REST), ...pieces.slice(SHORTEST_REST).map(optional)].join('')
}

/** The end of a token, with the preceding part of the token in a group: only looking back finds that in linear time. */
function ending(secret: string): string[] {
  const pieces = spelledPieces(secret)
  if (pieces.length <= SHORTEST_REST || secret.includes('://') || !TOKEN_END.test(secret)) return []
  const end = pieces.slice(-SHORTEST_REST).join('')
  return [`${end}(?<=(${pieces.slice(0, -SHORTEST_REST).map(optional).join('')}${end}))`]
}

function optional(piece: string): string {
  return `(?:${piece})?`
}

function spelledPieces(secret: string): string[] {
  // A run of backslashes is one piece: one after the other could be divided in too many ways.
  return Array.from(secret.matchAll(/\\+|[^\\]/gsu), ([piece]) => spelledPiece(piece))
}

function spelledPiece(piece: string): string {
  const { length } = piece
  if (!piece.startsWith('\\')) return spelledCharacter(piece)
  return `(?:(?:${written('\\').join('|')}){${length}}|\\\\{${length},${8 * length}})`
}

/** A character as it is, escaped once or more, or in another form. */
function spelledCharacter(character: string): string {
  if (/[A-Za-z\d]/.test(character)) return character
  const itself = character.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  // The character itself may be the beginning of the other forms.
  return `(?:${written(character).join('|')}|\\\\{0,8}${itself})`
}

/** A character as URLs (also in a form), JSON (also within JSON) and HTML write it. */
function written(character: string): string[] {
  const code = character.codePointAt(0)!
  const bytes = Array.from(Buffer.from(character), (byte) => `%${anyCase(byte.toString(16).padStart(2, '0'))}`)
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  const json = units.map((unit) => `\\\\{1,8}u${anyCase(unit.toString(16).padStart(4, '0'))}`)
  const html = `&(?:amp;)?#(?:0*${code}|[xX]0*${anyCase(code.toString(16))});`
  return [bytes.join(''), json.join(''), html, ...(NAMED[character] ?? [])]
}

const NAMED: Readonly<Record<string, readonly string[]>> = {
  ' ': ['\\+'],
  '"': ['&quot;'],
  '&': ['&amp;'],
  '<': ['&lt;'],
  '>': ['&gt;'],
  "'": ['&apos;'],
  '\n': ['\\\\{1,8}n'],
  '\r': ['\\\\{1,8}r'],
  '\t': ['\\\\{1,8}t'],
}

function anyCase(hex: string): string {
  return hex.replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)
}

/** The secret in base64, at any position in the encoded text: the characters that depend on nothing else. */
function encoded(secret: string): string[] {
  const bytes = Buffer.from(secret)
  if (bytes.length < SHORTEST_PART) return []
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64url')
    const first = Math.ceil((before * 8) / 6)
    const last = Math.floor(((before + bytes.length) * 8) / 6)
    const characters = Array.from(text.slice(first, last), (character) => {
      if (character === '-') return `(?:-|${spelledCharacter('+')})`
      return character === '_' ? `(?:_|${spelledCharacter('/')})` : character
    })
    return characters.join('')
  })
}
