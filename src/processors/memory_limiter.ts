import { defineComponent } from '../component/define.ts'
import { retryable } from '../errors.ts'
import { MemoryLimiter, memoryLimiterFindings, memoryLimiterSettings } from '../host/memory_limiter.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { writeInParts } from '../otlp/common/parts.ts'
import { inTurns } from '../component/part_by_part.ts'

export default defineComponent({
  kind: 'processor',
  type: 'memory_limiter',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Refuses data while the memory of the process, or of its container, is above a limit.',
  description: `Above the soft limit, which is the hard limit minus the spike limit, every batch goes back to its receiver: an OTLP client gets
503 with \`Retry-After\` (\`UNAVAILABLE\` with \`RetryInfo\`) and keeps its data; data of a receiver that cannot be refused, such as
\`host_metrics\`, is dropped and counted as \`memory_limit\`. Put this processor in front of all others: they would otherwise process
a refused batch a second time when it comes again.

\`service.memory_limiter\` has the same settings and does more: it covers all pipelines, refuses requests before they are read, and
above the hard limit drops data waiting in memory. Both may be used. [Reliability](../reliability.md#memory) says what counts as
memory in use.`,
  config: memoryLimiterSettings,
  examples: [
    {
      title: 'A limit for a container of any size',
      yaml: 'memory_limiter: { check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20 }',
    },
    { title: 'A limit in MiB', yaml: 'memory_limiter: { limit_mib: 4000, spike_limit_mib: 800 }' },
  ],
  check: memoryLimiterFindings,
  create(context) {
    const { config, meter } = context
    const memory = new MemoryLimiter(context, config)
    const counters = (verb: string, fate: string) => ({
      metrics: meter.createCounter(`${verb}_metric_points`, {
        description: `Data points that were ${fate}.`,
        unit: '{datapoints}',
      }),
      logs: meter.createCounter(`${verb}_log_records`, {
        description: `Log records that were ${fate}.`,
        unit: '{records}',
      }),
      traces: meter.createCounter(`${verb}_spans`, { description: `Spans that were ${fate}.`, unit: '{spans}' }),
    })
    const accepted = counters('accepted', 'let through')
    const refused = counters('refused', 'refused')
    const limit = <B extends ItemBatch>(batch: B): B => {
      const short = memory.isShort(batch.toOtlp().length)
      ;(short ? refused : accepted)[batch.signal].add(batch.itemCount)
      if (short) throw retryable('Memory is short.', undefined, { reason: 'memory_limit' })
      return batch
    }
    return inTurns(limit, function* (batch) {
      yield* writeInParts(batch)
      return limit(batch)
    })
  },
})
