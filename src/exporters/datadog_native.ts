import { defineComponent } from '../component/define.ts'
import type { Account } from '../component/exporter.ts'
import { warnIfUnreadable } from '../datadog/answers.ts'
import { deltaLog, hostAndTags, overwrittenLog, preparation } from '../datadog/preparation.ts'
import { customMetrics, TagOrigins } from '../datadog/explain.ts'
import { hostChooser, overridingHost, resolveHost } from '../datadog/host.ts'
import { hostMetadata } from '../datadog/host_metadata.ts'
import { metricNames, namesBefore } from '../datadog/host_metrics_names.ts'
import { chooseAttributes, resourceTagSources } from '../datadog/resource_attributes.ts'
import { scopeTagger } from '../datadog/scope_tags.ts'
import { checkDatadog, checkNames, datadogSettings } from '../datadog/settings.ts'
import { joinStates } from '../datadog/state.ts'
import { splitTag } from '../datadog/tags.ts'
import { withoutSecrets } from '../net/answer.ts'
import { checkEndpoint, httpClient } from '../net/http_client.ts'
import { compressionProblem, contentEncoding, decompress } from '../net/compression.ts'
import type { Compression } from '../net/compression.ts'
import type { Attributes } from '../otlp/common/attributes.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { inParts } from '../otlp/common/parts.ts'
import { noRoomReport, throttled } from '../throttled.ts'
import { explainBodies } from './datadog_native/explain.ts'
import { v1 } from './datadog_native/series_v1.ts'
import { v2 } from './datadog_native/series_v2.ts'
import { HISTOGRAM_MODES } from './datadog_native/mapping/histograms.ts'
import { responseError } from './datadog_native/response.ts'
import { packer } from './datadog_native/requests.ts'
import type { BodyFormat, NativeRequest } from './datadog_native/body.ts'
import { SeriesMapper } from './datadog_native/mapping/series.ts'
import { sketchFormat, SKETCHES_PATH, sketchPacker } from './datadog_native/sketch/sketch_payload.ts'
import { SUMMARY_MODES } from './datadog_native/mapping/summaries.ts'

