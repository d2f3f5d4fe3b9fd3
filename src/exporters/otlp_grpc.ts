import { defineComponent } from '../component/define.ts'
import type { ExportRequest } from '../component/exporter.ts'
import { UNREADABLE } from '../net/answer.ts'
import { checkGrpc, grpcClient, grpcSettings } from '../net/grpc_client.ts'
import { readAnswer, toOtlpRequests, toOtlpRequestsInTurns } from '../net/otlp_requests.ts'
import type { OtlpRequest } from '../net/otlp_requests.ts'
import { services } from '../otlp/services.ts'
import { throttled } from '../throttled.ts'

export default defineComponent({
  kind: 'exporter',
  type: 'otlp_grpc',
  aliases: ['otlp'],
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Sends metrics, logs and traces over OTLP/gRPC.',
  description: `
To any receiver of OTLP: an OpenTelemetry Collector, another heka-pipeline, a vendor. Data that no processor changed arrives
byte for byte as it came in. One of more than 20,000 data points goes out in several requests. TLS is used unless \`tls.insecure\` or \`http://\` in the endpoint says otherwise.

A request is sent again when it fails with one of the codes that the OTLP specification names (CANCELLED,
DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS), and with RESOURCE_EXHAUSTED if the receiver says when to
come back; its \`RetryInfo\` sets the wait. Any other code drops it, counted as \`refused\`. Data points that the
receiver rejects while it takes the rest (partial success) are counted as rejected.

A proxy is taken from the environment: \`grpc_proxy\`, \`https_proxy\` or \`http_proxy\`, except for this host and what \`no_grpc_proxy\` or
\`no_proxy\` names; all but those of gRPC also in capitals. [Configuration](../configuration.md#proxies) has the rules.
`,
  config: {
    ...grpcSettings,
    max_request_size: {
      doc: 'A batch of more bytes than this, before compression, is sent in several requests. The default is the default limit of gRPC servers.',
      format: 'bytes',
      default: '4MiB',
    },
  },
  examples: [
    {
      title: 'To a collector on the same host, without TLS',
      yaml: 'otlp_grpc: { endpoint: "localhost:4317", tls: { insecure: true } }',
    },
    {
      title: 'To a gateway with a client certificate and a token, by its older name',
      yaml: `
otlp/gateway:
  endpoint: gateway.example.org:4317
  headers: { authorization: "Bearer \${env:GATEWAY_TOKEN}" }
  tls:
    ca_file: /etc/ssl/example.org.pem
    cert_file: /etc/ssl/agent.pem
    key_file: /etc/ssl/agent.key
`,
    },
  ],
  *check(config) {
    if (config.max_request_size === 0) yield { path: 'max_request_size', message: 'must be at least 1B' }
    yield* checkGrpc(config)
  },
  create(context) {
    const call = grpcClient(context)
    const log = throttled(context.log, context.clock)
    const limits = { raw: context.config.max_request_size }
    // gRPC compresses the messages itself, in a way that the receiver says it can read.
    const options = { encoding: 'proto', compression: 'none', limits } as const
    return {
      encode: (batch, account) => toOtlpRequests(batch, options, account),
      encodeInTurns: (batch, account) => toOtlpRequestsInTurns(batch, options, account),
      async send(request: ExportRequest, signal: AbortSignal) {
        const otlp = request as OtlpRequest
        const answer = await call(services[otlp.signal].method, otlp.body, signal)
        const problem = await readAnswer(answer, 'protobuf', otlp, log)
        if (problem !== undefined) log.warn(UNREADABLE, { event: 'response_unreadable', error: problem })
      },
    }
  },
})
