import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { parseEndpoint } from '../http/endpoint.ts'
import type { Health } from './health.ts'
import { redaction } from './log.ts'

/**
 * Answers `/healthz`, `/readyz` and `/status` on `address`. Where nothing can listen there, this is logged as an error and
 * the pipeline goes on: what it delivers matters more than that it can be asked. `secrets` never appear in an answer. Returns
 * what closes it.
 */
export async function serveHealth(
  address: string,
  health: Health,
  secrets: readonly string[],
  log: Logger,
): Promise<() => void> {
  const redact = redaction(secrets)
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    answer(request, response, health, redact)
  })
  server.maxConnections = 100
  server.unref()
  const { host, port } = parseEndpoint(address)!
  try {
    server.listen({ host: host === '' ? undefined : host, port })
    await once(server, 'listening')
  } catch (error) {
    const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
    const why = taken ? 'another process listens there already; choose another port' : errorMessage(error)
    log.error(`service.health.address: cannot listen on ${address}: ${why}. The pipeline runs without.`)
    return () => undefined
  }
  server.on('error', (error) => log.error('The health server failed.', { error: errorMessage(error) }))
  const { address: ip, port: real, family } = server.address() as AddressInfo
  log.info('Answering for the health', { address: `${family === 'IPv6' ? `[${ip}]` : ip}:${real}` })
  return () => {
    server.close()
    server.closeAllConnections()
  }
}

function answer(
  { method, url = '/' }: IncomingMessage,
  response: ServerResponse,
  health: Health,
  redact: (text: string) => string,
): void {
  const ready = health.phase === 'ready'
  const send = (code: number, body: unknown): void => {
    response.writeHead(code, { 'content-type': 'application/json' })
    response.end(redact(`${JSON.stringify(body)}\n`))
  }
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return send(405, { error: 'Only GET and HEAD are answered.' })
  }
  switch (url.split('?', 1)[0]) {
    case '/healthz':
      return send(200, { status: 'alive' })
    case '/readyz':
      return send(ready ? 200 : 503, { status: health.phase })
    case '/status':
      return send(200, { status: health.phase, components: health.components() })
    default:
      return send(404, { error: 'There are /healthz, /readyz and /status.' })
  }
}
