import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
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
  readonly answer: (path: string) => Answer | Promise<Answer>
  /** Told the real address as soon as it listens. */
  readonly listening: (address: string) => void
  readonly log: Logger
}

/** Milliseconds between attempts to listen where something else does. */
const RETRY_INTERVAL = 10_000

/**
 * Answers GET and HEAD about the process itself. Where nothing can listen on the address, this is logged and tried again, and
 * the pipeline goes on: what it delivers matters more than that it can be asked. Keeps no process alive. Resolves after the
 * first attempt, with what closes it.
 */
export async function serve({ setting, address, answer, listening, log }: ServeOptions): Promise<() => void> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    void respond(request, response, answer)
  })
  server.maxConnections = 100
  server.unref()
  const { host, port } = parseEndpoint(address)!
  let closed = false
  let retry: NodeJS.Timeout | undefined
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
    if (!closed) retry = setTimeout(() => void open().catch(tryAgain), RETRY_INTERVAL).unref()
  }
  await open().catch((error: unknown) => {
    const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
    const why = taken ? 'another process listens there already; choose another port' : errorMessage(error)
    log.error(`${setting}: cannot listen on ${address}: ${why}. The pipeline runs without until it can.`)
    tryAgain()
  })
  return () => {
    closed = true
    clearTimeout(retry)
    server.close()
    server.closeAllConnections()
  }
}

async function respond(
  { method, url = '/' }: IncomingMessage,
  response: ServerResponse,
  answer: ServeOptions['answer'],
): Promise<void> {
  const send = ({ code, type, body }: Answer): void => {
    response.writeHead(code, { 'content-type': type })
    response.end(body)
  }
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return send(json(405, { error: 'Only GET and HEAD are answered.' }))
  }
  try {
    send(await answer(url.split('?', 1)[0]))
  } catch (error) {
    send(json(500, { error: errorMessage(error) }))
  }
}

/** An answer of JSON. */
export function json(code: number, value: unknown): Answer {
  return { code, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}
