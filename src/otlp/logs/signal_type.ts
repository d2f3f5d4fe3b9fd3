import { signalType } from '../common/signal_type.ts'
import { LogBatch } from './batch.ts'
import { handedOver } from './handed_over.ts'

export const logs = signalType(LogBatch, { items: 'log records', handedOver })
