import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Telemetry } from './telemetry.ts'

/**
 * Makes a function that reads all of `telemetry` as metrics. Each reader is its own, since some metrics are about the time from one reading
 * to the next. What reads is loaded by the first reading, and costs nothing more once `signal` is aborted.
 */
export function ownMetricsReader(telemetry: Telemetry, signal: AbortSignal): () => Promise<MetricBatch> {
  let reader: Promise<{ collect(): Promise<MetricBatch> }> | undefined
  return async () => {
    reader ??= import('./own_metrics.ts').then(({ OwnMetrics }) => new OwnMetrics(telemetry, telemetry.prefix, signal))
    return (await reader).collect()
  }
}
