import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { parseEndpoint } from './endpoint.ts'

/** The addresses of a request to a server. */
interface Asked {
  /** The authority of the request, `host:port`; `undefined` if the client named none, as browsers always do. */
  readonly authority: string | undefined
  /** Our address that the connection came to. */
  readonly localAddress: string | undefined
}

/**
 * Whether a server that listens on `address` answers a request with this name. A page in a browser can make a name of
 * its own resolve to one of our addresses (DNS rebinding), and may then read the answers; but it cannot use another
 * site's name, or an address. Loopback is for this host alone, so only its own names are accepted there; elsewhere,
 * names may come from the network, so any is accepted, unless `allowed` restricts them.
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

/** Without the port, the brackets of IPv6 and a final dot. */
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
