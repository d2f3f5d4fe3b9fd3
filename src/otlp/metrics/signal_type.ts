import { signalType } from '../common/signal_type.ts'
import { MetricBatch } from './batch.ts'
import { handedOver } from './handed_over.ts'

export const metrics = signalType(MetricBatch, { items: 'data points', handedOver })
