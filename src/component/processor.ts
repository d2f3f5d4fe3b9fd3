import type { Observable } from 'rxjs'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch } from '../otlp/signal.ts'
import type { Context } from './context.ts'
import type { Declaration } from './declaration.ts'
import type { ConfigOf, Settings } from './settings.ts'

/** Where a function says what the number of items of its result does not show. */
export interface ProcessorAccount {
  /** `items` of the batch in hand were left out by intent. For a processor that both `filters` and `merges`. */
  filtered(items: number): void
}

/** Handles one batch. `undefined` means that nothing is left of it. A throw costs this batch, counted, and nothing else. */
export type ProcessBatch<B extends Batch = MetricBatch> = Functions<B>['process']

/** An RxJS operator, for a processor that holds time or history. */
export interface ProcessorOperator<B extends Batch = MetricBatch> {
  operator(batches: Observable<B>): Observable<Batch>
}

/** A method, whose parameter may be narrower: the pipeline gives a processor only batches of the signals that it declares, and takes no others. */
interface Functions<B extends Batch> {
  process(batch: B, account: ProcessorAccount): Batch | undefined | Promise<Batch | undefined>
}

/**
 * How a processor may change the number of items. Any change it does not declare is counted as dropped or created
 * under the reason `undeclared`.
 * - `filters`: fewer come out, by intent.
 * - `merges`: fewer come out, because several became one.
 * - `creates`: more come out.
 * - `holds`: an operator that keeps items for a while; every one comes out in the end.
 * - `replaces`: what comes out is new: what came in counts as merged, what goes out as created.
 */
export type PointChange = 'filters' | 'merges' | 'creates' | 'holds' | 'replaces'

/** A step between receivers and exporters: a function per batch, or an RxJS operator where it holds time or history. */
export interface ProcessorComponent<
  S extends Settings = Settings,
  B extends Batch = MetricBatch,
> extends Declaration<S> {
  readonly kind: 'processor'
  /**
   * Several where it may do the one or the other. What a batch lost and what it gained is set off within the batch. Of what it
   * lost, a processor that `filters` and `merges` says to `account` how much was filtered; the rest counts as merged.
   */
  readonly changes?: PointChange | readonly PointChange[]
  /** Called for each pipeline that names it, of whichever of its signals. */
  create(context: Context<ConfigOf<S>>): ProcessBatch<B> | ProcessorOperator<B>
}
