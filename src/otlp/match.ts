import { errorMessage } from '../errors.ts'
import { RegularExpression } from '../regular_expression.ts'

/** How texts are compared: the whole text, or a regular expression found in it. */
export type MatchType = 'strict' | 'regexp'

/** Makes the test whether a text matches a pattern. Throws when the pattern is not a regular expression but has to be. */
export function textMatcher(matchType: MatchType): (pattern: string) => (text: string) => boolean {
  if (matchType === 'strict') return (pattern) => (text) => text === pattern
  return (pattern) => {
    const expression = new RegularExpression(pattern)
    return (text) => expression.test(text)
  }
}

/** What is wrong with a pattern; `undefined` when it can be matched. */
export function patternProblem(matchType: MatchType, pattern: string): string | undefined {
  try {
    textMatcher(matchType)(pattern)
    return undefined
  } catch (error) {
    return `is not a regular expression: ${errorMessage(error)}`
  }
}
