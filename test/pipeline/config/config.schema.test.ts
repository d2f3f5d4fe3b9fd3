import { readdirSync, readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { parse, stringify } from 'yaml'
import { isSetting } from '../../../src/component/settings.ts'
import type { Component } from '../../../src/component/define.ts'
import type { Format, Settings } from '../../../src/component/settings.ts'
import { ConfigError } from '../../../src/errors.ts'
import { loadConfig } from '../../../src/pipeline/config/config.ts'
import { checkSettings, startCheck } from '../../../src/pipeline/config/check.ts'
import { settingsOf } from '../../../src/pipeline/config/components.ts'
import { configSchema } from '../../../src/pipeline/config/schema.ts'
import { parseYaml } from '../../../src/pipeline/config/yaml.ts'
import { listBuiltins } from '../../../src/pipeline/modules/load.ts'

/** Values that each format takes and refuses, as YAML. */
const values: Record<string, { good: readonly string[]; bad: readonly string[] }> = {
  string: { good: ['a', '0123', 'true', '"${env:HOME}"'], bad: ['[a]', '{}'] },
  boolean: { good: ['true', '"false"'], bad: ['yes', '1', '[]'] },
  nat: { good: ['1', '"1"', '1e3', '0x10'], bad: ['-1', '1.5', '10s', '"-1"', '"1.5"'] },
  int: { good: ['-1', '5'], bad: ['1.5', 'x'] },
  number: { good: ['0.5', '1'], bad: ['x', '.inf'] },
  duration: { good: ['10s', '1m30s', '500ms'], bad: ['10', '10 s', '1d', '""'] },
  bytes: { good: ['64MiB', '512B', '0'], bad: ['1024', '64mib'] },
  url: { good: ['http://localhost:1'], bad: ['localhost:1', 'ftp://a'] },
  metric_name: { good: ['heka'], bad: ['9lives', '""', '9'] },
  hostname: { good: ['web-1', '10'], bad: ['a b', '-a'] },
  address: { good: ['localhost:4318', '":0"', '"[::1]:4318"'], bad: ['4318', 'localhost', '"::1:4318"'] },
  tag: { good: ['a:b'], bad: ['a'] },
  tags: { good: ['[a:1, b:2]', '"a:1, b:2"', '[]'], bad: ['a', '[a]', '[a: b]', '"a:1,"'] },
  regexp: { good: ['^a$$', '(?i)a'], bad: ['[a]'] },
  path: { good: ['/a/b', './a'], bad: ['""', '[a]'] },
}

let components: Component[]
let accepts: (config: unknown) => boolean

beforeAll(async () => {
  components = await listBuiltins()
  const ajv = new Ajv({ allowUnionTypes: true, strictRequired: false })
  const validate = ajv.compile(await configSchema())
  accepts = (config) => validate(config)
})

describe('the JSON Schema', () => {
  it('accepts the examples of every component, as the validator does', async () => {
    for (const component of components) {
      for (const { yaml } of component.examples ?? []) {
        const config = around(component, parse(yaml) as object)
        expect([yaml, await isValid(config)]).toEqual([yaml, true])
        expect([yaml, accepts(config)]).toEqual([yaml, true])
      }
    }
  })

  it('agrees with the validator about every setting of every component', () => {
    for (const component of components) {
      for (const [path, value] of variations(settingsOf(component))) {
        const config = around(component, { [component.type]: value })
        const expected = fits(settingsOf(component), value)
        expect([component.type, path, value, accepts(config)]).toEqual([component.type, path, value, expected])
      }
    }
  })

  it('refuses what the validator refuses about ids, sections, the service and the pipelines', async () => {
    const base = { receivers: { host_metrics: null }, exporters: { debug: null } }
    const metrics = { receivers: ['host_metrics'], exporters: ['debug'] }
    const service = { pipelines: { metrics } }
    expect(accepts({ ...base, service })).toBe(true)
    expect(accepts({ ...base, exporters: { 'debug/a-b.c': null }, service })).toBe(true)
    expect(accepts({ ...base, receivers: { 'hostmetrics/a': {} }, service })).toBe(true)
    for (const wrong of [
      base,
      { ...base, service: null },
      { ...base, service, extensions: {} },
      { ...base, service: { pipelines: {} } },
      { ...base, service: { ...service, extensions: [] } },
      { ...base, service: { ...service, shutdown_timeout: 10 } },
      { ...base, service: { ...service, telemetry: { logs: { level: 'loud' } } } },
      { ...base, service: { pipelines: { profiles: metrics } } },
      { ...base, service: { pipelines: { 'metrics/': metrics } } },
      { ...base, service: { pipelines: { metrics: null } } },
      { ...base, service: { pipelines: { metrics: { ...metrics, receivers: [] } } } },
      { ...base, service: { pipelines: { metrics: { ...metrics, exporters: 'debug' } } } },
      { ...base, service: { pipelines: { metrics: { ...metrics, exporters: ['debug', 'debug'] } } } },
      { ...base, service: { pipelines: { metrics: { receivers: ['host_metrics'] } } } },
      { ...base, service: { pipelines: { metrics: { ...metrics, connectors: [] } } } },
      { ...base, service, exporters: { 'debug/': null } },
      { ...base, service, exporters: { 'debug/a b': null } },
      { ...base, service, exporters: { debg: null } },
      { ...base, service, exporters: [] },
      { ...base, service, exporters: { debug: 'table' } },
    ]) {
      expect([wrong, accepts(wrong)]).toEqual([wrong, false])
      expect([wrong, await isValid(wrong)]).toEqual([wrong, false])
    }
  })

  it('allows any type where modules bring custom ones', () => {
    const pipelines = { metrics: { receivers: ['own'], exporters: ['debug'] } }
    const config = { receivers: { own: { any: 1 } }, exporters: { debug: null }, service: { pipelines } }
    expect(accepts(config)).toBe(false)
    expect(accepts({ ...config, modules: ['./own.js'] })).toBe(true)
    expect(accepts({ ...config, modules: ['./own.js'], exporters: { debug: { form: 1 } } })).toBe(false)
  })

  it('accepts every configuration that is shipped', () => {
    const folder = new URL('../../../config/', import.meta.url)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'))
    expect(files).not.toHaveLength(0)
    for (const file of files) {
      const config: unknown = parse(readFileSync(new URL(file, folder), 'utf8'), { merge: true })
      expect([file, accepts(config)]).toEqual([file, true])
    }
  })
})

/** Each setting in turn with good and bad values, beside what else the settings need. */
function* variations(settings: Settings): Generator<[path: string, value: unknown]> {
  const needed = neededOf(settings)
  yield ['unknown setting', { ...needed, no_such_setting: 1 }]
  yield ['no map', ['a']]
  yield ['nothing', {}]
  for (const [name, entry] of Object.entries(settings)) {
    const inner = isSetting(entry) ? formatVariations(entry.format) : variations(entry)
    for (const [path, value] of inner) yield [`${name}.${path}`, { ...needed, [name]: value }]
    yield [`${name} empty`, { ...needed, [name]: null }]
  }
}

function* formatVariations(format: Format): Generator<[path: string, value: unknown]> {
  if (typeof format === 'string') {
    const { good, bad } = values[format]
    for (const text of [...good, ...bad]) yield [text, parse(text)]
  } else if ('length' in format) {
    for (const word of [format[0], `${format[0]}x`, [format[0]]]) yield [String(word), word]
  } else if ('settings' in format) yield* variations(format.settings)
  else if ('list' in format) {
    yield ['no list', 'a']
    yield ['[]', []]
    for (const [path, value] of formatVariations(format.list)) yield [`[${path}]`, [value]]
  } else {
    yield ['no map', 'a']
    for (const [path, value] of formatVariations(format.map)) yield [`x.${path}`, { 'a.b': value }]
  }
}

/** The first good value of everything that must be given. */
function neededOf(settings: Settings): Record<string, unknown> {
  const needed: Record<string, unknown> = {}
  for (const [name, entry] of Object.entries(settings)) {
    if (!isSetting(entry)) Object.assign(needed, isEmpty(neededOf(entry)) ? {} : { [name]: neededOf(entry) })
    else if (entry.default === null) needed[name] = goodValue(entry.format)
  }
  return needed
}

function goodValue(format: Format): unknown {
  if (typeof format === 'string') return parse(values[format].good[0])
  if ('length' in format) return format[0]
  if ('settings' in format) return neededOf(format.settings)
  return 'list' in format ? [] : {}
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0
}

/** Every variable that examples ask for or that fills a setting that is needed. */
const env = { HOME: '/home/me', DD_API_KEY: 'key', NEW_RELIC_LICENSE_KEY: 'key', GATEWAY_TOKEN: 'token' }

/** A whole configuration around the entry of one component. */
function around({ kind }: Component, entry: object): Record<string, Record<string, unknown>> {
  const [id] = Object.keys(entry)
  const ids = { receivers: ['host_metrics/other'], processors: [] as string[], exporters: ['debug/other'] }
  ids[`${kind}s`] = [id]
  const config: Record<string, Record<string, unknown>> = {
    receivers: { 'host_metrics/other': { scrapers: { cpu: null } } },
    processors: {},
    exporters: { 'debug/other': {} },
    service: { pipelines: { metrics: ids } },
  }
  Object.assign(config[`${kind}s`], entry)
  return config
}

async function isValid(config: object): Promise<boolean> {
  const given = { files: [{ name: 'config', text: stringify(config) }], env }
  return loadConfig(given).then(
    () => true,
    (error: unknown) => !(error instanceof ConfigError),
  )
}

/** Whether the validator takes the settings, without the rules across them, which a schema cannot say. */
function fits(settings: Settings, value: unknown): boolean {
  const { node, problems } = parseYaml(stringify(value), 'settings')
  const check = startCheck({ place: node.place, env, directoryOf: () => '/', files: new Map(), problems })
  checkSettings(settings, node, check)
  return problems.length === 0
}
