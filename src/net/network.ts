import type { Dispatcher } from 'undici'
import type { Pem } from './pem.ts'
import type { Proxy } from './proxy.ts'
import type { TlsConfig } from './tls.ts'

/** How HTTP requests leave the process; a simulation puts its own in its place. */
export interface Network {
  /** Connections by the TLS settings of one component and what their files hold. Opens nothing before the first request. */
  connect(tls: TlsConfig, pem: Pem): Connections | Promise<Connections>
}

/** Connections of one component. */
export interface Connections {
  to(target: Target): Pick<Dispatcher, 'dispatch'>
  /** Ends them after the requests in hand. */
  close(): void
  destroy(): Promise<void>
}

/** How a URL is reached. */
export interface Target {
  readonly origin: string
  readonly path: string
  /** Sent in addition. */
  readonly headers?: Readonly<Record<string, string>>
  readonly proxy?: Proxy
  /** The proxy sends the request on by itself; otherwise it makes a tunnel. */
  readonly forwarded?: boolean
}
