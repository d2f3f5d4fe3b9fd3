import type { Observable } from 'rxjs'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch } from '../otlp/signal.ts'
import type { Context } from './context.ts'
import type { Declaration } from './declaration.ts'
import type { ConfigOf, Settings } from './settings.ts'

/** Where a function reports changes that the number of items of its result does not show. */
export interface ProcessorAccount {
  /** `items` of the current batch were left out intentionally. For a processor that both `filters` and `merges`. */
  filtered(items: number): void
}

/** Handles one batch. `undefined` means that nothing is left of it. If it throws, only this batch is lost, and counted. */
export type ProcessBatch<B extends Batch = MetricBatch> = Functions<B>['process']

/** An RxJS operator, for a processor that depends on time or keeps a history. */
export interface ProcessorOperator<B extends Batch = MetricBatch> {
  operator(batches: Observable<B>): Observable<Batch>
}

/** A method, so that its parameter may be narrower: the pipeline gives a processor only batches of the signals that it declares, and accepts no others. */
interface Functions<B extends Batch> {
  process(batch: B, account: ProcessorAccount): Batch | undefined | Promise<Batch | undefined>
}

/**
 * How a processor may change the number of items. A change that it does not declare is counted as dropped or created
 * under the reason `undeclared`.
 * - `filters`: fewer come out, by intent.
 * - `merges`: fewer come out, because several became one.
 * - `creates`: more come out.
 * - `holds`: an operator that keeps items for a while; all of them come out in the end.
 * - `replaces`: the output is new: items that came in count as merged, and items that go out as created.
 */
export type PointChange = 'filters' | 'merges' | 'creates' | 'holds' | 'replaces'

/** A step between receivers and exporters: a function per batch, or an RxJS operator if it depends on time or keeps a history. */
export interface ProcessorComponent<
  S extends Settings = Settings,
  B extends Batch = MetricBatch,
> extends Declaration<S> {
  readonly kind: 'processor'
  /**
   * Several if it may do either. Losses and gains of a batch are offset within the batch. For a processor that
   * `filters` and `merges`, `account` says how many of the lost items were filtered; the rest counts as merged.
   */
  readonly changes?: PointChange | readonly PointChange[]
  /** Called for each pipeline that names it, of any of its signals. */
  create(context: Context<ConfigOf<S>>): ProcessBatch<B> | ProcessorOperator<B>
}
