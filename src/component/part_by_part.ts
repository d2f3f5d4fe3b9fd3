import type { ProcessBatch, ProcessorAccount } from './processor.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { inParts } from '../otlp/common/parts.ts'
import type { Grain } from '../otlp/common/parts.ts'
import { InTurns, LONG } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'

/**
 * Makes the processor that works on a batch at once, or on a large one in turns, in which it must make the same of it. Of log records and spans
 * it may only change the resources, which takes no time worth a turn unless there are many.
 */
export function inTurns<B extends ItemBatch>(
  atOnce: (batch: B, account: ProcessorAccount) => B,
  divided: (batch: B, account: ProcessorAccount) => Divided<B>,
): ProcessBatch<B> {
  return (batch, account) =>
    batch.itemCount < LONG || (batch.signal !== 'metrics' && batch.resources.length < LONG)
      ? atOnce(batch, account)
      : new InTurns(divided(batch, account)).result
}

/** Makes the processor that does `change` to a batch, or to the parts of a large one. `change` and `grain` are as of `inParts`. */
export function partByPart<B extends ItemBatch>(change: (batch: B) => B, grain?: Grain): ProcessBatch<B> {
  return inTurns(change, (batch) => inParts(batch, change, grain))
}
