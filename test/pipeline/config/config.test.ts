import { readFileSync } from 'node:fs'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { parse, stringify } from 'yaml'
import type { Component } from '../../../src/component/define.ts'
import { ConfigError } from '../../../src/errors.ts'
import type { Problem } from '../../../src/errors.ts'
import { formats } from '../../../src/formats.ts'
import { checkComponent, loadConfig, printConfig } from '../../../src/pipeline/config/config.ts'
import type { ConfigInput } from '../../../src/pipeline/config/config.ts'
import { collectorHints } from '../../../src/pipeline/config/collector.ts'
import { expand } from '../../../src/pipeline/config/expand.ts'

const components = fileURLToPath(new URL('../../cases/components/', import.meta.url))

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'config-'))
})
afterAll(() => rm(directory, { recursive: true }))

describe('loadConfig', () => {
  it('yields checked components by id, the pipelines and the service', async () => {
    const config = await loadConfig(
      input(`
        receivers: { testsource/a: { every: 5s, pattern: ^a, file: x/y } }
        processors: { metric_prefix: { prefix: heka } }
        exporters: { test_sink: { api_key: 0123, timeout: 3s }, debug: }
        service:
          shutdown_timeout: 1m
          pipelines: { metrics/b: { receivers: [testsource/a], exporters: [test_sink] } }
      `),
    )
    expect(config.receivers.get('testsource/a')).toMatchObject({
      id: 'testsource/a',
      component: { kind: 'receiver', type: 'test_source' },
      config: { every: 5000, size: 1_048_576, labels: { kind: 'test' }, pattern: /^a/, file: join(directory, 'x/y') },
      used: true,
    })
    expect(config.processors.get('metric_prefix')).toMatchObject({ config: { prefix: 'heka' }, used: false })
    const sink = config.exporters.get('test_sink')!
    expect(sink.config).toEqual({ site: 'us', api_key: '0123', hostname: undefined, endpoint: undefined, headers: {} })
    expect(sink.delivery).toMatchObject({ timeout: 3000, sending_queue: { num_consumers: 10, batch: undefined } })
    expect(Object.fromEntries(config.pipelines)).toEqual({
      'metrics/b': { signal: 'metrics', receivers: ['testsource/a'], processors: [], exporters: ['test_sink'] },
    })
    expect(config.service).toEqual({
      telemetry: {
        logs: { level: 'info', encoding: 'console' },
        metrics: { level: 'normal', address: 'localhost:8888', prefix: 'otelcol' },
      },
      profile: 'auto',
      processor_timeout: 60_000,
      start_timeout: 60_000,
      shutdown_timeout: 60_000,
    })
    expect(config.warnings.map(({ path, message }) => `${path} ${message}`)).toEqual([
      'processors.metric_prefix is not used by any pipeline',
      'exporters.debug is not used by any pipeline',
    ])
  })

  it('gives an exporter the timeout of its declaration unless the YAML says otherwise', async () => {
    const { exporters } = await loadConfig(
      input(minimal('test_sink: { api_key: k }, test_sink/b: { api_key: k, timeout: 1s }')),
    )
    expect(exporters.get('test_sink')?.delivery.timeout).toBe(7000)
    expect(exporters.get('test_sink/b')?.delivery.timeout).toBe(1000)
  })

  it('takes a value from --set before the YAML, the YAML before the environment, the environment before the default', async () => {
    const env = { SINK_SITE: 'asia', SINK_KEY: 'of-the-environment' }
    const site = async (exporter: string, given: Partial<ConfigInput>) => {
      const { exporters } = await loadConfig({ ...input(minimal(exporter)), ...given })
      return (exporters.get('test_sink')!.config as { site: string }).site
    }
    expect(await site('test_sink: { site: eu }', { env, sets: ['exporters.test_sink.site=us'] })).toBe('us')
    expect(await site('test_sink: { site: eu }', { env })).toBe('eu')
    expect(await site('test_sink:', { env })).toBe('asia')
    expect(await site('test_sink: { site: }', { env, sets: ['exporters.test_sink.site='] })).toBe('asia')
    expect(await site('test_sink: { api_key: k }', { env: {} })).toBe('us')
  })

  it('says where each wrong value came from', async () => {
    await writeFile(join(directory, 'base.yaml'), minimal('test_sink: { endpoint: x, hostname: "${env:HOST}" }'))
    await writeFile(join(directory, 'over.yaml'), 'service:\n  shutdown_timeout: soon\n')
    const problems = await mistakes({
      files: [{ path: 'base.yaml' }, { path: 'over.yaml' }],
      sets: ['service.telemetry.logs.level=loud'],
      env: { SINK_SITE: 'mars', SINK_KEY: 'key', HOST: '-' },
      baseDirectory: directory,
    })
    expect(problems.map(({ place, path }) => [path, place])).toEqual([
      ['exporters.test_sink.endpoint', { source: 'base.yaml', line: 3, column: 37 }],
      ['exporters.test_sink.hostname', { source: 'base.yaml', line: 3, column: 50 }],
      ['service.shutdown_timeout', { source: 'over.yaml', line: 2, column: 21 }],
      ['service.telemetry.logs.level', { source: '--set 1' }],
      ['exporters.test_sink.site', { source: 'SINK_SITE' }],
    ])
  })

  it('starts relative files at the folder of the YAML that names them', async () => {
    await mkdir(join(directory, 'sub'), { recursive: true })
    await writeFile(join(directory, 'sub', 'key'), 'of-the-sub-folder\n')
    await writeFile(join(directory, 'key'), 'of-the-base\n')
    await writeFile(join(directory, 'sub', 'a.yaml'), 'exporters: { test_sink: { api_key: "${file:key}" } }')
    const base = input(minimal('test_sink/b: { api_key: "${file:key}" }'))
    const { exporters } = await loadConfig({
      ...base,
      files: [...base.files, { path: 'sub/a.yaml' }],
      sets: ['receivers.test_source.file=key', 'service.pipelines.metrics.exporters=[test_sink, test_sink/b]'],
    })
    const key = (id: string) => (exporters.get(id)!.config as { api_key: string }).api_key
    expect([key('test_sink'), key('test_sink/b')]).toEqual(['of-the-sub-folder', 'of-the-base'])
  })

  it('lists every secret for the logger to hide, and none that is too short to be hidden', async () => {
    const { secrets } = await loadConfig({
      ...input(
        minimal(`test_sink: { api_key: "\${env:KEY}", headers: { a: "Bearer abc", b: x }, endpoint: "http://me:pass-word@h/" },
          test_sink/unused: { api_key: key-of-the-unused }`),
      ),
      env: { KEY: 'key-of-the-environment' },
    })
    expect([...secrets].sort()).toEqual([
      'Bearer abc',
      'key-of-the-environment',
      'key-of-the-unused',
      'me:pass-word',
      'pass-word',
    ])
  })

  it('reports a file that cannot be read, alone', async () => {
    const problems = await mistakes({
      files: [{ path: 'no/such.yaml' }, { name: 'b', text: 'x: 1' }],
      baseDirectory: directory,
    })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatchObject({
      place: { source: 'no/such.yaml' },
      message: 'does not exist',
    })
  })

  it('says of what is nested without end that it is nested too deeply', async () => {
    const [problem] = await mistakes(input(`receivers: ${'['.repeat(20_000)}`))
    expect(problem.message).toBe('is not valid YAML: it is nested too deeply')
  })

  it('survives aliases that would grow without end', async () => {
    const levels = Array.from({ length: 30 }, (_, level) => `- &a${level + 1} [*a${level}, *a${level}]`)
    const problems = await mistakes(input(`receivers:\n- &a0 x\n${levels.join('\n')}`))
    expect(problems.map(({ message }) => message)).toEqual([
      'has more than 100000 values, where each alias counts as all that it stands for',
    ])
  })

  it('resolves tens of thousands of aliases in a moment, each to the last anchor before it', async () => {
    const labels = Array.from({ length: 40_000 }, (_, index) => `l${index}: *a`).join(', ')
    const yaml = minimal('test_sink: { api_key: k }')
    const start = performance.now()
    const { receivers } = await loadConfig(
      input(yaml.replace('test_source:', `test_source: { labels: { x: &a one, ${labels}, y: &a two, z: *a } }`)),
    )
    // Half a minute, where each alias looks for its anchor from the beginning.
    expect(performance.now() - start).toBeLessThan(8000)
    const { config } = receivers.get('test_source')!
    expect((config as { labels: object }).labels).toMatchObject({ l0: 'one', l39999: 'one', y: 'two', z: 'two' })
  })

  it('holds the rules of the delivery that span its settings', async () => {
    const problems = await mistakes(
      input(
        minimal(`test_sink: { api_key: k, timeout: 0s, retry_on_failure: { randomization_factor: 2, multiplier: 0.5 },
          sending_queue: { queue_size: 0, num_consumers: 0, batch: { flush_timeout: 0s, max_size: 1 } } }`),
      ),
    )
    expect(problems.map(({ path, message }) => `${path.replace('exporters.test_sink.', '')} ${message}`)).toEqual([
      'timeout must be longer than 0s',
      'retry_on_failure.randomization_factor must be from 0 to 1',
      'retry_on_failure.multiplier must be at least 1',
      'sending_queue.queue_size must be at least 1',
      'sending_queue.num_consumers must be at least 1',
      'sending_queue.batch.flush_timeout must be longer than 0s',
      'sending_queue.batch.max_size must not be less than min_size, 8192',
    ])
  })
})

