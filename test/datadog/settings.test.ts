import { describe, expect, it } from '@jest/globals'
import { ConfigError } from '../../src/errors.ts'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Settings } from '../../src/component/settings.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { checkComponent, loadConfig } from '../../src/pipeline/config/config.ts'

const exporters: readonly [string, ExporterComponent<Settings, Batch>][] = [
  ['datadog_native', datadogNative],
  ['datadog_otlp', datadogOtlp],
]

describe.each(exporters)('the settings of %s', (type, component) => {
  async function mistakes(settings: string, env: Record<string, string> = {}): Promise<string[]> {
    try {
      await checkComponent(component, `${type}: {${settings}}`, env)
      return []
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.problems.map(({ path, message }) => `${path.replace(type, '')}: ${message}`)
    }
  }

  it('want a key, from the YAML or from the environment', async () => {
    expect(await mistakes('')).toEqual([expect.stringMatching(/^.api_key: is required.*DD_API_KEY.*DATADOG_API_KEY/)])
    expect(await mistakes('', { DD_API_KEY: 'k' })).toEqual([])
    expect(await mistakes('', { DATADOG_API_KEY: 'k' })).toEqual([])
    expect(await mistakes('api_key: k')).toEqual([])
  })

  it('refuse a key that cannot be one, without showing it', async () => {
    expect(await mistakes('api_key: ""')).toEqual([expect.stringContaining('.api_key: is required')])
    const [message] = await mistakes('api_key: "se cret"')
    expect(message).toContain('.api_key: contains a character that is not allowed in a key')
    expect(message).not.toContain('cret')
  })

  it('know the nine sites and name them for any other', async () => {
    for (const site of [
      'datadoghq.com',
      'us3.datadoghq.com',
      'us5.datadoghq.com',
      'datadoghq.eu',
      'ap1.datadoghq.com',
    ]) {
      expect(await mistakes(`api_key: k, site: ${site}`)).toEqual([])
    }
    for (const site of ['ap2.datadoghq.com', 'uk1.datadoghq.com', 'ddog-gov.com', 'us2.ddog-gov.com']) {
      expect(await mistakes('api_key: k', { DD_SITE: site })).toEqual([])
    }
    for (const site of ['app.datadoghq.eu', 'https://datadoghq.eu', 'example.com']) {
      expect(await mistakes(`api_key: k, site: "${site}"`)).toEqual([
        expect.stringMatching(/^.site: must be `datadoghq.com`, .*`us2.ddog-gov.com`/),
      ])
    }
  })

  it('refuse to remember counters for no time', async () => {
    expect(await mistakes('api_key: k, delta_ttl: 0s')).toEqual([
      '.delta_ttl: must be longer than 0s: otherwise no count would have a previous point',
    ])
  })

  it('refuse a host name that Datadog takes for no host, and a fallback that is not there', async () => {
    expect(await mistakes('api_key: k, hostname: localhost')).toEqual([
      '.hostname: is not accepted by Datadog as a host name: "localhost"',
    ])
    expect(await mistakes('api_key: k, host: { fallback: config }')).toEqual([
      '.host.fallback: `config` takes `hostname`, which is not set',
    ])
    expect(await mistakes('api_key: k, hostname: web-1, host: { from: [node], fallback: config }')).toEqual([])
  })

  it('refuse reports of the host that come too often, or to an address that cannot be one', async () => {
    expect(await mistakes('api_key: k, host_metadata: { reporter_period: 299s }')).toEqual([
      '.host_metadata.reporter_period: is shorter than 5m',
    ])
    expect(await mistakes('api_key: k, host_metadata: { endpoint: "https://a/?b" }')).toEqual([
      expect.stringContaining('.host_metadata.endpoint: contains a query'),
    ])
    expect(await mistakes('api_key: k, host_metadata: { enabled: true, reporter_period: 5m }')).toEqual([])
  })

  it('refuse a key that two tags give different values', async () => {
    expect(await mistakes('api_key: k, tags: ["a:1", "a:2"]')).toEqual([
      expect.stringContaining('.tags: has the key "a" twice'),
    ])
  })

  it('want a certificate and its key together', async () => {
    expect(await mistakes('api_key: k, tls: { cert_file: a.pem }')).toEqual([
      '.tls.key_file: is required together with tls.cert_file',
    ])
  })

  it('take zstd exactly where this Node has it', async () => {
    const found = await mistakes(
      `api_key: k, compression: zstd${type === 'datadog_native' ? ', series_version: v2' : ''}`,
    )
    const { default: zlib } = await import('node:zlib')
    const expected = 'zstdCompressSync' in zlib ? [] : [expect.stringMatching(/^.compression: zstd needs Node 22.15/)]
    expect(found).toEqual(expected)
  })
})

