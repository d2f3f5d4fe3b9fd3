import type { ProcessorBefore } from '../component/exporter.ts'
import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import { compressionProblem } from '../net/compression.ts'
import type { Compression } from '../net/compression.ts'
import { checkEndpoint, checkHttp, httpSettings } from '../net/http_client.ts'
import { selects } from '../component/metric_selection.ts'
import type { Selections } from '../component/metric_selection.ts'
import { agentMetrics } from './agent_metrics.ts'
import { isHostName } from './host.ts'
import { HOST_METRICS_NAMES } from './host_metrics_names.ts'
import type { HostMetricsNames } from './host_metrics_names.ts'
import { DEFAULT_EXCLUDE } from './resource_attributes.ts'
import { repeatedKeys } from './tags.ts'

/** Source: datadog documentation, `regions.config.js`; datadog-api-client-typescript, `servers.ts`. */
const SITES = [
  'datadoghq.com',
  'us3.datadoghq.com',
  'us5.datadoghq.com',
  'datadoghq.eu',
  'ap1.datadoghq.com',
  'ap2.datadoghq.com',
  'uk1.datadoghq.com',
  'ddog-gov.com',
  'us2.ddog-gov.com',
] as const

/** The intake for host metadata. */
export const INTAKE_PATH = '/intake'

/** Milliseconds; the same as in the Collector's Datadog exporter. */
const SHORTEST_PERIOD = 300_000

/** The settings that both Datadog exporters have. */
export const datadogSettings = {
  site: {
    doc: 'The Datadog site of the account, as in the address of its web page without `app.`. For any other destination set `endpoint`.',
    format: SITES,
    default: 'datadoghq.com',
    env: ['DD_SITE', 'DATADOG_SITE'],
  },
  endpoint: {
    doc: 'The address to send to instead of that of the site (`https://api.<site>`, for OTLP `https://otlp.<site>`), without the path.',
    format: 'url',
    default: undefined,
  },
  api_key: {
    doc: 'An API key of the account; not an application key.',
    format: 'string',
    default: null,
    env: ['DD_API_KEY', 'DATADOG_API_KEY'],
    secret: true,
  },
  hostname: {
    doc: 'The host of all data, regardless of what the data says. If it is unset, the resource attributes decide.',
    format: 'hostname',
    default: undefined,
  },
  host: {
    from: {
      doc: "Resource attributes that name the host. The first one present is used, before Datadog's own rules.",
      format: { list: 'string' },
      default: [],
    },
    fallback: {
      doc: 'The host of data that names none: `none` leaves it without one, `os` uses the name of this machine, and `config` uses `hostname`, which then no longer overrides the data.',
      format: ['none', 'config', 'os'],
      default: 'none',
    },
  },
  tags: {
    doc: 'Tags of all data, each as `key:value`; they win over attributes of the same key.',
    format: 'tags',
    default: [],
  },
  resource_attributes: {
    include: {
      doc: 'The resource attributes that become tags, by their names in the data; `*` matches any text.',
      format: { list: 'string' },
      default: ['*'],
    },
    exclude: {
      doc: 'Resource attributes among those included that do not become tags. The default leaves out attributes that change with every start of a process, attributes about the SDK, and long descriptions.',
      format: { list: 'string' },
      default: DEFAULT_EXCLUDE,
    },
  },
  instrumentation_scope_metadata_as_tags: {
    doc: "Whether the name, version and attributes of a metric's instrumentation scope become tags. Without it, scopes with the same metric share one series: their counts are added, and only one of their gauges is kept per second.",
    format: 'boolean',
    default: false,
  },
  host_metrics_names: {
    doc: "The names of host metrics: `otel` keeps them, `otel_prefixed` puts `otel.` in front of `system.` and `process.`, `datadog` uses the names of Datadog's Agent if it has one, and `both` sends the Agent's names in addition to OpenTelemetry's.",
    format: HOST_METRICS_NAMES,
    default: 'otel',
  },
  host_metadata: {
    enabled: {
      doc: "Whether this machine is reported to Datadog's infrastructure list, with its hardware and operating system. Datadog does not document this intake.",
      format: 'boolean',
      default: false,
    },
    tags: {
      doc: 'Tags of the host in that list, each as `key:value`, in addition to those of `tags`. Resources of this host add their own: the attribute `datadog.host.tag.rack` becomes the tag `rack`.',
      format: 'tags',
      default: [],
    },
    reporter_period: {
      doc: 'The interval between reports, at least 5m.',
      format: 'duration',
      default: '30m',
    },
    endpoint: {
      doc: 'The address to report to instead of the API address of the site, without the path.',
      format: 'url',
      default: undefined,
    },
  },
  initial_value: {
    doc: 'What happens to the first value of a cumulative counter: `keep` sends it as if counted from zero; `drop` withholds it, also after a restart of the counter; `auto` sends it if the counter started after this process did, or if its metric was exported at least twice before without it.',
    format: ['auto', 'keep', 'drop'],
    default: 'auto',
  },
  delta_ttl: {
    doc: 'A series that sends nothing for this long is forgotten; its next value is a first value. At most a million series are remembered, and no more than `service.max_remembered_size` allows.',
    format: 'duration',
    default: '1h',
  },
  ...httpSettings,
} as const satisfies Settings