describe('a damaged configuration', () => {
  const whole = ['ten_mistakes', 'structure', 'aliases', 'unused'].map((name) =>
    readFileSync(new URL(`../../cases/config/${name}/pipeline.yaml`, import.meta.url), 'utf8'),
  )
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ': ',
    '- ',
    '\n',
    '  ',
    '"',
    '&a ',
    '*a',
    '<<: ',
    '!x ',
    '${env:',
    '~',
    '#',
    '|',
    '? ',
    '\t',
  ]
  const cut = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(12),
    put: fc.constantFrom('', ...pieces),
  })

  it('is answered with mistakes that have a place, whatever the damage', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...whole), fc.array(cut, { minLength: 1, maxLength: 4 }), async (text, cuts) => {
        let damaged = text.replaceAll('../../components/', components)
        for (const { at, length, put } of cuts) {
          const start = Math.floor(at * damaged.length)
          damaged = damaged.slice(0, start) + put + damaged.slice(start + length)
        }
        const outcome: unknown = await loadConfig({ files: [{ name: 'damaged', text: damaged }], env: {} }).catch(
          (error: unknown) => error,
        )
        if (!(outcome instanceof Error)) return
        expect(outcome).toBeInstanceOf(ConfigError)
        for (const { place, message } of (outcome as ConfigError).problems) {
          expect(place).toEqual({ source: 'damaged', line: expect.any(Number), column: expect.any(Number) })
          expect(message).not.toBe('')
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('what is not shown of a configuration', () => {
  /** A component of a user, which says of one setting alone whether it is secret. */
  const module = `export default {
    kind: 'receiver', type: 'polling', summary: 'Polls.',
    config: {
      token: { doc: 'The token.', format: 'string', default: undefined },
      clientSecret: { doc: 'The secret.', format: 'string', default: undefined },
      webhook: { url: { doc: 'Where to.', format: 'url', default: undefined } },
      auth: { password: { doc: 'The password.', format: 'string', default: undefined } },
      api_keys: { doc: 'The keys.', format: { list: 'string' }, default: [] },
      query: { doc: 'Parameters.', format: { map: 'string' }, default: {} },
      cookies: { doc: 'Whether there are some.', format: 'boolean', default: true },
      credentials: { doc: 'What it has.', format: ['none', 'some-of-them'], default: 'none' },
      passphrase: { doc: 'Not a secret here.', format: 'string', default: undefined, secret: false },
    },
    create: () => [],
  }`
  const yaml = `
modules: [./polling.js]
receivers:
  polling:
    token: token-of-the-user
    clientSecret: "\${env:CLIENT}"
    webhook: { url: "https://joe:pass-of-joe@hooks.example/x?key=key-of-the-query&b=2" }
    auth: { password: password-of-the-user }
    api_keys: [first-api-key, second-api-key]
    query: { access_token: access-of-the-user, page: page-of-the-user }
    credentials: some-of-them
    passphrase: shown-to-all
exporters:
  debug:
  test_sink:
    api_key: "\${env:CLIENT}"
    headers: { authorization: "Bearer \${env:PART}", x-short: "\${env:SHORT}" }
    endpoint: "https://token-alone@sink.example/\${env:PART}/\${env:SHORT}#\${env:CLIENT}"
service: { pipelines: { metrics: { receivers: [polling], exporters: [test_sink] } } }
`
  const env = { CLIENT: 'client-of-the-user', PART: 'part-of-the-user', SHORT: 'short' }
  const given = async (): Promise<ConfigInput> => {
    await writeFile(join(directory, 'polling.js'), module)
    const modules = `modules: [./polling.js, ${components}sink.js]`
    await writeFile(join(directory, 'polling.yaml'), yaml.replace('modules: [./polling.js]', modules))
    return { files: [{ path: 'polling.yaml' }], env, baseDirectory: directory }
  }
  const hidden = [
    ...['token-of-the-user', 'client-of-the-user', 'pass-of-joe', 'key-of-the-query', 'password-of-the-user'],
    ...['first-api-key', 'second-api-key', 'access-of-the-user', 'part-of-the-user', 'token-alone'],
  ]

  it('are secrets, settings and keys that are named like secrets, credentials in URLs, and variables that went into them', async () => {
    const printed = await printConfig(await given())
    for (const secret of hidden) expect(printed).not.toContain(secret)
    const { receivers, exporters } = parse(printed) as {
      receivers: Record<string, object>
      exporters: Record<string, object>
    }
    expect(receivers.polling).toEqual({
      token: '[REDACTED]',
      clientSecret: '[REDACTED]',
      webhook: { url: 'https://joe:[REDACTED]@hooks.example/x?[REDACTED]' },
      auth: { password: '[REDACTED]' },
      api_keys: ['[REDACTED]', '[REDACTED]'],
      query: { access_token: '[REDACTED]', page: 'page-of-the-user' },
      cookies: true,
      credentials: 'some-of-them',
      passphrase: 'shown-to-all',
    })
    expect(exporters.test_sink).toMatchObject({
      endpoint: 'https://[REDACTED]@sink.example/[REDACTED]/short#[REDACTED]',
      headers: { authorization: '[REDACTED]', 'x-short': '[REDACTED]' },
    })
  })

  it('is hidden in logs as well', async () => {
    const { secrets } = await loadConfig(await given())
    expect(secrets).toEqual(expect.arrayContaining(hidden))
    expect(secrets).not.toContain('page-of-the-user')
  })

  it('is repeated in no mistake', async () => {
    const broken = yaml
      .replace('token: token-of-the-user', 'token: [token-of-the-user]')
      .replace('https://joe', 'htp://joe')
    await given()
    await writeFile(join(directory, 'polling.yaml'), broken)
    const found = await mistakes({ files: [{ path: 'polling.yaml' }], env, baseDirectory: directory })
    expect(found.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['receivers.polling.token', 'receivers.polling.webhook.url']),
    )
    for (const secret of hidden) expect(JSON.stringify(found)).not.toContain(secret)
  })

  it('cannot be put back as it was printed', async () => {
    const printed = await printConfig(await given())
    await writeFile(join(directory, 'printed.yaml'), printed)
    const found = await mistakes({ files: [{ path: 'printed.yaml' }], env, baseDirectory: directory })
    expect(found.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['receivers.polling.webhook.url', 'exporters.test_sink.endpoint']),
    )
  })
})

