import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { devNull } from 'node:os'
import { systemClock } from '../../time/clock.ts'
import type { Timer } from '../../time/clock.ts'
import type { Listening, ListenOptions } from '../../component/context.ts'
import type { Logger } from '../../component/logger.ts'

/** Milliseconds between a connection and the check whether the process may open more files. */
const PROBE_DELAY = 200

/** The owner of a port. While it is `leaving`, another may take over its ports. */
interface PortOwner {
  readonly leaving: boolean
}

type Claim = ListenOptions & { readonly owner: PortOwner }

/**
 * The TCP ports on which receivers listen. At a reload a port passes from the old receiver to the new one without being
 * closed; if the addresses only overlap, such as 0.0.0.0:4318 and 127.0.0.1:4318, it is closed for as long as it takes
 * to open the other.
 */
export class Ports {
  readonly #open = new Set<Port>()
  #probe: Timer | undefined
  #areFilesShort = false
  /** Whether an owner that cannot listen waits until it can, as at the start of the process. */
  patient = false

  constructor(private readonly log?: Logger) {}

  /** @throws the error of the system if nothing can listen there */
  async listen(owner: PortOwner, options: ListenOptions): Promise<Listening> {
    const { host, port: number } = options
    // A name may have addresses of both families; the Collector takes the IPv4 ones, too.
    const ip = host === '' ? undefined : (await lookup(host, { order: 'ipv4first' })).address
    const claim = { ...options, owner }
    const port = this.#passingOn(ip, number) ?? (await this.#bind(ip, number))
    port.claims.push(claim)
    return { address: port.address, close: () => this.#leave(port, claim) }
  }

  /** The port of an owner that leaves, at the same address. */
  #passingOn(ip: string | undefined, number: number): Port | undefined {
    return [...this.#open].find((port) => port.isAt(ip, number) && port.isLeft)
  }

  async #bind(ip: string | undefined, number: number): Promise<Port> {
    const port = new Port(ip, number, () => this.#probeSoon())
    try {
      await port.open()
    } catch (error) {
      const overlapping = [...this.#open].filter((other) => other.number === number && other.isLeft)
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || overlapping.length === 0) throw error
      for (const other of overlapping) other.close()
      try {
        await port.open()
      } catch (stillTaken) {
        for (const other of overlapping) await other.open()
        throw stillTaken
      }
      port.instead = overlapping
    }
    this.#open.add(port)
    return port
  }

  /** If the process may open no more files, Node.js closes connections silently. One file is opened to find out, so that it is logged. */
  #probeSoon(): void {
    if (this.#probe === undefined)
      this.#probe = systemClock.setTimeout(() => void this.#probeFiles(), PROBE_DELAY).unref()
  }

  async #probeFiles(): Promise<void> {
    const error = await open(devNull).then(
      (file) => void file.close(),
      (reason: NodeJS.ErrnoException) => reason,
    )
    this.#probe = undefined
    const isShort = error?.code === 'EMFILE' || error?.code === 'ENFILE'
    if (isShort && !this.#areFilesShort) {
      const message = 'The limit of open files is reached; new connections are closed unanswered.'
      this.log?.error(message, { event: 'connections_refused', error: error.message })
    }
    if (!isShort && this.#areFilesShort)
      this.log?.info('New connections are accepted again.', { event: 'connections_accepted' })
    this.#areFilesShort = isShort
    if (isShort) this.#probeSoon()
  }

  #leave(port: Port, claim: Claim): void {
    if (!port.claims.includes(claim)) return
    port.claims = port.claims.filter((other) => other !== claim)
    if (port.claims.length > 0) return
    port.close()
    this.#open.delete(port)
    // An owner that stays after all gets back the port that was closed for this one.
    for (const other of port.instead) if (other.claims.length > 0) other.open().catch(other.fail)
  }
}

class Port {
  /** The first owner has the connections. */
  claims: Claim[] = []
  /** Closed so that this one could be opened. */
  instead: readonly Port[] = []
  address = ''
  #server: Server | undefined

  /** @param number 0 lets the system choose one when the port is first opened */
  constructor(
    private readonly ip: string | undefined,
    public number: number,
    private readonly accepted: () => void,
  ) {}

  isAt(ip: string | undefined, number: number): boolean {
    return this.ip === ip && this.number === number
  }

  /** Whether all of its owners are leaving. */
  get isLeft(): boolean {
    return this.claims.every(({ owner }) => owner.leaving)
  }

  async open(): Promise<void> {
    const server = createServer((socket) => {
      this.accepted()
      this.claims[0].take(socket)
    })
    server.listen({ host: this.ip, port: this.number })
    await once(server, 'listening')
    server.on('error', this.fail)
    this.#server = server
    const { address, port, family } = server.address() as AddressInfo
    this.number = port
    this.address = `${family === 'IPv6' ? `[${address}]` : address}:${port}`
  }

  close(): void {
    this.#server?.close()
  }

  readonly fail = (error: Error): void => this.claims[0]?.fail(error)
}
