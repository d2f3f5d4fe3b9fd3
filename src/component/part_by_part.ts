import type { ProcessBatch, ProcessorAccount } from './processor.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { inParts } from '../otlp/common/parts.ts'
import { InTurns, LONG } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'

/**
 * Makes a processor that handles a batch at once, or a large batch of metrics in turns with the same result. It may
 * only change the resources of log records and spans, which takes no time worth a turn.
 */
export function inTurns<B extends ItemBatch>(
  atOnce: (batch: B, account: ProcessorAccount) => B,
  divided: (batch: B, account: ProcessorAccount) => Divided<B>,
): ProcessBatch<B> {
  return (batch, account) =>
    batch.itemCount < LONG || batch.signal !== 'metrics'
      ? atOnce(batch, account)
      : new InTurns(divided(batch, account)).result
}

/** Makes a processor that applies `change` to a batch, or to the parts of a large one. `change` and `cuts` as in `inParts`. */
export function partByPart<B extends ItemBatch>(change: (batch: B) => B, cuts = true): ProcessBatch<B> {
  return inTurns(change, (batch) => inParts(batch, change, cuts))
}
