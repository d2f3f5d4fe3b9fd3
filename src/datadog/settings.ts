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
    doc: 'The address to send to instead of the site (`https://api.<site>`, for OTLP `https://otlp.<site>`), without the path.',
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
    doc: 'The host of everything that is sent, whatever the data says. When it is unset, the host follows from the resource attributes.',
    format: 'hostname',
    default: undefined,
  },
  host: {
    from: {
      doc: "Resource attributes that name the host: the first one present counts, before Datadog's own rules.",
      format: { list: 'string' },
      default: [],
    },
    fallback: {
      doc: 'The host of data that names none: `none` leaves it without one, `os` takes the name of this machine, and `config` takes `hostname`, which then overrides nothing.',
      format: ['none', 'config', 'os'],
      default: 'none',
    },
  },
  tags: {
    doc: 'Tags of everything that is sent, each as `key:value`; they win over attributes of the same key.',
    format: 'tags',
    default: [],
  },
  resource_attributes: {
    include: {
      doc: 'The resource attributes that become tags, by the name they have in the data; `*` stands for any text.',
      format: { list: 'string' },
      default: ['*'],
    },
    exclude: {
      doc: 'Resource attributes that do not become tags, of those included. The default leaves out attributes that change with every start of a process, attributes about the SDK, and long descriptions.',
      format: { list: 'string' },
      default: DEFAULT_EXCLUDE,
    },
  },
  instrumentation_scope_metadata_as_tags: {
    doc: 'Whether the name, the version and the attributes of the instrumentation scope of a metric become tags. Without it, scopes that have the same metric are one series: their counts are added, and of their gauges only one a second can be kept.',
    format: 'boolean',
    default: false,
  },
  host_metrics_names: {
    doc: "The names of host metrics: `otel` as they are, `otel_prefixed` with `otel.` before `system.` and `process.`, `datadog` those of Datadog's Agent wherever it has one, `both` those of the Agent in addition to those of OpenTelemetry.",
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
      doc: 'Tags of the host in that list, each as `key:value`, in addition to those of `tags`. Resources of this host add theirs: `datadog.host.tag.rack` is the tag `rack`.',
      format: 'tags',
      default: [],
    },
    reporter_period: {
      doc: 'The time from one report to the next, at least 5m.',
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
    doc: 'What happens to the first value of a cumulative counter: `keep` sends it as if counted from zero; `drop` withholds it, and that of a counter that restarted; `auto` sends it when the counter says that it began after this process did, or when its metric was exported at least twice without it before.',
    format: ['auto', 'keep', 'drop'],
    default: 'auto',
  },
  delta_ttl: {
    doc: 'A series that sends nothing for this long is forgotten; what it counts next is a first value. At most a million series are remembered, and no more than `service.max_remembered_size` allows.',
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
      message: `\`${names}\` does not recognise ${renamed}, which the processor ${id} has renamed: exclude such names there (\`exclude: { match_type: regexp, metrics: ['^(system|process)\\.'] }\`), or set \`host_metrics_names: otel\``,
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
    yield { path: 'api_key', message: 'holds a character that keys do not have, perhaps a space or a line break' }
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
    yield { path: 'delta_ttl', message: 'must be longer than 0s: no count would have a point before it' }
  if (config.hostname !== undefined && !isHostName(config.hostname)) {
    yield { path: 'hostname', message: `is a name that Datadog does not accept for a host: "${config.hostname}"` }
  }
  if (config.host.fallback === 'config' && config.hostname === undefined) {
    yield { path: 'host.fallback', message: '`config` takes `hostname`, which is not set' }
  }
  yield* checkHttp(config)
}
