import os from 'node:os'

/** The functions of systeminformation that are in use. */
type Information = Pick<
  typeof import('systeminformation'),
  'cpu' | 'fsSize' | 'mem' | 'networkConnections' | 'networkStats' | 'osInfo' | 'processes' | 'uuid'
>

/** The functions used if there is no `/proc`. */
export interface PortableSystem {
  readonly platform: NodeJS.Platform
  readonly os: Pick<typeof os, 'cpus' | 'loadavg' | 'uptime'>
  readonly information: Information
}

/** Loaded only if it is needed: the package costs memory and time. */
export async function loadPortableSystem(): Promise<PortableSystem> {
  const { default: information } = await import('systeminformation')
  return { platform: process.platform, os, information }
}
