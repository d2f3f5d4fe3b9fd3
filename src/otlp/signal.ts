import type { Divided } from '../time/turns.ts'
import type { Resource } from './common/resource.ts'
import type { TimeWindow } from './common/time_window.ts'

/** The kinds of data, in the Collector's words. */
export type Signal = 'metrics' | 'logs' | 'traces'

/**
 * The pipeline's view of data: `MetricBatch`, `LogBatch` and `TraceBatch` are such batches. Immutable: each operation
 * returns another batch that shares the unchanged parts, or the same batch if nothing changed.
 */
export interface Batch {
  readonly signal: Signal
  /** The number of data points, log records or spans. */
  readonly itemCount: number
  /** The protobuf request of OTLP. */
  toOtlp(): Uint8Array
  /** Whether `toOtlp` has nothing left to do. */
  readonly isWritten: boolean
  /** Takes over what `toOtlp` would make. */
  writtenAs(bytes: Uint8Array): void
  mapResources(change: (resource: Resource) => Resource): Batch
}

/** The operations of the pipeline on the batches of one signal. */
export interface SignalType<B extends Batch = Batch> {
  readonly signal: Signal
  /** The counted items, in the plural, for people: `data points`. */
  readonly items: string
  readonly empty: B
  /**
   * Makes a batch from a protobuf request of OTLP. The bytes must not be changed afterwards.
   * @param maxMessages the most messages that it may hold, at all levels together
   * @throws MalformedError if the bytes are not one
   */
  fromOtlp(bytes: Uint8Array, maxMessages?: number): B
  /** All items of the given batches, in order, as one batch. */
  merge(batches: readonly B[]): B
  /** Cuts a batch into batches of at most `maxItems`, in order; returns the batch itself if it is small enough. */
  split(batch: B, maxItems: number): readonly B[]
  /**
   * The result of `change` for a batch, computed part by part. `change` must treat each item independently and keep
   * their order; it may leave out items and the parts that become empty.
   */
  inParts(batch: B, change: (part: B) => B): Divided<B>
  /** Does the work of `toOtlp` in turns, so that nothing is left to do. */
  writeInTurns(batch: B): Divided<void>
  /** The same data without the requests of which less than half is used; they must not stay in memory while the batch waits in a queue. */
  compacted(batch: B): Divided<B>
  /** Whether every item is before the window. */
  isBefore(batch: B, window: TimeWindow): boolean
  /** The batch without the items outside the window; `dropped` is called with their number. */
  within(batch: B, window: TimeWindow, dropped: (place: number, items: number) => void): B
  /**
   * The batch that a custom component hands over, once everything in it is valid.
   * @throws TypeError that names the mistake
   */
  handedOver(given: unknown): B
}
