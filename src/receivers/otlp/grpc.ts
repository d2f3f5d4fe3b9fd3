import { constants } from 'node:http2'
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
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
  setLogger,
} from '@grpc/grpc-js'
import type { ServerInterceptingCallInterface, ServiceDefinition, StatusObject } from '@grpc/grpc-js'
import { logGrpc } from '../../net/grpc_log.ts'
import { services } from '../../otlp/services.ts'
import { signals } from '../../otlp/signals.ts'
import { maxMessages } from '../../otlp/wire/check.ts'
import { decompressed, deflate, gzip } from './body.ts'
import type { Coding } from './body.ts'
import { Gathered } from './gathered.ts'
import { Connections, GRACE, listen, secured } from './listen.ts'
import type { Listener, TlsServerConfig } from './listen.ts'
import {
  deliverRequest,
  encodeResponse,
  encodeStatus,
  noPipeline,
  reasons,
  Refusal,
  refuseConnection,
} from './refusal.ts'
import { refusedByPreface } from './refused_connection.ts'
import type { Receiving } from './receiving.ts'

export interface GrpcServerConfig {
  readonly endpoint: string
  readonly max_recv_msg_size_mib: number
  readonly max_concurrent_streams: number
  readonly read_timeout: number
  readonly tls: TlsServerConfig | undefined
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

/** Bytes that a call takes in addition to its message: its objects, its stream and its connection. */
const OVERHEAD = 48 * 1024

/** The message of a call until it is used: grpc-js keeps its messages for as long as the call lasts. */
interface HeldMessage {
  bytes: Buffer | undefined
  isTaken: boolean
  /** @throws Refusal */
  decompress: (wire: Buffer) => Buffer | Promise<Buffer>
  readonly connection: object
}

/** A service with its one method; messages are handed on unchanged. */
function definitionOf(path: string): ServiceDefinition {
  return {
    Export: {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  }
}

/** Serves OTLP over gRPC. Resolves when it listens. */
export async function serveGrpc(config: GrpcServerConfig, receiving: Receiving): Promise<Listener> {
  const { context, refused } = receiving
  logGrpc({ setLogger }, context)
  const connections = new Connections(receiving.maxConnections)
  const grpc = new GrpcServer({
    ...keepaliveOptions(config.keepalive.server_parameters),
    'grpc.max_concurrent_streams': config.max_concurrent_streams,
    'grpc.enable_channelz': 0,
    interceptors: [
      (_method, call) => {
        connections.used(call.getConnectionInfo())
        return admit(call, config, receiving)
      },
    ],
  })
  for (const { signal, method } of Object.values(services)) {
    grpc.addService(definitionOf(method), {
      Export(
        call: { request: HeldMessage },
        callback: (error: Partial<StatusObject> | null, response?: Buffer) => void,
      ) {
        const { connection, decompress } = call.request
        const bytes = take(call.request)
        const request = {
          connection,
          decompress() {
            if (!context.takes(signal)) throw noPipeline(signal)
            return decompress(bytes)
          },
          read: (message: Buffer) => signals[signal].fromOtlp(message, maxMessages(message.length)),
        }
        deliverRequest(request, context.deliver, 'grpc').then(
          (partialSuccess) => callback(null, Buffer.from(encodeResponse(partialSuccess))),
          (error: unknown) => callback(statusOf(refused('grpc', error))),
        )
      },
    })
  }
  // The sockets are ours, so that both protocols listen, use TLS and end in the same way.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  watch(grpc, receiving)
  // The first bytes show clients of other protocols; HTTP/2 reads them again.
  const inject = (socket: Socket): void => {
    socket.on('error', () => undefined)
    socket.setTimeout(config.keepalive.server_parameters.max_connection_idle, () => socket.destroy())
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null
      if (first === null) return void socket.destroy()
      connections.used(socket)
      const refusal = refusedByPreface(first, receiving.elsewhere)
      if (refusal !== undefined) return refuseConnection(socket, refused('grpc', refusal, socket.remoteAddress))
      socket.setTimeout(0)
      socket.unshift(first)
      injector.injectConnection(socket)
    })
  }
  const server: Server =
    config.tls === undefined
      ? createServer(inject)
      : await secured(config.tls, 'grpc', receiving, connections, (tls) =>
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
      // Node 24 reports a session as closed before its last frames are sent.
      await context.clock.sleep(FLUSH)
      await listener.destroy()
    },
  }
}

/** Milliseconds to send the last frames of a closed session. */
const FLUSH = 20

/** `0s` keeps grpc-js's own default, which is never. */
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

