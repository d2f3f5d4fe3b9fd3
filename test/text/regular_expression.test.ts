import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from '@jest/globals'
import { RE2JS } from 're2js'
import { RegularExpression } from '../../src/text/regular_expression.ts'
import { inV8, plainInV8 } from '../../src/text/in_v8.ts'
import { runs } from '../kit/fuzzing.ts'

/** Texts of characters about which engines differ: case, digits, words, white space, lines, more than one UTF-16 unit. */
const text = fc
  .array(fc.constantFrom(...'abKk\u212asſäÄ0٣_.- \u00a0\v\n\r\u2028', '😀', '😁'), { maxLength: 12 })
  .map((parts) => parts.join(''))

const ATOMS = [
  ...[
    'a',
    'b',
    'ab',
    'k',
    's',
    'ä',
    '\\.',
    '_',
    '-',
    '😀',
    '.',
    '',
    '\\x{e4}',
    '\\x61',
    '\\Qa.b\\E',
    '(?i:k)',
    '(?i:ä)',
    '(?s:.)',
  ],
  ...['[ab]', '[^a]', '[a-k]', '[[:alpha:]_]', '[^\\n]', '[😀-😂]', '[\\w.]', '(?i:[a-s])'],
  ...['\\d', '\\D', '\\s', '\\S', '\\w', '\\W', '\\pL', '\\PL', '\\p{Greek}'],
  ...['^', '$', '\\A', '\\z', '\\b', '\\B', '(?m:^)', '(?m:$)'],
]
const TIMES = ['', '', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,2}', '{0,2}?', '{2,}']
const { pattern: parts } = fc.letrec<{ repeated: string; pattern: string }>((tie) => ({
  repeated: fc
    .tuple(
      fc.oneof(
        fc.constantFrom(...ATOMS),
        fc
          .tuple(fc.constantFrom('(', '(?:', '(?P<NAME>', '(?<NAME>'), tie('pattern'))
          .map(([open, one]) => `${open}${one})`),
      ),
      fc.constantFrom(...TIMES),
    )
    .map(([one, times]) => (times === '' ? one : `(?:${one})${times}`)),
  pattern: fc.oneof(
    { maxDepth: 3 },
    tie('repeated'),
    fc.array(tie('repeated'), { minLength: 1, maxLength: 4 }).map((each) => each.join('')),
    fc.array(tie('pattern'), { minLength: 2, maxLength: 3 }).map((each) => each.join('|')),
  ),
}))
/** Expressions of every form, half of them from the begin of the text, whose groups have names of their own. */
const pattern = fc
  .tuple(fc.constantFrom('', '', '', '(?i)', '(?s)', '(?U)', '(?m)', '(?is)'), fc.constantFrom('', '\\A'), parts)
  .map(([flags, begin, inner]) => {
    let names = 0
    return `${flags}${begin}(?:${inner.replaceAll('NAME', () => `n${names++}`)})`
  })

