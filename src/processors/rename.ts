import { defineComponent } from '../component.ts'
import { textMatcher } from '../otlp/match.ts'
import type { Metric } from '../otlp/metrics.ts'
import { operationOf } from './rename/operations.ts'
import { checkTransform, transform } from './rename/settings.ts'
import type { Transform } from './rename/settings.ts'

export default defineComponent({
  kind: 'processor',
  type: 'rename',
  aliases: ['metrics_transform'],
  changes: ['merges', 'creates'],
  summary: 'Gives metrics other names, units, labels and scales, and aggregates labels away.',
  description: `
Each of the \`transforms\` changes the metrics that \`include\` names, or a copy of them; the next one finds them changed,
and the copies, too. What only gets another name is not read any further and costs next to nothing. The words are those of the
collector's \`metricstransform\`; labels are what OTLP calls the attributes of data points. Per data point it can do:

| \`action\` | Needs | Does |
| --- | --- | --- |
| \`update_label\` | \`label\`, and \`new_label\` or \`value_actions\` | gives a label another name, or its values others |
| \`add_label\` | \`new_label\`, \`new_value\` | sets a label |
| \`aggregate_labels\` | \`label_set\`, \`aggregation_type\` | keeps these labels only; data points that become the same are aggregated |
| \`aggregate_label_values\` | \`label\`, \`aggregated_values\`, \`new_value\`, \`aggregation_type\` | makes one value of several; data points that become the same are aggregated |
| \`experimental_scale_value\` | \`experimental_scale\` | multiplies every value |

Data points are aggregated within a metric of a batch, where they have the same time: not over batches and not over metrics
that got the same name. Only gauges and sums are scaled and aggregated; histograms and summaries keep their data points. What
was an int stays one, unless it is scaled by a fraction or its mean is taken. A cumulative count out of which a label was
aggregated goes back when one of its series goes away.

In the balance of the pipeline, another name changes no number. What was aggregated counts as merged and what was copied as
created, set off against each other within a batch.
`,
  config: {
    transforms: {
      doc: 'What is changed, one after the other.',
      format: { list: { settings: transform } },
      default: null,
    },
  },
  examples: [
    {
      title: 'Other names, one by one and for a whole family',
      yaml: `
rename:
  transforms:
    - { include: system.cpu.time, new_name: cpu.seconds }
    - { include: '^system\\.memory\\.(.*)$', match_type: regexp, new_name: mem.$1 }
`,
    },
    {
      title: 'Without a series for each CPU',
      yaml: `
rename:
  transforms:
    - include: system.cpu.time
      operations:
        - { action: aggregate_labels, label_set: [state], aggregation_type: sum }
`,
    },
    {
      title: 'A percentage beside the ratio',
      yaml: `
rename/percent:
  transforms:
    - include: system.filesystem.utilization
      action: insert
      new_name: filesystem.percent
      new_unit: '%'
      operations:
        - { action: experimental_scale_value, experimental_scale: 100 }
`,
    },
  ],
  *check({ transforms }) {
    for (const [index, each] of transforms.entries()) yield* checkTransform(each, `transforms[${index}]`)
  },
  create({ config }) {
    const steps = config.transforms.map(stepOf)
    return (batch) => batch.flatMapMetrics((metric) => applySteps(metric, steps))
  },
})

/** What one transform makes of a metric: itself, changed or not, and the copy of it if there is one. */
type Step = (metric: Metric) => readonly [Metric, Metric?]

function applySteps(metric: Metric, steps: readonly Step[], from = 0): readonly Metric[] {
  let current = metric
  const copies: Metric[] = []
  for (let index = from; index < steps.length; index++) {
    const [changed, copy] = steps[index](current)
    current = changed
    if (copy !== undefined) copies.push(...applySteps(copy, steps, index + 1))
  }
  return [current, ...copies]
}

function stepOf(config: Transform): Step {
  const matches = textMatcher(config.match_type)
  const matchesName = matches(config.include)
  const change = changeOf(config)
  if (config.action === 'update') return (metric) => [matchesName(metric.name) ? change(metric) : metric]
  const labels = Object.entries(config.experimental_match_labels ?? {}).map(
    ([key, value]) => [key, matches(value)] as const,
  )
  return (metric) => {
    if (!matchesName(metric.name)) return [metric]
    if (labels.length === 0) return [metric, change(metric)]
    // A label that is not there counts as empty.
    const points = metric.points.filter(({ attributes }) =>
      labels.every(([key, matchesValue]) => matchesValue(attributes.text(key) ?? '')),
    )
    return points.length === 0 ? [metric] : [metric, change(metric.withPoints(points))]
  }
}

function changeOf({ include, match_type, new_name, new_unit, operations }: Transform): (metric: Metric) => Metric {
  const expression = match_type === 'regexp' ? new RegExp(include) : undefined
  const operate = operations.map(operationOf)
  return (metric) => {
    let changed = new_name === undefined ? metric : metric.withName(expandName(new_name, metric.name, expression))
    if (new_unit !== undefined) changed = changed.with({ unit: new_unit })
    return operate.reduce((result, operation) => operation(result), changed)
  }
}

/** Puts what the groups of the expression found in the place of `$1`, `${1}` and `$name`; nothing for unknown ones. */
function expandName(template: string, name: string, expression: RegExp | undefined): string {
  const found = expression?.exec(name)
  if (!found) return template
  const groups = new Map(Object.entries(found.groups ?? {}))
  found.forEach((text, index) => groups.set(String(index), text))
  const expanded = template.replaceAll(
    /\$(?:(\w+)|\{(\w+)\})/g,
    (_all, bare?: string, braced?: string) => groups.get(bare ?? braced ?? '') ?? '',
  )
  return expanded === '' ? template : expanded
}