function take(message: HeldMessage): Buffer {
  const { bytes = NOTHING } = message
  message.isTaken = true
  message.bytes = undefined
  return bytes
}

const NOTHING = Buffer.alloc(0)

/** The prefix of a message: whether it is compressed, and its length. Source: gRPC over HTTP2, "Length-Prefixed-Message". */
const PREFIX = 5
const EMPTY_MESSAGE = Buffer.alloc(PREFIX)

/** Internal parts of grpc-js that are used here. */
interface Internals {
  readonly stream: ServerHttp2Stream
  /** The header `grpc-encoding`. */
  readonly incomingEncoding: string
}

/**
 * Reads the message of a call instead of grpc-js, which keeps an object for each frame, decompresses any number of
 * messages at once, and exposes neither; grpc-js is given an empty message. Ends a call that does not end in time.
 */
function admit(
  call: ServerInterceptingCallInterface,
  { max_recv_msg_size_mib: limit, read_timeout: readTimeout }: GrpcServerConfig,
  { admission, context: { clock }, refused }: Receiving,
): ServerInterceptingCall {
  const { stream, incomingEncoding } = call as unknown as Internals
  const admitted = admission.admit(OVERHEAD)
  const connection = stream.session ?? stream
  const message: HeldMessage = { bytes: undefined, isTaken: false, decompress: same, connection }
  const gathered = new Gathered()
  /** Frames that end within the prefix. */
  let early: Buffer = NOTHING
  /** Bytes of the message and its prefix. */
  let expected: number | undefined
  let over = false
  const late = (): void => refuse(new Refusal('too_slow', `The request did not arrive within ${readTimeout} ms.`))
  const timer = readTimeout === 0 ? undefined : clock.setTimeout(late, readTimeout)
  const complete = (): void => {
    clock.clearTimeout(timer)
    admission.arrived(admitted)
  }
  const refuse = (error: unknown): void => {
    over = true
    complete()
    gathered.clear()
    message.bytes = undefined
    call.sendStatus(statusOf(refused('grpc', error)))
    admission.answered(admitted)
    // Later data is of no use. Node 22.23 does not send the status if the stream is closed in the same turn.
    setImmediate(() => stream.close())
  }
  const gather = (frame: Buffer): void => {
    if (expected === undefined) {
      early = early.length === 0 ? frame : Buffer.concat([early, frame])
      if (early.length < PREFIX) {
        early = Buffer.from(early)
        return
      }
      expected = PREFIX + early.readUInt32BE(1)
      if (expected > PREFIX + limit * 2 ** 20) throw tooLarge(limit)
      checkFlag(early[0], incomingEncoding)
      frame = early
      // It would keep everything that came with it.
      early = NOTHING
    }
    gathered.add(frame)
    admission.hold(admitted, gathered.held)
    if (gathered.length < expected) return
    if (gathered.length > expected || message.bytes !== undefined) {
      throw new Refusal('malformed', 'The request has more than one message.')
    }
    const wire = gathered.take()
    message.bytes = wire.subarray(PREFIX)
    const coding = codings[incomingEncoding]
    if (wire[0] === 1 && coding !== undefined) {
      message.decompress = (compressed) =>
        decompressed(compressed, coding, {
          limit: limit * 2 ** 20,
          tooLarge: () => tooLarge(limit),
          hold: (bytes) => admission.hold(admitted, bytes),
        })
    }
    readFrame(EMPTY_MESSAGE)
  }
  const [readFrame] = stream.listeners('data') as ((frame: Buffer) => void)[]
  stream.off('data', readFrame)
  stream.on('data', (frame: Buffer) => {
    if (over) return admission.discard(frame.length)
    try {
      gather(frame)
    } catch (error) {
      refuse(error)
    }
  })
  admitted.giveWay = (refusal) => {
    refuse(refusal)
    // Connections take memory, too; its other calls still end.
    stream.session?.close()
  }
  admitted.giveUp = () => {
    if (stream.closed) stream.session?.destroy()
    else stream.close(constants.NGHTTP2_CANCEL)
  }
  stream.once('close', () => {
    complete()
    // A request that was handed on is answered when its fate is known.
    if (!message.isTaken) admission.answered(admitted)
    message.bytes = undefined
    gathered.clear()
    admission.leave(admitted)
  })
  const listener = new ServerListenerBuilder()
    .withOnReceiveMessage((_empty, next) => next(message))
    .withOnReceiveHalfClose((next) => {
      complete()
      // grpc-js would answer that there is no such method.
      if (message.bytes === undefined && !message.isTaken && !over) {
        const part = early.length > 0 || gathered.length > 0
        refuse(
          new Refusal(
            'malformed',
            part ? 'The request ends in the middle of its message.' : 'The request has no message.',
          ),
        )
      } else next()
    })
    .build()
  const responder = new ResponderBuilder()
    .withStart((next) => next(listener))
    .withSendMessage((answer, next) => {
      admission.answered(admitted)
      next(answer)
    })
    .withSendStatus((status, next) => {
      admission.answered(admitted)
      next(status)
    })
    .build()
  try {
    if (!names.includes(incomingEncoding)) {
      const taken = names.join(', ')
      throw new Refusal('unsupported_coding', `grpc-encoding must be one of ${taken}, not ${incomingEncoding}.`)
    }
    admission.hold(admitted, 0)
  } catch (error) {
    refuse(error)
  }
  return new ServerInterceptingCall(call, responder)
}

