import { defineComponent } from '../component.ts'

export default defineComponent({
  kind: 'processor',
  type: 'metric_prefix',
  summary: 'Puts a prefix in front of every metric name that does not carry it yet.',
  config: {
    prefix: { doc: 'Put in front of each name, followed by a dot.', format: 'metric_name', default: null },
  },
  examples: [{ title: 'Names below heka', yaml: 'metric_prefix: { prefix: heka }' }],
  create({ config }) {
    const dotted = `${config.prefix}.`
    return (batch) =>
      batch.mapMetrics((metric) => (metric.name.startsWith(dotted) ? metric : metric.withName(dotted + metric.name)))
  },
})