export default defineComponent({
  kind: 'exporter',
  type: 'datadog_native',
  summary: "Sends metrics to Datadog's own metrics API.",
  description: `
Gauges and non-monotonic sums arrive as gauges, monotonic sums as counts: for a cumulative sum, Datadog receives the *difference*
from the previous point. Histograms of both kinds arrive as distributions, from which Datadog computes any percentile; summaries
as \`.count\`, \`.sum\` and a \`.quantile\` for each quantile.

Resource attributes become tags, under Datadog's names if it has any (\`service.name\` arrives as \`service\`). Points that fall into
the same second of one series are aggregated before they are sent, because Datadog would keep only the last.
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
      doc: 'How bodies are compressed; `zstd` needs `v2` and Node 22.15 or newer.',
      format: ['gzip', 'deflate', 'zstd', 'none'],
      default: 'gzip',
    },
    metric_prefix: {
      doc: "A prefix, followed by a dot, for each name that does not have it yet; names of Datadog's Agent stay without it.",
      format: 'metric_name',
      default: undefined,
    },
    histograms: {
      mode: {
        doc: 'How histograms are sent: as `distributions`; as `counters`, one count for each bucket, tagged with its bounds; or with `nobuckets`, only the metrics that `send_aggregation_metrics` adds. Exponential histograms always become distributions.',
        format: HISTOGRAM_MODES,
        default: 'distributions',
      },
      send_aggregation_metrics: {
        doc: 'Whether `.count`, `.sum`, `.min` and `.max` of every histogram are sent as metrics of their own as well.',
        format: 'boolean',
        default: false,
      },
    },
    summaries: {
      mode: {
        doc: 'Whether the quantiles of summaries are sent: `gauges`, or `noquantiles`.',
        format: SUMMARY_MODES,
        default: 'gauges',
      },
    },
    sketches: {
      endpoint: {
        doc: "The address for distributions, if not `endpoint` or the site's API, without the path. Datadog does not document this intake; its Agent uses it.",
        format: 'url',
        default: undefined,
      },
      compression: {
        doc: 'How the bodies of distributions are compressed.',
        format: ['gzip', 'deflate', 'zstd', 'none'],
        default: 'deflate',
      },
      max_size: {
        doc: "The largest body of distributions, as sent. The default is the Agent's.",
        format: 'bytes',
        default: '2560KiB',
      },
      max_raw_size: {
        doc: "The largest body of distributions before compression. The default is the Agent's.",
        format: 'bytes',
        default: '4MiB',
      },
    },
    count_interval: {
      doc: 'The interval reported with every count, in whole seconds; `as_rate()` divides by it. If it is unset, each count reports the time that it covers.',
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
  // Source: "cannot be more than ten minutes in the future or more than one hour in the past", API reference, submit metrics.
  maxAge: '1h',
  maxAhead: '10m',
  // Datadog keeps one value a second of each series.
  joinInterval: '1s',
  *check(config) {
    yield* checkDatadog(config, [v1.path, v2.path, SKETCHES_PATH])
    if (config.compression === 'zstd' && config.series_version === 'v1') {
      yield { path: 'compression', message: 'zstd needs series_version v2; v1 takes gzip, deflate and none' }
    }
    if (config.count_interval !== undefined && (config.count_interval < 1000 || config.count_interval % 1000 !== 0)) {
      yield { path: 'count_interval', message: 'must be a whole number of seconds, at least 1s' }
    }
    const { histograms, sketches } = config
    if (histograms.mode === 'nobuckets' && !histograms.send_aggregation_metrics) {
      yield { path: 'histograms.mode', message: '`nobuckets` sends nothing unless `send_aggregation_metrics` is true' }
    }
    yield* checkEndpoint('sketches.endpoint', sketches.endpoint, { added: [SKETCHES_PATH] })
    const problem = compressionProblem(sketches.compression)
    if (problem !== undefined) yield { path: 'sketches.compression', message: problem }
  },
  checkProcessors: checkNames,
  create(context) {
    const { clock, config } = context
    const { histograms, sketches } = config
    const format = { v1, v2 }[config.series_version]
    const ofSketches = sketchFormat({ wire: sketches.max_size, raw: sketches.max_raw_size })
    const api = config.endpoint ?? `https://api.${config.site}`
    const own = { hostname: overridingHost(config), tags: config.tags }
    const choosingHosts = hostChooser(config)
    const hostsOf = (batch: MetricBatch): MetricBatch => {
      const hosted = choosingHosts(batch)
      hostReports.read(hosted)
      return hosted
    }
    const overwritten = overwrittenLog(context.log)
    const full = noRoomReport(context)
    const differences = preparation(
      {
        initialValue: config.initial_value,
        ttl: config.delta_ttl,
        extremes: 'bounded',
        summaries: true,
        ...deltaLog(context.log),
        full,
        clock,
      },
      overwritten,
    )
    const naming = metricNames(config.host_metrics_names, config.metric_prefix)
    const hostReports = hostMetadata(context, api)
    const ownTags = new Set(config.tags.map((tag) => splitTag(tag)[0]))
    const chosen = chooseAttributes(config.resource_attributes)
    const isTag = (attribute: string): boolean => ownTags.has(attribute) || chosen(attribute)
    const scopeTags = scopeTagger(config)
    const finish = hostAndTags(own)
    const mapper = new SeriesMapper({
      countInterval: config.count_interval === undefined ? undefined : config.count_interval / 1000,
      finish,
      chosen: isTag,
      scopeTags,
      ttl: config.delta_ttl,
      writer: format,
      histograms: { mode: histograms.mode, sendAggregationMetrics: histograms.send_aggregation_metrics },
      summaries: config.summaries.mode,
      overwritten,
      full,
      clock,
    })
    context.onStop(() => {
      differences.close()
      mapper.close()
    })
    const destination = (to: BodyFormat, address: string, compression: Compression) => ({
      compression,
      url: address.replace(/\/+$/, '') + to.path,
      headers: { 'dd-api-key': config.api_key, 'content-type': to.contentType, ...contentEncoding(compression) },
    })
    const destinations = new Map([
      [format, destination(format, api, config.compression)],
      [ofSketches, destination(ofSketches, sketches.endpoint ?? api, sketches.compression)],
    ])
    const post = httpClient(context)
    const log = throttled(context.log, clock)
    /** For the batch that was mapped last. */
    const packers = (account: Account) => [
      sketchPacker(mapper.sketches.written(mapper.series), ofSketches, sketches.compression, account),
      packer(mapper, format, config.compression, account),
    ]
    return {
      prepare(batch, account) {
        return naming(differences.prepare(hostsOf(batch), account), account)
      },
      *prepareInTurns(batch, account) {
        const hosted = yield* inParts(batch, hostsOf, 'resources')
        const prepared = yield* differences.prepareInTurns(hosted, account)
        return yield* inParts(prepared, (part) => naming(part, account), 'resources')
      },
      state: joinStates(differences.state, mapper.state),
      encode(batch: MetricBatch, account) {
        mapper.map(batch, account)
        const requests: NativeRequest[] = []
        for (const pack of packers(account)) {
          for (let made = pack(); made !== undefined; made = pack()) requests.push(...made)
        }
        return requests
      },
      *encodeInTurns(batch: MetricBatch, account) {
        yield* mapper.mapInTurns(batch, account)
        const requests: NativeRequest[] = []
        for (const pack of packers(account)) {
          for (let made = pack(); made !== undefined; made = pack()) {
            requests.push(...made)
            yield
          }
        }
        return requests
      },
      ended: (batch) => mapper.ended(batch),
      async send(request, signal) {
        hostReports.start()
        const { format, body, depth, items } = request as NativeRequest
        const { url, headers } = destinations.get(format) as ReturnType<typeof destination>
        const response = await post(url, { headers, body, signal, maxResponse: 65_536 })
        const error = responseError(response, { depth, items, now: clock.now() })
        if (error !== undefined) throw error
        warnIfUnreadable(response, log)
      },
      explain({ received, prepared, requests }) {
        const tagsOf = (attributes: Attributes) => resourceTagSources(attributes, isTag, resolveHost(attributes).host)
        const origins = new TagOrigins(received, { ...config, chosen, finish, tagsOf, scopeTags })
        const handedIn = Array.from(received.metrics(), ({ metric }) => metric.name)
        const before = namesBefore(config.host_metrics_names, config.metric_prefix, handedIn)
        const sent = (requests as readonly NativeRequest[]).map(({ format, body, rawBytes }) => {
          const { url, compression } = destinations.get(format) as ReturnType<typeof destination>
          return { to: withoutSecrets(url), rawBytes, format, raw: decompress(body, compression) }
        })
        const values = explainBodies(sent, finish(prepared), origins, before)
        return { values, requests: sent, notSent: origins.notSent(), billedMetrics: customMetrics(values) }
      },
    }
  },
})
