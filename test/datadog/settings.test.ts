import { describe, expect, it } from '@jest/globals'
import { ConfigError } from '../../src/errors.ts'
import type { ExporterComponent } from '../../src/component.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { checkComponent } from '../../src/pipeline/config.ts'

const exporters: readonly [string, ExporterComponent][] = [
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
    expect(message).toContain('.api_key: holds a character that no key has')
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

  it('refuse a key that two tags give different values', async () => {
    expect(await mistakes('api_key: k, tags: ["a:1", "a:2"]')).toEqual([
      expect.stringContaining('.tags: gives "a" twice'),
    ])
  })

  it('want a certificate and its key together', async () => {
    expect(await mistakes('api_key: k, tls: { cert_file: a.pem }')).toEqual([
      '.tls.key_file: is required beside tls.cert_file',
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
