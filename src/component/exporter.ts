import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import type { Context } from './context.ts'
import type { Declaration } from './declaration.ts'
import type { Explanation } from './explain.ts'
import type { ConfigOf, Finding, Settings } from './settings.ts'

/** Where an exporter says which items will not be sent, and why, and which it added. */
export interface Account {
  /** `items` were made beside those that were handed in. */
  created(items: number): void
  /** `items` became part of others. */
  merged(items: number): void
  /** `items` are lost for `reason`, a `snake_case` word. */
  dropped(reason: string, items: number): void
}

/** One outgoing request, bounded in size by the exporter. */
export interface ExportRequest {
  /** Data points, log records or spans that arrive if the request is taken. */
  readonly items: number
  /** Bytes on the wire, as far as known. */
  readonly bytes: number
  /** Parts to send instead when the destination finds the request too large; `undefined` when it cannot be divided. */
  divide?(): readonly ExportRequest[] | undefined
}

/** What an exporter was given, what it made of that before the queue, and what it would send. */
export interface Rehearsed<R extends ExportRequest = ExportRequest, B extends Batch = MetricBatch> {
  readonly received: B
  readonly prepared: B
  readonly requests: readonly R[]
}

/**
 * What an exporter remembers, as bytes of its own making. A queue on disk keeps them beside the batches they came with, so
 * that after a restart, also after a crash, as much is remembered as belongs to the batches that the queue took.
 */
export interface ExporterState {
  /** Begins a checkpoint: what `changes` returns from now on does not build on what it returned before. */
  beginCheckpoint(): void
  /**
   * Asked after each `prepare`: what that changed, and in addition a part of what has not been returned since `beginCheckpoint`, small
   * enough to take no time; `all` once nothing of that is left, after 10,000 calls at the latest. No bytes: nothing changed.
   */
  changes(): { readonly bytes: Uint8Array; readonly all: boolean }
  /**
   * Restores, before the first `prepare`, what an earlier process kept: one list of records for each checkpoint that is needed, oldest
   * first. Where it throws, nothing may be remembered.
   */
  restore(checkpoints: readonly (readonly StateRecord[])[]): void
  /** Another exporter has taken over all of it: forgets it, so that it is not there twice. */
  forget?(): void
}

/** What `changes` returned, `age` milliseconds ago. */
export interface StateRecord {
  readonly bytes: Uint8Array
  readonly age: number
}

/** What an exporter does. Queueing, batching, retrying, timeouts and counting belong to the pipeline around it. */
export interface Exporter<R extends ExportRequest = ExportRequest, B extends Batch = MetricBatch> {
  /** Runs once per batch, in the order of the batches of a signal, before the queue; may have memory. What it leaves out it says to `account`. */
  prepare?(batch: B, account: Account): B
  /**
   * `prepare` for large batches, of which it makes the same: yields at least every few milliseconds, where others may have a turn, and
   * returns the batch. Until then no other batch of its signal is prepared, and `state` is asked for nothing.
   */
  prepareInTurns?(batch: B, account: Account): Generator<void, B>
  /**
   * The memory of `prepare`, and of `encode` where it has one, if it is to survive a restart where the queue is on disk. It is of batches of
   * the first signal that the component declares.
   */
  readonly state?: ExporterState
  /**
   * Pure: the same batch again gives the same. It may remember what it made of the batches before. The requests and what
   * `account` was told add up to the items of the batch.
   */
  encode(batch: B, account: Account): Iterable<R>
  /**
   * `encode` for large batches, of which it makes the same: yields at least every few milliseconds, where others may have a turn, and
   * returns the requests. Until then no other batch of its signal is encoded, and `state` is asked for nothing.
   */
  encodeInTurns?(batch: B, account: Account): Generator<void, Iterable<R>>
  /** Nothing of a batch that was encoded will be sent any more, or again: all of it was delivered or given up. */
  ended?(batch: B): void
  /**
   * Has no memory; retried request by request. Throws `permanent`, `retryable`, `partial` or `divisible`. `signal` aborts when
   * the attempt is given up; it serves others after this one, so that who listens to it has to stop when the attempt has ended.
   */
  send(request: R, signal: AbortSignal): Promise<void>
  /** For `heka-pipeline explain`, which never calls `send`: what would be stored. Pure; may take its time. */
  explain?(rehearsed: Rehearsed<R, B>): Explanation
}

/** A processor that stands before an exporter in a pipeline, with its checked settings. */
export interface ProcessorBefore {
  readonly id: string
  readonly type: string
  readonly config: unknown
}

/** A destination. */
export interface ExporterComponent<
  S extends Settings = Settings,
  B extends Batch = MetricBatch,
> extends Declaration<S> {
  readonly kind: 'exporter'
  /**
   * Defaults of the pipeline's settings around this exporter, as in the YAML: `timeout`, `max_age`, `max_ahead` and
   * `sending_queue.join_interval`. An age may differ from signal to signal.
   */
  readonly timeout?: string
  readonly maxAge?: BySignal
  readonly maxAhead?: BySignal
  readonly joinInterval?: string
  /** The rules about what stands before it: the processors of a pipeline, in order. Findings are as those of `check`. */
  checkProcessors?(config: ConfigOf<S>, processors: readonly ProcessorBefore[]): Iterable<Finding>
  create(context: Context<ConfigOf<S>>): Exporter<ExportRequest, B>
}

/** A text for all signals, or one for each that is not to have the default. */
export type BySignal = string | Readonly<Partial<Record<Signal, string>>>
