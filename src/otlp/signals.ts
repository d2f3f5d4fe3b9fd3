import { describe } from './common/handed_over.ts'
import type { LogBatch } from './logs/batch.ts'
import { logs } from './logs/signal_type.ts'
import type { MetricBatch } from './metrics/batch.ts'
import { metrics } from './metrics/signal_type.ts'
import type { Batch, Signal, SignalType } from './signal.ts'
import type { TraceBatch } from './traces/batch.ts'
import { traces } from './traces/signal_type.ts'

/** The class of the batches of each signal. */
export interface BatchOf {
  readonly metrics: MetricBatch
  readonly logs: LogBatch
  readonly traces: TraceBatch
}

/** A batch of any signal; its `signal` says which. */
export type AnyBatch = BatchOf[Signal]

/** The operations of the pipeline on the data of each signal. */
export const signals: Readonly<Record<Signal, SignalType>> = { metrics, logs, traces }

export const SIGNALS = Object.keys(signals) as readonly Signal[]

/** So many items, for people: `1 log record`. `count`: how the number is written. */
export function itemsText(signal: Signal, items: number, count = String(items)): string {
  const { items: many } = signals[signal]
  return `${count} ${items === 1 ? many.replace(/s$/, '') : many}`
}

/** The names in a batch, of each metric or span; log records have none. */
export function* namesIn(given: Batch): Generator<string> {
  const batch = given as AnyBatch
  if (batch.signal === 'metrics') for (const { metric } of batch.metrics()) yield metric.name
  if (batch.signal === 'traces') for (const { span } of batch.spans()) yield span.name
}

/**
 * The batch of one of the `allowed` signals that a custom component hands over, once everything in it is valid.
 * @throws TypeError that names the mistake
 */
export function handedOver(given: unknown, allowed: readonly Signal[]): Batch {
  const known = allowed.find((signal) => signal === (given as Partial<Batch> | null | undefined)?.signal)
  if (known !== undefined || allowed.length === 1) return signals[known ?? allowed[0]].handedOver(given)
  throw new TypeError(`must be a batch of ${allowed.join(' or ')}, not ${describe(given)}`)
}
