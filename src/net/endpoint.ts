import { errorMessage } from '../errors.ts'
import { ADDRESS } from '../formats.ts'

/** Milliseconds between attempts to listen on an address that is taken. */
export const LISTEN_INTERVAL = 1000

export interface Address {
  /** '' means every interface. */
  readonly host: string
  readonly port: number
}

/** Reads `host:port`, `[IPv6]:port` or `:port`; `undefined` if it is none of these. */
export function parseEndpoint(endpoint: string): Address | undefined {
  const match = ADDRESS.exec(endpoint)
  const port = Number(match?.[3])
  return match === null || port > 65535 ? undefined : { host: match[1] ?? match[2], port }
}

/** Why nothing can listen on an address, as a statement about it. */
export function listenFailure(error: unknown): string {
  const taken = (error as { code?: unknown }).code === 'EADDRINUSE'
  return taken ? 'another process already listens there' : errorMessage(error)
}
