import type Grpc from '@grpc/grpc-js'
import type { ChannelOptions, Client, Metadata, ServiceError } from '@grpc/grpc-js'
import protobuf from 'protobufjs/minimal.js'
import type { Context } from '../component/context.ts'
import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import { DeliveryError, divisible, errorMessage, permanent, retryable, unauthorized } from '../errors.ts'
import { LENGTH_DELIMITED } from '../otlp/wire/wire_format.ts'
import { logGrpc } from './grpc_log.ts'
import { checkOwnedHeaders } from './headers.ts'
import { watchPem } from './pem.ts'
import type { Pem } from './pem.ts'
import { grpcProxyFromEnvironment } from './proxy.ts'
import { checkTls, readTls, tlsSettings } from './tls.ts'

/** The settings of every component that sends over gRPC. */
export const grpcSettings = {
  endpoint: {
    doc: 'The receiver, as `host:port`. A leading `https://` turns TLS on and `http://` turns it off, whatever `tls.insecure` says.',
    format: 'string',
    default: null,
  },
  compression: {
    doc: 'How requests are compressed, if the receiver supports it.',
    format: ['gzip', 'none'],
    default: 'gzip',
  },
  tls: {
    insecure: {
      doc: 'Sends without TLS.',
      format: 'boolean',
      default: false,
    },
    ...tlsSettings,
  },
  headers: {
    doc: 'Sent as metadata with every request.',
    format: { map: 'string' },
    default: {},
    secret: true,
  },
  keepalive: {
    time: {
      doc: 'A connection on which nothing has arrived for this long is checked with a ping; `0s` means never.',
      format: 'duration',
      default: '10s',
    },
    timeout: {
      doc: "How long the answer to that ping may take before the connection is closed; `0s` means gRPC's default of 20 s.",
      format: 'duration',
      default: '10s',
    },
    permit_without_stream: {
      doc: 'Sends pings even while no request is in flight. Many servers close connections that ping often.',
      format: 'boolean',
      default: false,
    },
  },
  balancer_name: {
    doc: "Which of a name's addresses requests go to: all in turn (`round_robin`), or the first one that answers (`pick_first`).",
    format: ['round_robin', 'pick_first'],
    default: 'round_robin',
  },
  wait_for_ready: {
    doc: 'Lets a request wait for a connection until its `timeout`. Otherwise a request fails as soon as no connection can be made, and is retried.',
    format: 'boolean',
    default: false,
  },
  authority: {
    doc: "The receiver's name in requests, for proxies that route by it, if it differs from `endpoint`.",
    format: 'string',
    default: undefined,
  },
} as const satisfies Settings

type GrpcConfig = ConfigOf<typeof grpcSettings>

/** The rules of the gRPC settings that their formats cannot express. */
export function* checkGrpc({ endpoint, tls, headers }: GrpcConfig): Generator<Finding> {
  if (ENDPOINT.exec(endpoint) === null) {
    const [, base, slash] = /^((?:https?:\/\/)?(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?)(\/)/i.exec(endpoint) ?? []
    const path = slash === undefined ? '' : '; gRPC has no path'
    const isWhole = base !== undefined && ENDPOINT.test(base)
    yield {
      path: 'endpoint',
      message: `must be \`host:port\`, like \`collector.example.org:4317\`${path}`,
      ...(isWhole && { suggestion: base }),
    }
  }
  for (const [name, value] of Object.entries(headers)) {
    const path = `headers.${name}`
    if (!/^[\w.-]+$/.test(name) || name.toLowerCase().endsWith('-bin')) {
      yield {
        path,
        message: 'is not a name for text metadata: letters, digits, `_`, `.`, `-`, and not ending with `-bin`',
      }
    }
    if (!/^[\x20-\x7e]*$/.test(value)) yield { path, message: 'holds a character that is not printable ASCII' }
  }
  yield* checkOwnedHeaders(headers)
  yield* checkTls(tls)
}

const ENDPOINT = /^(?:(https?):\/\/|dns:\/\/\/)?((?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5})\/?$/i

/**
 * Calls a unary method, `/package.Service/Method`, with a message as bytes and resolves with the bytes of the answer.
 * Throws `retryable`, `permanent` or `divisible`, as the OTLP specification defines each status code.
 */
type UnaryCall = (method: string, message: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/**
 * Makes a client. gRPC is loaded and the connection opened with the first call, and closed when the component stops.
 * When its TLS files change, a new connection replaces the old one, on which the calls in progress still end.
 */
export function grpcClient(
  context: Pick<Context<GrpcConfig>, 'clock' | 'config' | 'log' | 'onStop' | 'signal'>,
): UnaryCall {
  const { config, onStop } = context
  let opened: Promise<Connection> | undefined
  onStop(async () => {
    const connection = await opened?.catch(() => undefined)
    connection?.client.close()
  })

  return async (method, message, signal) => {
    opened ??= open(context)
    let connection: Connection
    try {
      connection = await opened
    } catch (error) {
      opened = undefined
      throw error
    }
    const { client, metadata } = connection
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(method, asBuffer, asItIs, message, metadata, (error, answer) => {
        signal.removeEventListener('abort', cancel)
        if (error === null) resolve(answer ?? new Uint8Array())
        else reject(deliveryError(config.endpoint, error))
      })
      const cancel = (): void => call.cancel()
      signal.addEventListener('abort', cancel, { once: true })
      if (signal.aborted) cancel()
    })
  }
}

