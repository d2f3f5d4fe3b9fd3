import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { parseEndpoint } from './endpoint.ts'

/** How a server was asked. */
export interface Asked {
  /** The authority of the request, `host:port`; `undefined` where the client named none, as browsers always do. */
  readonly authority: string | undefined
  /** The address of ours that the connection came to. */
  readonly localAddress: string | undefined
}

/**
 * Whether a server that listens on `address` answers to the name under which it was asked. A page in a browser can let a name of its own
 * lead to an address of ours (DNS rebinding), and is then free to read the answers; what it can not do is ask under another's
 * name, or under an address. Loopback is for this host alone, so only its own names count there; whoever listens elsewhere is
 * asked under names that only the network knows, so any counts, unless `allowed` says which.
 */
export function answersTo({ authority, localAddress }: Asked, address: string, allowed: readonly string[]): boolean {
  if (authority === undefined) return true
  const name = nameOf(authority)
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')) return true
  const own = hostname().toLowerCase()
  const names = [own, own.split('.', 1)[0], parseEndpoint(address)?.host, ...allowed]
  if (names.some((known) => known?.toLowerCase() === name)) return true
  return allowed.length === 0 && !isLoopback(localAddress)
}

/** Without the port, the brackets of IPv6 and the dot at the end. */
function nameOf(authority: string): string {
  return authority
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase()
}

function isLoopback(address = ''): boolean {
  return /^(?:::1$|(?:::ffff:)?127\.)/i.test(address)
}
