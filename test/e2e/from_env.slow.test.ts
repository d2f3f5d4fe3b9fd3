import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { runCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

const KEY = 'k'.repeat(32)

async function variablesFile(text: string): Promise<string> {
  const folder = await temporaryFolder({ env: text })
  return folder.path('env')
}

/** What the agent ships as its example, with keys that differ. */
const example = `LOG_LOCATION=/var/log/heka-insights-agent/agent.log
CPU_POLL_INTERVAL_SECONDS=10
OTLP_HTTP_ENDPOINT=http://localhost:4318/v1/metrics
OTLP_HTTP_HEADERS=api-key=replace_me
OTLP_RESOURCE_ATTRIBUTES=service.name=heka-insights-agent,host.name=localhost
OTLP_HTTP_TIMEOUT_SECONDS=10
OTLP_HTTP_RETRY_MAX_ATTEMPTS=5
OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS=1
OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS=5
# New Relic OTLP preset
NEWRELIC_OTLP_ENDPOINT=https://otlp.nr-data.net/v1/metrics
NEWRELIC_API_KEY=${KEY}
NEWRELIC_SERVICE_NAME=heka-insights-agent
NEWRELIC_ENVIRONMENT=production
NEWRELIC_HOST_NAME=localhost
DATADOG_SITE=datadoghq.com
DATADOG_API_KEY=${KEY}
DATADOG_HOSTNAME=localhost
DATADOG_TAGS=env:production,team:platform
DATADOG_METRIC_PREFIX=heka
`

interface Shown {
  receivers: { host_metrics: { collection_interval: string } }
  processors: Record<string, unknown>
  exporters: Record<string, Record<string, unknown>>
}

async function shown(env: Record<string, string>, file: string): Promise<Shown> {
  const { code, stdout, stderr } = await runCommand(['print-config', '--from-env', '--variables-file', file], { env })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).not.toContain(KEY)
  return parse(stdout) as Shown
}

