import { errorMessage } from '../errors.ts'
import { ADDRESS } from '../formats.ts'

/** Milliseconds between attempts to listen where something else does. */
export const LISTEN_INTERVAL = 1000

export interface Address {
  /** '' means every interface. */
  readonly host: string
  readonly port: number
}

/** Reads `host:port`, `[IPv6]:port` or `:port`; `undefined` when it is none. */
export function parseEndpoint(endpoint: string): Address | undefined {
  const match = ADDRESS.exec(endpoint)
  const port = Number(match?.[3])
  return match === null || port > 65535 ? undefined : { host: match[1] ?? match[2], port }
}

/** Why nothing can listen on an address, said of it. */
export function listenFailure(error: unknown): string {
  const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
  return taken ? 'another process already listens there' : errorMessage(error)
}
