import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { systemClock } from '../time/clock.ts'
import type { Timer } from '../time/clock.ts'
import type { Logger } from '../component/logger.ts'
import { errorMessage } from '../errors.ts'
import { visibleJson, visibleLines } from '../text/terminal.ts'
import { throttled } from '../throttled.ts'
import { LISTEN_INTERVAL, listenFailure, parseEndpoint } from './endpoint.ts'
import { answersTo } from './host.ts'
import { readTarget } from './target.ts'

/** An answer; `type`: its media type; `body`: text, or bytes that are sent unchanged. */
export interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string | Buffer
}

/** The address of a server, and the requests that it answers. */
export interface Door {
  /** `host:port`; port 0 lets the system choose. */
  readonly address: string
  /** The names in requests that it answers to: the current value of `service.allowed_hosts`. */
  readonly allowedHosts: () => readonly string[]
  readonly log: Logger
}

export interface ServeOptions extends Door {
  /** The path of `address` in the YAML, for messages. */
  readonly setting: string
  /** For reading (`GET`, the default, and HEAD), or for a change. */
  readonly method?: 'GET' | 'POST'
  readonly answer: (path: string, headers: IncomingHttpHeaders) => Answer | Promise<Answer>
  /** Called with the real address when it listens. */
  readonly listening: (address: string) => void
}

const JSON_TYPE = 'application/json'

/** Milliseconds for the remaining answers when the server is closed. */
const GRACE = 1000

/** The most open connections. */
const MAX_CONNECTIONS = 100

/** Bytes that Node.js parses at once: a few requests. */
const PIECE = 512

/** The most bytes of all answers that clients have not taken yet. A larger answer is the only one. */
const MAX_UNREAD = 32 * 1024 * 1024

/** A shared answer is not made again for this multiple of the time that it took, and for at most `MAX_REST` milliseconds. */
const REST = 4
const MAX_REST = 1000

/** Milliseconds that a client may take to send a request, and to take a part of its answer. */
const PATIENCE = 5000

/**
 * Answers requests about the process itself, one on each connection: clients that ask now and then need no more, and
 * clients that do not read their answers cannot make them pile up. If nothing can listen on the address, this is logged
 * and tried again, and the pipeline goes on, because its deliveries matter more than its status. Keeps no process
 * alive. Resolves after the first attempt, with a function that closes the server.
 */
export async function serve(options: ServeOptions): Promise<() => void> {
  const { setting, address, listening, log } = options
  const quiet = throttled(log, systemClock)
  const open = new Set<Socket>()
  /** Connections that do not wait for us, the longest idle first, with the bytes of the answer that they still have to take. */
  const idle = new Map<Socket, number>()
  const disconnect = (socket: Socket): void => {
    idle.delete(socket)
    socket.destroy()
  }
  const respondTo = async (socket: Socket, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    idle.delete(socket)
    const { code, type, body } = sendable(await respond(socket, request, response, { ...options, log: quiet }))
    if (socket.destroyed) return
    let unread = body.length
    for (const bytes of idle.values()) unread += bytes
    for (const [reader, bytes] of idle) {
      if (unread <= MAX_UNREAD) break
      if (bytes === 0) continue
      unread -= bytes
      disconnect(reader)
    }
    idle.set(socket, body.length)
    socket.setTimeout(PATIENCE, () => socket.destroy())
    response.writeHead(code, { 'content-type': type, 'content-length': body.length, connection: 'close' }).end(body)
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const connection = request.socket as Duplex as OneRequest
    if (connection.stop()) void respondTo(connection.socket, request, response)
  }
  // Otherwise Node.js would answer a request without Host or with an unknown Expect itself.
  const http = createHttpServer({ requireHostHeader: false }, listener).on('checkExpectation', listener)
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    idle.set(socket, 0)
    const disconnectSilent = (): void => {
      if (idle.get(socket) === 0) disconnect(socket)
    }
    const patience = systemClock.setTimeout(disconnectSilent, PATIENCE).unref()
    socket.on('close', () => {
      systemClock.clearTimeout(patience)
      open.delete(socket)
      idle.delete(socket)
    })
    http.emit('connection', new OneRequest(socket))
    if (open.size <= MAX_CONNECTIONS) return
    const [oldest] = idle.keys()
    disconnect(oldest)
  })
  server.unref()
  const { host, port } = parseEndpoint(address)!
  let closed = false
  let retry: Timer | undefined
  const listen = async (): Promise<void> => {
    // A name may have addresses of both families; the Collector takes the IPv4 ones, too.
    const ip = host === '' ? undefined : (await lookup(host, { order: 'ipv4first' })).address
    if (closed) return
    server.listen({ host: ip, port })
    await once(server, 'listening')
    const { address: real, port: realPort, family } = server.address() as AddressInfo
    server.on('error', (error) => log.error(`${setting}: the server failed.`, { error: errorMessage(error) }))
    listening(`${family === 'IPv6' ? `[${real}]` : real}:${realPort}`)
  }
  const tryAgain = (): void => {
    if (!closed) retry = systemClock.setTimeout(() => void listen().catch(tryAgain), LISTEN_INTERVAL).unref()
  }
  await listen().catch((error: unknown) => {
    log.error(
      `${setting}: cannot listen on ${address}: ${listenFailure(error)}. The pipeline runs without this server until the address is free.`,
      { event: 'listen_failed', address },
    )
    tryAgain()
  })
  return () => {
    closed = true
    systemClock.clearTimeout(retry)
    server.close()
    for (const socket of idle.keys()) if (idle.get(socket) === 0) disconnect(socket)
    // An answer in progress, such as that to a reload that moves this server, has a moment to be sent.
    const disconnectAll = (): void => open.forEach(disconnect)
    systemClock.setTimeout(disconnectAll, GRACE).unref()
  }
}

