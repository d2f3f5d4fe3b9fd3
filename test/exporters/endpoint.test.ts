import { describe, expect, it } from '@jest/globals'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import { ConfigError } from '../../src/errors.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import newrelicOtlp from '../../src/exporters/newrelic_otlp.ts'
import otlpHttp from '../../src/exporters/otlp_http.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { gauge } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'

describe.each([
  { component: datadogNative, key: 'api_key: good-key', path: '/api/v1/series' },
  { component: datadogOtlp, key: 'api_key: good-key', path: '/v1/metrics' },
  { component: newrelicOtlp, key: 'api_key: good-key', path: '/v1/metrics' },
  { component: otlpHttp, key: '', path: '/v1/metrics' },
] as { component: ExporterComponent; key: string; path: string }[])(
  'the endpoint of $component.type',
  ({ component, key, path }) => {
    const yaml = (endpoint: string, setting = 'endpoint') =>
      `${component.type}:\n  ${setting}: ${JSON.stringify(endpoint)}\n  ${key}\n`

    it.each([
      ['http://joe:hunter2@localhost/base', 'contains a user or password'],
      ['http://hunter2@localhost/base', 'contains a user or password'],
      ['http://localhost/base?key=hunter2', 'contains a query'],
      ['http://localhost/base?', 'contains a query'],
      ['http://localhost/base#hunter2', 'contains a fragment'],
      ['http://localhost/base#', 'contains a fragment'],
    ])('is refused when something in it would be lost, without showing it: %s', async (endpoint, message) => {
      const refused = (await checkComponent(component, yaml(endpoint)).catch((error: unknown) => error)) as ConfigError
      expect(refused).toBeInstanceOf(ConfigError)
      expect(refused.problems).toMatchObject([{ path: `${component.type}.endpoint` }])
      expect(refused.message).toContain(message)
      expect(refused.message).not.toContain('hunter2')
    })

    it.each([
      ['https://localhost:4318', ''],
      ['https://localhost:4318/base', '/'],
      ['HTTPS://localhost', '//'],
    ])('is refused when it ends with the path that is added, and says what to write: %s', async (base, end) => {
      const found = async (endpoint: string, env = {}) => {
        const refused = checkComponent(component, yaml(endpoint), env).catch((error: unknown) => error)
        return ((await refused) as ConfigError).problems
      }
      const message = expect.stringContaining(
        `ends with ${path}, which the exporter adds itself; leave it out`,
      ) as unknown
      expect(await found(base + path + end)).toEqual([
        expect.objectContaining({ path: `${component.type}.endpoint`, message, suggestion: base.toLowerCase() }),
      ])
      // What came from a variable is not repeated.
      const [problem] = await found('${env:URL}', { URL: base + path + end })
      expect(problem).toEqual(expect.objectContaining({ message }))
      expect(JSON.stringify(problem)).not.toContain('localhost')
    })

    it.each(['', '/', '/base', '/base/', '/base//', `${path}/base`])(
      'keeps its path "%s" before that of the API',
      async (base) => {
        const intake = await startIntake({ keyHeader: '' })
        intake.respondBy(() => ({ status: 202 }))
        const exporter = await testExporter(component, yaml(intake.url + base))
        await exporter.deliver(MetricBatch.of({ metrics: [gauge('g', 1)] }))
        expect(intake.requests.map((request) => request.path)).toEqual([base.replace(/\/+$/, '') + path])
      },
    )
  },
)

describe('the endpoint of otlp_http', () => {
  it('that ends with the path that is added could be a metrics_endpoint', async () => {
    const refused = checkComponent(otlpHttp, 'otlp_http: { endpoint: "http://localhost:4318/v1/metrics" }')
    await expect(refused).rejects.toThrow(
      'otlp_http.endpoint: ends with /v1/metrics, which the exporter adds itself; leave it out, or put the whole URL into metrics_endpoint (did you mean "http://localhost:4318"?)',
    )
    await checkComponent(otlpHttp, 'otlp_http: { metrics_endpoint: "http://localhost:4318/v1/metrics" }')
  })
})

describe('the other endpoints of Datadog', () => {
  it.each([
    ['datadog_native', 'endpoint', '/api/v2/series'],
    ['datadog_native', 'endpoint', '/api/beta/sketches'],
    ['datadog_native', 'sketches.endpoint', '/api/beta/sketches'],
    ['datadog_native', 'host_metadata.endpoint', '/intake'],
    ['datadog_otlp', 'host_metadata.endpoint', '/intake'],
  ])('are refused with the path that is added: %s %s %s', async (type, setting, path) => {
    const component = (type === 'datadog_otlp' ? datadogOtlp : datadogNative) as ExporterComponent
    const [group, name] = setting.split('.')
    const given = `"https://datadog.example${path}"`
    const settings = name === undefined ? `${group}: ${given}` : `${group}: { ${name}: ${given} }`
    const refused = checkComponent(component, `${type}: { api_key: good-key, ${settings} }`)
    await expect(refused).rejects.toThrow(
      `${type}.${setting}: ends with ${path}, which the exporter adds itself; leave it out (did you mean "https://datadog.example"?)`,
    )
  })
})

describe('the metrics_endpoint of otlp_http', () => {
  it.each([
    ['http://joe:hunter2@localhost/base', 'contains a user or password'],
    ['http://localhost/base#hunter2', 'contains a fragment'],
  ])('is refused when something in it would be lost: %s', async (endpoint, message) => {
    const refused = checkComponent(otlpHttp, `otlp_http: { metrics_endpoint: "${endpoint}" }`)
    await expect(refused).rejects.toThrow(`otlp_http.metrics_endpoint: ${message}`)
  })
})
