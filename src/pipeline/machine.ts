import { randomInt } from 'node:crypto'
import { systemClock } from '../time/clock.ts'
import type { Clock } from '../time/clock.ts'
import type { Network } from '../net/network.ts'
import type { Disk } from './queue/files.ts'
import { systemDisk } from './queue/system_disk.ts'

/** The parts of the machine that a pipeline uses. A simulation replaces them by its own, which do not depend on chance. */
export interface Machine {
  readonly clock: Clock
  readonly disk: Disk
  readonly network: Network
  /** A random number from 0 to 1. */
  readonly random: () => number
}

export const thisMachine: Machine = {
  clock: systemClock,
  disk: systemDisk,
  network: {
    // The HTTP client is only loaded by exporters that use it.
    connect: async (tls, pem) => (await import('../net/http_client.ts')).systemNetwork.connect(tls, pem),
  },
  random: () => randomInt(2 ** 32) / 2 ** 32,
}
