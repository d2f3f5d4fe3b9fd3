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
Sends to any OTLP receiver: an OpenTelemetry Collector, another heka-pipeline, a vendor. Data that no processor changed arrives
byte for byte as it came in. A batch of more than 20,000 data points is sent in several requests. TLS is used unless
\`tls.insecure\` or \`http://\` in the endpoint says otherwise.

A request is retried if it fails with one of the codes that the OTLP specification names (CANCELLED, DEADLINE_EXCEEDED, ABORTED,
OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS), or with RESOURCE_EXHAUSTED if the receiver says how long to wait; its \`RetryInfo\` sets the
wait. With any other code it is dropped and counted as \`refused\`. Data points that the receiver rejects while accepting the rest
(partial success) are counted as rejected.

The proxy comes from the environment: \`grpc_proxy\`, \`https_proxy\` or \`http_proxy\`, except for this host and those that
\`no_grpc_proxy\` or \`no_proxy\` names. All names except those of gRPC may also be in capitals.
[Configuration](../configuration.md#proxies) has the rules.
`,
  config: {
    ...grpcSettings,
    max_request_size: {
      doc: 'A batch larger than this, before compression, is sent in several requests. The default is the usual limit of gRPC servers.',
      format: 'bytes',
      default: '4MiB',
    },
  },
  examples: [
    {
      title: 'To a Collector on the same host, without TLS',
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
