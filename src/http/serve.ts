import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { systemClock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import type { Logger } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { visibleJson, visibleLines } from '../terminal.ts'
import { throttled } from '../throttled.ts'
import { LISTEN_INTERVAL, listenFailure, parseEndpoint } from './endpoint.ts'
import { answersTo } from './host.ts'
import { readTarget } from './target.ts'

/** What a request is answered with; `type`: its media type. */
export interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
}

/** Where a server is, and how it is asked. */
export interface Door {
  /** `host:port`; port 0 lets the system choose. */
  readonly address: string
  /** Names under which it is asked, as `service.allowed_hosts` says at the time. */
  readonly allowedHosts: () => readonly string[]
  readonly log: Logger
}

export interface ServeOptions extends Door {
  /** Where in the YAML `address` stands, for messages. */
  readonly setting: string
  /** Reading (`GET`, the default, and HEAD), or changing something. */
  readonly method?: 'GET' | 'POST'
  readonly answer: (path: string, headers: IncomingHttpHeaders) => Answer | Promise<Answer>
  /** Told the real address as soon as it listens. */
  readonly listening: (address: string) => void
}

const JSON_TYPE = 'application/json'

/** Milliseconds that an answer may still take when the server is closed. */
const GRACE = 1000

/** Connections kept open. */
const MAX_CONNECTIONS = 100

/** Milliseconds that a client may take to send a request, and to take some of its answer. */
const PATIENCE = 5000

/**
 * Answers requests about the process itself. Where nothing can listen on the address, this is logged and tried again, and
 * the pipeline goes on: what it delivers matters more than that it can be asked. Keeps no process alive. Resolves after the
 * first attempt, with what closes it.
 */
export async function serve(options: ServeOptions): Promise<() => void> {
  const { setting, address, listening, log } = options
  const timeouts = { requestTimeout: PATIENCE, headersTimeout: PATIENCE, connectionsCheckingInterval: 1000 }
  const quiet = throttled(log, systemClock)
  /** Those on which nothing is answered, the longest idle first. */
  const idle = new Set<Socket>()
  const server = createServer(timeouts, (request, response) => {
    const { socket } = request
    idle.delete(socket)
    response.on('close', () => {
      if (!socket.destroyed) idle.add(socket)
    })
    void respond(request, response, { ...options, log: quiet })
  })
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections += 1
    idle.add(socket)
    socket.on('close', () => {
      connections -= 1
      idle.delete(socket)
    })
    if (connections <= MAX_CONNECTIONS) return
    const [oldest] = idle
    idle.delete(oldest)
    oldest.destroy()
  })
  server.unref()
  const { host, port } = parseEndpoint(address)!
  let closed = false
  let retry: Timer | undefined
  const open = async (): Promise<void> => {
    // A name may have addresses of both families, of which the collector takes IPv4, too.
    const ip = host === '' ? undefined : (await lookup(host, { order: 'ipv4first' })).address
    if (closed) return
    server.listen({ host: ip, port })
    await once(server, 'listening')
    const { address: real, port: realPort, family } = server.address() as AddressInfo
    server.on('error', (error) => log.error(`${setting}: the server failed.`, { error: errorMessage(error) }))
    listening(`${family === 'IPv6' ? `[${real}]` : real}:${realPort}`)
  }
  const tryAgain = (): void => {
    if (!closed) retry = systemClock.setTimeout(() => void open().catch(tryAgain), LISTEN_INTERVAL).unref()
  }
  await open().catch((error: unknown) => {
    log.error(
      `${setting}: cannot listen on ${address}: ${listenFailure(error)}. The pipeline runs without until it can.`,
    )
    tryAgain()
  })
  return () => {
    closed = true
    systemClock.clearTimeout(retry)
    server.close()
    server.closeIdleConnections()
    // What is being answered, as a reload that moves this server, has a moment to get out.
    systemClock.setTimeout(() => server.closeAllConnections(), GRACE).unref()
  }
}

async function respond(
  { headers, method, url, socket }: IncomingMessage,
  response: ServerResponse,
  { address, allowedHosts, answer, log, method: expected = 'GET', setting }: ServeOptions,
): Promise<void> {
  const send = ({ code, type, body }: Answer): void => {
    socket.setTimeout(PATIENCE)
    response.writeHead(code, { 'content-type': type })
    response.end(type === JSON_TYPE ? visibleJson(body) : visibleLines(body))
  }
  const { path, authority = headers.host } = readTarget(url)
  if (!answersTo({ authority, localAddress: socket.localAddress }, address, allowedHosts())) {
    const error = `${authority} is no name of this server; if it should be one, add it to service.allowed_hosts.`
    log.warn(`${setting}: a request was refused for its Host.`, { client: socket.remoteAddress, problem: error })
    return send(json(403, { error }))
  }
  const methods = expected === 'GET' ? ['GET', 'HEAD'] : [expected]
  if (!methods.includes(method ?? '')) {
    response.setHeader('allow', methods.join(', '))
    const which = methods.length === 1 ? `${methods[0]} is` : `${methods.join(' and ')} are`
    return send(json(405, { error: `Only ${which} answered.` }))
  }
  try {
    send(await answer(path, headers))
  } catch (error) {
    send(json(500, { error: errorMessage(error) }))
  }
}

/** An answer of JSON. */
export function json(code: number, value: unknown): Answer {
  return { code, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` }
}