describe('printConfig', () => {
  it('prints what takes effect so that it means the same when it is loaded again', async () => {
    const first = input(
      minimal('test_sink: { headers: {}, hostname: 1.10, sending_queue: { batch: } }, debug: { format: table }'),
    )
    const key = fc.string({ minLength: 1 }).filter((text) => !text.includes('${') && text !== '<<')
    for (const labels of fc.sample(fc.dictionary(key, fc.string(), { noNullPrototype: true }), 20)) {
      const text = stringify({ receivers: { test_source: { labels: escaped(labels) } } })
      const env = { SINK_KEY: 'abcdef' }
      const once: ConfigInput = { ...first, files: [...first.files, { name: 'labels', text }], env }
      const printed = await printConfig(once)
      expect(printed).not.toContain('abcdef')
      // Secrets have to be put back.
      const whole = printed.replaceAll('[REDACTED]', '${env:SINK_KEY}')
      const again: ConfigInput = { files: [{ name: 'printed', text: whole }], env, baseDirectory: directory }
      expect(await printConfig(again)).toBe(printed)
      const { receivers } = await loadConfig(again)
      expect((receivers.get('test_source')!.config as { labels: object }).labels).toEqual(labels)
    }
  })

  it('shows nothing of a configuration with mistakes', async () => {
    await expect(printConfig(input(minimal('test_sink: { api_kye: hidden, api_key: hidden }')))).rejects.toThrow(
      /^(?!.*hidden).*api_kye/s,
    )
  })
})

