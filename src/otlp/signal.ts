import type { Divided } from '../time/turns.ts'
import type { Resource } from './common/resource.ts'
import type { TimeWindow } from './common/time_window.ts'

/** What data is about, in the Collector's words. */
export type Signal = 'metrics' | 'logs' | 'traces'

/**
 * All that the pipeline knows of data: `MetricBatch`, `LogBatch` and `TraceBatch` are such batches. Immutable: each operation
 * returns another batch that shares what did not change, or the same where nothing did.
 */
export interface Batch {
  readonly signal: Signal
  /** The number of data points, log records or spans. */
  readonly itemCount: number
  /** The protobuf request of OTLP. */
  toOtlp(): Uint8Array
  /** Whether `toOtlp` has nothing left to do. */
  readonly isWritten: boolean
  /** Takes over the bytes of a batch that holds the same. */
  writtenAs(same: Batch): void
  /** The same data without the requests of which it uses less than half, which must not live on while it waits in a queue. */
  compacted(): Batch
  /** Whether `compacted` needs what `toOtlp` returns. */
  readonly mustBeWritten: boolean
  mapResources(change: (resource: Resource) => Resource): Batch
}

/** What the pipeline can do with the batches of one signal. */
export interface SignalType<B extends Batch = Batch> {
  readonly signal: Signal
  /** What it counts, in the plural, for people: `data points`. */
  readonly items: string
  readonly empty: B
  /**
   * Makes a batch from a protobuf request of OTLP. The bytes must not be changed afterwards.
   * @param maxMessages how many messages it may hold, at all levels together
   * @throws MalformedError when the bytes are not one.
   */
  fromOtlp(bytes: Uint8Array, maxMessages?: number): B
  /** All items of the given batches, in order, as one batch. */
  merge(batches: readonly B[]): B
  /** Cuts a batch into batches of at most `maxItems`, in order; the batch itself when it is small enough. */
  split(batch: B, maxItems: number): readonly B[]
  /**
   * What `change` makes of a batch, done part by part. It must treat each item without regard to others, keep their order, and may leave
   * out items and what is left empty by that.
   */
  inParts(batch: B, change: (part: B) => B): Divided<B>
  /** Makes `toOtlp` have nothing left to do, in turns. */
  writeInTurns(batch: B): Divided<void>
  /** Whether every item lies before the window. */
  isBefore(batch: B, window: TimeWindow): boolean
  /** The batch without the items outside the window, whose number `dropped` is called with. */
  within(batch: B, window: TimeWindow, dropped: (place: number, items: number) => void): B
  /**
   * What a component of a user's own handed over, as a batch in which everything is what it has to be.
   * @throws TypeError that says what is not
   */
  handedOver(given: unknown): B
}
