import { describe, expect, it } from '@jest/globals'
import type { ReceiverComponent } from '../src/component/receiver.ts'
import type { Format } from '../src/component/settings.ts'
import { ConfigError } from '../src/errors.ts'
import { formats, readText } from '../src/formats.ts'
import type { FormatTypes } from '../src/formats.ts'
import { checkComponent } from '../src/pipeline/config/config.ts'

type Name = keyof FormatTypes

const accepted: Record<Name, Record<string, unknown>> = {
  string: { '': '', '0123': '0123', '1.10': '1.10', true: 'true', 'a: [b]': 'a: [b]' },
  boolean: { true: true, false: false },
  nat: { '0': 0, '10': 10, '0123': 123, '0x1F': 31, '1e3': 1000, '9007199254740991': 9007199254740991 },
  int: { '-5': -5, '0': 0, '+7': 7 },
  number: { '0.5': 0.5, '-1': -1, '.5': 0.5, '1e-3': 0.001, '3': 3 },
  duration: { '0s': 0, '10s': 10_000, '1m30s': 90_000, '500ms': 500, '1.5h': 5_400_000, '596h': 2_145_600_000 },
  bytes: {
    '0': 0,
    '512B': 512,
    '1KB': 1000,
    '64MiB': 67_108_864,
    '1GB': 1e9,
    '1.5KiB': 1536,
    '1 TiB': 1_099_511_627_776,
  },
  url: { 'http://localhost:8126': 'http://localhost:8126', 'https://a.example/b?c': 'https://a.example/b?c' },
  metric_name: { heka: 'heka', 'a.b_c-d/e1': 'a.b_c-d/e1' },
  hostname: { 'web-1.example.org': 'web-1.example.org', '10': '10', host_a: 'host_a' },
  tag: { 'env:production': 'env:production', 'url:http://x': 'url:http://x', 'a:b c': 'a:b c' },
  tags: { 'a:1': ['a:1'], 'a:1, b:2': ['a:1', 'b:2'], '': [] },
  regexp: { '^system\\.': /^system\./, '(?<a>.)': /(?<a>.)/ },
  path: { 'certificates/ca.pem': `${process.cwd()}/certificates/ca.pem`, '/etc/ca.pem': '/etc/ca.pem' },
  address: { 'localhost:4318': 'localhost:4318', ':0': ':0', '[::1]:65535': '[::1]:65535' },
}

const refused: Record<Name, readonly string[]> = {
  string: [],
  boolean: ['no', 'yes', 'on', 'off', 'True', 'FALSE', 'flase', '1', '0', ''],
  nat: ['10s', '-1', '1.5', '1_000', 'ten', '', ' 1', '9007199254740993', '1e400', 'Infinity', 'NaN'],
  int: ['1.5', '10s', '', '0x', '1e-1'],
  number: ['10s', '1,5', '.inf', '.nan', 'Infinity', '', '1e999'],
  duration: ['10', '0', '10 s', '-5s', '1d', '30s1m', 's', '', '1_0s', '597h', '10S'],
  bytes: ['1024', '64mib', '64MiB/s', '-1B', '1.5B', '', 'MiB', '9999999TiB'],
  url: ['example.com', 'ftp://example.com', 'http://', 'http:///path', '//example.com', ''],
  metric_name: ['9lives', '', 'a b', '.a', 'a.', 'ä', 'a'.repeat(201)],
  hostname: ['', 'a b', '-a', 'a.', 'http://a', 'a'.repeat(256)],
  tag: ['env', ':value', 'key:', 'a:b,c:d', ' :a', 'a: ', ''],
  tags: ['env', 'a:1,', 'a:1,,b:2', ':'],
  regexp: ['(', '[a', '(?=a)', '(a)\\1'],
  path: [''],
  address: ['', '4318', 'localhost', 'localhost:65536', '::1:4318', 'http://localhost:4318'],
}

const names = Object.keys(formats) as Name[]

