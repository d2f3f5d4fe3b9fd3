import type { RE2JS } from 're2js'
import { inV8, plainInV8 } from './in_v8.ts'
import { re2 } from './re2.ts'

/** The longest text that V8 is given: far longer ones overflow the stack on which it keeps alternatives. */
const LONGEST_FOR_V8 = 10_000
/** The number of texts that are remembered for an expression that V8 does not run, and their longest length. */
const MOST_REMEMBERED = 1000
const LONGEST_REMEMBERED = 255

/**
 * A regular expression in the syntax of RE2, as in the Collector (https://github.com/google/re2/wiki/Syntax), that
 * takes time in proportion to the text. It has no flags: `exec`, `test`, and `match`, `replace`, `search` and `split`
 * of a text behave as with a RegExp without flags. A copy, `new RegExp(expression, 'g')`, is JavaScript's own again.
 */
export class RegularExpression extends RegExp {
  readonly #pattern: string
  readonly #plain: RegExp | undefined
  readonly #fast: RegExp | undefined
  #compiled: RE2JS | undefined
  readonly #remembered = new Map<string, boolean>()

  /** @throws Error that describes the mistake and its remedy, to follow "must be". */
  constructor(pattern: string) {
    super(isForJavaScript(pattern) ? pattern : '(?!)')
    this.#pattern = pattern
    this.#plain = plainInV8(pattern)
    this.#fast = this.#plain ?? inV8(this.#linear)
  }

  get #linear(): RE2JS {
    return (this.#compiled ??= compiled(this.#pattern))
  }

  override get source(): string {
    return this.#pattern
  }

  /** The numbers of the groups that have names. */
  get groupNumbers(): Readonly<Record<string, number>> {
    return this.#plain === undefined ? this.#linear.namedGroups() : {}
  }

  override exec(text: string): RegExpExecArray | null {
    // A value that is not a text is converted, as with any RegExp.
    text = String(text)
    return this.#engineFor(text).exec(text) as RegExpExecArray | null
  }

  override test(text: string): boolean {
    text = String(text)
    const engine = this.#engineFor(text)
    if (engine === this.#fast || text.length > LONGEST_REMEMBERED) return engine.test(text)
    const remembered = this.#remembered.get(text)
    if (remembered !== undefined) return remembered
    const found = engine.test(text)
    if (this.#remembered.size === MOST_REMEMBERED) this.#remembered.clear()
    this.#remembered.set(text, found)
    return found
  }

  override [Symbol.split](text: string, limit?: number): string[] {
    const parts: string[] = []
    let end = 0
    for (const found of this.#linear.matchAll(text)) {
      const { 0: all, index = 0 } = found
      // An empty match directly after the previous match, or at the end, does not split the text.
      if (index + all.length === end || index === text.length) continue
      parts.push(text.slice(end, index), ...found.slice(1))
      end = index + all.length
    }
    return text === '' && this.test('') ? [] : [...parts, text.slice(end)].slice(0, limit)
  }

  #engineFor(text: string): RegExp | RE2JS {
    return this.#fast !== undefined && text.length <= LONGEST_FOR_V8 ? this.#fast : this.#linear
  }
}

/** The remedy for syntax that RE2 does not have, by the beginning of the part that it refuses. */
const INSTEAD: readonly (readonly [part: RegExp, instead: string])[] = [
  [
    /^\(\?<?[=!]/,
    'look-ahead and look-behind are not supported, because they cannot be matched in linear time: include that text in the match, or exclude it with another expression',
  ],
  [
    /^\\[1-9k]/,
    'back-references are not supported, because they cannot be matched in linear time: write the possible texts out',
  ],
  [/^\(\?P$/, 'a group is named by `(?P<name>...)`; back-references are not supported'],
  [/^\(\?>/, 'write `(?:...)`; there is no backtracking to prevent'],
  [/^([*+?]|\{.*\})\+$/, 'leave out the `+` at the end; there is no backtracking to prevent'],
  [/^\(\?[#x]/, 'comments are not supported'],
  [/^\\[uc]/, 'write a character by its code point, such as `\\x{e9}`'],
  [/^\\Z/, 'the end of the text is `\\z`'],
  [/^\\b/, '`[...]` contains only characters; a backspace is `\\x08`'],
  [/^\[\^?\]/, 'a `]` directly after `[` is literal; any character is `(?s:.)`'],
  [/^\\[pP]\{.*=/, 'write only the value, such as `\\p{Greek}`'],
]

/** @throws Error that describes the mistake in the pattern and its remedy. */
function compiled(pattern: string): RE2JS {
  const { RE2JS, RE2JSSyntaxException } = re2()
  try {
    return RE2JS.compile(pattern)
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error
    const part = error.getPattern() ?? ''
    const instead = INSTEAD.find(([begin]) => begin.test(part))?.[1]
    const wrong = part === '' ? error.getDescription() : `${error.getDescription()} \`${part}\``
    throw new Error(instead === undefined ? wrong : `${wrong}; ${instead}`, { cause: error })
  }
}

function isForJavaScript(pattern: string): boolean {
  try {
    return new RegExp(pattern) instanceof RegExp
  } catch {
    return false
  }
}
