import { errorMessage } from '../errors.ts'
import { RegularExpression } from './regular_expression.ts'

/** How texts are compared: the whole text, or a regular expression found in it. */
type MatchType = 'strict' | 'regexp'

/** Makes a test for whether a text matches a pattern. Throws if the pattern has to be a regular expression and is not. */
export function textMatcher(matchType: MatchType): (pattern: string) => (text: string) => boolean {
  if (matchType === 'strict') return (pattern) => (text) => text === pattern
  return (pattern) => {
    const expression = new RegularExpression(pattern)
    return (text) => expression.test(text)
  }
}

/** Makes a test for whether a text matches any of the patterns. */
export function matchesAny(matchType: MatchType, patterns: readonly string[]): (text: string) => boolean {
  const matchers = patterns.map(textMatcher(matchType))
  return (text) => matchers.some((matches) => matches(text))
}

/** The mistake in a pattern; `undefined` if it can be matched. */
export function patternProblem(matchType: MatchType, pattern: string): string | undefined {
  try {
    textMatcher(matchType)(pattern)
    return undefined
  } catch (error) {
    return `is not a regular expression: ${errorMessage(error)}`
  }
}

/**
 * Whether a text matches a form in which `*` stands for any text. In linear time, unlike an expression with several
 * `.*`.
 */
export function matchesWildcards(form: string, text: string): boolean {
  const [begin, ...parts] = form.split('*')
  const end = parts.pop()
  if (end === undefined) return text === form
  if (!text.startsWith(begin)) return false
  let place = begin.length
  for (const part of parts) {
    const found = text.indexOf(part, place)
    if (found === -1) return false
    place = found + part.length
  }
  return text.length - end.length >= place && text.endsWith(end)
}
