/*
 * How secrets are found in texts that came from outside: in the ways in which a server, a proxy or a library repeats them.
 */

export const REDACTED = '[REDACTED]'

/** Something shorter could not be hidden without tearing up every other text. */
const SHORTEST_SECRET = 4
/** The same for a part of a secret. */
export const SHORTEST_PART = 8
/** A secret that is longer is also found where it was cut off behind this many characters. */
const SHORTEST_BEGINNING = 12

const SECRET_NAME =
  /(^|_)((api|app|application|access|account|auth|license|master|private|shared|signing|encryption|ingest(ion)?|secret)_?keys?|secrets?|tokens?|passwords?|passwd|pwd|passphrases?|credentials?|authorization|cookies?|connection_string|dsn)$/

/** Whether a setting is named as secrets are: `api_key`, `clientSecret`, `X-Auth-Token`. */
export function isNamedLikeSecret(name: string): boolean {
  return SECRET_NAME.test(
    name
      .replace(/([a-z\d])([A-Z])/g, '$1_$2')
      .replace(/[-. ]/g, '_')
      .toLowerCase(),
  )
}

/**
 * A secret and the parts of it that are secrets by themselves: the token behind its scheme (`Bearer ...`), the value of a
 * parameter, the user and password in `Basic` or in a URL. `pieces`: the variables and files that were put into it.
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

/** `user:password` and the password alone, which is all that a server may repeat of `Basic`. */
function basicCredentials(text: string): string[] {
  const encoded = /^\s*Basic\s+([\w+/=-]+)\s*$/i.exec(text)?.[1]
  if (encoded === undefined) return []
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  return [decoded, decoded.slice(decoded.indexOf(':') + 1)]
}

/** What a URL holds that is not for others: its user and password, as they are sent, and what its query says. */
export function urlCredentials(text: string): string[] {
  if (!URL.canParse(text)) return []
  const { username, password, searchParams } = new URL(text)
  const [user, secret] = [username, password].map(decoded)
  // A user without a password is a token.
  const values = [...searchParams.values()].filter(({ length }) => length >= SHORTEST_PART)
  return [...(secret === '' ? [user] : [secret, `${user}:${secret}`]), ...values]
}

/** The text that a part of a URL stands for; itself where it is not well formed. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * Makes the function that hides secrets in a text, as they are and as URLs, JSON, HTML and base64 write them. Secrets that are added
 * to a set later are hidden from then on.
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
    return pattern === undefined ? text : text.replace(pattern, REDACTED)
  }
}

function patternOf(secrets: readonly string[]): RegExp | undefined {
  // Of two that begin in one place, the longer is hidden.
  const longestFirst = [...new Set(secrets)]
    .filter(({ length }) => length >= SHORTEST_SECRET)
    .sort((a, b) => b.length - a.length)
  if (longestFirst.length === 0) return undefined
  return new RegExp([...longestFirst.map(spelled), ...longestFirst.flatMap(encoded)].join('|'), 'g')
}

/** What the text matches in any spelling, as a whole or cut off. URLs all begin alike, and are hidden as a whole. */
function spelled(secret: string): string {
  // A run of backslashes is one piece: one after the other could be divided in too many ways.
  const pieces = Array.from(secret.matchAll(/\\+|[^\\]/gsu), ([piece]) => spelledPiece(piece))
  const whole = pieces.join('')
  if (pieces.length <= SHORTEST_BEGINNING || secret.includes('://')) return whole
  const rest = pieces.slice(SHORTEST_BEGINNING).map((piece) => `(?:${piece})?`)
  return [whole, '|', ...pieces.slice(0, SHORTEST_BEGINNING), ...rest].join('')
}

function spelledPiece(piece: string): string {
  const { length } = piece
  if (!piece.startsWith('\\')) return spelledCharacter(piece)
  return `(?:(?:${written('\\').join('|')}){${length}}|\\\\{${length},${8 * length}})`
}

/** A character as it is, also escaped once or more, or in another writing. */
function spelledCharacter(character: string): string {
  if (/[A-Za-z\d]/.test(character)) return character
  const itself = character.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  // The character itself may begin the others.
  return `(?:${written(character).join('|')}|\\\\{0,8}${itself})`
}

/** A character as URLs (also of a form), JSON (also within JSON) and HTML write it. */
function written(character: string): string[] {
  const code = character.codePointAt(0)!
  const bytes = Array.from(Buffer.from(character), (byte) => `%${anyCase(byte.toString(16).padStart(2, '0'))}`)
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  const json = units.map((unit) => `\\\\{1,8}u${anyCase(unit.toString(16).padStart(4, '0'))}`)
  const html = `&(?:amp;)?#(?:${code}|[xX]0{0,4}${anyCase(code.toString(16))});`
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

/** The secret in base64, wherever it stands in the text that was encoded: those characters that nothing but it decides. */
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