describe('a named format', () => {
  it.each(names)('reads %s', async (name) => {
    for (const [text, value] of Object.entries(accepted[name])) {
      expect([text, await settingOf(name, JSON.stringify(text))]).toEqual([text, value])
    }
  })

  it.each(names)('refuses what is not %s, and says what is', async (name) => {
    for (const text of refused[name]) {
      const error = await settingOf(name, JSON.stringify(text)).then(
        (value) => `${JSON.stringify(text)} gave ${String(value)}`,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(ConfigError)
      expect((error as ConfigError).problems[0]?.message).toMatch(/^must be /)
    }
  })

  it('suggests what a near miss may have meant', () => {
    expect(formats.boolean.meant?.('no')).toBe('false')
    expect(formats.duration.meant?.('10')).toBe('10s')
    expect(formats.bytes.meant?.('64mib')).toBe('64MiB')
    expect(formats.bytes.meant?.('1024')).toBe('1024B')
    expect(formats.url.meant?.('localhost:4318')).toBe('http://localhost:4318')
    expect(formats.url.meant?.('10.0.0.1:4318')).toBe('http://10.0.0.1:4318')
    // What goes out without TLS is to be written so.
    expect(formats.url.meant?.('example.com:8126')).toBe('https://example.com:8126')
    expect(formats.url.meant?.('gateway:443/base')).toBe('https://gateway:443/base')
    expect(formats.url.meant?.('https:/example.com')).toBe('https://example.com')
    expect(formats.url.meant?.('HTTPS//localhost:1')).toBe('https://localhost:1')
    expect(formats.url.meant?.('http:example.com')).toBe('http://example.com')
    for (const name of names) {
      for (const text of refused[name]) {
        const meant = formats[name].meant?.(text)
        if (meant !== undefined) expect(readText(name, meant)).toHaveProperty('value')
      }
    }
  })

  it('is one of the allowed words, spelled as they are', () => {
    expect(readText(['v1', 'v2'], 'v2')).toEqual({ value: 'v2' })
    expect(readText(['v1', 'v2'], 'V2')).toEqual({ mistake: 'must be `v1` or `v2`' })
  })
})

/** What convict does by itself and must not do here, each as a user would write it. */
describe('convict', () => {
  it('does not take every word but false for true', async () => {
    await expect(settingOf('boolean', 'no')).rejects.toThrow('must be `true` or `false`, not "no"')
    await expect(settingOf('boolean', 'flase')).rejects.toThrow('not "flase"')
  })

  it('does not cut a number out of a text', async () => {
    await expect(settingOf('nat', '10s')).rejects.toThrow('must be a whole number from 0, not "10s"')
    await expect(settingOf('int', '5 or so')).rejects.toThrow('must be a whole number')
    await expect(settingOf('number', '0.5x')).rejects.toThrow('must be a number')
    await expect(settingOf('duration', '10seconds', '1s')).rejects.toThrow('must be a time with its unit')
  })

  it('keeps the spelling of a text that YAML could take for something else', async () => {
    expect(await settingOf('string', '0123')).toBe('0123')
    expect(await settingOf('string', '1.10')).toBe('1.10')
    expect(await settingOf('string', '1_000')).toBe('1_000')
    expect(await settingOf('string', 'True')).toBe('True')
    expect(await settingOf('string', '2026-01-01')).toBe('2026-01-01')
    expect(await settingOf({ map: 'string' }, '{ version: 1.10 }')).toEqual({ version: '1.10' })
  })

  it('takes keys with dots in maps and in names of settings', async () => {
    expect(await settingOf({ map: 'string' }, '{ service.name: x, service: y }')).toEqual({
      'service.name': 'x',
      service: 'y',
    })
    const enabled = { doc: 'On or off.', format: 'boolean', default: true } as const
    const format = { settings: { 'system.cpu.time': { enabled }, system: { enabled } } }
    expect(await settingOf(format, '{ system.cpu.time: { enabled: false } }')).toEqual({
      'system.cpu.time': { enabled: false },
      system: { enabled: true },
    })
  })

  it('takes keys that mean something to JavaScript', async () => {
    const map = await settingOf({ map: 'string' }, '{ __proto__: a, constructor: b, toString: c }')
    expect(Object.entries(map as object)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['toString', 'c'],
    ])
  })

  it('replaces the default of a map instead of merging into it', async () => {
    expect(await settingOf({ map: 'string' }, '{ a: b }', { c: 'd' })).toEqual({ a: 'b' })
    expect(await settingOf({ map: 'string' }, '', { c: 'd' })).toEqual({})
    expect(await settingOf({ map: 'string' }, undefined, { c: 'd' })).toEqual({ c: 'd' })
  })

  it('checks what stands in lists of objects', async () => {
    const size = { doc: 'A size.', format: 'nat', default: null } as const
    const format = { list: { settings: { size } } }
    expect(await settingOf(format, '[{ size: 1 }, { size: 2 }]')).toEqual([{ size: 1 }, { size: 2 }])
    await expect(settingOf(format, '[{ size: 1 }, { sise: 2 }]')).rejects.toThrow('setting[1].sise')
    await expect(settingOf(format, '[{ size: x }]')).rejects.toThrow('setting[0].size: must be a whole number')
    await expect(settingOf(format, '[{}]')).rejects.toThrow('setting[0].size: is required')
  })

  it('lets the YAML win over the environment', async () => {
    const setting = { doc: 'A key.', format: 'string', default: null, env: ['KEY', 'OLD_KEY'] }
    const component = receiver({ setting })
    expect(await checkComponent(component, 'test: { setting: yaml }', { KEY: 'a' })).toEqual({
      config: { setting: 'yaml' },
    })
    expect(await checkComponent(component, 'test:', { KEY: '', OLD_KEY: '$$b' })).toEqual({
      config: { setting: '$$b' },
    })
  })

  it('never looks at the arguments or the environment of the process', async () => {
    const { argv } = process
    process.env.setting = process.env.value = '7'
    process.argv = [...argv.slice(0, 2), '--setting=8', '--value=8']
    try {
      expect(await settingOf('nat', undefined, 1)).toBe(1)
      expect(await settingOf('nat', '2', 1)).toBe(2)
    } finally {
      process.argv = argv
      delete process.env.setting
      delete process.env.value
    }
  })

  it('says of a missing setting that it is required', async () => {
    await expect(settingOf('string', undefined, null)).rejects.toThrow('test.setting: is required')
    await expect(settingOf('string', '', null)).rejects.toThrow('test.setting: is required')
    await expect(settingOf('string', '""', null)).rejects.toThrow('is required and must not be empty')
  })

  it('reports all mistakes of a component at once', async () => {
    const number = { doc: 'A number.', format: 'nat', default: 1 }
    const component = receiver({ a: number, b: { c: number }, d: number })
    const error = await checkComponent(component, 'test: { a: x, b: { c: y, e: 1 }, d: -1 }').catch(
      (reason: unknown) => reason,
    )
    expect((error as ConfigError).problems.map(({ path }) => path)).toEqual([
      'test.a',
      'test.b.c',
      'test.b.e',
      'test.d',
    ])
  })

  it('never shows a secret', async () => {
    const component = receiver({ setting: { doc: 'A number.', format: 'nat', default: null, secret: true } })
    await expect(checkComponent(component, 'test: { setting: hidden }')).rejects.toThrow(
      /^(?!.*hidden).*must be a whole number/s,
    )
  })
})

/** Checks one setting, from the YAML of its value; undefined: it is not given at all. */
async function settingOf(format: Format, yaml: string | undefined, value: unknown = undefined): Promise<unknown> {
  const component = receiver({ setting: { doc: 'A setting.', format, default: value } })
  const { config } = await checkComponent(component, yaml === undefined ? 'test:' : `test: { setting: ${yaml} }`, {})
  return (config as { setting: unknown }).setting
}

function receiver(config: ReceiverComponent['config'] | Record<string, object>): ReceiverComponent {
  const declared = config as ReceiverComponent['config']
  return { kind: 'receiver', type: 'test', summary: 'For a test.', config: declared, async *create() {} }
}
