import { createServer } from 'node:net'
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import { cleanups } from './cleanups.ts'

/** Where a server of a test listens. */
export interface Listening {
  readonly port: number
  /** `host:port` */
  readonly address: string
  /** Of HTTP, unless the server speaks something else. */
  readonly url: string
  /** Closes the server and its connections; may be repeated. */
  readonly close: () => Promise<void>
}

const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** Lets a server listen until the test has ended, at a port of the loopback interface that the system chooses unless `options` say otherwise. */
export async function listen(server: Server, options: ListenOptions = LOOPBACK): Promise<Listening> {
  const sockets = new Set<{ destroy(): unknown }>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options, resolve)
  })
  cleanups.push(close)
  const { port } = server.address() as AddressInfo
  return { port, address: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, close }
}

/** A port at which nobody listens. */
export async function freePort(): Promise<number> {
  const { port, close } = await listen(createServer())
  await close()
  return port
}
