import { defineComponent } from '../component/define.ts'
import { listedErrors, waitOf } from '../datadog/answers.ts'
import { deltaLog, hostAndTags, overwrittenLog, preparation } from '../datadog/preparation.ts'
import { customMetrics, TagOrigins } from '../datadog/explain.ts'
import { hostChooser, overridingHost } from '../datadog/host.ts'
import { hostMetadata } from '../datadog/host_metadata.ts'
import { metricNames, namesBefore } from '../datadog/host_metrics_names.ts'
import { chooseAttributes, decidesHost } from '../datadog/resource_attributes.ts'
import { scopeTagger } from '../datadog/scope_tags.ts'
import { checkDatadog, checkNames, datadogSettings } from '../datadog/settings.ts'
import { joinStates } from '../datadog/state.ts'
import { splitTag } from '../datadog/tags.ts'
import { withoutSecrets } from '../net/answer.ts'
import { decompress } from '../net/compression.ts'
import { checkEndpoint } from '../net/http_client.ts'
import { otlpHttpExporter, PATHS, urlsBelow } from '../net/otlp_sender.ts'
import type { OtlpRequest } from '../net/otlp_requests.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import { completeHistograms } from '../otlp/metrics/explicit_buckets.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { inParts } from '../otlp/common/parts.ts'
import { perResource } from '../otlp/common/resource.ts'
import { signals } from '../otlp/signals.ts'
import { noRoomReport } from '../throttled.ts'
import { explainBatch, tagsOf } from './datadog_otlp/explain.ts'
import { OneASecond } from './datadog_otlp/one_a_second.ts'

/**
 * 500,000 bytes are below each of the limits that Datadog's documentation has named for this intake (500 KB, 512 KiB);
 * the raw limit is the one at which its recommended Collector configuration splits.
 */
const LIMITS = { wire: 500_000, raw: 4_194_304 }

