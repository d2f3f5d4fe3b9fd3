import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js'
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import { Arrivals } from './arrivals.ts'
import { cleanups } from './cleanups.ts'
import { ExportMetricsServiceResponse } from './otlp_proto.ts'

export interface GrpcRequest {
  /** Metadata by name. */
  readonly headers: Readonly<Record<string, unknown>>
  /** The message after decompression. */
  readonly raw: Buffer
  /** The status that was answered. */
  readonly code: number
}

/** What the receiver answers to one request instead of taking it whole. */
export interface GrpcAnswer {
  readonly code?: number
  readonly message?: string
  /** The `google.rpc.Status` with details, as bytes. */
  readonly details?: Buffer
  /** The `ExportMetricsServiceResponse` as bytes. */
  readonly body?: Uint8Array
  /** Never answers. */
  readonly hang?: boolean
}

export interface GrpcReceiver {
  readonly endpoint: string
  /** Every request that was read, in order, whatever was answered. */
  readonly requests: readonly GrpcRequest[]
  /** Answers the next requests with these, one each. */
  respondWith(...answers: readonly GrpcAnswer[]): void
  /** Resolves when `count` requests have come in all. */
  received(count: number): Promise<void>
  close(): Promise<void>
}

export interface GrpcReceiverOptions {
  /** Makes it ask for TLS; with `ca`, for a client certificate, too. */
  readonly tls?: { readonly ca?: Buffer; readonly cert: Buffer; readonly key: Buffer }
  /** Bytes of a message beyond which it is refused. Default: gRPC's. */
  readonly maxMessage?: number
  readonly port?: number
}

const asItIs = (bytes: Buffer): Buffer => bytes

/** Starts a real gRPC server that takes OTLP metrics, on the loopback interface only, until the test has ended. */
export async function startGrpcReceiver(options: GrpcReceiverOptions = {}): Promise<GrpcReceiver> {
  const requests = new Arrivals<GrpcRequest>()
  const answers: GrpcAnswer[] = []
  const { tls, maxMessage = 4 * 1024 * 1024, port = 0 } = options
  const server = new Server({ 'grpc.max_receive_message_length': maxMessage })
  server.addService(
    {
      export: {
        path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
        requestStream: false,
        responseStream: false,
        requestSerialize: asItIs,
        requestDeserialize: asItIs,
        responseSerialize: asItIs,
        responseDeserialize: asItIs,
      },
    },
    {
      export: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        const { code = 0, message = '', details, body, hang = false } = answers.shift() ?? {}
        requests.add({ headers: call.metadata.getMap(), raw: call.request, code })
        if (hang) return
        if (code === 0) {
          return callback(null, Buffer.from(body ?? ExportMetricsServiceResponse.encode({}).finish()))
        }
        const metadata = new Metadata()
        if (details !== undefined) metadata.set('grpc-status-details-bin', details)
        callback({ code, details: message, metadata })
      },
    },
  )
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(
          tls.ca ?? null,
          [{ private_key: tls.key, cert_chain: tls.cert }],
          tls.ca !== undefined,
        )
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  const close = async (): Promise<void> => server.forceShutdown()
  cleanups.push(close)
  return {
    endpoint: `127.0.0.1:${bound}`,
    requests: requests.all,
    received: (count) => requests.reached(count),
    respondWith: (...next) => void answers.push(...next),
    close,
  }
}
