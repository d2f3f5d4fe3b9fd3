import { defineComponent } from '../component/define.ts'
import { retryable } from '../errors.ts'
import { MemoryLimiter, memoryLimiterFindings, memoryLimiterSettings } from '../host/memory_limiter.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { writeInParts } from '../otlp/common/parts.ts'
import { inTurns } from '../component/part_by_part.ts'

export default defineComponent({
  kind: 'processor',
  type: 'memory_limiter',
  summary: 'Refuses data while the memory of the process, or of its container, is above a limit.',
  description: `Above the soft limit, which is the hard one less the spike limit, every batch goes back to its receiver: an OTLP client
gets 503 with \`Retry-After\` (\`UNAVAILABLE\` with \`RetryInfo\`) and keeps it; what a receiver that cannot refuse has collected, as
\`host_metrics\`, is dropped and counted as \`memory_limit\`. It belongs before all other processors: what they remember of a
batch that is refused and comes again they would remember twice.

\`service.memory_limiter\` has the same settings and does more: it holds for all pipelines, refuses before a request is read, and
above the hard limit lets go of what waits in memory. Both may be there. What counts as memory in use is told in
[reliability](../reliability.md#memory).`,
  config: memoryLimiterSettings,
  examples: [
    {
      title: 'A limit for a container, whatever its size',
      yaml: 'memory_limiter: { check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20 }',
    },
    { title: 'A limit in MiB', yaml: 'memory_limiter: { limit_mib: 4000, spike_limit_mib: 800 }' },
  ],
  check: memoryLimiterFindings,
  create(context) {
    const { config, meter } = context
    const memory = new MemoryLimiter(context, config)
    const unit = '{datapoints}'
    const accepted = meter.createCounter('accepted_metric_points', {
      description: 'Data points that were let through.',
      unit,
    })
    const refused = meter.createCounter('refused_metric_points', {
      description: 'Data points that were refused.',
      unit,
    })
    const limit = (batch: MetricBatch): MetricBatch => {
      const short = memory.isShort(batch.toOtlp().length)
      ;(short ? refused : accepted).add(batch.pointCount)
      if (short) throw retryable('Memory is short.', undefined, { reason: 'memory_limit' })
      return batch
    }
    return inTurns(limit, function* (batch) {
      yield* writeInParts(batch)
      return limit(batch)
    })
  },
})
