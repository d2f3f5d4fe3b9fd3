import { readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { isHostName } from '../datadog/host.ts'
import { datadogSettings } from '../datadog/settings.ts'
import { ConfigError } from '../errors.ts'
import { words } from '../formats.ts'
import { literal, Variables } from './variables.ts'
import type { Environment } from './variables.ts'

const EXPORTER_TYPES = ['console', 'otlp_http', 'datadog_otlp', 'datadog_native', 'newrelic_otlp'] as const

/** The agent's short names of Datadog's sites. */
const SITES: Readonly<Record<string, string>> = {
  us3: 'us3.datadoghq.com',
  us5: 'us5.datadoghq.com',
  ap1: 'ap1.datadoghq.com',
  ap2: 'ap2.datadoghq.com',
}

/** The metrics that the agent collects, under OpenTelemetry's names. */
const SCRAPERS = {
  cpu: { metrics: { 'system.cpu.utilization': { enabled: true } } },
  memory: { metrics: { 'system.memory.limit': { enabled: true }, 'system.linux.memory.available': { enabled: true } } },
  disk: {},
  paging: {},
}

/**
 * The pipeline that the environment variables of the Heka Insights Agent describe, as YAML in which keys stay
 * variables. `env`: without blanks around the values, which the agent ignores. Source: heka-insights-agent,
 * `src/config/runtime.py`.
 * @throws ConfigError with every variable that is wrong
 */
export function configFromEnv(env: Environment): string {
  const variables = new Variables(env)
  const interval = variables.seconds('CPU_POLL_INTERVAL_SECONDS', 5)
  const names = variables.word('HEKA_METRIC_NAMES', ['otel', 'agent'])
  const { exporters, ...parts } = exporterOf(variables)
  if (variables.problems.length > 0) throw new ConfigError(variables.problems)
  const { scrapers, renaming } = names === 'agent' ? agentNames() : { scrapers: SCRAPERS, renaming: {} }
  const processors = { ...renaming, ...parts.processors }
  return stringify({
    receivers: { host_metrics: { collection_interval: `${interval}s`, scrapers } },
    processors,
    exporters,
    service: {
      pipelines: {
        metrics: {
          receivers: ['host_metrics'],
          processors: Object.keys(processors),
          exporters: Object.keys(exporters),
        },
      },
    },
  })
}

/** The metrics that get the agent's own names, and the processors that rename them. */
function agentNames(): { scrapers: object; renaming: object } {
  const { receivers, processors } = parse(
    readFileSync(new URL('../../config/heka_names.yaml', import.meta.url), 'utf8'),
  ) as { receivers: { host_metrics: { scrapers: object } }; processors: object }
  return { scrapers: receivers.host_metrics.scrapers, renaming: processors }
}

/** The exporter, by its type, with the processors that it needs in front of it. */
interface Parts {
  readonly exporters: Readonly<Record<string, object>>
  readonly processors?: Readonly<Record<string, object>>
}

function exporterOf(variables: Variables): Parts {
  const type = variables.word('EXPORTER_TYPE', EXPORTER_TYPES)
  // It is not known which of the other variables apply.
  if (type === undefined) return { exporters: {} }
  if (type === 'console') return { exporters: { debug: {} } }
  const initial = variables.seconds('OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS', 1)
  const longest = variables.seconds('OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS', 5)
  const attempts = variables.times('OTLP_HTTP_RETRY_MAX_ATTEMPTS', 5)
  const delivery = {
    timeout: `${variables.wholeSeconds('OTLP_HTTP_TIMEOUT_SECONDS', 10)}s`,
    retry_on_failure: {
      enabled: attempts > 1,
      initial_interval: `${initial}s`,
      max_interval: `${Math.max(initial, longest)}s`,
      multiplier: 2,
      default_retry_after: `${variables.wholeSeconds('OTLP_RETRY_AFTER_DEFAULT_SECONDS', 5)}s`,
      max_retry_after: `${variables.wholeSeconds('OTLP_RETRY_AFTER_MAX_SECONDS', 300)}s`,
    },
  }
  const agent: Record<string, string> =
    variables.text('HEKA_AGENT_ID') === undefined ? {} : { 'x-agent-id': '${env:HEKA_AGENT_ID}' }
  if (type === 'datadog_native') {
    const metric_prefix = variables.checked('DATADOG_METRIC_PREFIX', 'metric_name', (text) =>
      text.replace(/^\.+|\.+$/g, ''),
    )
    return { exporters: { datadog_native: { ...datadog(variables), metric_prefix, headers: agent, ...delivery } } }
  }

  const headers = { ...variables.pairs('OTLP_HTTP_HEADERS'), ...agent }
  const attributes = variables.pairs('OTLP_RESOURCE_ATTRIBUTES', (value) => value)
  if (type === 'otlp_http') {
    const metrics_endpoint = variables.required('OTLP_HTTP_ENDPOINT', type, 'url')
    return {
      exporters: { otlp_http: { metrics_endpoint, headers, ...delivery } },
      processors: setAttributes(attributes),
    }
  }
  if (type === 'datadog_otlp') {
    const { 'host.name': host, ...others } = attributes
    const processors = setAttributes(host === undefined || !isHostName(host) ? others : attributes)
    return { exporters: { datadog_otlp: { ...datadog(variables), headers, ...delivery } }, processors }
  }
  const newrelic = {
    // The exporter adds the path.
    endpoint: variables.required('NEWRELIC_OTLP_ENDPOINT', type, 'url')?.replace(/\/v1\/metrics\/*$/, ''),
    api_key: variables.required('NEWRELIC_API_KEY', type) && '${env:NEWRELIC_API_KEY}',
    service_name: variables.required('NEWRELIC_SERVICE_NAME', type),
    environment: variables.checked('NEWRELIC_ENVIRONMENT', 'string'),
    host_name: variables.checked('NEWRELIC_HOST_NAME', 'string'),
  }
  return {
    exporters: { newrelic_otlp: { ...newrelic, headers, ...delivery } },
    processors: { ...setAttributes(attributes), cumulative_to_delta: {} },
  }
}

/** The settings that both of Datadog's exporters take. */
function datadog(variables: Variables): object {
  const type = 'datadog_otlp or datadog_native'
  variables.required('DATADOG_API_KEY', type)
  const site = variables.required('DATADOG_SITE', type)?.toLowerCase() ?? ''
  const domain = SITES[site] ?? site
  const known = datadogSettings.site.format
  if (site !== '' && !known.some((each) => each === domain)) {
    variables.report('DATADOG_SITE', `must be ${words([...known, ...Object.keys(SITES)])}`)
  }
  const hostname = variables.checked('DATADOG_HOSTNAME', 'hostname')
  return {
    site: domain,
    api_key: '${env:DATADOG_API_KEY}',
    // Datadog does not accept such names for a host; then the name of this machine is used.
    hostname: hostname !== undefined && isHostName(hostname) ? hostname : undefined,
    tags: variables.checked('DATADOG_TAGS', 'tags'),
  }
}

/** The processor that sets resource attributes, if there are any. */
function setAttributes(attributes: Readonly<Record<string, string>>): Readonly<Record<string, object>> {
  const pairs = Object.entries(attributes)
  if (pairs.length === 0) return {}
  const text = pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join(',')
  const service = attributes['service.name']
  const settings = { resource_attributes: text, service_name: service && literal(service) }
  return { 'resource_detection/agent': { detectors: ['env'], env: settings } }
}
