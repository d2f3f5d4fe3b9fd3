import { createServer, request as send } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { listen } from './listen.ts'

export interface Proxy {
  readonly url: string
  /** The `host:port` of every tunnel asked for, and the credentials that came with it. */
  readonly tunnels: readonly { readonly target: string; readonly authorization: string | undefined }[]
  /** Every request that was to be sent on, with its target as it came. */
  readonly forwarded: readonly { readonly target: string; readonly headers: IncomingHttpHeaders }[]
}

export interface ProxyOptions {
  /** The port of this host to which everything goes, whatever it asks for. Default: what is asked for. */
  readonly to?: number
  /** The `Proxy-Authorization` without which it answers 407. */
  readonly wants?: string
}

/** Starts a real HTTP proxy, which tunnels with CONNECT and sends on what comes with an absolute target, over the loopback interface only. */
export async function startProxy({ to, wants }: ProxyOptions = {}): Promise<Proxy> {
  const tunnels: { target: string; authorization: string | undefined }[] = []
  const forwarded: { target: string; headers: IncomingHttpHeaders }[] = []
  const addressOf = ({ hostname, port }: URL): { host: string; port: number } =>
    to === undefined ? { host: hostname, port: Number(port) } : { host: '127.0.0.1', port: to }
  const server = createServer((request, response) => {
    const target = request.url ?? ''
    const { headers, method } = request
    forwarded.push({ target, headers })
    if (wants !== undefined && headers['proxy-authorization'] !== wants) {
      response.writeHead(407).end()
      return
    }
    if (!URL.canParse(target)) {
      response.writeHead(400).end()
      return
    }
    const url = new URL(target)
    const onward = send({ ...addressOf(url), path: url.pathname + url.search, method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request, client: Socket, head: Buffer) => {
    const target = request.url ?? ''
    const authorization = request.headers['proxy-authorization']
    tunnels.push({ target, authorization })
    if (wants !== undefined && authorization !== wants) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const upstream = connect(addressOf(new URL(`http://${target}`)), () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(client)
      client.pipe(upstream)
    })
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy())
  })
  const { url } = await listen(server)
  return { url, tunnels, forwarded }
}