describe('heka-pipeline --from-env', () => {
  it.each([
    ['console', 'debug', {}],
    ['otlp_http', 'otlp_http', { metrics_endpoint: 'http://localhost:4318/v1/metrics', timeout: '10s' }],
    ['datadog_otlp', 'datadog_otlp', { site: 'datadoghq.com', tags: ['env:production', 'team:platform'] }],
    ['datadog_native', 'datadog_native', { site: 'datadoghq.com', metric_prefix: 'heka', timeout: '10s' }],
    [
      'newrelic_otlp',
      'newrelic_otlp',
      { endpoint: 'https://otlp.nr-data.net', service_name: 'heka-insights-agent', environment: 'production' },
    ],
  ])("takes the agent's own example for %s, and print-config shows it", async (type, exporter, settings) => {
    const config = await shown({ EXPORTER_TYPE: ` ${type.toUpperCase()} ` }, await variablesFile(example))
    expect(Object.keys(config.exporters)).toEqual([exporter])
    expect(config.exporters[exporter]).toMatchObject(settings)
    expect(config.receivers.host_metrics.collection_interval).toBe('10s')
  })

  it('takes the backoff over, a process variable before one of the file, and the short names of sites', async () => {
    const env = {
      EXPORTER_TYPE: 'datadog_native',
      DATADOG_SITE: 'US5',
      OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS: '2.5',
      OTLP_HTTP_RETRY_MAX_ATTEMPTS: '1',
      OTLP_RETRY_AFTER_DEFAULT_SECONDS: '7',
      OTLP_RETRY_AFTER_MAX_SECONDS: '60',
    }
    const { exporters } = await shown(env, await variablesFile(example))
    expect(exporters.datadog_native).toMatchObject({
      site: 'us5.datadoghq.com',
      retry_on_failure: {
        enabled: false,
        initial_interval: '2.5s',
        max_interval: '5s',
        multiplier: 2,
        default_retry_after: '7s',
        max_retry_after: '60s',
      },
    })
  })

  it('says all that is wrong at once, without repeating a value, and does not start', async () => {
    const env = {
      EXPORTER_TYPE: 'datadog_native',
      CPU_POLL_INTERVAL_SECONDS: 'often',
      DATADOG_SITE: 'datadoghq.example',
      DATADOG_API_KEY: ' ',
      DATADOG_TAGS: 'env=prod',
      OTLP_HTTP_TIMEOUT_SECONDS: '1.5',
      OTLP_RETRY_AFTER_MAX_SECONDS: '-1',
      OTLP_HTTP_RETRY_MAX_ATTEMPTS: '0',
    }
    const { code, stdout, stderr } = await runCommand(['--from-env'], { env })
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect(stderr.split('\n')).toEqual([
      'CPU_POLL_INTERVAL_SECONDS: must be a number of seconds above 0',
      'OTLP_HTTP_RETRY_MAX_ATTEMPTS: must be a whole number above 0',
      'OTLP_HTTP_TIMEOUT_SECONDS: must be a whole number above 0',
      'OTLP_RETRY_AFTER_MAX_SECONDS: must be a number of seconds above 0',
      'DATADOG_API_KEY: is required when EXPORTER_TYPE is datadog_otlp or datadog_native',
      'DATADOG_SITE: must be `datadoghq.com`, `us3.datadoghq.com`, `us5.datadoghq.com`, `datadoghq.eu`, `ap1.datadoghq.com`, `ap2.datadoghq.com`, `uk1.datadoghq.com`, `ddog-gov.com`, `us2.ddog-gov.com`, `us3`, `us5`, `ap1` or `ap2`',
      'DATADOG_TAGS: must be tags in the form `key:value`, as a list or as one text with commas',
      '',
      '7 mistakes in the configuration.',
      '',
    ])
  })

  it.each([
    [{ EXPORTER_TYPE: 'carbon' }, /^EXPORTER_TYPE: must be `console`, .*\n\n1 mistake in the configuration\.\n$/],
    [{ HEKA_METRIC_NAMES: 'heka' }, 'HEKA_METRIC_NAMES: must be `otel` or `agent`'],
    [{ EXPORTER_TYPE: 'otlp_http' }, 'OTLP_HTTP_ENDPOINT: is required when EXPORTER_TYPE is otlp_http'],
    [
      { EXPORTER_TYPE: 'otlp_http', OTLP_HTTP_ENDPOINT: 'http://x', OTLP_HTTP_HEADERS: 'a=1,,b=2' },
      'OTLP_HTTP_HEADERS: must be `key=value` pairs',
    ],
    [{ EXPORTER_TYPE: 'newrelic_otlp' }, 'NEWRELIC_SERVICE_NAME: is required when EXPORTER_TYPE is newrelic_otlp'],
  ])('refuses %j', async (env, message) => {
    const { code, stderr } = await runCommand(['validate', '--from-env'], { env })
    expect(code).toBe(78)
    expect(stderr).toEqual(
      typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
    )
  })

  it('says when the file of variables is not there', async () => {
    const missing = (await variablesFile('')).replace(/env$/, 'missing')
    const { code, stderr } = await runCommand(['validate', '--from-env', `--variables-file=${missing}`])
    expect(stderr).toBe(`${missing}: does not exist\n\n1 mistake in the configuration.\n`)
    expect(code).toBe(78)
  })

  it('takes the file of variables by the name that the option had before', async () => {
    const file = await variablesFile('EXPORTER_TYPE=carbon')
    const { code, stderr } = await runCommand(['validate', '--from-env', '--env-file', file])
    expect(stderr).toContain('EXPORTER_TYPE: must be `console`')
    expect(code).toBe(78)
  })

  it("delivers to Datadog with the agent's id, its tags and its prefix, under its names where they are asked for", async () => {
    const datadog = await startIntake({ apiKey: KEY })
    const env = {
      EXPORTER_TYPE: 'datadog_native',
      DATADOG_SITE: 'datadoghq.eu',
      DATADOG_API_KEY: KEY,
      DATADOG_HOSTNAME: 'web-1',
      DATADOG_TAGS: 'env:test,team:platform',
      DATADOG_METRIC_PREFIX: 'heka.',
      HEKA_AGENT_ID: 'agent-7',
      HEKA_METRIC_NAMES: 'agent',
    }
    const { code, stderr } = await runCommand(
      ['--from-env', '--once', '--set', `exporters.datadog_native.endpoint=${datadog.url}`],
      { env },
    )
    expect({ code, stderr }).toMatchObject({ code: 0 })
    for (const { headers } of datadog.requests) expect(headers).toMatchObject({ 'x-agent-id': 'agent-7' })
    const names = new Set(datadog.series().map(({ metric }) => metric))
    for (const name of ['heka_cpu_usage_percent', 'heka_cpu_time_percent', 'heka_memory_virtual_total_bytes']) {
      expect(names).toContain(`heka.${name}`)
    }
    expect([...names].filter((name) => !name.startsWith('heka.heka_'))).toEqual([])
    for (const { host, tags } of datadog.series()) {
      expect(host).toBe('web-1')
      expect(tags).toEqual(expect.arrayContaining(['env:test', 'team:platform']))
    }
  })

  it("delivers differences to New Relic also under the agent's names", async () => {
    const receiver = await startIntake({ keyHeader: 'api-key', apiKey: KEY })
    const env = {
      EXPORTER_TYPE: 'newrelic_otlp',
      NEWRELIC_OTLP_ENDPOINT: `${receiver.url}/v1/metrics`,
      NEWRELIC_API_KEY: KEY,
      NEWRELIC_SERVICE_NAME: 'shop',
      OTLP_RESOURCE_ATTRIBUTES: 'team=platform',
      HEKA_METRIC_NAMES: 'Agent',
    }
    const { code, stderr } = await runCommand(['--from-env', '--once'], { env })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const text = JSON.stringify(receiver.requests.map(({ body }) => body))
    expect(text).toContain('"heka_cpu_usage_percent"')
    expect(text).not.toContain('"system.')
    expect(text).toContain('"team"')
    expect(text).toContain('"aggregationTemporality":1,"isMonotonic":true')
    expect(text).not.toContain('"aggregationTemporality":2,"isMonotonic":true')
  })

  it('delivers over OTLP with headers and resource attributes, and without an id of the agent', async () => {
    const receiver = await startIntake({ keyHeader: '' })
    const env = {
      EXPORTER_TYPE: 'otlp_http',
      OTLP_HTTP_ENDPOINT: `${receiver.url}/v1/metrics`,
      OTLP_HTTP_HEADERS: 'authorization=Basic YTpi$==,x-team=a',
      OTLP_RESOURCE_ATTRIBUTES: 'service.name=$shop,note=50%,price=$5 ${env:PATH}',
    }
    const { code, stderr } = await runCommand(['--from-env', '--once'], { env })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const [{ headers, body }] = receiver.requests
    expect(headers).toMatchObject({ authorization: 'Basic YTpi$==', 'x-team': 'a' })
    expect(headers).not.toHaveProperty('x-agent-id')
    const text = JSON.stringify(body)
    expect(text).toContain('"50%"')
    expect(text).toContain('"$shop"')
    expect(text).toContain('"$5 ${env:PATH}"')
    expect(text).toContain('system.memory.usage')
  })

  it.each(['otlp_http', 'datadog_native'])('waits with %s after a 429 for as long as is set', async (type) => {
    const receiver = await startIntake({ keyHeader: '' })
    const arrived: number[] = []
    receiver.respondBy(() => ({ status: arrived.push(performance.now()) === 1 ? 429 : 200 }))
    const env = {
      EXPORTER_TYPE: type,
      OTLP_HTTP_ENDPOINT: `${receiver.url}/v1/metrics`,
      DATADOG_SITE: 'datadoghq.eu',
      DATADOG_API_KEY: KEY,
      OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS: '0.01',
      OTLP_RETRY_AFTER_DEFAULT_SECONDS: '1',
    }
    const endpoint = type === 'datadog_native' ? ['--set', `exporters.datadog_native.endpoint=${receiver.url}`] : []
    const { code, stderr } = await runCommand(['--from-env', '--once', ...endpoint], { env })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(arrived[1] - arrived[0]).toBeGreaterThanOrEqual(1000)
  })
})