describe('the settings of datadog_native alone', () => {
  it.each([
    ['count_interval: 1500ms', 'count_interval'],
    ['count_interval: 0s', 'count_interval'],
    ['compression: zstd', 'compression'],
  ])('refuse %s', async (settings, path) => {
    const error: unknown = await checkComponent(datadogNative, `datadog_native: { api_key: k, ${settings} }`).catch(
      (reason: unknown) => reason,
    )
    const { problems } = error as ConfigError
    expect(problems.map((problem) => problem.path)).toContain(`datadog_native.${path}`)
  })
})

describe('a metric_prefix processor before an exporter that recognises metrics of hosts by their names', () => {
  const warnings = async (exporters: string, ...pipelines: readonly string[]): Promise<string[]> => {
    const text = `
receivers: { host_metrics: { scrapers: { load: } } }
processors:
  metric_prefix/own: { prefix: heka }
  metric_prefix/most: { prefix: heka, exclude: { match_type: regexp, metrics: ['^system\\.cpu\\.'] } }
  metric_prefix/others: { prefix: heka, exclude: { match_type: regexp, metrics: ['^(system|process)\\.'] } }
  metric_prefix/one: { prefix: heka, include: { metrics: [system.cpu.time, requests] } }
  tag_merge: { tags: ["a:1"] }
exporters:
  ${exporters}
service:
  pipelines:
${pipelines.map((processors, index) => `    metrics/${index}: { receivers: [host_metrics], processors: [${processors}], exporters: [${exporters.split(':')[0]}] }`).join('\n')}
`
    const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: { DD_API_KEY: 'k' } })
    return config.warnings
      .filter(({ message }) => message !== 'is not used by any pipeline')
      .map(({ place: { line, column }, path, message }) => `${line}:${column} ${path}: ${message}`)
  }
  const behind = (names: string, metrics: string, id: string) =>
    `\`${names}\` does not recognise ${metrics}, which the processor metric_prefix/${id} renames: exclude such names there (\`exclude: { match_type: regexp, metrics: ['^(system|process)\\.'] }\`), or set \`host_metrics_names: otel\``

  it('is warned of, once for several pipelines, where the setting stands', async () => {
    const all = expect.stringMatching(/system\.cpu\.time and \d\d more metrics of a host/)
    expect(await warnings('datadog_native:', 'tag_merge, metric_prefix/own', 'metric_prefix/own')).toEqual([all])
    expect(await warnings('datadog_native/eu: { host_metrics_names: datadog }', 'metric_prefix/one')).toEqual([
      `10:44 exporters.datadog_native/eu.host_metrics_names: ${behind('datadog', 'system.cpu.time', 'one')}`,
    ])
    const [some] = await warnings('datadog_otlp: { host_metrics_names: otel_prefixed }', 'metric_prefix/most')
    expect(some).toMatch(
      /^10:39 exporters\.datadog_otlp\.host_metrics_names: `otel_prefixed` does not recognise system\./,
    )
    expect(some).not.toContain('system.cpu')
  })

  it('is well where it leaves their names alone, no names are recognised, or none comes first', async () => {
    expect(await warnings('datadog_native:', 'metric_prefix/others')).toEqual([])
    expect(await warnings('datadog_native: { host_metrics_names: otel }', 'metric_prefix/own')).toEqual([])
    expect(await warnings('datadog_otlp:', 'metric_prefix/own')).toEqual([])
    expect(await warnings('datadog_native: { metric_prefix: heka }', 'tag_merge', '')).toEqual([])
  })
})