/** The metrics that the Agent's metrics are made from: a host metric is recognised by its name alone. */
const HOST_METRICS = [...new Set(agentMetrics.flatMap(({ metrics }) => metrics.flatMap(({ from }) => from)))]

/** Warns of a processor that renames host metrics, so that the exporter cannot recognise them. */
export function* checkNames(
  { host_metrics_names: names }: { readonly host_metrics_names: HostMetricsNames },
  processors: readonly ProcessorBefore[],
): Generator<Finding> {
  if (names === 'otel') return
  for (const { id, type, config } of processors) {
    if (type !== 'metric_prefix') continue
    const [first, ...others] = HOST_METRICS.filter(selects(config as Selections))
    if (first === undefined) continue
    const renamed = others.length === 0 ? first : `${first} and ${others.length} more metrics of a host`
    yield {
      path: 'host_metrics_names',
      message: `\`${names}\` does not recognise ${renamed}, which the processor ${id} renames: exclude such names there (\`exclude: { match_type: regexp, metrics: ['^(system|process)\\.'] }\`), or set \`host_metrics_names: otel\``,
      severity: 'warning',
    }
    return
  }
}

/** The rules that span the settings of both Datadog exporters; `paths` are those that are added to `endpoint`. */
export function* checkDatadog(
  config: ConfigOf<typeof datadogSettings> & { readonly compression: Compression },
  paths: readonly string[],
): Generator<Finding> {
  // It goes into a header as it is: printable ASCII without spaces.
  if (!/^[\x21-\x7e]+$/.test(config.api_key)) {
    yield {
      path: 'api_key',
      message: 'contains a character that is not allowed in a key, perhaps a space or a line break',
    }
  }
  yield* repeatedKeys(config.tags)
  const problem = compressionProblem(config.compression)
  if (problem !== undefined) yield { path: 'compression', message: problem }
  yield* checkEndpoint('endpoint', config.endpoint, { added: paths })
  yield* checkEndpoint('host_metadata.endpoint', config.host_metadata.endpoint, { added: [INTAKE_PATH] })
  if (config.host_metadata.reporter_period < SHORTEST_PERIOD) {
    yield { path: 'host_metadata.reporter_period', message: 'is shorter than 5m' }
  }
  if (config.delta_ttl === 0)
    yield { path: 'delta_ttl', message: 'must be longer than 0s: otherwise no count would have a previous point' }
  if (config.hostname !== undefined && !isHostName(config.hostname)) {
    yield { path: 'hostname', message: `is not accepted by Datadog as a host name: "${config.hostname}"` }
  }
  if (config.host.fallback === 'config' && config.hostname === undefined) {
    yield { path: 'host.fallback', message: '`config` takes `hostname`, which is not set' }
  }
  yield* checkHttp(config)
}
