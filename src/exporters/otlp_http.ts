import { defineComponent } from '../component/define.ts'
import { checkEndpoint, checkHttp, httpSettings } from '../net/http_client.ts'
import { compressionProblem } from '../net/compression.ts'
import { otlpHttpExporter, PATHS, urlsBelow } from '../net/otlp_sender.ts'
import type { Signal } from '../otlp/signal.ts'

const endpointOf = <const S extends Signal>(signal: S) =>
  ({
    doc: `The whole URL to send ${signal} to, used as it stands; it wins over \`endpoint\`.`,
    format: 'url',
    default: undefined,
  }) as const

/** The URLs that are set for one signal alone. */
function ownUrls(config: {
  readonly metrics_endpoint: string | undefined
  readonly logs_endpoint: string | undefined
  readonly traces_endpoint: string | undefined
}): Readonly<Record<Signal, string | undefined>> {
  return { metrics: config.metrics_endpoint, logs: config.logs_endpoint, traces: config.traces_endpoint }
}

export default defineComponent({
  kind: 'exporter',
  type: 'otlp_http',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Sends metrics, logs and traces over OTLP/HTTP.',
  description: `
Sends to any OTLP receiver: an OpenTelemetry Collector, another heka-pipeline, a vendor. With \`encoding: proto\`, data that no
processor changed arrives byte for byte as it came in. A batch of 5,000 data points or more is sent in requests of at most 20,000
data points, or 5,000 as JSON.

A request that is answered with 429, 502, 503 or 504, or not at all, is retried, after the time in the answer's \`Retry-After\`. So
is a request that is answered with a web page, or with a redirect to another host or scheme. 413 divides a request. With any other
answer that is not a success, it is dropped and counted as \`refused\`. Data points that the receiver rejects while accepting the
rest (partial success) are counted as rejected.
`,
  config: {
    endpoint: {
      doc: 'The base URL of the receiver; `/v1/metrics`, `/v1/logs` or `/v1/traces` is added to it.',
      format: 'url',
      default: undefined,
    },
    metrics_endpoint: endpointOf('metrics'),
    logs_endpoint: endpointOf('logs'),
    traces_endpoint: endpointOf('traces'),
    encoding: {
      doc: 'How requests are encoded: protobuf (`proto`), or OTLP/JSON (`json`), which takes several times the bytes and the CPU time.',
      format: ['proto', 'json'],
      default: 'proto',
    },
    compression: {
      doc: 'How bodies are compressed; `zstd` needs Node 22.15 or newer.',
      format: ['gzip', 'zstd', 'deflate', 'none'],
      default: 'gzip',
    },
    max_request_size: {
      doc: 'A batch larger than this, before compression, is sent in several requests. The default is the limit of the OpenTelemetry Collector.',
      format: 'bytes',
      default: '20MiB',
    },
    ...httpSettings,
  },
  examples: [
    { title: 'To a Collector on the same host', yaml: 'otlp_http: { endpoint: "http://localhost:4318" }' },
    {
      title: 'To a gateway with a token and a private authority',
      yaml: `
otlp_http/gateway:
  endpoint: https://gateway.example.org:4318
  headers: { authorization: "Bearer \${env:GATEWAY_TOKEN}" }
  tls: { ca_file: /etc/ssl/example.org.pem }
`,
    },
    {
      title: 'As JSON to an address of its own',
      yaml: 'otlp_http: { metrics_endpoint: "https://example.org/ingest/otlp", encoding: json }',
    },
  ],
  timeout: '30s',
  *check(config) {
    if (config.endpoint === undefined && Object.values(ownUrls(config)).every((url) => url === undefined)) {
      yield {
        path: 'endpoint',
        message: 'is required, or one of metrics_endpoint, logs_endpoint and traces_endpoint instead',
      }
    }
    if (config.max_request_size === 0) yield { path: 'max_request_size', message: 'must be at least 1B' }
    const problem = compressionProblem(config.compression)
    if (problem !== undefined) yield { path: 'compression', message: problem }
    yield* checkEndpoint('endpoint', config.endpoint, { added: PATHS, wholeSetting: 'metrics_endpoint' })
    for (const [signal, url] of Object.entries(ownUrls(config))) {
      yield* checkEndpoint(`${signal}_endpoint`, url, { whole: true })
    }
    yield* checkHttp(config)
  },
  create(context) {
    const { config } = context
    const { endpoint, encoding, compression, max_request_size: raw } = config
    const own = Object.entries(ownUrls(config)).filter(([, url]) => url !== undefined)
    const urls = { ...(endpoint !== undefined && urlsBelow(endpoint)), ...Object.fromEntries(own) }
    return otlpHttpExporter(context, { urls, encoding, compression, limits: { raw } })
  },
})