describe('expand', () => {
  const read = () => ''
  const surroundings = { env: { A: '${env:B}$$', EMPTY: '' }, directory: '/', read }

  it.each([
    ['a$b $', 'a$b $'],
    ['$$', '$'],
    ['$${env:A}', '${env:A}'],
    ['$$${env:A}', '$${env:B}$$'],
    ['${env:A}', '${env:B}$$'],
    ['x-${env:NO:-default}-y', 'x-default-y'],
    ['${env:NO:-}', ''],
    ['${env:EMPTY}|${env:EMPTY:-e}', '|e'],
    ['${env:NO:-a:b {$$c}', 'a:b {$c'],
    ['${env:NO:-${env:EMPTY:-${env:A}}}', '${env:B}$$'],
    ['${env:A:-${env:NO}}', '${env:B}$$'],
    ['${env:A:?must be set}', '${env:B}$$'],
  ])('turns %s into %s', (text, expected) => {
    expect(expand(text, surroundings)).toMatchObject({ text: expected, mistakes: [], unbraced: [] })
  })

  it('leaves every text without a dollar as it is, and every doubled dollar a dollar', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(expand(escaped(text) as string, { env: {}, directory: '/', read })).toMatchObject({
          text,
          mistakes: [],
          unbraced: [],
        })
      }),
    )
  })
})

