import type { SignalType } from '../signal.ts'
import { MetricBatch } from './batch.ts'
import { handedOver } from './handed_over.ts'
import { writeInParts } from './parts.ts'
import { splitBatch } from './split.ts'
import { isBefore, within } from './time_window.ts'

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