describe('a regular expression', () => {
  it('finds, with V8, what RE2 finds, and the same groups', () => {
    let compared = 0
    fc.assert(
      fc.property(pattern, fc.array(text, { minLength: 8, maxLength: 8 }), (source, texts) => {
        const re2 = RE2JS.compile(source)
        const v8 = inV8(re2)
        if (v8 === undefined) return
        const found = (engine: Pick<RegExp, 'exec' | 'test'>) =>
          texts.map((each) => [each, shown(engine.exec(each)), engine.test(each)])
        expect(found(v8)).toEqual(found(re2 as unknown as RegExp))
        compared++
      }),
      runs(500),
    )
    expect(compared).toBeGreaterThan(50)
  })

  it('finds what RE2 finds where V8 runs a plain expression without it', () => {
    const character = fc.constantFrom('a', 'b', 'k', 'A', '_', ' ', '-', '/', '.', '\\.', '\\$', '\\(')
    const word = (minLength: number) => fc.array(character, { minLength, maxLength: 3 }).map((each) => each.join(''))
    const choice = fc
      .tuple(fc.constantFrom('', '?:'), fc.array(word(1), { minLength: 1, maxLength: 3 }))
      .map(([kind, words]) => `(${kind}${words.join('|')})`)
    const begin = fc.constantFrom('', '^')
    const end = fc.constantFrom('', '$', '.*', '.+')
    const plain = fc.tuple(begin, word(0), fc.oneof(fc.constant(''), choice), word(0), end).map((each) => each.join(''))
    fc.assert(
      fc.property(plain, fc.array(text, { minLength: 8, maxLength: 8 }), (source, texts) => {
        const v8 = plainInV8(source)
        expect(v8).toBeDefined()
        const found = (engine: Pick<RegExp, 'exec' | 'test'>) =>
          texts.map((each) => [each, shown(engine.exec(each)), engine.test(each)])
        expect(found(v8 as RegExp)).toEqual(found(RE2JS.compile(source) as unknown as RegExp))
      }),
      runs(500),
    )
  })

  it.each(['a*', 'a.*b', '(a|a)(a|a)', '(a|b', '[ab]', '\\d', '(?i)a', '(a|)', 'ä', '{', '.*$', '\\', 'a|b'])(
    'leaves it to RE2 whether V8 can run %s',
    (source) => {
      expect(plainInV8(source)).toBeUndefined()
    },
  )

  it('lets V8 run nothing that takes more than linear time', () => {
    const part = fc.constantFrom(
      'a',
      'b',
      '[ab]',
      'a?',
      'a*',
      '[ab]+',
      '.*?',
      '(?:ab)*',
      '(?:a|ab)+',
      '(?:a+b?)+',
      '(?:b|a+?c)*',
    )
    const repetitive = fc
      .tuple(fc.constantFrom('', '^'), fc.array(part, { minLength: 1, maxLength: 4 }), fc.constantFrom('x', '$', 'bc'))
      .map(([begin, inner, end]) => begin + inner.join('') + end)
    let fast = 0
    fc.assert(
      fc.property(repetitive, fc.constantFrom('a', 'b', 'ab', 'aab', 'abc'), (source, each) => {
        const v8 = inV8(RE2JS.compile(source))
        if (v8 === undefined) return
        fast++
        // With the square of the length, there would be 450 million steps.
        const long = { v8, text: `${each.repeat(30_000 / each.length)}!` }
        runInNewContext('v8.test(text)', long, { timeout: 200 })
      }),
      runs(300),
    )
    expect(fast).toBeGreaterThan(20)
  })

  it.each([
    '^system\\.cpu\\.',
    '^(system|process)\\.',
    '^system\\.memory\\.(.*)$',
    '^(.*)\\.(count|sum)$',
    '^web\\.(?P<http_method>\\w+) (Requests|Calls)?$',
    '_total$',
    'load',
    '(?i)cpu',
    '[0-9a-f]{8}-[0-9a-f]{4}',
    '^(sd[a-z]+|nvme\\d+n\\d+)$',
    '^(lo$|veth|br-|docker)',
    '^/var/lib/(docker|kubelet)/.+$',
  ])('lets V8 run %s', (source) => {
    expect(inV8(RE2JS.compile(source))).toBeDefined()
  })

  it.each([
    ['^([a-z]+\\.?)+_total$', 'a'],
    ['(a|a)*$', 'a'],
    ['(?i)^(\\w+\\s?)*$', 'a '],
    ['^(a?){30}b', 'a'],
    ['.*.*=.*', 'a'],
    ['[a-z]+_total$', 'a'],
    ['(\\w+)+\\.(\\w+)+$', 'ab.'],
  ])('takes a time linear in the text with %s', (source, part) => {
    const expression = new RegularExpression(source)
    const started = performance.now()
    for (const length of [61, 1000, 100_000]) {
      expression.test(`${part.repeat(length)}!`)
      expression.exec(`${part.repeat(length)}!`)
    }
    expect(performance.now() - started).toBeLessThan(1500)
  })

  it.each([
    [true, '^(?P<a>\\w+)\\.(?<b>\\w+)$'],
    [false, '^z*z*(?P<a>\\w+)\\.(?<b>\\w+)$'],
  ])('is used like a RegExp, whether V8 runs it (%s) or not', (fast, source) => {
    expect(inV8(RE2JS.compile(source)) !== undefined).toBe(fast)
    const expression = new RegularExpression(source)
    expect(expression).toBeInstanceOf(RegExp)
    expect(String(expression)).toBe(`/${source}/`)
    for (let round = 0; round < 2; round++) {
      expect(expression.test('cpu.time')).toBe(true)
      expect(expression.test('cpu')).toBe(false)
    }
    expect(expression.exec('cpu.time')).toMatchObject({ 1: 'cpu', index: 0, groups: { a: 'cpu', b: 'time' } })
    expect(expression.groupNumbers).toEqual({ a: 1, b: 2 })
    expect('cpu.time'.replace(expression, '$2 of $<a>')).toBe('time of cpu')
    expect('cpu.time'.match(expression)?.[2]).toBe('time')
    expect(' cpu.time'.search(expression)).toBe(-1)
    expect(expression.test(1.5 as unknown as string)).toBe(true)
  })

  it.each([',', '(,)|;', '', 'b*', 'x|(y)'])('splits a text as a RegExp does at "%s"', (source) => {
    for (const each of ['a,b;c', ',', '', 'abba', 'axbyc', 'ab']) {
      expect(each.split(new RegularExpression(source))).toEqual(each.split(new RegExp(source)))
      expect(each.split(new RegularExpression(source), 1)).toEqual(each.split(new RegExp(source), 1))
    }
  })

  it('finds the same after more texts than it remembers', () => {
    const expression = new RegularExpression('^z*z*a')
    const texts = Array.from({ length: 2500 }, (_, index) => `${index % 2 === 0 ? 'a' : 'b'}${index}`)
    for (let round = 0; round < 2; round++) {
      expect(texts.filter((each) => expression.test(each))).toEqual(texts.filter((each) => each.startsWith('a')))
    }
  })

  it.each([
    ['(?=a)', 'invalid or unsupported Perl syntax `(?=`; look-ahead and look-behind are not supported'],
    ['(?!a)b', '`(?!`; look-ahead and look-behind are not supported'],
    ['(?<=a)b', '`(?<=a)b`; look-ahead and look-behind are not supported'],
    ['(?<!a)b', 'look-ahead and look-behind are not supported'],
    ['(a)\\1', 'invalid escape sequence `\\1`; back-references are not supported'],
    ['(?P<x>a)\\k<x>', 'back-references are not supported'],
    ['(?P<x>a)(?P=x)', 'back-references are not supported'],
    ['(?>a)', 'write `(?:...)`'],
    ['a++', 'invalid nested repetition operator `++`; leave out the `+` at the end'],
    ['\\u0041', 'write a character by its code point, such as `\\x{e9}`'],
    ['a\\Z', 'the end of the text is `\\z`'],
    ['[\\b]', 'a backspace is `\\x08`'],
    ['[^]', 'any character is `(?s:.)`'],
    ['\\p{Script=Greek}', '`\\p{Greek}`'],
    ['(?#a)b', 'comments are not supported'],
    ['a{1001}', 'invalid repeat count `{1001}`'],
    ['(?<n>a)(?<n>b)', 'duplicate capture group name `n`'],
    ['a\\', 'trailing backslash at end of expression'],
    ['(', 'missing closing ) `(`'],
  ])('says what is wrong with %s, and what would be right', (source, message) => {
    expect(() => new RegularExpression(source)).toThrow(message)
  })
})

/** What an engine found, as text, so that much of it is soon compared. */
function shown(match: readonly (string | undefined)[] | null): string {
  const { index, groups } = (match ?? {}) as Partial<RegExpExecArray>
  return JSON.stringify([index, groups, match === null ? null : Array.from(match, (each) => each ?? null)])
}
