import fc from 'fast-check'
import { describe, expect, it } from '@jest/globals'
import { matchesWildcards } from '../../src/text/match.ts'
import { runs } from '../kit/fuzzing.ts'

describe('a form with wildcards', () => {
  it('takes each of them for any text, even none', () => {
    const text = (characters: string) =>
      fc.array(fc.constantFrom(...characters), { maxLength: 8 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text('ab.*'), text('ab.\n'), (form, each) => {
        const expression = new RegExp(`^${form.replaceAll('.', '\\.').replaceAll('*', '.*')}$`, 's')
        expect([form, each, matchesWildcards(form, each)]).toEqual([form, each, expression.test(each)])
      }),
      runs(2000),
    )
  })

  it('is compared in linear time', () => {
    const started = performance.now()
    expect(matchesWildcards('*a*a*a*a*a*b', 'a'.repeat(100_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })
})
