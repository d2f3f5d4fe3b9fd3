import { defineComponent } from '../component.ts'
import { preparation, withHostAndTags } from '../datadog/batch.ts'
import { hostChooser, overridingHost } from '../datadog/host.ts'
import { hostMetadata } from '../datadog/host_metadata.ts'
import { metricNames } from '../datadog/host_metrics_names.ts'
import { chooseAttributes } from '../datadog/resource_attributes.ts'
import { checkDatadog, checkNames, datadogSettings } from '../datadog/settings.ts'
import { splitTag } from '../datadog/tags.ts'
import { httpClient } from '../http/client.ts'
import { contentEncoding } from '../http/compression.ts'
import { aggregate } from '../otlp/aggregate.ts'
import type { MetricBatch } from '../otlp/batch.ts'
import type { Metric } from '../otlp/metrics.ts'
import * as formats from './datadog_native/formats.ts'
import { responseError } from './datadog_native/response.ts'
import { toRequests } from './datadog_native/requests.ts'
import type { SeriesRequest } from './datadog_native/requests.ts'
import { Samples } from './datadog_native/samples.ts'
import { SeriesMapper } from './datadog_native/series.ts'

export default defineComponent({
  kind: 'exporter',
  type: 'datadog_native',
  summary: "Sends metrics to Datadog's own metrics API.",
  description: `
Gauges and non-monotonic sums arrive as gauges, monotonic sums as counts: of a cumulative sum Datadog gets the *difference*
to the point before it. Histograms and summaries are not sent by this exporter; they are counted as dropped
(\`unsupported_type\`), and \`datadog_otlp\` takes them.

Resource attributes become tags, by Datadog's names where it has some (\`service.name\` arrives as \`service\`). Points that
are one series in one second are aggregated before they are sent, because Datadog would keep only the last.
`,
  config: {
    ...datadogSettings,
    host_metrics_names: { ...datadogSettings.host_metrics_names, default: 'both' },
    series_version: {
      doc: 'The version of the API: `v1` is JSON, `v2` protobuf.',
      format: ['v1', 'v2'],
      default: 'v1',
    },
    compression: {
      doc: 'How bodies are compressed; `zstd` only with `v2` and from Node 22.15 on.',
      format: ['gzip', 'deflate', 'zstd', 'none'],
      default: 'gzip',
    },
    metric_prefix: {
      doc: "Put in front of each name that does not carry it yet, followed by a dot; not in front of the names of Datadog's Agent.",
      format: 'metric_name',
      default: undefined,
    },
    count_interval: {
      doc: 'The interval told for every count, in whole seconds, by which `as_rate()` divides. When it is unset, each count tells the time it really covers.',
      format: 'duration',
      default: undefined,
    },
  },
  examples: [
    {
      title: 'To the US1 site; the key may also come from `DD_API_KEY`',
      yaml: 'datadog_native: { api_key: 0123456789abcdef0123456789abcdef }',
    },
    {
      title: 'To Europe, with a host name and tags that win over everything',
      yaml: `
datadog_native:
  site: datadoghq.eu
  api_key: 0123456789abcdef0123456789abcdef
  hostname: web-1
  tags: [env:production, team:platform]
  resource_attributes:
    exclude: [process.*, k8s.pod.uid]
`,
    },
  ],
  timeout: '30s',
  *check(config) {
    yield* checkDatadog(config)
    if (config.compression === 'zstd' && config.series_version === 'v1') {
      yield { path: 'compression', message: 'zstd needs series_version v2; v1 takes gzip, deflate and none' }
    }
    if (config.count_interval !== undefined && (config.count_interval < 1000 || config.count_interval % 1000 !== 0)) {
      yield { path: 'count_interval', message: 'is not a whole number of seconds from 1s on' }
    }
  },
  checkProcessors: (config, processors) =>
    checkNames(config, processors, 'set the `metric_prefix` of this exporter instead'),
  create(context) {
    const { config } = context
    const format = formats[config.series_version]
    const api = config.endpoint ?? `https://api.${config.site}`
    const url = api.replace(/\/+$/, '') + format.path
    const own = { hostname: overridingHost(config), tags: config.tags }
    const choosingHosts = hostChooser(config)
    const differences = preparation(config.initial_value, refusal)
    const naming = metricNames(config.host_metrics_names, config.metric_prefix)
    const reportHost = hostMetadata(context, api)
    const ownTags = new Set(config.tags.map((tag) => splitTag(tag)[0]))
    const chosen = chooseAttributes(config.resource_attributes)
    const mapper = new SeriesMapper({
      // `naming` has put it before every name that gets it.
      metricPrefix: undefined,
      countInterval: config.count_interval === undefined ? undefined : config.count_interval / 1000,
      chosen: (attribute) => ownTags.has(attribute) || chosen(attribute),
      encode: format.series,
    })
    const samples = new Samples()
    const headers = {
      'dd-api-key': config.api_key,
      'content-type': format.contentType,
      ...contentEncoding(config.compression),
    }
    const post = httpClient(context)
    return {
      prepare(batch, account) {
        reportHost()
        return naming(differences(choosingHosts(batch), account), account)
      },
      encode(batch: MetricBatch, account) {
        samples.clear()
        if (!mapper.ofBytes(withHostAndTags(batch, own), samples)) {
          samples.clear()
          const aggregated = aggregate(batch, account, { resolution: 1_000_000_000n })
          mapper.ofPoints(withHostAndTags(aggregated, own), samples, account)
        }
        return toRequests(samples, mapper.series, format, config.compression, account)
      },
      async send(request, signal) {
        const { body, depth } = request as SeriesRequest
        const response = await post(url, { headers, body, signal, maxResponse: 65_536 })
        const error = responseError(response, { url, apiKey: config.api_key, depth })
        if (error !== undefined) throw error
      },
    }
  },
})

function refusal(metric: Metric): string | undefined {
  if (metric.type === 'gauge') return undefined
  if (metric.type !== 'sum') return 'unsupported_type'
  return metric.temporality === 'unspecified' ? 'unspecified_temporality' : undefined
}
