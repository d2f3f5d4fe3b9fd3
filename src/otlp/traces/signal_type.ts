import { signalType } from '../common/signal_type.ts'
import { TraceBatch } from './batch.ts'
import { handedOver } from './handed_over.ts'

export const traces = signalType(TraceBatch, { items: 'spans', handedOver })
