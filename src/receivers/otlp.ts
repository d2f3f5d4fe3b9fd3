import { Observable } from 'rxjs'
import { defineComponent } from '../component/define.ts'
import type { Finding } from '../component/settings.ts'
import { reloadInterval } from '../net/pem.ts'
import { serve } from './otlp/serve.ts'

const tls = {
  doc: 'Requires clients to connect with TLS.',
  format: {
    settings: {
      cert_file: { doc: 'The certificate (PEM) to show to clients.', format: 'path', default: null },
      key_file: { doc: 'The key (PEM) of `cert_file`.', format: 'path', default: null },
      client_ca_file: {
        doc: 'Certificates (PEM) of the authorities for client certificates; only clients with a certificate from one of them may connect.',
        format: 'path',
        default: undefined,
      },
      min_version: { doc: 'The oldest version of TLS that is accepted.', format: ['1.2', '1.3'], default: '1.2' },
      reload_interval: reloadInterval,
    },
  },
  default: undefined,
} as const

/** The built file, even if this file is not built: both are one folder deep in the package. */
const JSON_THREAD = new URL('../../dist/receivers/otlp/json_thread.js', import.meta.url)

export default defineComponent({
  kind: 'receiver',
  type: 'otlp',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Receives metrics, logs and traces over OTLP, the protocol of OpenTelemetry, by HTTP and gRPC.',
  description: `A signal is received if a pipeline of that signal uses this receiver; requests of other signals are answered with 404
(\`UNIMPLEMENTED\`).

A request is answered when its data is accepted: 200 (gRPC: \`OK\`) means that a sending queue has it. If no queue can take it, the
answer is 503 with \`Retry-After\` (\`UNAVAILABLE\` with \`RetryInfo\`), and the client keeps its data. Data that is not OTLP is refused
with 400 (\`INVALID_ARGUMENT\`), and a body that is too large with 413 (\`RESOURCE_EXHAUSTED\`). A request is also refused with 400 if
it has more than a million messages (resources, scopes, metrics, data points, attributes and so on) and more than one for every 8
bytes.

If a client does not read its answer within 10 seconds, or within a second when the receiver stops, its stream (gRPC) or
connection is closed.

Over HTTP a body is protobuf (\`application/x-protobuf\`) or JSON (\`application/json\`), plain or compressed with gzip (or \`x-gzip\`),
deflate (or \`zlib\`) or, from Node 22.15 on, zstd; over gRPC a message is plain or compressed with gzip or deflate.

Refused requests are counted as [\`refused_requests\`](../telemetry.md#requests-that-were-refused) by protocol and reason, and so
are connections without a request: a client at the port of the other protocol, or one that does not accept the certificate. The
log names the likely cause once a minute.`,
  config: {
    protocols: {
      grpc: {
        doc: 'Receives OTLP over gRPC; `grpc:` alone uses the defaults.',
        format: {
          settings: {
            endpoint: {
              doc: 'The address to listen on, `host:port`. `0.0.0.0:4317` accepts connections from everywhere; with port 0 the system chooses one, which is logged.',
              format: 'address',
              default: 'localhost:4317',
            },
            max_recv_msg_size_mib: {
              doc: 'The largest request in MiB, on the wire and decompressed.',
              format: 'nat',
              default: 4,
            },
            max_concurrent_streams: {
              doc: 'How many requests may be in flight at once on one connection.',
              format: 'nat',
              default: 100,
            },
            read_timeout: {
              doc: 'How long a client may take to send a request; `0s` means no limit.',
              format: 'duration',
              default: '1m',
            },
            tls,
            keepalive: {
              server_parameters: {
                max_connection_idle: {
                  doc: 'A connection without requests is closed after this time; `0s` means never.',
                  format: 'duration',
                  default: '5m',
                },
                max_connection_age: {
                  doc: 'A connection is closed after this time, so that clients spread again over the servers behind a load balancer; `0s` means never.',
                  format: 'duration',
                  default: '0s',
                },
                max_connection_age_grace: {
                  doc: 'How long requests may still take on a connection that has reached its maximum age; `0s` means no limit.',
                  format: 'duration',
                  default: '0s',
                },
                time: {
                  doc: 'A connection without traffic for this long is checked with a ping; `0s` means never.',
                  format: 'duration',
                  default: '2h',
                },
                timeout: {
                  doc: 'How long the answer to that ping may take before the connection is closed.',
                  format: 'duration',
                  default: '20s',
                },
              },
            },
          },
        },
        default: undefined,
      },
      http: {
        doc: 'Receives OTLP over HTTP; `http:` alone uses the defaults.',
        format: {
          settings: {
            endpoint: {
              doc: 'The address to listen on, `host:port`. `0.0.0.0:4318` accepts connections from everywhere; with port 0 the system chooses one, which is logged.',
              format: 'address',
              default: 'localhost:4318',
            },
            metrics_url_path: {
              doc: 'The path of the URL to send metrics to.',
              format: 'string',
              default: '/v1/metrics',
            },
            logs_url_path: { doc: 'The path of the URL to send logs to.', format: 'string', default: '/v1/logs' },
            traces_url_path: { doc: 'The path of the URL to send traces to.', format: 'string', default: '/v1/traces' },
            max_request_body_size: {
              doc: 'The largest body, on the wire and decompressed.',
              format: 'bytes',
              default: '20MiB',
            },
            read_header_timeout: {
              doc: 'How long a client may take to connect and send the headers of a request; `0s` means no limit.',
              format: 'duration',
              default: '1m',
            },
            read_timeout: {
              doc: 'How long a client may take to send a request, body included; `0s` means no limit.',
              format: 'duration',
              default: '1m',
            },
            idle_timeout: {
              doc: 'How long a connection may wait for its next request; `0s` means no limit.',
              format: 'duration',
              default: '1m',
            },
            tls,
            cors: {
              doc: 'Allows pages in browsers to send, with or without credentials. Without it, they cannot.',
              format: {
                settings: {
                  allowed_origins: {
                    doc: 'The allowed origins, such as `https://*.example.com`; `*` matches any text.',
                    format: { list: 'string' },
                    default: [],
                  },
                  allowed_headers: {
                    doc: 'Headers that pages may send in addition to those of OTLP; `*` allows any.',
                    format: { list: 'string' },
                    default: [],
                  },
                  max_age: {
                    doc: 'How long a browser may cache the answer to its preflight request; `0s` leaves it to the browser.',
                    format: 'duration',
                    default: '0s',
                  },
                },
              },
              default: undefined,
            },
          },
        },
        default: undefined,
      },
    },
    admission: {
      request_limit_mib: {
        doc: 'MiB of memory for all requests together: one and a half times their bodies, and 24 KiB (gRPC: 48 KiB) for each request. Beyond it, the requests that have waited longest for their clients are refused, so that the clients send them again, and their connections are closed.',
        format: 'nat',
        default: 128,
      },
      max_connections: {
        doc: 'The most open connections for each protocol, at least 1. Beyond it, the connection whose last request was longest ago is closed.',
        format: 'nat',
        default: 10_000,
      },
    },
  },
  examples: [
    {
      title: 'From applications on the same host',
      yaml: 'otlp: { protocols: { grpc: , http: } }',
    },
    {
      title: 'From everywhere, over TLS and only from clients with a certificate',
      yaml: `otlp:
  protocols:
    grpc:
      endpoint: 0.0.0.0:4317
      tls: { cert_file: server.pem, key_file: server.key, client_ca_file: clients.pem }`,
    },
    {
      title: 'From pages in browsers',
      yaml: `otlp:
  protocols:
    http:
      endpoint: 0.0.0.0:4318
      cors: { allowed_origins: ['https://*.example.com'], max_age: 2h }`,
    },
  ],
  *check({ protocols, admission }): Generator<Finding> {
    if (Object.values(protocols).every((protocol) => protocol === undefined)) {
      yield { path: 'protocols', message: `needs at least one of ${Object.keys(protocols).join(', ')}` }
    }
    if (admission.max_connections === 0) yield { path: 'admission.max_connections', message: 'must be at least 1' }
    const { grpc, http } = protocols
    const shared = 'must be at most admission.request_limit_mib, which all requests share'
    if (grpc !== undefined && grpc.max_recv_msg_size_mib > admission.request_limit_mib) {
      yield { path: 'protocols.grpc.max_recv_msg_size_mib', message: shared }
    }
    if (http !== undefined) {
      const paths = [http.metrics_url_path, http.logs_url_path, http.traces_url_path]
      for (const [index, name] of ['metrics_url_path', 'logs_url_path', 'traces_url_path'].entries()) {
        const path = `protocols.http.${name}`
        if (!paths[index].startsWith('/')) yield { path, message: 'must start with `/`' }
        else if (paths.indexOf(paths[index]) < index)
          yield { path, message: 'must differ from the paths of the other signals' }
      }
    }
    if (http !== undefined && http.max_request_body_size > admission.request_limit_mib * 2 ** 20) {
      yield { path: 'protocols.http.max_request_body_size', message: shared }
    }
  },
  create: (context) =>
    new Observable<never>((subscriber) => {
      serve(context, JSON_THREAD, (error) => subscriber.error(error))
    }),
})
