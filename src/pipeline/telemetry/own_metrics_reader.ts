import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Telemetry } from './telemetry.ts'

/**
 * Makes a function that reads all of `telemetry` as metrics. Each reader has its own state, because some metrics are
 * about the time since the last reading. The code for it is loaded by the first reading, and costs nothing more once
 * `signal` is aborted.
 */
export function ownMetricsReader(telemetry: Telemetry, signal: AbortSignal): () => Promise<MetricBatch> {
  let reader: Promise<{ collect(): Promise<MetricBatch> }> | undefined
  return async () => {
    reader ??= import('./own_metrics.ts').then(({ OwnMetrics }) => new OwnMetrics(telemetry, telemetry.prefix, signal))
    return (await reader).collect()
  }
}
