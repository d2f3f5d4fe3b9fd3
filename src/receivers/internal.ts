import { defineComponent } from '../component/define.ts'
import { ticks } from '../time/ticker.ts'

export default defineComponent({
  kind: 'receiver',
  type: 'internal',
  summary: "Provides the pipeline's own metrics: the fate of every data point, its queues, requests, memory and CPU.",
  description: `The same [metrics](../telemetry.md) as those served to Prometheus on \`service.telemetry.metrics.address\`, even if that is switched
off. Sums are cumulative since the start of the pipeline.`,
  config: {
    collection_interval: { doc: 'The interval between readings.', format: 'duration', default: '1m' },
    initial_delay: { doc: 'The delay between the start and the first reading.', format: 'duration', default: '1s' },
  },
  examples: [{ title: 'Every ten seconds', yaml: 'internal: { collection_interval: 10s }' }],
  *check({ collection_interval }) {
    if (collection_interval === 0) yield { path: 'collection_interval', message: 'must be more than 0s' }
  },
  async *create({ clock, config, ownMetrics, signal }) {
    const { collection_interval: interval, initial_delay: initialDelay } = config
    const readings = ticks({ interval, initialDelay }, signal, clock)
    while (!(await readings.next()).done) yield await ownMetrics()
  },
})
