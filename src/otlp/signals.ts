import type { Batch, Signal, SignalType } from './signal.ts'
import { describe } from './metrics/handed_over.ts'
import type { MetricBatch } from './metrics/batch.ts'
import { metrics } from './metrics/signal_type.ts'

/** The class of the batches of each signal. */
export interface BatchOf {
  readonly metrics: MetricBatch
  readonly logs: Batch
  readonly traces: Batch
}

/** What the pipeline can do with the batches of each signal. */
export const signals = { metrics } as unknown as Readonly<Record<Signal, SignalType>>

/** In the order in which they are named. */
export const SIGNALS: readonly Signal[] = ['metrics', 'logs', 'traces']

/**
 * What a component of a user's own handed over, as a batch of one of `allowed`, in which everything is what it has to be.
 * @throws TypeError that says what is not
 */
export function handedOver(given: unknown, allowed: readonly Signal[]): Batch {
  const signal = signalIn(given)
  if (signal !== undefined && allowed.includes(signal)) return signals[signal].handedOver(given)
  if (signal === undefined && allowed.length === 1) return signals[allowed[0]].handedOver(given)
  const what = signal === undefined ? describe(given) : `one of ${signal}`
  throw new TypeError(`must be a batch of ${allowed.join(' or ')}, not ${what}`)
}

function signalIn(given: unknown): Signal | undefined {
  const signal = (given as { readonly signal?: unknown } | null | undefined)?.signal
  return SIGNALS.find((known) => known === signal)
}

/** The number of items in what a component handed over, as far as it can be known, whatever that is. */
export function itemsIn(given: unknown): number {
  const signal = signalIn(given)
  return signal === undefined ? 0 : signals[signal].itemsIn(given)
}
