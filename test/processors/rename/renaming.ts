import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { Metric } from '../../../src/otlp/metrics/metric.ts'
import rename from '../../../src/processors/rename.ts'
import { testProcessor } from '../../../src/testing.ts'
import type { ProcessorTest } from '../../../src/testing.ts'

export const at = { timeUnixNano: 1_700_000_000_000_000_000n }

/** What comes out of the processor, read from its bytes, and what it says of it. */
export interface Renaming extends Pick<ProcessorTest, 'balance' | 'logs'> {
  readonly batch: MetricBatch
  readonly metrics: readonly Metric[]
}

/** Does the transforms, one a line of YAML, to metrics that come as they do over the wire. */
export async function renaming(transforms: readonly string[], ...metrics: readonly Metric[]): Promise<Renaming> {
  const { process, balance, logs } = await testProcessor(rename, `rename: { transforms: [${transforms.join(', ')}] }`)
  const out = await process(MetricBatch.fromOtlp(MetricBatch.of({ metrics }).toOtlp()))
  const batch = MetricBatch.fromOtlp(out.toOtlp())
  return { batch, metrics: Array.from(batch.metrics(), ({ metric }) => metric), balance, logs }
}

/** Puts points of one name into one metric. */
export function joined(...metrics: readonly Metric[]): Metric {
  return metrics[0].withPoints(metrics.flatMap(({ points }) => points))
}
