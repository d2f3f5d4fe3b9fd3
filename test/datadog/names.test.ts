import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { normalizeName, normalizeTag } from '../../src/datadog/names.ts'

describe('normalizeName', () => {
  it.each([
    ['system.cpu.time', 'system.cpu.time'],
    ['http/server-time', 'http_server_time'],
    ['9lives', 'lives'],
    ['_private', 'private'],
    ['größe', 'gr__e'],
    ['Kept.Case', 'Kept.Case'],
    ['123', ''],
    ['x'.repeat(300), 'x'.repeat(200)],
  ])('writes %j as %j', (name, expected) => expect(normalizeName(name)).toBe(expected))
})

describe('normalizeTag', () => {
  it.each([
    ['env', 'prod', 'env:prod'],
    ['Env', 'Prod EU', 'env:prod_eu'],
    ['url', 'http://a:80/x', 'url:http://a:80/x'],
    ['1st', 'x', 'st:x'],
    ['größe', 'Ü', 'größe:ü'],
    ['state', '', 'state:n/a'],
    ['state', ' ', 'state:n/a'],
    ['path', 'a__', 'path:a'],
    ['x'.repeat(150), 'y'.repeat(150), `${'x'.repeat(150)}:${'y'.repeat(49)}`],
    ['9', '9', ''],
  ])('writes %j with %j as %j', (key, value, expected) => expect(normalizeTag(key, value)).toBe(expected))

  it('leaves what it has written as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 220 }), fc.string({ maxLength: 220 }), (key, value) => {
        const tag = normalizeTag(key, value)
        const colon = tag.indexOf(':')
        if (colon < 0) return
        expect(normalizeTag(tag.slice(0, colon), tag.slice(colon + 1))).toBe(tag)
      }),
    )
  })
})
