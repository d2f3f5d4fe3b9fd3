import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import type { Context } from './context.ts'
import type { Declaration } from './declaration.ts'
import type { Explanation } from './explain.ts'
import type { ConfigOf, Finding, Settings } from './settings.ts'

/** Where an exporter reports the items that it will not send, with the reason, and those that it added. */
export interface Account {
  /** `items` were made in addition to those that were handed in. */
  created(items: number): void
  /** `items` became part of others. */
  merged(items: number): void
  /** `items` are lost for `reason`, a `snake_case` word. */
  dropped(reason: string, items: number): void
}

/** One outgoing request, bounded in size by the exporter. */
export interface ExportRequest {
  /** Data points, log records or spans that are delivered if the request is accepted. */
  readonly items: number
  /** Bytes on the wire, as far as known. */
  readonly bytes: number
  /** Parts to send instead if the destination finds the request too large; `undefined` if it cannot be divided. */
  divide?(): readonly ExportRequest[] | undefined
}

/** The input of an exporter, the batches that it made of it before the queue, and the requests that it would send. */
export interface Rehearsed<R extends ExportRequest = ExportRequest, B extends Batch = MetricBatch> {
  readonly received: B
  readonly prepared: B
  readonly requests: readonly R[]
}

/**
 * The memory of an exporter, as bytes in a format of its own. A queue on disk keeps them with the batches that they
 * belong to, so that after a restart, also after a crash, the memory matches the batches that the queue took.
 */
export interface ExporterState {
  /** Begins a checkpoint: results of `changes` from now on do not depend on earlier ones. */
  beginCheckpoint(): void
  /**
   * Called after each `prepare`: returns the changes made by it and, in addition, a part of the memory that has not
   * been returned since `beginCheckpoint`, small enough to take no time; `all` once nothing of that is left, after at
   * most 10,000 calls. No bytes: nothing changed.
   */
  changes(): { readonly bytes: Uint8Array; readonly all: boolean }
  /**
   * Restores state saved by an earlier process, before the first `prepare`: one list of records for each checkpoint
   * that is needed, oldest first. If it throws, nothing may be remembered.
   */
  restore(checkpoints: readonly (readonly StateRecord[])[]): void
  /** Another exporter has taken over all of it: forgets it, so that it does not exist twice. */
  forget?(): void
}

/** The result of `changes` from `age` milliseconds ago. */
export interface StateRecord {
  readonly bytes: Uint8Array
  readonly age: number
}

/** The work of an exporter. Queueing, batching, retrying, timeouts and counting belong to the pipeline around it. */
export interface Exporter<R extends ExportRequest = ExportRequest, B extends Batch = MetricBatch> {
  /**
   * Runs once per batch, in the order of the batches of a signal, before the queue; may have memory. Items that it
   * leaves out are reported to `account`.
   */
  prepare?(batch: B, account: Account): B
  /**
   * `prepare` for large batches, with the same result: yields at least every few milliseconds, so that other work may
   * have a turn, and returns the batch. Until then no other batch of its signal is prepared, and `state` is not used.
   */
  prepareInTurns?(batch: B, account: Account): Generator<void, B>
  /**
   * The memory of `prepare`, and of `encode` if it has one, if it has to survive a restart with the queue on disk. It
   * covers batches of the first signal that the component declares.
   */
  readonly state?: ExporterState
  /**
   * Pure: the same batch gives the same result again. It may remember the results for earlier batches. The items of the
   * requests and those reported to `account` add up to the items of the batch.
   */
  encode(batch: B, account: Account): Iterable<R>
  /**
   * `encode` for large batches, with the same result: yields at least every few milliseconds, so that other work may
   * have a turn, and returns the requests. Until then no other batch of its signal is encoded, and `state` is not used.
   */
  encodeInTurns?(batch: B, account: Account): Generator<void, Iterable<R>>
  /** No request of an encoded batch will be sent any more, or again: all of it was delivered or given up. */
  ended?(batch: B): void
  /**
   * Has no memory; retried request by request. Throws `permanent`, `retryable`, `partial` or `divisible`. `signal`
   * aborts when the attempt is given up; later attempts use it again, so listeners have to be removed when the attempt
   * ends.
   */
  send(request: R, signal: AbortSignal): Promise<void>
  /** For `heka-pipeline explain`, which never calls `send`: the data as it would be stored. Pure; may take its time. */
  explain?(rehearsed: Rehearsed<R, B>): Explanation
}

/** A processor in front of an exporter in a pipeline, with its checked settings. */
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
  /** The rules about the processors in front of it in a pipeline, in order. Findings are as those of `check`. */
  checkProcessors?(config: ConfigOf<S>, processors: readonly ProcessorBefore[]): Iterable<Finding>
  create(context: Context<ConfigOf<S>>): Exporter<ExportRequest, B>
}

/** A text for all signals, or one for each that does not have the default. */
export type BySignal = string | Readonly<Partial<Record<Signal, string>>>
