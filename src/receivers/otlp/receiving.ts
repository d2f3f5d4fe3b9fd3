import type { ReceiverContext } from '../../component/context.ts'
import type { Admission } from './admission.ts'
import type { LargeJson } from './large_json.ts'
import type { Refusal } from './refusal.ts'

export type Protocol = 'grpc' | 'http'

/** What both protocols share. */
export interface Receiving {
  readonly context: Pick<ReceiverContext, 'clock' | 'deliver' | 'listen' | 'log' | 'signal' | 'takes'>
  readonly admission: Admission
  readonly largeJson: LargeJson
  /** Of each protocol. */
  readonly maxConnections: number
  /** Counts a request that was not taken, or a connection from the address `client`, and returns what the client is answered. */
  readonly refused: (protocol: Protocol, error: unknown, client?: string) => Refusal
  /** By protocol: where its clients find the other one, as half a sentence. */
  readonly elsewhere: Readonly<Record<Protocol, string>>
  /** Ends the receiver, because a server cannot go on. */
  readonly fail: (error: unknown) => void
}
