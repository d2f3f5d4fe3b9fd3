import type { ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { createServer as createSecureServer } from 'node:tls'
import {
  Metadata,
  Server as GrpcServer,
  ServerCredentials,
  ServerInterceptingCall,
  ServerListenerBuilder,
  ResponderBuilder,
} from '@grpc/grpc-js'
import type { ServerInterceptingCallInterface, ServiceDefinition, StatusObject } from '@grpc/grpc-js'
import { MetricBatch } from '../../otlp/batch.ts'
import { Connections, GRACE, listen, secured } from './listen.ts'
import type { Listener, TlsConfig } from './listen.ts'
import { deliverRequest, encodeResponse, encodeStatus, reasons, Refusal } from './refusal.ts'
import type { Reason } from './refusal.ts'
import type { Receiving } from './serve.ts'

export interface GrpcConfig {
  readonly endpoint: string
  readonly max_recv_msg_size_mib: number
  readonly max_concurrent_streams: number
  readonly read_timeout: number
  readonly tls: TlsConfig | undefined
  readonly keepalive: { readonly server_parameters: KeepaliveConfig }
}

interface KeepaliveConfig {
  readonly max_connection_idle: number
  readonly max_connection_age: number
  readonly max_connection_age_grace: number
  readonly time: number
  readonly timeout: number
}

const same = (bytes: Buffer): Buffer => bytes

/** The one method there is; its messages are handed on as they come. Source: collector/metrics/v1/metrics_service.proto. */
const service: ServiceDefinition = {
  Export: {
    path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
}

/** Serves OTLP over gRPC. Resolves when it listens. */
export async function serveGrpc(config: GrpcConfig, receiving: Receiving): Promise<Listener> {
  const { context, refused } = receiving
  const connections = new Connections(receiving.maxConnections)
  const grpc = new GrpcServer({
    ...keepaliveOptions(config.keepalive.server_parameters),
    'grpc.max_receive_message_length': config.max_recv_msg_size_mib * 2 ** 20,
    'grpc.max_concurrent_streams': config.max_concurrent_streams,
    'grpc.enable_channelz': 0,
    interceptors: [
      (_method, call) => {
        connections.used(call.getConnectionInfo())
        return admit(call, config, receiving)
      },
    ],
  })
  grpc.addService(service, {
    Export(call: { request: Buffer }, callback: (error: Partial<StatusObject> | null, response?: Buffer) => void) {
      deliverRequest(() => MetricBatch.fromOtlp(call.request), context.deliver, 'grpc').then(
        (partialSuccess) => callback(null, Buffer.from(encodeResponse(partialSuccess))),
        (error: unknown) => callback(statusOf(refused('grpc', error))),
      )
    },
  })
  // The sockets are ours, so that both protocols listen, speak TLS and end in the same way.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const inject = (socket: Socket): void => injector.injectConnection(socket)
  const server: Server =
    config.tls === undefined
      ? createServer(inject)
      : await secured(config.tls, 'grpc', context, (tls) =>
          createSecureServer({ ...tls, ALPNProtocols: ['h2'] }, inject),
        )
  const listener = await listen(server, config.endpoint, 'grpc', connections, receiving)
  let drained: Promise<void> | undefined
  return {
    close() {
      listener.close()
      drained = new Promise((resolve) => grpc.tryShutdown(() => resolve()))
    },
    async destroy() {
      // The last answers may still be on their way to a socket.
      const late = context.clock.setTimeout(() => grpc.forceShutdown(), GRACE)
      await drained
      context.clock.clearTimeout(late)
      // Node 24 says that a session is closed before its last frames are out.
      await context.clock.sleep(FLUSH)
      await listener.destroy()
    },
  }
}

/** Milliseconds that the last frames of a closed session have to get out. */
const FLUSH = 20

/** `0s` means that grpc-js's own default, never, stays. */
function keepaliveOptions(keepalive: KeepaliveConfig): Record<string, number> {
  const options = {
    'grpc.max_connection_idle_ms': keepalive.max_connection_idle,
    'grpc.max_connection_age_ms': keepalive.max_connection_age,
    'grpc.max_connection_age_grace_ms': keepalive.max_connection_age_grace,
    'grpc.keepalive_time_ms': keepalive.time,
    'grpc.keepalive_timeout_ms': keepalive.timeout,
  }
  return Object.fromEntries(Object.entries(options).filter(([, milliseconds]) => milliseconds > 0))
}

/** Counts the bytes of a call as they come, and ends one that does not come to its end in time. */
function admit(
  call: ServerInterceptingCallInterface,
  { read_timeout: readTimeout }: GrpcConfig,
  { admission, context: { clock }, refused }: Receiving,
): ServerInterceptingCall {
  // grpc-js shows an interceptor whole messages only; the bytes on their way are seen on the stream that it reads.
  const { stream } = call as unknown as { stream: ServerHttp2Stream }
  const admitted = admission.admit()
  const hold = (bytes: number): boolean => {
    try {
      admission.hold(admitted, bytes)
      return true
    } catch (error) {
      refuse(error)
      return false
    }
  }
  const count = (chunk: Buffer): void => void hold(admitted.held + chunk.length)
  const late = (): void => refuse(new Refusal('too_slow', `The request did not arrive within ${readTimeout} ms.`))
  const timer = readTimeout === 0 ? undefined : clock.setTimeout(late, readTimeout)
  const complete = (): void => {
    clock.clearTimeout(timer)
    stream.off('data', count)
    admission.arrived(admitted)
  }
  const refuse = (error: unknown): void => {
    complete()
    call.sendStatus(statusOf(refused('grpc', error)))
    // Else what has come of the message would stay for as long as its client likes.
    stream.close()
  }
  admitted.giveWay = refuse
  stream.on('data', count)
  stream.once('close', () => {
    complete()
    admission.leave(admitted)
    const unseen = refusedByGrpc(stream)
    if (unseen !== undefined) refused('grpc', unseen)
  })
  const listener = new ServerListenerBuilder()
    .withOnReceiveMessage((message: Buffer, next) => {
      if (hold(message.length)) next(message)
    })
    .withOnReceiveHalfClose((next) => {
      complete()
      next()
    })
    .build()
  hold(0)
  return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build())
}

/** What grpc-js refused by itself, which shows only in what it has sent; our own refusals have details. */
function refusedByGrpc({ sentHeaders, sentTrailers }: ServerHttp2Stream): Refusal | undefined {
  const {
    'grpc-status': code,
    'grpc-message': message,
    'grpc-status-details-bin': details,
  } = {
    ...sentHeaders,
    ...sentTrailers,
  }
  const reason = REFUSED_BY_GRPC[Number(code)]
  if (reason === undefined || details !== undefined) return undefined
  return new Refusal(reason, decodeURIComponent(String(message)))
}

/** By code: a message that is too large, an unknown compression or no single message, what cannot be decompressed. */
const REFUSED_BY_GRPC: Readonly<Record<number, Reason>> = { 8: 'too_large', 12: 'malformed', 13: 'malformed' }

function statusOf(refusal: Refusal): StatusObject {
  const metadata = new Metadata()
  metadata.set('grpc-status-details-bin', Buffer.from(encodeStatus(refusal)))
  return { code: reasons[refusal.reason].code, details: refusal.message, metadata }
}
