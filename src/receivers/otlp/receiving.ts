import type { ReceiverContext } from '../../component/context.ts'
import type { Admission } from './admission.ts'
import type { LargeJson } from './large_json.ts'
import type { Refusal } from './refusal.ts'

export type Protocol = 'grpc' | 'http'

/** The parts that both protocols share. */
export interface Receiving {
  readonly context: Pick<ReceiverContext, 'clock' | 'deliver' | 'listen' | 'log' | 'signal' | 'takes'>
  readonly admission: Admission
  readonly largeJson: LargeJson
  /** Of each protocol. */
  readonly maxConnections: number
  /** Counts a refused request, or a connection from the address `client`, and returns the answer for the client. */
  readonly refused: (protocol: Protocol, error: unknown, client?: string) => Refusal
  /** By protocol: half a sentence that says where its clients find the other one. */
  readonly elsewhere: Readonly<Record<Protocol, string>>
  /** Ends the receiver, because a server cannot go on. */
  readonly fail: (error: unknown) => void
}
