import { writeInParts } from '../common/parts.ts'
import { splitBatch } from '../common/split.ts'
import { isBefore, within } from '../common/time_window.ts'
import type { SignalType } from '../signal.ts'
import { MetricBatch } from './batch.ts'
import { handedOver } from './handed_over.ts'

export const metrics: SignalType<MetricBatch> = {
  signal: 'metrics',
  items: 'data points',
  empty: MetricBatch.empty,
  fromOtlp: MetricBatch.fromOtlp.bind(MetricBatch),
  merge: MetricBatch.merge.bind(MetricBatch),
  split: splitBatch,
  writeInTurns: writeInParts,
  isBefore,
  within,
  handedOver,
}
