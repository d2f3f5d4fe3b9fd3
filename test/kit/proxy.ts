import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface Proxy {
  readonly url: string
  /** The `host:port` of every tunnel asked for, and the credentials that came with it. */
  readonly tunnels: readonly { readonly target: string; readonly authorization: string | undefined }[]
  close(): Promise<void>
}

/** Starts a real HTTP proxy that tunnels with CONNECT, over the loopback interface only. */
export async function startProxy(): Promise<Proxy> {
  const tunnels: { target: string; authorization: string | undefined }[] = []
  const sockets = new Set<Socket>()
  const server = createServer((_request, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('connect', (request, client: Socket, head: Buffer) => {
    const target = request.url ?? ''
    tunnels.push({ target, authorization: request.headers['proxy-authorization'] })
    const { hostname, port } = new URL(`http://${target}`)
    const upstream = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(client)
      client.pipe(upstream)
    })
    sockets.add(upstream)
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tunnels,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
