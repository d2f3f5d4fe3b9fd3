import type { Batch } from '../../otlp/signal.ts'
import type { RecordPosition } from './record_log.ts'
import { count } from './segment.ts'
import type { Waiting } from './segment.ts'
import type { Change } from './state_log.ts'

/** A batch in a queue on disk. */
export interface QueueEntry {
  readonly payload: Uint8Array
  readonly items: number
  /** When it was taken, in milliseconds since 1970. */
  readonly time: number
  /** The batch that was pushed; one that was read from disk is made when it is taken. */
  readonly batch?: Batch
  /** As of `Queue.pushAgain`. */
  readonly isSame?: boolean
  /** What the exporter remembers since it prepared the batch. */
  readonly change?: Change
}

/** One whose record is on disk. */
export interface StoredEntry extends QueueEntry {
  readonly place: Omit<RecordPosition, 'offset'>
}

/** Adds an entry to what waits, or takes it away with a negative sign. */
export function countEntry(size: Waiting, { items, payload }: QueueEntry, sign: 1 | -1): void {
  count(size, { items, length: payload.length }, sign)
}