export default defineComponent({
  kind: 'exporter',
  type: 'datadog_otlp',
  signals: ['metrics', 'logs', 'traces'],
  summary: "Sends metrics, logs and traces to Datadog's OTLP intake.",
  description: `
Data arrives unchanged, except that cumulative monotonic sums and cumulative histograms of either kind, which this intake refuses,
are turned into differences.

Resource attributes arrive as tags, in addition to those that Datadog derives from them by its own rules. Attributes that name the
host for Datadog are always sent.

Logs and traces arrive unchanged, with the host and the tags set here as resource attributes. Datadog's intake for traces is in
preview: for an organisation without access, it answers 404, and the spans are dropped and counted as \`refused\`. Datadog computes
no trace metrics (hits, errors and latency of services) from these spans; its Agent does.
`,
  config: {
    ...datadogSettings,
    traces_endpoint: {
      doc: "The full URL for traces, used unchanged, instead of `/v1/traces` below `endpoint` or the site's address.",
      format: 'url',
      default: undefined,
    },
    compression: {
      doc: 'How bodies are compressed; `zstd` needs Node 22.15 or newer.',
      format: ['gzip', 'zstd', 'none'],
      default: 'gzip',
    },
  },
  examples: [
    {
      title: 'To the US1 site; the key may also come from `DD_API_KEY`',
      yaml: 'datadog_otlp: { api_key: 0123456789abcdef0123456789abcdef }',
    },
    {
      title: 'To Europe, with a host name and tags that win over everything',
      yaml: `
datadog_otlp:
  site: datadoghq.eu
  api_key: 0123456789abcdef0123456789abcdef
  hostname: web-1
  tags: [env:production, team:platform]
`,
    },
  ],
  timeout: '30s',
  // Source: "cannot be more than ten minutes in the future or more than one hour in the past", API reference, submit metrics.
  // Logs: "up to 18 hours in the past", API reference, send logs.
  maxAge: { metrics: '1h', logs: '18h' },
  maxAhead: { metrics: '10m' },
  // Datadog keeps one value a second of each series.
  joinInterval: '1s',
  *check(config) {
    yield* checkDatadog(config, PATHS)
    yield* checkEndpoint('traces_endpoint', config.traces_endpoint, { whole: true })
  },
  checkProcessors: checkNames,
  create(context) {
    const { clock, config } = context
    const { instrumentation_scope_metadata_as_tags: scopesAreTags } = config
    const chosen = chooseAttributes(config.resource_attributes)
    const own = { hostname: overridingHost(config), tags: config.tags }
    const overwritten = overwrittenLog(context.log)
    const choosingHosts = hostChooser(config)
    const hostsOf = <B extends ItemBatch>(batch: B): B => {
      const hosted = choosingHosts(batch)
      if (hosted instanceof MetricBatch) hostReports.read(hosted)
      return hosted
    }
    const full = noRoomReport(context)
    const differences = preparation(
      {
        initialValue: config.initial_value,
        ttl: config.delta_ttl,
        extremes: 'reached',
        ...deltaLog(context.log),
        full,
        clock,
      },
      overwritten,
    )
    const naming = metricNames(config.host_metrics_names, undefined)
    const hostReports = hostMetadata(context, `https://api.${config.site}`)
    const below = urlsBelow(config.endpoint ?? `https://otlp.${config.site}`)
    const urls = { ...below, traces: config.traces_endpoint ?? below.traces }
    const otlp = otlpHttpExporter(context, {
      urls,
      encoding: 'proto',
      compression: config.compression,
      limits: LIMITS,
      headers: {
        'dd-api-key': config.api_key,
        'dd-otel-metric-config': JSON.stringify({
          resource_attributes_as_tags: true,
          ...(scopesAreTags && { instrumentation_scope_metadata_as_tags: true }),
        }),
      },
      refusal: listedErrors,
      notFound: { traces: 'The intake of traces is not enabled for this organisation' },
      waitOf: (response) => waitOf(response, clock.now()),
    })
    const asked = perResource((resource) => {
      const left = resource.attributes.keys().filter((key) => !chosen(key) && !decidesHost(key, resource.attributes))
      return resource.withAttributes(resource.attributes.without(new Set(left)))
    })
    const owned = hostAndTags(own)
    const ownKeys = new Set(config.tags.map((tag) => splitTag(tag)[0]))
    const finish = (batch: MetricBatch): MetricBatch => {
      const finished = owned(batch.mapResources(asked))
      if (!scopesAreTags || ownKeys.size === 0) return finished
      return finished.mapScopes((entry) =>
        entry.withScope(entry.scope.withAttributes(entry.scope.attributes.without(ownKeys))),
      )
    }
    const oneASecond = new OneASecond({ clock, ttl: config.delta_ttl, finish, scopesAreTags, overwritten, full })
    context.onStop(() => {
      differences.close()
      oneASecond.close()
    })
    return {
      prepare(batch, account) {
        const hosted = hostsOf(batch)
        if (hosted.signal !== 'metrics') return hosted
        return naming(differences.prepare(hosted, account), account)
      },
      *prepareInTurns(batch, account) {
        const hosted = yield* inParts(batch, hostsOf, 'resources')
        if (hosted.signal !== 'metrics') return hosted
        const prepared = yield* differences.prepareInTurns(hosted, account)
        return yield* inParts(prepared, (part) => naming(part, account), 'resources')
      },
      state: joinStates(differences.state, oneASecond.state),
      encode(batch, account) {
        if (batch.signal !== 'metrics') return otlp.encode(owned(batch), account)
        // Datadog refuses histograms whose counts are not one more than their bounds.
        return otlp.encode(completeHistograms(oneASecond.apply(batch, account)), account)
      },
      *encodeInTurns(batch, account) {
        if (batch.signal !== 'metrics') return yield* otlp.encodeInTurns(yield* inParts(batch, owned), account)
        const kept = yield* oneASecond.applyInTurns(batch, account)
        return yield* otlp.encodeInTurns(yield* inParts(kept, completeHistograms), account)
      },
      ended(batch) {
        if (batch.signal === 'metrics') oneASecond.ended(batch)
      },
      send(request, signal) {
        hostReports.start()
        return otlp.send(request, signal)
      },
      explain({ received, requests }) {
        const bodies = (requests as readonly OtlpRequest[]).map(({ body }) => decompress(body, config.compression))
        const sent = bodies.map(({ length }) => ({ to: withoutSecrets(urls[received.signal]), rawBytes: length }))
        if (received.signal !== 'metrics') {
          const type = signals[received.signal]
          const items = type.merge(bodies.map((body) => type.fromOtlp(body)))
          return { values: [], sent: items, requests: sent, notSent: [], billedMetrics: undefined }
        }
        const origins = new TagOrigins(received, { ...config, chosen, finish, tagsOf, scopeTags: scopeTagger(config) })
        const handedIn = Array.from(received.metrics(), ({ metric }) => metric.name)
        const before = namesBefore(config.host_metrics_names, undefined, handedIn)
        const values = bodies.flatMap((body) => explainBatch(MetricBatch.fromOtlp(body), origins, before))
        return {
          values,
          requests: sent,
          notSent: origins.notSent(),
          billedMetrics: customMetrics(values),
        }
      },
    }
  },
})
