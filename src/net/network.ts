import type { Dispatcher } from 'undici'
import type { Pem } from './pem.ts'
import type { Proxy } from './proxy.ts'
import type { TlsConfig } from './tls.ts'

/** The connections for HTTP requests; a simulation replaces them by its own. */
export interface Network {
  /** Connections by the TLS settings of one component and the contents of their files. Opens nothing before the first request. */
  connect(tls: TlsConfig, pem: Pem): Connections | Promise<Connections>
}

/** Connections of one component. */
export interface Connections {
  to(target: Target): Pick<Dispatcher, 'dispatch'>
  /** Ends them after the requests in progress. */
  close(): void
  destroy(): Promise<void>
}

/** The route to a URL. */
export interface Target {
  readonly origin: string
  readonly path: string
  /** Sent in addition. */
  readonly headers?: Readonly<Record<string, string>>
  readonly proxy?: Proxy
  /** The proxy forwards the request itself; otherwise it makes a tunnel. */
  readonly forwarded?: boolean
}
