import { Socket } from 'node:net'
import type { Server } from 'node:net'
import type { SecureVersion, Server as SecureServer, TlsOptions } from 'node:tls'
import { errorMessage } from '../../errors.ts'
import { parseEndpoint } from '../../http/endpoint.ts'
import type { Address } from '../../http/endpoint.ts'
import { readPem, watchPem } from '../../http/pem.ts'
import type { Pem } from '../../http/pem.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import type { Receiving } from './serve.ts'

export interface TlsConfig {
  readonly cert_file: string
  readonly key_file: string
  readonly client_ca_file: string | undefined
  readonly min_version: string
  readonly reload_interval: number
}

/**
 * Makes a server that speaks TLS by the settings. Connections that begin after the files have changed use what they hold then.
 * @throws naming the setting when a file cannot be read
 */
export async function secured<S extends SecureServer>(
  config: TlsConfig,
  protocol: string,
  { clock, log, signal }: Receiving['context'],
  create: (options: TlsOptions) => S,
): Promise<S> {
  const { client_ca_file: ca, cert_file: cert, key_file: key, reload_interval: interval } = config
  const read = (): Promise<Pem> =>
    readPem(`protocols.${protocol}.tls`, {
      ca: ['client_ca_file', ca],
      cert: ['cert_file', cert],
      key: ['key_file', key],
    })
  const options = (pem: Pem): TlsOptions => ({
    ...pem,
    requestCert: ca !== undefined,
    rejectUnauthorized: ca !== undefined,
    minVersion: `TLSv${config.min_version}` as SecureVersion,
  })
  const pem = await read()
  const server = create(options(pem))
  watchPem(pem, { read, interval, clock, log, signal }, (changed) => server.setSecureContext(options(changed)))
  return server
}

/** How long what is on its way, in or out, may still take when the receiver stops, in milliseconds. */
export const GRACE = 1000

/** Where a connection comes from; it tells the socket below TLS from all others. */
interface Peer {
  readonly remoteAddress?: string
  readonly remotePort?: number
}

class Connection extends Linked<Connection> {
  constructor(readonly socket: Socket) {
    super()
  }
}

/** The open connections of a server. Beyond `limit` the one whose last request is longest ago is closed. */
export class Connections {
  /** In the order of their last requests. */
  readonly #open = new LinkedList<Connection>()
  readonly #byName = new Map<string, Connection>()
  readonly #byPeer = new WeakMap<Peer, Connection>()

  constructor(private readonly limit: number) {}

  add(socket: Socket): void {
    const name = nameOf(socket)
    if (this.#open.size >= this.limit) this.#open.oldest?.socket.destroy()
    const connection = new Connection(socket)
    this.#open.add(connection)
    this.#byName.set(name, connection)
    socket.once('close', () => {
      this.#open.remove(connection)
      if (this.#byName.get(name) === connection) this.#byName.delete(name)
    })
  }

  /** A request came over the connection. */
  used(peer: Peer): void {
    const connection = this.#byPeer.get(peer) ?? this.#byName.get(nameOf(peer))
    if (connection?.isIn !== true) return
    this.#open.remove(connection)
    this.#open.add(connection)
    if (peer instanceof Socket) this.#byPeer.set(peer, connection)
  }

  /** Resolves when all are closed. */
  async destroy(): Promise<void> {
    const sockets = Array.from(this.#open, ({ socket }) => socket)
    const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of sockets) socket.destroy()
    await Promise.all(closed)
  }
}

function nameOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress} ${remotePort}`
}

/** A server that listens. */
export interface Listener {
  /** Takes no more connections. */
  readonly close: () => void
  /** Ends every connection there is, and resolves when nothing is open. */
  readonly destroy: () => Promise<void>
}

/** Starts to listen, hands `server` the connections and logs the real address. */
export async function listen(
  server: Server,
  endpoint: string,
  protocol: string,
  connections: Connections,
  { context: { listen, log, signal }, fail }: Receiving,
): Promise<Listener> {
  signal.throwIfAborted()
  const take = (socket: Socket): void => {
    connections.add(socket)
    // As an HTTP server of Node makes its own.
    socket.allowHalfOpen = protocol === 'http'
    socket.setNoDelay()
    server.emit('connection', socket)
  }
  try {
    const port = await listen({ ...(parseEndpoint(endpoint) as Address), take, fail })
    // It is only told of connections, but begins to watch over their timeouts when it listens.
    server.emit('listening')
    log.info(`Listening for OTLP over ${protocol === 'http' ? 'HTTP' : 'gRPC'}`, { address: port.address })
    return {
      close() {
        port.close()
        server.close()
      },
      destroy: () => connections.destroy(),
    }
  } catch (error) {
    const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
    const why = taken ? 'another process listens there already' : errorMessage(error)
    throw new Error(`protocols.${protocol}.endpoint: cannot listen on ${endpoint}: ${why}`, { cause: error })
  }
}
