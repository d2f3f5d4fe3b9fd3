import fc from 'fast-check'
import { describe, expect, it } from '@jest/globals'
import { RE2JS } from 're2js'
import { RegularExpression } from '../src/regular_expression.ts'
import { inV8 } from '../src/regular_expression/in_v8.ts'
import { runs } from './kit/fuzzing.ts'

/** Characters in which the engines could differ: case, digits, words, lines, and more than one UTF-16 unit. */
const CHARACTERS = ['a', 'b', 'K', 'k', '\u212a', 's', 'ſ', 'ä', 'Ä', '0', '٣', '_', '.', '-', ' ', '\u00a0', '\v', '\n', '\r', '\u2028', '😀', '😁']
const text = fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 12 }).map((parts) => parts.join(''))

const atom = fc.constantFrom(
  ...['a', 'b', 'ab', 'k', 's', 'ä', '\\.', '_', '-', '😀', '.', '[ab]', '[^a]', '[a-k]', '[[:alpha:]_]', '[^\\n]', '[😀-😂]', '[\\w.]'],
  ...['\\d', '\\D', '\\s', '\\S', '\\w', '\\W', '\\pL', '\\PL', '\\p{Greek}', '\\x{e4}', '\\x61', '\\Qa.b\\E', '(?i:k)', '(?i:[a-s])', '(?s:.)'],
  ...['^', '$', '\\A', '\\z', '\\b', '\\B', '(?m:^)', '(?m:$)', ''],
)
const flags = fc.constantFrom('', '', '', '(?i)', '(?s)', '(?U)', '(?m)', '(?is)')
const tree = fc.letrec<{ pattern: string; repeated: string }>((tie) => ({
  repeated: fc
    .tuple(fc.oneof(atom, tie('group')), fc.constantFrom('', '', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,2}', '{0,2}?', '{2,}'))
    .map(([one, times]) => (/^(\^|\$|\\[AzbB]|ab|\\Q.*|)$/.test(one) ? `(?:${one})${times}` : `${one}${times}`)),
  group: fc
    .tuple(fc.constantFrom('(', '(?:', '(?P<NAME>', '(?<NAME>'), tie('pattern'))
    .map(([open, inner]) => `${open}${inner})`),
  pattern: fc.oneof(
    { maxDepth: 3 },
    tie('repeated'),
    fc.array(tie('repeated'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    fc.array(tie('pattern'), { minLength: 2, maxLength: 3 }).map((parts) => parts.join('|')),
  ),
}))
/** Expressions of any form, whose groups have names of their own. */
const pattern = fc.tuple(flags, tree.pattern).map(([flag, inner]) => {
  let names = 0
  return flag + inner.replaceAll('NAME', () => `n${names++}`)
})

describe('a regular expression', () => {
  it('finds what RE2 finds, with the same groups, whichever engine runs it', () => {
    let fast = 0
    fc.assert(
      fc.property(pattern, fc.array(text, { minLength: 4, maxLength: 8 }), (source, texts) => {
        const reference = RE2JS.compile(source)
        if (inV8(reference) !== undefined) fast++
        const expression = new RegularExpression(source)
        for (const each of texts) {
          const expected = reference.exec(each)
          expect([each, found(expression.exec(each))]).toEqual([each, found(expected)])
          expect([each, expression.test(each), expression.test(each)]).toEqual([each, expected !== null, expected !== null])
        }
      }),
      { ...runs(1500), includeErrorInReport: true } as never,
    )
    expect(fast).toBeGreaterThan(100)
    console.log(fast)
  })
})

function found(match: readonly string[] | null): unknown {
  const { index, groups } = (match ?? {}) as RegExpExecArray
  return match === null ? null : { texts: [...match], index, groups: { ...groups } }
}
