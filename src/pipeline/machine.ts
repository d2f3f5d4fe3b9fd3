import { randomInt } from 'node:crypto'
import { systemClock } from '../time/clock.ts'
import type { Clock } from '../time/clock.ts'
import type { Network } from '../net/network.ts'
import type { Disk } from './queue/files.ts'
import { systemDisk } from './queue/system_disk.ts'

/** What a pipeline uses of the machine it runs on. A simulation puts its own in its place, where nothing depends on chance. */
export interface Machine {
  readonly clock: Clock
  readonly disk: Disk
  readonly network: Network
  /** A number from 0 to 1 that nobody can foretell. */
  readonly random: () => number
}

export const thisMachine: Machine = {
  clock: systemClock,
  disk: systemDisk,
  network: {
    // Only those who send HTTP requests load what does that.
    connect: async (tls, pem) => (await import('../net/http_client.ts')).systemNetwork.connect(tls, pem),
  },
  random: () => randomInt(2 ** 32) / 2 ** 32,
}
