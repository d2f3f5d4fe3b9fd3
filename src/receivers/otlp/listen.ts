import { Socket } from 'node:net'
import type { Server } from 'node:net'
import { Server as SecureServer } from 'node:tls'
import type { SecureVersion, TlsOptions } from 'node:tls'
import { listenFailure, parseEndpoint } from '../../net/endpoint.ts'
import type { Address } from '../../net/endpoint.ts'
import { readPem, watchPem } from '../../net/pem.ts'
import type { Pem } from '../../net/pem.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import type { Refusal } from './refusal.ts'
import { leftWithoutRequest, refusedByTls } from './refused_connection.ts'
import type { Protocol, Receiving } from './receiving.ts'

export interface TlsServerConfig {
  readonly cert_file: string
  readonly key_file: string
  readonly client_ca_file: string | undefined
  readonly min_version: string
  readonly reload_interval: number
}

/**
 * Makes a server that uses TLS according to the settings. Connections that begin after the files have changed use the
 * new contents; those that end without a request are counted.
 * @throws an error that names the setting if a file cannot be read
 */
export async function secured<S extends SecureServer>(
  config: TlsServerConfig,
  protocol: Protocol,
  receiving: Receiving,
  connections: Connections,
  create: (options: TlsOptions) => S,
): Promise<S> {
  const { clock, log, signal } = receiving.context
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
  // An error may come when its connection can no longer be found, just before or after the socket below it has closed.
  const refusals: Refusal[] = []
  server.on('tlsClientError', (error, socket) => {
    const refusal = refusedByTls(error, socket, protocol, receiving.elsewhere)
    if (refusal !== undefined) refusals.push(refusal)
  })
  server.on('connection', (socket: Socket) => {
    const { remoteAddress } = socket
    const began = clock.monotonic()
    const closed = (): void => {
      if (socket.bytesRead === 0 || connections.wasUsed(socket)) return
      const left = clock.monotonic() - began < HANDSHAKE && !signal.aborted
      const refusal = refusals.shift() ?? (left ? leftWithoutRequest() : undefined)
      if (refusal !== undefined) receiving.refused(protocol, refusal, remoteAddress)
    }
    socket.once('close', () => setImmediate(closed))
  })
  return server
}

/** Milliseconds within which a client that does not trust the certificate leaves. */
const HANDSHAKE = 10_000

/** How long data in transit may still take when the receiver stops, in milliseconds. */
export const GRACE = 1000

/** The origin of a connection; it distinguishes the socket below TLS from all others. */
interface Peer {
  readonly remoteAddress?: string
  readonly remotePort?: number
}

class Connection extends Linked<Connection> {
  isUsed = false

  constructor(readonly socket: Socket) {
    super()
  }
}

/** The open connections of a server. Beyond `limit`, the one whose last request was longest ago is closed. */
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
    this.#byPeer.set(socket, connection)
    socket.once('close', () => {
      this.#open.remove(connection)
      if (this.#byName.get(name) === connection) this.#byName.delete(name)
    })
  }

  /** A request came over the connection. */
  used(peer: Peer): void {
    const connection = this.#byPeer.get(peer) ?? this.#byName.get(nameOf(peer))
    if (connection?.isIn !== true) return
    connection.isUsed = true
    this.#open.remove(connection)
    this.#open.add(connection)
    if (peer instanceof Socket) this.#byPeer.set(peer, connection)
  }

  /** Whether a request ever came over the connection below TLS. */
  wasUsed(socket: Socket): boolean {
    return this.#byPeer.get(socket)?.isUsed === true
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
  /** Accepts no more connections. */
  readonly close: () => void
  /** Ends every connection, and resolves when nothing is open. */
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
    // With the options of Node's own HTTP servers; below TLS, a socket would stay open if its client left during the handshake.
    socket.allowHalfOpen = protocol === 'http' && !(server instanceof SecureServer)
    socket.setNoDelay()
    server.emit('connection', socket)
  }
  try {
    const port = await listen({ ...(parseEndpoint(endpoint) as Address), take, fail })
    // It is only handed connections, but begins to watch their timeouts when it listens.
    server.emit('listening')
    log.info(`Listening for OTLP over ${protocol === 'http' ? 'HTTP' : 'gRPC'}`, {
      event: 'listening',
      server: `otlp_${protocol}`,
      address: port.address,
    })
    return {
      close() {
        port.close()
        server.close()
      },
      destroy: () => connections.destroy(),
    }
  } catch (error) {
    throw new Error(`protocols.${protocol}.endpoint: cannot listen on ${endpoint}: ${listenFailure(error)}`, {
      cause: error,
    })
  }
}