interface Connection {
  client: Client
  /** Sent with every call. */
  readonly metadata: Metadata
}

async function open({
  clock,
  config,
  log,
  signal,
}: Pick<Context<GrpcConfig>, 'clock' | 'config' | 'log' | 'signal'>): Promise<Connection> {
  // The default export, because a bundled CommonJS module has no named ones.
  const grpc = (await import('@grpc/grpc-js')).default
  logGrpc(grpc, { clock, log })
  const read = (): Promise<Pem> => readTls(config.tls)
  const pem = await read().catch((error: unknown) => {
    throw retryable(errorMessage(error), undefined, { reason: 'tls_files', cause: error })
  })
  const metadata = new grpc.Metadata({ waitForReady: config.wait_for_ready })
  for (const [name, value] of Object.entries(config.headers)) metadata.set(name, value)
  const connection = { client: makeClient(grpc, config, pem), metadata }
  watchPem(pem, { read, interval: config.tls.reload_interval, clock, log, signal }, (changed) => {
    const before = connection.client
    connection.client = makeClient(grpc, config, changed)
    before.close()
  })
  return connection
}

function makeClient(
  { Client, compressionAlgorithms, credentials }: typeof Grpc,
  { endpoint, tls, compression, keepalive, balancer_name: balancer, authority }: GrpcConfig,
  { ca, cert, key }: Pem,
): Client {
  const [, scheme, address] = ENDPOINT.exec(endpoint) as RegExpExecArray
  const plain = scheme === undefined ? tls.insecure : scheme.toLowerCase() === 'http'
  const { target, options } = route(address, authority)
  return new Client(
    target,
    plain
      ? credentials.createInsecure()
      : credentials.createSsl(ca, key, cert, { rejectUnauthorized: !tls.insecure_skip_verify }),
    {
      'grpc.primary_user_agent': 'heka-pipeline',
      'grpc.default_compression_algorithm': compressionAlgorithms[compression === 'gzip' ? 'gzip' : 'identity'],
      'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ [balancer]: {} }] }),
      'grpc.keepalive_permit_without_calls': keepalive.permit_without_stream ? 1 : 0,
      ...(keepalive.time > 0 ? { 'grpc.keepalive_time_ms': keepalive.time } : {}),
      ...(keepalive.timeout > 0 ? { 'grpc.keepalive_timeout_ms': keepalive.timeout } : {}),
      ...options,
      // The pipeline retries; a connection must be tried again no later than a request is.
      'grpc.enable_retries': 0,
      'grpc.max_reconnect_backoff_ms': 5000,
      'grpc.enable_channelz': 0,
    },
  )
}

/** The route to an address: direct, or through the proxy of the environment. @throws DeliveryError `retryable` */
function route(address: string, authority: string | undefined): { target: string; options: ChannelOptions } {
  const proxy = grpcProxyFromEnvironment(new URL(`https://${address}`))
  // grpc-js has rules of its own, and would choose another one.
  const options: ChannelOptions = { 'grpc.enable_http_proxy': 0 }
  if (authority !== undefined) options['grpc.default_authority'] = authority
  if (proxy === undefined) return { target: address, options }
  const { url, authorization } = proxy
  if (url.protocol !== 'http:') {
    throw retryable('gRPC goes through proxies with an http:// URL only.', undefined, { reason: 'proxy' })
  }
  options['grpc.http_connect_target'] = `dns:${address}`
  options['grpc.default_authority'] ??= address
  if (authorization !== undefined) options['grpc.http_connect_creds'] = userAndPassword(authorization)
  return { target: `dns:${url.hostname}:${url.port || 80}`, options }
}

