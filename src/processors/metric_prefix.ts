import { defineComponent } from '../component/define.ts'
import { checkSelections, selection, selects } from '../component/metric_selection.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import { partByPart } from '../component/part_by_part.ts'

export default defineComponent({
  kind: 'processor',
  type: 'metric_prefix',
  summary: 'Puts a prefix in front of every metric name that does not have it yet.',
  description: `
A destination recognises metrics by their names: Datadog's host dashboards look for \`system.cpu.user\`, and
\`host_metrics_names\` of its exporters for \`system.cpu.time\`. Leave such metrics out with \`exclude\`.
`,
  config: {
    prefix: { doc: 'Put in front of each name, followed by a dot.', format: 'metric_name', default: null },
    include: {
      doc: 'The metrics that get the prefix. Unset: all.',
      format: { settings: selection },
      default: undefined,
    },
    exclude: {
      doc: 'The metrics among those included that keep their names.',
      format: { settings: selection },
      default: undefined,
    },
  },
  examples: [
    { title: 'Names below heka', yaml: 'metric_prefix: { prefix: heka }' },
    {
      title: 'All names except those of host metrics, which Datadog recognises',
      yaml: `
metric_prefix:
  prefix: heka
  exclude: { match_type: regexp, metrics: ['^(system|process)\\.'] }
`,
    },
  ],
  check: checkSelections,
  create({ config }) {
    const dotted = `${config.prefix}.`
    const selected = selects(config)
    const prefixed = (metric: Metric): Metric =>
      metric.name.startsWith(dotted) || !selected(metric.name) ? metric : metric.withName(dotted + metric.name)
    return partByPart((batch: MetricBatch) => batch.mapMetrics(prefixed), 'items')
  },
})