describe('what the collector has and this version has not', () => {
  it.each(collectorHints.filter(({ instead }) => instead !== undefined))(
    '$instead can be loaded',
    async ({ instead }) => {
      const example = parse(instead!) as Record<string, object>
      const section = /^(receivers|processors|exporters|service):/.test(instead!)
      const wrapped = section
        ? example
        : { exporters: { [instead!.startsWith('format') ? 'debug' : 'datadog_native']: example } }
      const text = stringify({
        receivers: { host_metrics: { scrapers: { cpu: {} } } },
        exporters: { debug: {}, datadog_native: {} },
        service: { pipelines: { metrics: { receivers: ['host_metrics'], exporters: ['debug'] } } },
      })
      const env = { DD_API_KEY: 'key', TOKEN: 'token' }
      const { warnings } = await loadConfig({
        files: [
          { name: 'base', text },
          { name: 'instead', text: stringify(wrapped) },
        ],
        env,
      })
      const expected = /^(is not used by any pipeline|sends keys and data to any server)/
      expect(warnings.map(({ message }) => message)).toEqual(warnings.map(() => expect.stringMatching(expected)))
    },
  )
})

describe('docs/configuration.md', () => {
  const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')

  it('shows a configuration that loads', async () => {
    const [, text] = /^```yaml\n(receivers:.*?)^```$/ms.exec(page)!
    const { warnings } = await loadConfig({ files: [{ name: 'page', text }], env: { DD_API_KEY: 'key' } })
    expect(warnings).toEqual([])
  })

  it('shows messages as they are', async () => {
    const [, messages] = /^```text\n(.*?)^```$/ms.exec(page)!
    const shown = readFileSync(new URL('../../cases/config/ten_mistakes/expected.txt', import.meta.url), 'utf8')
    for (const line of messages.trim().split('\n')) expect(shown).toContain(`error: ${line}\n`)
  })

  it('lists every format but text and the single tag', () => {
    const named = [...page.matchAll(/^\| (`\w+`(?:, `\w+`)*) +\|/gm)].flatMap(([, cell]) =>
      cell.replaceAll('`', '').split(', '),
    )
    expect(named).toEqual(Object.keys(formats).filter((name) => name !== 'string' && name !== 'tag'))
  })
})

