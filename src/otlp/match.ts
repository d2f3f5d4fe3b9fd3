import { errorMessage } from '../errors.ts'

/** How texts are compared: the whole text, or a regular expression found in it. */
export type MatchType = 'strict' | 'regexp'

/** Makes the test whether a text matches a pattern. Throws when the pattern is not a regular expression but has to be. */
export function textMatcher(matchType: MatchType): (pattern: string) => (text: string) => boolean {
  if (matchType === 'strict') return (pattern) => (text) => text === pattern
  return (pattern) => {
    const expression = expressionOf(pattern)
    return (text) => expression.test(text)
  }
}

/**
 * The regular expression of a pattern, in which a group may also be named as the Collector's do: `(?P<name>...)`.
 * Source: RE2's syntax, https://github.com/google/re2/wiki/Syntax.
 * @throws SyntaxError when it is not one.
 */
export function expressionOf(pattern: string): RegExp {
  return new RegExp(pattern.replaceAll(/(\\.)|\(\?P</gs, (_all, escaped?: string) => escaped ?? '(?<'))
}

/** What is wrong with a pattern; `undefined` when it can be matched. */
export function patternProblem(matchType: MatchType, pattern: string): string | undefined {
  try {
    textMatcher(matchType)(pattern)
    return undefined
  } catch (error) {
    return `is not a regular expression of JavaScript: ${errorMessage(error)}`
  }
}