/**
 * A connection that the HTTP server does not see after `stop`, which returns whether it was the first call. Incoming
 * data is handed over in pieces, because Node.js parses all requests in one piece before it can be stopped.
 */
class OneRequest extends Duplex {
  #stopped = false

  constructor(readonly socket: Socket) {
    super()
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length && !this.#stopped && !this.destroyed; at += PIECE)
        this.push(chunk.subarray(at, at + PIECE))
    })
    socket.on('end', () => this.push(null))
    socket.on('error', () => this.destroy())
    socket.on('close', () => this.destroy())
  }

  stop(): boolean {
    if (this.#stopped) return false
    this.#stopped = true
    this.socket.pause()
    return true
  }

  override _read(): void {
    if (!this.#stopped) this.socket.resume()
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, encoding, done)
  }

  override _final(done: () => void): void {
    this.socket.destroySoon()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.socket.destroySoon()
    done(error)
  }
}

async function respond(
  socket: Socket,
  { headers, httpVersion, method, url }: IncomingMessage,
  response: ServerResponse,
  { address, allowedHosts, answer, log, method: expected = 'GET', setting }: ServeOptions,
): Promise<Answer> {
  // As HTTP/1.1 demands (RFC 9112, section 3.2).
  if (httpVersion === '1.1' && headers.host === undefined) return json(400, { error: 'Host is missing.' })
  const { path, authority = headers.host } = readTarget(url)
  if (!answersTo({ authority, localAddress: socket.localAddress }, address, allowedHosts())) {
    const error = `${authority} is not a name of this server; if it should be one, add it to service.allowed_hosts.`
    log.warn(`${setting}: a request was refused for its Host.`, { client: socket.remoteAddress, problem: error })
    return json(403, { error })
  }
  const methods = expected === 'GET' ? ['GET', 'HEAD'] : [expected]
  if (!methods.includes(method ?? '')) {
    response.setHeader('allow', methods.join(', '))
    const which = methods.length === 1 ? `${methods[0]} is` : `${methods.join(' and ')} are`
    return json(405, { error: `Only ${which} answered.` })
  }
  try {
    return await answer(path, headers)
  } catch (error) {
    return json(500, { error: errorMessage(error) })
  }
}

/** A JSON answer. */
export function json(code: number, value: unknown): Answer & { readonly body: string } {
  return { code, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` }
}

/**
 * An answer that takes time to make. It is made once for all requests that come before it is begun, and then not for a
 * while, so that the process has time for its pipelines however many requests come.
 */
export function shared(make: () => Answer | Promise<Answer>): () => Promise<Answer> {
  let rested = Promise.resolve()
  let next: Promise<Answer> | undefined
  const makeNext = async (): Promise<Answer> => {
    await rested
    next = undefined
    const began = systemClock.monotonic()
    const made = (async () => sendable(await make()))()
    const rest = (): Promise<void> => {
      const span = Math.min(REST * (systemClock.monotonic() - began), MAX_REST)
      // It does not keep the process alive.
      return new Promise((resolve) => systemClock.setTimeout(resolve, span).unref())
    }
    rested = made.then(rest, rest)
    return made
  }
  return () => (next ??= makeNext())
}

/** The bytes of an answer whose text cannot control a terminal. */
function sendable({ code, type, body }: Answer): Answer & { readonly body: Buffer } {
  if (typeof body !== 'string') return { code, type, body }
  return { code, type, body: Buffer.from(type === JSON_TYPE ? visibleJson(body) : visibleLines(body)) }
}
