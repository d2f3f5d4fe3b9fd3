import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import type { Logger } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { parseEndpoint } from './endpoint.ts'

/** What a request is answered with; `type`: its media type. */
export interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
}

export interface ServeOptions {
  /** Where in the YAML `address` stands, for messages. */
  readonly setting: string
  /** `host:port`; port 0 lets the system choose. */
  readonly address: string
  /** Reading (`GET`, the default, and HEAD), or changing something. */
  readonly method?: 'GET' | 'POST'
  readonly answer: (path: string, headers: IncomingHttpHeaders) => Answer | Promise<Answer>
  /** Told the real address as soon as it listens. */
  readonly listening: (address: string) => void
  readonly log: Logger
}

/** Milliseconds between attempts to listen where something else does. */
const RETRY_INTERVAL = 10_000

/** Milliseconds that an answer may still take when the server is closed. */
const GRACE = 1000

/**
 * Answers requests about the process itself. Where nothing can listen on the address, this is logged and tried again, and
 * the pipeline goes on: what it delivers matters more than that it can be asked. Keeps no process alive. Resolves after the
 * first attempt, with what closes it.
 */
export async function serve(options: ServeOptions): Promise<() => void> {
  const { setting, address, listening, log } = options
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    void respond(request, response, options)
  })
  server.maxConnections = 100
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
    if (!closed) retry = systemClock.setTimeout(() => void open().catch(tryAgain), RETRY_INTERVAL).unref()
  }
  await open().catch((error: unknown) => {
    const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
    const why = taken ? 'another process listens there already; choose another port' : errorMessage(error)
    log.error(`${setting}: cannot listen on ${address}: ${why}. The pipeline runs without until it can.`)
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
  { headers, method, url = '/' }: IncomingMessage,
  response: ServerResponse,
  { answer, method: expected = 'GET' }: ServeOptions,
): Promise<void> {
  const send = ({ code, type, body }: Answer): void => {
    response.writeHead(code, { 'content-type': type })
    response.end(body)
  }
  const methods = expected === 'GET' ? ['GET', 'HEAD'] : [expected]
  if (!methods.includes(method ?? '')) {
    response.setHeader('allow', methods.join(', '))
    const which = methods.length === 1 ? `${methods[0]} is` : `${methods.join(' and ')} are`
    return send(json(405, { error: `Only ${which} answered.` }))
  }
  try {
    send(await answer(url.split('?', 1)[0], headers))
  } catch (error) {
    send(json(500, { error: errorMessage(error) }))
  }
}

/** An answer of JSON. */
export function json(code: number, value: unknown): Answer {
  return { code, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}