function userAndPassword(authorization: string): string {
  return Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString('utf8')
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function asItIs(bytes: Buffer): Buffer {
  return bytes
}

/** Status codes after which the same request is sent again. Source: opentelemetry-proto, docs/specification.md, OTLP/gRPC response. */
const RETRYABLE = new Map([
  [1, 'grpc_cancelled'],
  [4, 'grpc_deadline_exceeded'],
  [10, 'grpc_aborted'],
  [11, 'grpc_out_of_range'],
  [14, 'grpc_unavailable'],
  [15, 'grpc_data_loss'],
])
/** PERMISSION_DENIED and UNAUTHENTICATED. */
const CREDENTIALS = [7, 16]
/** Retried only if the server says when; also the answer to a message beyond the server's limit. */
const RESOURCE_EXHAUSTED = 8

function deliveryError(endpoint: string, error: ServiceError): DeliveryError {
  const message = `gRPC to ${endpoint}: ${error.message}`
  const code: number = error.code
  const delay = retryDelay(error.metadata)
  const elsewhere = notOfGrpc(error)
  if (elsewhere !== undefined)
    return retryable(`${message} (${elsewhere})`, delay, { reason: 'not_grpc', cause: error })
  const reason = RETRYABLE.get(code)
  if (reason !== undefined) return retryable(message, delay, { reason, cause: error })
  if (CREDENTIALS.includes(code)) return unauthorized(message, delay, { cause: error })
  if (code === RESOURCE_EXHAUSTED) {
    if (delay !== undefined) return retryable(message, delay, { reason: 'grpc_resource_exhausted', cause: error })
    // In the words of grpc-js, grpc-go and the C core, and of grpc-java.
    if (/larger than|exceeds maximum size/i.test(error.details)) return divisible(message, { reason: 'too_large' })
  }
  return permanent(message, { reason: 'refused', cause: error })
}

/** The thing that answered instead of a gRPC server, by grpc-js's message, if there was one: its answer says nothing about the request. */
function notOfGrpc({ details }: ServiceError): string | undefined {
  if (/^Received HTTP status code 3\d\d$/.test(details))
    return 'gRPC follows no redirects; set the endpoint to the receiver'
  // Text in place of the length of a message; its four bytes make a larger number than any server accepts.
  const [, length] = /^Received message larger than max \((\d+) vs/.exec(details) ?? []
  return Number(length) >= 0x20202020 ? 'a text instead of an answer, perhaps a web page' : undefined
}

/**
 * The wait in milliseconds that a `google.rpc.RetryInfo` in the status asks for. Source: googleapis,
 * google/rpc/status.proto and error_details.proto; google/protobuf/any.proto and duration.proto.
 */
function retryDelay(metadata: Metadata | undefined): number | undefined {
  const [status] = metadata?.get('grpc-status-details-bin') ?? []
  if (status === undefined || typeof status === 'string') return undefined
  try {
    for (const detail of messagesOf(status, 3)) {
      const [typeUrl] = messagesOf(detail, 1)
      const [retryInfo] = messagesOf(detail, 2)
      if (typeUrl === undefined || !Buffer.from(typeUrl).toString().endsWith('/google.rpc.RetryInfo')) continue
      const [duration] = messagesOf(retryInfo ?? new Uint8Array(), 1)
      return duration === undefined ? undefined : milliseconds(duration)
    }
  } catch {
    // Not a google.rpc.Status: only the status code counts.
  }
  return undefined
}

/** The values of a field of messages, texts or bytes. */
function messagesOf(message: Uint8Array, field: number): Uint8Array[] {
  const reader = protobuf.Reader.create(message)
  const found: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === ((field << 3) | LENGTH_DELIMITED)) found.push(reader.bytes())
    else reader.skipType(tag & 7)
  }
  return found
}

function milliseconds(duration: Uint8Array): number {
  const reader = protobuf.Reader.create(duration)
  let [seconds, nanos] = [0, 0]
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 8) seconds = reader.int32()
    else if (tag === 16) nanos = reader.int32()
    else reader.skipType(tag & 7)
  }
  return Math.max(0, seconds * 1000 + nanos / 1e6)
}
