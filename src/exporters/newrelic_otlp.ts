import { defineComponent } from '../component/define.ts'
import { checkEndpoint, checkHttp, httpSettings } from '../net/http_client.ts'
import { compressionProblem } from '../net/compression.ts'
import { otlpHttpExporter, PATHS, urlsBelow } from '../net/otlp_sender.ts'
import { inParts } from '../otlp/common/parts.ts'
import { perResource } from '../otlp/common/resource.ts'

/** Source: docs.newrelic.com, OpenTelemetry, OTLP endpoint. */
const ENDPOINTS = {
  us: 'https://otlp.nr-data.net',
  eu: 'https://otlp.eu01.nr-data.net',
  jp: 'https://otlp.jp.nr-data.net',
  fedramp: 'https://gov-otlp.nr-data.net',
}

/** 1 MB, as sent. Source: docs.newrelic.com, OpenTelemetry best practices, compression. */
const LIMITS = { wire: 1_000_000 }

export default defineComponent({
  kind: 'exporter',
  type: 'newrelic_otlp',
  signals: ['metrics', 'logs', 'traces'],
  summary: "Sends metrics, logs and traces to New Relic's OTLP endpoint.",
  description: `
Data arrives unchanged, except for the resource attributes that are set here; they win over those of the data. New Relic
recommends differences instead of cumulative counts: put \`cumulative_to_delta\` in front of this exporter.

Retries, and the counts of refused and rejected data, work as in \`otlp_http\`. Requests stay within New Relic's limit of 1 MB.
`,
  config: {
    region: {
      doc: 'The region of the account: the United States, Europe, Japan, or the FedRAMP environment. For any other destination set `endpoint`.',
      format: ['us', 'eu', 'jp', 'fedramp'],
      default: 'us',
    },
    endpoint: {
      doc: 'The base URL to send to, instead of that of the region (`https://otlp.nr-data.net`); `/v1/metrics`, `/v1/logs` and `/v1/traces` are added to it.',
      format: 'url',
      default: undefined,
    },
    api_key: {
      doc: 'A license key of the account, for ingest; not a user key.',
      format: 'string',
      default: null,
      env: ['NEW_RELIC_LICENSE_KEY', 'NEW_RELIC_API_KEY', 'NEWRELIC_API_KEY'],
      secret: true,
    },
    service_name: {
      doc: 'The resource attribute `service.name` of all data, which names its entity in New Relic.',
      format: 'string',
      default: undefined,
    },
    environment: {
      doc: 'The resource attribute `deployment.environment.name`, and `deployment.environment`, its older name.',
      format: 'string',
      default: undefined,
    },
    host_name: {
      doc: 'The resource attribute `host.name`.',
      format: 'string',
      default: undefined,
    },
    compression: {
      doc: 'How bodies are compressed; `zstd` needs Node 22.15 or newer.',
      format: ['gzip', 'zstd', 'none'],
      default: 'gzip',
    },
    ...httpSettings,
  },
  examples: [
    {
      title: 'To the United States; the key may also come from `NEW_RELIC_LICENSE_KEY`',
      yaml: 'newrelic_otlp: { api_key: 0123456789abcdef0123456789abcdefFFFFNRAL }',
    },
    {
      title: 'To Europe, as one service',
      yaml: `
newrelic_otlp:
  region: eu
  api_key: eu01xx0123456789abcdef0123456789abcdNRAL
  service_name: shop
  environment: production
`,
    },
  ],
  timeout: '30s',
  *check(config) {
    // It goes into a header as it is: printable ASCII without spaces.
    if (!/^[\x21-\x7e]+$/.test(config.api_key)) {
      yield {
        path: 'api_key',
        message: 'contains a character that is not allowed in a key, perhaps a space or a line break',
      }
    }
    const problem = compressionProblem(config.compression)
    if (problem !== undefined) yield { path: 'compression', message: problem }
    yield* checkEndpoint('endpoint', config.endpoint, { added: PATHS })
    yield* checkHttp(config)
  },
  create(context) {
    const { config } = context
    const otlp = otlpHttpExporter(context, {
      urls: urlsBelow(config.endpoint ?? ENDPOINTS[config.region]),
      encoding: 'proto',
      compression: config.compression,
      limits: LIMITS,
      headers: { 'api-key': config.api_key },
    })
    const own = Object.fromEntries(
      Object.entries({
        'service.name': config.service_name,
        'deployment.environment.name': config.environment,
        'deployment.environment': config.environment,
        'host.name': config.host_name,
      }).filter(([, value]) => value !== undefined),
    )
    if (Object.keys(own).length === 0) return otlp
    const owned = perResource((resource) => resource.withAttributes(resource.attributes.with(own)))
    return {
      ...otlp,
      encode: (batch, account) => otlp.encode(batch.mapResources(owned), account),
      *encodeInTurns(batch, account) {
        const changed = yield* inParts(batch, (part) => part.mapResources(owned), 'resources')
        return yield* otlp.encodeInTurns(changed, account)
      },
    }
  },
})
