import type { Batch, SignalType } from '../signal.ts'
import type { ItemBatch } from './batch.ts'
import { compacted } from './compaction.ts'
import { inParts, writeInParts } from './parts.ts'
import { splitBatch } from './split.ts'
import { isBefore, within } from './timely.ts'

/** The operations of the pipeline on the batches of one class. */
export function signalType<B extends ItemBatch & Batch>(
  Class: Pick<SignalType<B>, 'empty' | 'fromOtlp' | 'merge'>,
  own: Pick<SignalType<B>, 'items' | 'handedOver'>,
): SignalType<B> {
  return {
    ...own,
    signal: Class.empty.signal,
    empty: Class.empty,
    fromOtlp: Class.fromOtlp.bind(Class),
    merge: Class.merge.bind(Class),
    split: splitBatch,
    inParts: (batch, change) => inParts(batch, change),
    writeInTurns: writeInParts,
    compacted,
    isBefore,
    within,
  }
}
