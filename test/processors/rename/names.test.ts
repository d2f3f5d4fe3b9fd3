import fc from 'fast-check'
import { describe, expect, it } from '@jest/globals'
import { gauge } from '../../../src/testing.ts'
import { runs } from '../../kit/fuzzing.ts'
import { at, renaming } from './renaming.ts'

/** V8 runs the first; the second finds the same in these names, and is left to RE2. */
const ENGINES = ['^', '^z*z*'].map((begin) => `'${begin}web\\.(?P<method>\\w+)(?:\\.(.*))?$'`)

const template = fc
  .array(
    fc.constantFrom(
      '$1',
      '${1}',
      '$method',
      '${method}',
      '$2',
      '$0',
      '$01',
      '$9',
      '$1x',
      '$methodä',
      '$$',
      '$',
      '${',
      '${}',
      '${1',
      '}',
      '.',
      'x',
    ),
    { maxLength: 6 },
  )
  .map((parts) => `n${parts.join('')}`)

describe('rename: what groups found', () => {
  it.each(ENGINES)('stands in the new name as in that of the Collector, with %s', async (include) => {
    await fc.assert(
      fc.asyncProperty(template, fc.constantFrom('web.get', 'web.get.$1.ä', 'web.ä'), async (written, name) => {
        // The configuration makes one dollar of two.
        const newName = JSON.stringify(written.replaceAll('$', '$$$$'))
        const { metrics } = await renaming(
          [`{ include: ${include}, match_type: regexp, new_name: ${newName} }`],
          gauge(name, 1, {}, at),
        )
        const [, method, rest = ''] = /^web\.([a-z]+)(?:\.(.*))?$/.exec(name) ?? []
        const groups = new Map(Object.entries({ 0: name, 1: method, 2: rest, method }))
        expect([written, metrics[0].name]).toEqual([
          written,
          method === undefined ? name : expandedByGo(written, groups),
        ])
      }),
      runs(100),
    )
  })

  it.each(ENGINES)('becomes labels of combined metrics, with %s', async (include) => {
    for (const [submatchCase, method] of [
      ['lower', 'get'],
      ['upper', 'GET'],
    ]) {
      const { metrics } = await renaming(
        [
          `{ include: ${include}, match_type: regexp, action: combine, new_name: web, aggregation_type: sum, submatch_case: ${submatchCase} }`,
        ],
        gauge('web.Get', 1, {}, at),
      )
      expect(metrics[0].points.map(({ attributes }) => [...attributes.keys(), attributes.text('method')])).toEqual([
        ['method', method],
      ])
    }
  })
})

/** Source: https://pkg.go.dev/regexp#Regexp.Expand, and the functions expand and extract behind it. */
function expandedByGo(text: string, groups: ReadonlyMap<string, string>): string {
  let expanded = ''
  for (let rest = text; ;) {
    const dollar = rest.indexOf('$')
    if (dollar === -1) return expanded + rest
    expanded += rest.slice(0, dollar)
    rest = rest.slice(dollar + 1)
    if (rest.startsWith('$')) {
      expanded += '$'
      rest = rest.slice(1)
      continue
    }
    const braced = rest.startsWith('{')
    const [name] = /^[\p{L}\p{Nd}_]*/u.exec(braced ? rest.slice(1) : rest) ?? ['']
    if (name === '' || (braced && rest[name.length + 1] !== '}')) {
      expanded += '$'
      continue
    }
    rest = rest.slice(name.length + (braced ? 2 : 0))
    expanded += groups.get(name) ?? ''
  }
}