const codings: Readonly<Record<string, Coding | undefined>> = { gzip, deflate }

/** Source: gRPC over HTTP2, "Compressed-Flag"; compression.md, which names the code. @throws Refusal */
function checkFlag(flag: number, encoding: string): void {
  if (flag > 1) {
    throw new Refusal('wrong_compressed_flag', `The compressed flag of a message must be 0 or 1, not ${flag}.`)
  }
  if (flag === 1 && codings[encoding] === undefined) {
    const message =
      'The compressed flag of the message is 1, but there is no grpc-encoding that says how it is compressed.'
    throw new Refusal('wrong_compressed_flag', message)
  }
}

function tooLarge(limit: number): Refusal {
  return new Refusal('too_large', `The message is larger than max_recv_msg_size_mib, ${limit} MiB.`)
}

/** The message codings that are read, by name. */
const names = ['identity', ...Object.keys(codings)]

/** Source: gRPC over HTTP2, "Content-Type". */
const GRPC_TYPE = /^application\/grpc(?:$|[+;])/

/** Counts the requests that grpc-js and its HTTP/2 server refuse themselves. */
function watch(grpc: GrpcServer, { refused }: Receiving): void {
  // grpc-js exposes neither calls of unknown methods nor connections that fail; its HTTP/2 server does.
  const { http2Servers } = grpc as unknown as { http2Servers: Map<Http2Server, unknown> }
  for (const server of http2Servers.keys()) {
    server.prependListener('stream', (stream, headers) => {
      const { 'content-type': type = 'none' } = headers
      // grpc-js accepts every content type that begins like its own, also gRPC-Web, and answers others with 415.
      if (!GRPC_TYPE.test(type)) delete headers['content-type']
      stream.once('close', () => {
        const refusal = refusedByGrpc(stream, headers, type)
        if (refusal !== undefined) refused('grpc', refusal)
      })
    })
    server.on('session', (session) => {
      const { remoteAddress } = session.socket
      session.on('error', ({ code, message }: NodeJS.ErrnoException) => {
        if (code !== 'ERR_HTTP2_ERROR') return
        refused('grpc', new Refusal('malformed', `This is not HTTP/2: ${message}.`), remoteAddress)
      })
    })
  }
}

/** The refusal by grpc-js itself, which only shows in its answer; our own refusals have details. */
function refusedByGrpc(
  { sentHeaders, sentTrailers }: ServerHttp2Stream,
  { ':path': path }: IncomingHttpHeaders,
  type: string,
): Refusal | undefined {
  const {
    ':status': status,
    'grpc-status': code,
    'grpc-message': message,
    'grpc-status-details-bin': details,
  } = {
    ...sentHeaders,
    ...sentTrailers,
  }
  if (status === 415) return new Refusal('wrong_type', `content-type must be application/grpc, not ${type}.`)
  if (Number(code) !== UNIMPLEMENTED || details !== undefined) return undefined
  const methods = Object.values(services).map(({ method }) => method)
  if (!methods.includes(path ?? '')) {
    return new Refusal('not_found', `There is no method ${path}; the methods of OTLP are ${methods.join(', ')}.`)
  }
  return new Refusal('malformed', decodeURIComponent(String(message)))
}

/** The code for no such method and an unknown compression. */
const UNIMPLEMENTED = 12

function statusOf(refusal: Refusal): StatusObject {
  const metadata = new Metadata()
  if (refusal.reason === 'unsupported_coding') metadata.set('grpc-accept-encoding', names.join(','))
  metadata.set('grpc-status-details-bin', Buffer.from(encodeStatus(refusal)))
  return { code: reasons[refusal.reason].code, details: refusal.message, metadata }
}
