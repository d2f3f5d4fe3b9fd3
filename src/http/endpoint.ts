export interface Address {
  /** '' means every interface. */
  readonly host: string
  readonly port: number
}

/** Reads `host:port`, `[IPv6]:port` or `:port`; `undefined` when it is none. */
export function parseEndpoint(endpoint: string): Address | undefined {
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]*)):(\d{1,5})$/.exec(endpoint)
  const port = Number(match?.[3])
  return match === null || port > 65535 ? undefined : { host: match[1] ?? match[2], port }
}
