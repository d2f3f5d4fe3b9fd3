import type { ProcessBatch, ProcessorAccount } from './processor.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { inParts } from '../otlp/common/parts.ts'
import { InTurns, LONG } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'

/** Makes the processor that works on a batch at once, or on a large one in turns, in which it must make the same of it. */
export function inTurns(
  atOnce: (batch: MetricBatch, account: ProcessorAccount) => MetricBatch,
  divided: (batch: MetricBatch, account: ProcessorAccount) => Divided<MetricBatch>,
): ProcessBatch {
  return (batch, account) =>
    batch.itemCount < LONG ? atOnce(batch, account) : new InTurns(divided(batch, account)).result
}

/** Makes the processor that does `change` to a batch, or to the parts of a large one. `change` and `cuts` are as of `inParts`. */
export function partByPart(change: (batch: MetricBatch) => MetricBatch, cuts = true): ProcessBatch {
  return inTurns(change, (batch) => inParts(batch, change, cuts))
}
