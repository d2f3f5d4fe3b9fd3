import { createServer } from 'node:http'
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import { readTarget } from '../../net/target.ts'
import { services } from '../../otlp/services.ts'
import type { OtlpService } from '../../otlp/services.ts'
import { signals } from '../../otlp/signals.ts'
import { maxMessages } from '../../otlp/wire/check.ts'
import { matchesWildcards } from '../../text/match.ts'
import type { Admitted } from './admission.ts'
import { contentCodings, readBody } from './body.ts'
import { readJson } from './json_body.ts'
import { LARGE } from './large_json.ts'
import { Connections, listen, secured } from './listen.ts'
import type { Listener, TlsServerConfig } from './listen.ts'
import {
  deliverRequest,
  encodeResponse,
  encodeStatus,
  noPipeline,
  reasons,
  Refusal,
  refuseConnection,
  responseJson,
  statusJson,
} from './refusal.ts'
import type { PartialSuccess } from './refusal.ts'
import { refusedByNode } from './refused_connection.ts'
import type { ClientError } from './refused_connection.ts'
import type { Receiving } from './receiving.ts'

export interface HttpServerConfig {
  readonly endpoint: string
  readonly metrics_url_path: string
  readonly logs_url_path: string
  readonly traces_url_path: string
  readonly max_request_body_size: number
  readonly read_header_timeout: number
  readonly read_timeout: number
  readonly idle_timeout: number
  readonly tls: TlsServerConfig | undefined
  readonly cors: CorsConfig | undefined
}

interface CorsConfig {
  readonly allowed_origins: readonly string[]
  readonly allowed_headers: readonly string[]
  readonly max_age: number
}

/** Bytes that a request takes in addition to its body: its objects, its connection and the text of its headers. */
const OVERHEAD = 24 * 1024
/** Bytes that the objects for the name or the value of a header take. */
const HEADER_OVERHEAD = 64

/** Requests that a connection may send at once. Clients send one, or a few, before they read an answer. */
const MAX_AT_ONCE = 100

const PROTOBUF = 'application/x-protobuf'
const JSON_TYPE = 'application/json'