describe('checkComponent', () => {
  const component: Component = {
    kind: 'processor',
    type: 'test',
    summary: 'For a test.',
    config: {
      'a.b': { doc: 'A number.', format: 'nat', default: 0 },
      a: { b: { doc: 'A number.', format: 'nat', default: 0 } },
      list: { doc: 'Numbers.', format: { list: 'nat' }, default: [] },
    },
    check: ({ list }) => {
      if ((list as unknown as number[]).length === 0) throw new Error('broken check')
      return [
        { path: 'a.b', message: 'first' },
        { path: 'list[1]', message: 'second' },
        { path: 'list.0', message: 'third' },
        { path: 'a', message: 'fourth' },
        { path: 'absent.one', message: 'fifth' },
        { path: '', message: 'sixth' },
      ]
    },
    create: () => (batch) => batch,
  }

  it('puts what a check finds where the setting stands, or what is nearest to it', async () => {
    const yaml = 'test/x:\n  a.b: 1\n  a: { b: 2 }\n  list: [3, 4]'
    const error = await checkComponent(component, yaml).catch((reason: unknown) => reason)
    const found = (error as ConfigError).problems.map(({ place, message }) => [message, place.line, place.column])
    expect(found).toEqual([
      ['sixth', 1, 1],
      ['fifth', 1, 1],
      ['first', 2, 8],
      ['fourth', 3, 3],
      ['third', 4, 10],
      ['second', 4, 13],
    ])
  })

  it('reports a check that throws as a mistake of the component', async () => {
    await expect(checkComponent(component, 'test:')).rejects.toThrow('its check failed: broken check')
  })

  it('refuses an entry of another type, several entries and none', async () => {
    await expect(checkComponent(component, 'other:')).rejects.toThrow('must be an entry of test')
    await expect(checkComponent(component, 'test:\ntest/b:')).rejects.toThrow('must be the entry of one component')
    await expect(checkComponent(component, 'test')).rejects.toThrow('must be the entry of one component')
  })

  it('takes an entry by an alias of the component', async () => {
    const renamed = { ...component, aliases: ['former_name'], check: undefined }
    await checkComponent(renamed, 'former_name/b:')
    await checkComponent(renamed, 'formername:')
    await expect(checkComponent(component, 'former_name:')).rejects.toThrow('must be an entry of test')
  })

  it('refuses a declaration with mistakes', async () => {
    await expect(checkComponent({ ...component, summary: '' }, 'test:')).rejects.toThrow('`summary` must be')
    await expect(checkComponent({ ...component, aliases: ['A b'] }, 'test:')).rejects.toThrow('`aliases` must be')
  })
})

function input(text: string): ConfigInput {
  const modules = `modules: [${components}source.js, ${components}sink.js]\n`
  const files = [
    { name: 'modules', text: modules },
    { name: 'config', text },
  ]
  return { files, env: {}, baseDirectory: directory }
}

function minimal(exporters: string): string {
  return `modules: [${components}source.js, ${components}sink.js]
receivers: { test_source: }
exporters: { ${exporters} }
service: { pipelines: { metrics: { receivers: [test_source], exporters: [test_sink] } } }
`
}

async function mistakes(given: ConfigInput): Promise<readonly Problem[]> {
  const error = await loadConfig(given).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ConfigError)
  return (error as ConfigError).problems
}

function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', () => '$$')
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, escaped(item)]))
}
