import type { Client, Metadata, ServiceError } from '@grpc/grpc-js'
import protobuf from 'protobufjs/minimal.js'
import type { ConfigOf, Context, Finding, Settings } from '../component.ts'
import { DeliveryError, divisible, errorMessage, permanent, retryable } from '../errors.ts'
import { checkOwnedHeaders } from './headers.ts'
import { checkTls, readTlsFiles, tlsSettings } from './tls.ts'

/** The settings of every component that sends over gRPC. */
export const grpcSettings = {
  endpoint: {
    doc: 'The receiver, as `host:port`. With `https://` before it TLS is used, with `http://` it is not, whatever `tls.insecure` says.',
    format: 'string',
    default: null,
  },
  compression: {
    doc: 'How requests are compressed, if the receiver can read that.',
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
} as const satisfies Settings

export type GrpcConfig = ConfigOf<typeof grpcSettings>

/** The rules of the gRPC settings that their formats cannot say. */
export function* checkGrpc({ endpoint, tls, headers }: GrpcConfig): Generator<Finding> {
  if (ENDPOINT.exec(endpoint) === null) {
    yield { path: 'endpoint', message: 'must be `host:port`, like `collector.example.org:4317`' }
  }
  for (const [name, value] of Object.entries(headers)) {
    const path = `headers.${name}`
    if (!/^[\w.-]+$/.test(name) || name.toLowerCase().endsWith('-bin')) {
      yield {
        path,
        message: 'is no name for text metadata: letters, digits, `_`, `.`, `-`, and not ending with `-bin`',
      }
    }
    if (!/^[\x20-\x7e]*$/.test(value)) yield { path, message: 'holds a character that is not printable ASCII' }
  }
  yield* checkOwnedHeaders(headers)
  yield* checkTls(tls)
}

const ENDPOINT = /^(?:(https?):\/\/|dns:\/\/\/)?((?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5})\/?$/i

/**
 * Calls one unary method with a message as bytes and resolves with the bytes of the answer. Throws `retryable`,
 * `permanent` or `divisible`, by what the OTLP specification says of each status code.
 */
export type UnaryCall = (message: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/**
 * Makes the client of one method, `/package.Service/Method`. gRPC is loaded and the connection opened with the first call,
 * and closed when the component stops.
 */
export function grpcClient(
  { config, onStop }: Pick<Context<GrpcConfig>, 'config' | 'onStop'>,
  method: string,
): UnaryCall {
  let opened: Promise<{ client: Client; metadata: Metadata }> | undefined
  onStop(async () => {
    const connection = await opened?.catch(() => undefined)
    connection?.client.close()
  })

  return async (message, signal) => {
    opened ??= open(config)
    let connection
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

async function open({
  endpoint,
  tls,
  compression,
  headers,
}: GrpcConfig): Promise<{ client: Client; metadata: Metadata }> {
  // The default export, because a bundled CommonJS module has no other.
  const { Client, compressionAlgorithms, credentials, Metadata } = (await import('@grpc/grpc-js')).default
  const { ca, cert, key } = await readTlsFiles(tls).catch((error: unknown) => {
    throw retryable(errorMessage(error), undefined, { reason: 'tls_files', cause: error })
  })
  const [, scheme, target] = ENDPOINT.exec(endpoint) as RegExpExecArray
  const plain = scheme === undefined ? tls.insecure : scheme.toLowerCase() === 'http'
  const client = new Client(
    target,
    plain
      ? credentials.createInsecure()
      : credentials.createSsl(ca, key, cert, { rejectUnauthorized: !tls.insecure_skip_verify }),
    {
      'grpc.primary_user_agent': 'heka-pipeline',
      'grpc.default_compression_algorithm': compressionAlgorithms[compression === 'gzip' ? 'gzip' : 'identity'],
      // The pipeline retries; a connection must be tried again no later than a request is.
      'grpc.enable_retries': 0,
      'grpc.max_reconnect_backoff_ms': 5000,
      'grpc.enable_channelz': 0,
    },
  )
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return { client, metadata }
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
/** Retried only where the server says when; also the answer to a message beyond the server's limit. */
const RESOURCE_EXHAUSTED = 8

function deliveryError(endpoint: string, error: ServiceError): DeliveryError {
  const message = `gRPC to ${endpoint}: ${error.message}`
  const code: number = error.code
  const delay = retryDelay(error.metadata)
  const reason = RETRYABLE.get(code)
  if (reason !== undefined) return retryable(message, delay, { reason, cause: error })
  if (code === RESOURCE_EXHAUSTED) {
    if (delay !== undefined) return retryable(message, delay, { reason: 'grpc_resource_exhausted', cause: error })
    // In the words of grpc-js, grpc-go and the C core, and of grpc-java.
    if (/larger than|exceeds maximum size/i.test(error.details)) return divisible(message, { reason: 'too_large' })
  }
  return permanent(message, { reason: 'refused', cause: error })
}

/**
 * The milliseconds to wait that a `google.rpc.RetryInfo` in the status asks for. Source: googleapis, google/rpc/status.proto
 * and error_details.proto; google/protobuf/any.proto and duration.proto.
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
    // Not a google.rpc.Status: the status code alone counts.
  }
  return undefined
}

/** The values of a field of messages, texts or bytes. */
function messagesOf(message: Uint8Array, field: number): Uint8Array[] {
  const reader = protobuf.Reader.create(message)
  const found: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === ((field << 3) | 2)) found.push(reader.bytes())
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