/** A request and its answer. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly admitted: Admitted
}

/** Serves OTLP over HTTP. Resolves when it listens. */
export async function serveHttp(config: HttpServerConfig, receiving: Receiving): Promise<Listener> {
  const { admission, context, largeJson, refused } = receiving
  const connections = new Connections(receiving.maxConnections)
  /** The latest request of each connection. */
  const exchanges = new WeakMap<Socket, Exchange>()
  /** The requests of a connection in the piece of 64 KiB that is being read: no promise goes on before its end. */
  const atOnce = new Map<Socket, number>()
  const timeouts = [config.read_timeout, config.read_header_timeout].filter((timeout) => timeout > 0)
  const options: ServerOptions = {
    // Node requires it to be at most the time for the whole request.
    headersTimeout: config.read_header_timeout === 0 ? 0 : Math.min(...timeouts),
    requestTimeout: config.read_timeout,
    keepAliveTimeout: config.idle_timeout,
    connectionsCheckingInterval: Math.max(100, Math.min(...timeouts, 10_000) / 4),
    // Otherwise Node would answer itself, and the refusal would not be counted.
    requireHostHeader: false,
  }
  const handler = (request: IncomingMessage, response: ServerResponse): void => void handle(request, response)
  const server: Server =
    config.tls === undefined
      ? createServer(options, handler)
      : await secured(config.tls, 'http', receiving, connections, (tls) =>
          createSecureServer({ ...options, ...tls }, handler),
        )
  // Requests that Node would answer itself, or not at all: an unknown `Expect`, CONNECT, and invalid requests.
  server.on('checkExpectation', handler)
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    const refusal = new Refusal('wrong_method', 'OTLP is sent with POST, not CONNECT.')
    refuseConnection(socket, refused('http', refusal, socket.remoteAddress))
  })
  server.on('clientError', fail)
  return listen(server, config.endpoint, 'http', connections, receiving)

  /** Ends a connection with an invalid or incomplete request. */
  function fail(error: ClientError, socket: Socket): void {
    const refusal = refusedByNode(error, socket, receiving.elsewhere)
    if (refusal === undefined) return void socket.destroy()
    connections.used(socket)
    const exchange = exchanges.get(socket)
    if (exchange === undefined || exchange.request.complete) {
      refuseConnection(socket, refused('http', refusal, socket.remoteAddress))
    } else if (exchange.response.headersSent) {
      // It was refused before its body was complete.
      socket.destroy()
    } else {
      exchange.response.shouldKeepAlive = false
      exchange.admitted.giveWay(refusal)
    }
  }

  /** Answers one request. Never rejects. */
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request
    // The rest of what was read of a connection that was closed.
    if (socket.destroyed) return
    connections.used(socket)
    if (atOnce.size === 0) queueMicrotask(() => atOnce.clear())
    const before = atOnce.get(socket) ?? 0
    if (before === MAX_AT_ONCE) {
      const message = `A connection may send ${MAX_AT_ONCE} requests at once.`
      refused('http', new Refusal('busy', message), socket.remoteAddress)
      socket.destroy()
      return
    }
    atOnce.set(socket, before + 1)
    const admitted = admission.admit(OVERHEAD + request.rawHeaders.length * HEADER_OVERHEAD)
    exchanges.set(socket, { request, response, admitted })
    admitted.giveUp = () => socket.destroy()
    const leave = (): void => {
      socket.off('close', leave)
      admission.leave(admitted)
    }
    response.on('close', leave)
    // An answer that is queued behind another one on the connection gets no event when the connection ends.
    if (response.socket === null) socket.setMaxListeners(0).once('close', leave)
    if (config.cors !== undefined && allowOrigin(request, response, config.cors)) return admission.answered(admitted)
    const type = mediaType(request)
    try {
      const service = serviceOf(request)
      const partialSuccess = await take(service, request, type, admitted)
      const body = type === JSON_TYPE ? responseJson(partialSuccess, service) : encodeResponse(partialSuccess)
      admission.answered(admitted)
      answer(response, 200, type, body)
    } catch (error) {
      admission.answered(admitted)
      const refusal = refused('http', error)
      request.on('data', (chunk: Buffer) => admission.discard(chunk.length))
      // The rest of its body is not waited for.
      if (admitted.gaveWay) response.setHeader('Connection', 'close')
      if (refusal.reason === 'wrong_method') response.setHeader('Allow', 'POST')
      if (refusal.reason === 'unsupported_coding') response.setHeader('Accept-Encoding', contentCodings.join(', '))
      if (refusal.after !== undefined) response.setHeader('Retry-After', Math.ceil(refusal.after / 1000))
      const status = reasons[refusal.reason].http
      if (type === PROTOBUF) answer(response, status, type, encodeStatus(refusal))
      else answer(response, status, JSON_TYPE, statusJson(refusal))
    }
  }

  /** The service that the path of the request names. @throws Refusal */
  function serviceOf(request: IncomingMessage): OtlpService {
    const { path } = readTarget(request.url)
    if (request.headers.host === undefined && request.httpVersion === '1.1') {
      throw new Refusal('malformed', 'An HTTP/1.1 request needs the header Host.')
    }
    const service = Object.values(services).find(({ signal }) => config[`${signal}_url_path`] === path)
    if (service === undefined) {
      const places = Object.values(services).flatMap(({ signal }) =>
        context.takes(signal) ? `${signal} are received at ${config[`${signal}_url_path`]}` : [],
      )
      throw new Refusal('not_found', `There is nothing at ${path}; ${places.join(', ')}.`)
    }
    if (!context.takes(service.signal)) throw noPipeline(service.signal)
    if (request.method !== 'POST') {
      throw new Refusal('wrong_method', `OTLP is sent with POST, not ${request.method}.`)
    }
    return service
  }

  /** Reads the request and hands it on. @throws Refusal */
  async function take(
    { signal }: OtlpService,
    request: IncomingMessage,
    type: string,
    admitted: Admitted,
  ): Promise<PartialSuccess | undefined> {
    if (type !== PROTOBUF && type !== JSON_TYPE) {
      throw new Refusal('wrong_type', `Content-Type must be ${PROTOBUF} or ${JSON_TYPE}, not ${type}.`)
    }
    const charset = type === JSON_TYPE ? charsetOf(request) : undefined
    if (charset !== undefined && !UTF8.includes(charset)) {
      throw new Refusal(
        'wrong_type',
        `JSON must be in UTF-8 (RFC 8259, 8.1), not in the charset ${charset} of Content-Type.`,
      )
    }
    const decompress = await readBody(request, config.max_request_body_size, admission, admitted)
    const read = (body: Buffer) => {
      const limit = maxMessages(body.length)
      if (type === PROTOBUF) return signals[signal].fromOtlp(body, limit)
      return body.length < LARGE
        ? signals[signal].fromOtlp(readJson(signal, body, limit))
        : largeJson.read(signal, body, limit)
    }
    return deliverRequest({ connection: request.socket, decompress, read }, context.deliver, 'http')
  }

  function answer(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
    if (response.destroyed) return
    if (context.signal.aborted) response.setHeader('Connection', 'close')
    const length = Buffer.byteLength(body)
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': length })
    // An empty body would be a separate write, and cost a fifth of a small request.
    if (length === 0) response.end()
    else response.end(body)
  }
}

function mediaType(request: IncomingMessage): string {
  const { 'content-type': type = 'none' } = request.headers
  return type === PROTOBUF ? type : type.split(';', 1)[0].trim().toLowerCase()
}

/** ASCII is UTF-8, too. */
const UTF8: readonly string[] = ['utf-8', 'utf8', 'us-ascii', 'ascii']

function charsetOf(request: IncomingMessage): string | undefined {
  const [, charset] = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(request.headers['content-type'] ?? '') ?? []
  return charset?.toLowerCase()
}

/** Sets the headers that allow a browser's page to send. Returns whether the request was a preflight, which is then answered. */
function allowOrigin(request: IncomingMessage, response: ServerResponse, cors: CorsConfig): boolean {
  const { origin, 'access-control-request-method': method } = request.headers
  response.setHeader('Vary', 'Origin')
  const allowed =
    origin !== undefined &&
    cors.allowed_origins.some((form) => matchesWildcards(form.toLowerCase(), origin.toLowerCase()))
  if (allowed) {
    response.setHeader('Access-Control-Allow-Origin', origin)
    // Beacons, and pages that ask for it, send with credentials, and cannot read an answer without this.
    response.setHeader('Access-Control-Allow-Credentials', 'true')
  }
  if (request.method !== 'OPTIONS' || method === undefined) return false
  if (allowed) {
    response.setHeader('Access-Control-Allow-Methods', 'POST')
    // If credentials are allowed, `*` would be the name of a header.
    const asked = cors.allowed_headers.includes('*') ? request.headers['access-control-request-headers'] : undefined
    const headers = asked ?? ['Content-Type', 'Content-Encoding', ...cors.allowed_headers].join(', ')
    response.setHeader('Access-Control-Allow-Headers', headers)
    response.setHeader('Vary', 'Origin, Access-Control-Request-Headers')
    if (cors.max_age > 0) response.setHeader('Access-Control-Max-Age', Math.floor(cors.max_age / 1000))
  }
  response.writeHead(204).end()
  return true
}
