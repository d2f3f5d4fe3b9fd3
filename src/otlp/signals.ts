import { logs } from './logs/signal_type.ts'
import { metrics } from './metrics/signal_type.ts'
import type { Signal, SignalType } from './signal.ts'
import { traces } from './traces/signal_type.ts'

/** What the pipeline can do with the data of each signal. */
export const signals: Readonly<Record<Signal, SignalType>> = { metrics, logs, traces }
