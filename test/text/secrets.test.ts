import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { hidingSecrets, isNamedLikeSecret, secretParts } from '../../src/text/secrets.ts'

const html = (text: string, write: (code: number) => string) =>
  Array.from(text, (character) => (/\w/.test(character) ? character : write(character.codePointAt(0)!))).join('')

/** The ways in which servers, proxies and libraries write a text that they repeat. */
const writings: Readonly<Record<string, (secret: string) => string>> = {
  'as it is': (secret) => secret,
  'as a part of a URL': encodeURIComponent,
  'as a part of a URL in small letters': (secret) =>
    encodeURIComponent(secret).replace(/%../g, (code) => code.toLowerCase()),
  'as a value of a form': (secret) => new URLSearchParams({ q: secret }).toString().slice(2),
  'in JSON': (secret) => JSON.stringify(secret),
  'in JSON within JSON': (secret) => JSON.stringify(JSON.stringify(secret)),
  'in JSON with escaped slashes': (secret) => JSON.stringify(secret).replaceAll('/', '\\/'),
  'in JSON that is all ASCII': (secret) =>
    JSON.stringify(secret).replace(
      /[^\x20-\x7e]|[<>&']/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  'in HTML by names': (secret) =>
    secret.replace(
      /[&<>"']/g,
      (one) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[one]!,
    ),
  'in HTML by numbers': (secret) => html(secret, (code) => `&#${code};`),
  'in HTML by hexadecimal numbers': (secret) => html(secret, (code) => `&#x${code.toString(16).toUpperCase()};`),
  'in base64': (secret) => Buffer.from(secret).toString('base64'),
  'in base64 for URLs': (secret) => Buffer.from(secret).toString('base64url'),
}

/** The same where every character is escaped: a text that is read shows none of it. */
const escapings: Readonly<Record<string, (secret: string) => string>> = {
  'as a part of a URL': percent,
  'as a part of a URL in capital letters': (secret) => percent(secret).toUpperCase(),
  'as a part of a URL twice': (secret) => percent(secret).replaceAll('%', '%25'),
  'as a part of a URL, escaped as a whole again': (secret) => percent(percent(secret)),
  'in JSON': json,
  'in JSON within JSON': (secret) => JSON.stringify(json(secret)),
  'in HTML': (secret) => references(secret, (code) => `&#${code};`),
  'in HTML with leading zeros': (secret) => references(secret, (code) => `&#${String(code).padStart(7, '0')};`),
  'in HTML by hexadecimal numbers': (secret) => references(secret, (code) => `&#X${code.toString(16)};`),
  'in HTML by hexadecimal numbers with leading zeros': (secret) =>
    references(secret, (code) => `&#x${code.toString(16).toUpperCase().padStart(6, '0')};`),
  'in HTML within HTML': (secret) => references(secret, (code) => `&amp;#${code};`),
  'in HTML within JSON': (secret) => references(secret, (code) => `\\u0026#${code};`),
}

function percent(text: string): string {
  return Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}

function json(text: string): string {
  return text.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function references(text: string, write: (code: number) => string): string {
  return Array.from(text, (character) => write(character.codePointAt(0)!)).join('')
}

const characters = fc.constantFrom(...'abcXYZ0189 "\\/&<>\'%+=-_.:;,@#?{}[]()|^$*~`!ä€𝅘\n\t')
const secrets = fc.string({ unit: characters, minLength: 8, maxLength: 40 })

describe('a secret', () => {
  it.each(Object.entries(writings))('is hidden where it is written %s', (_, write) => {
    fc.assert(
      fc.property(secrets, (secret) => {
        const shown = hidingSecrets([secret])(`before ${write(secret)} after`)
        expect(shown).toContain('[REDACTED]')
        expect(shown).not.toContain(secret)
        // Of base64, what stands at its ends also says something of what is around it.
        expect(shown.replace('[REDACTED]', '').length).toBeLessThanOrEqual('before "" after'.length + 8)
      }),
    )
  })

  it.each(Object.entries(escapings))('is hidden where each of its characters is escaped %s', (_, write) => {
    fc.assert(
      fc.property(secrets, (secret) => {
        const shown = hidingSecrets([secret])(`before ${write(secret)} after`)
        expect(shown.replace(/^before "?/, '').replace(/"? after$/, '')).toBe('[REDACTED]')
      }),
    )
  })

  it('is hidden where some of its characters are escaped, and shows the escapes around it', () => {
    const hide = hidingSecrets(['tok-9876543210abcdef'])
    expect(hide('%41\\u0042 t%6fk%2D98765&#52;3210\\u0061bcdef &#67;%44')).toBe('%41\\u0042 [REDACTED] &#67;%44')
    expect(hide('%41\\u0042 &#67;%44')).toBe('%41\\u0042 &#67;%44')
  })

  it('is hidden in the base64 of a longer text, wherever it stands there', () => {
    fc.assert(
      fc.property(secrets, fc.string(), fc.string(), (secret, before, after) => {
        const hide = hidingSecrets([secret])
        const around = Buffer.from(before).length + Buffer.from(after).length
        const shown = hide(Buffer.from(before + secret + after).toString('base64'))
        expect(shown).toContain('[REDACTED]')
        expect(shown.replace('[REDACTED]', '').length).toBeLessThanOrEqual((around * 4) / 3 + 9)
      }),
    )
  })

  it('is hidden where it was cut off, behind its first twelve characters', () => {
    const hide = hidingSecrets(['tok-9876543210abcdef', 'https://example.org/hook'])
    expect(hide('key tok-9876543210ab... is unknown')).toBe('key [REDACTED]... is unknown')
    expect(hide('tok-98765432')).toBe('[REDACTED]')
    expect(hide('tok-987')).toBe('tok-987')
    // Of URLs the beginning says nothing.
    expect(hide('see https://example.org/docs')).toBe('see https://example.org/docs')
  })

  it('is hidden where its last twelve characters or more are shown, if they can be those of a token', () => {
    const hide = hidingSecrets([
      'Bearer s3cr3tTokenAbcdefghijklmnop',
      'https://example.org/hookhookhook',
      'joe@eu.example.com',
    ])
    expect(hide('tail=...cdefghijklmnop.')).toBe('tail=...[REDACTED].')
    expect(hide('tail=...%63defghijklmno%70.')).toBe('tail=...[REDACTED].')
    expect(hide('s3cr3tTo\nkenAbcdefghijklmnop')).toBe('s3cr3tTo\n[REDACTED]')
    expect(hide('s3cr3tTokenAbcdefghijklmnop')).toBe('[REDACTED]')
    expect(hide('fghijklmnop')).toBe('fghijklmnop')
    expect(hidingSecrets(['9b2c-41d7-a0e5-77f1'])('c-41d7-a0e5-77f1')).toBe('[REDACTED]')
    // The ends of URLs, host names and joined words stand in other texts, too.
    expect(hidingSecrets(['word-of-the-user'])('page-of-the-user')).toBe('page-of-the-user')
    expect(hide('/hookhookhook at us.example.com')).toBe('/hookhookhook at us.example.com')
  })

  it('that is added later is hidden from then on, and the longer of two that begin alike as a whole', () => {
    const known = new Set<string>()
    const hide = hidingSecrets(known)
    expect(hide('secret-one and secret-one-two')).toBe('secret-one and secret-one-two')
    known.add('secret-one')
    expect(hide('secret-one and secret-one-two')).toBe('[REDACTED] and [REDACTED]-two')
    known.add('secret-one-two')
    expect(hide('secret-one and secret-one-two')).toBe('[REDACTED] and [REDACTED]')
  })

  it('takes no more than linear time to be looked for', () => {
    const hide = hidingSecrets(['"""""""""""""""""""', '/a/b/c/d/e/f/g/h/i/j', `${'\\'.repeat(40)}x`, 'x'.repeat(2000)])
    hide('')
    const started = performance.now()
    const texts = ['\\', '/a', 'x', '%25', '%78', '&#x0', '&#0120;', '&amp;', 'amp;', '\\u0078', `${'x'.repeat(12)} `]
    for (const text of texts) hide(text.repeat(5000 / text.length))
    hide(`&#${'0'.repeat(5000)}`)
    expect(performance.now() - started).toBeLessThan(1000)
  })
})

describe('the parts of a secret', () => {
  const basic = Buffer.from('user:pa55:word').toString('base64')
  it.each([
    ['Bearer tok-12345678', ['Bearer tok-12345678', 'tok-12345678']],
    ['Bearer short', ['Bearer short']],
    [`Basic ${basic}`, [`Basic ${basic}`, 'user:pa55:word', 'pa55:word', basic]],
    ['Token token="abcdefgh", id=1', ['Token token="abcdefgh", id=1', 'token="abcdefgh"', 'abcdefgh']],
    [
      'http://joe:p%40ss@proxy:3128/?key=querykey',
      ['http://joe:p%40ss@proxy:3128/?key=querykey', 'p@ss', 'joe:p@ss', 'querykey'],
    ],
    ['abc', []],
  ])('of %s', (secret, parts) => {
    expect(secretParts(secret)).toEqual(parts)
  })

  it('are the variables and files that were put into it', () => {
    expect(secretParts('prefix-tok-12345678', ['tok-12345678', 'prefix'])).toEqual([
      'prefix-tok-12345678',
      'tok-12345678',
    ])
  })
})

describe('the name of a secret', () => {
  it.each([
    'api_key',
    'apiKey',
    'api-keys',
    'APIKEY',
    'client_secret',
    'clientSecret',
    'token',
    'X-Auth-Token',
    'db.password',
    'credentials',
    'private_key',
    'Authorization',
    'cookie',
    'dsn',
  ])('is recognised: %s', (name) => expect(isNamedLikeSecret(name)).toBe(true))
  it.each([
    'key',
    'key_file',
    'token_url',
    'tokenizer',
    'max_tokens_per_second',
    'password_file',
    'metric_key',
    'secretary',
    'keys',
  ])('is not seen in %s', (name) => expect(isNamedLikeSecret(name)).toBe(false))
})
