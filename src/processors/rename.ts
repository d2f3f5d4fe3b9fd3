import { defineComponent } from '../component/define.ts'
import type { ProcessorAccount } from '../component/processor.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import type { ResourceMetrics, ScopeMetrics } from '../otlp/metrics/metric.ts'
import { inTurns } from '../component/part_by_part.ts'
import { throttled } from '../throttled.ts'
import { atOnce } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'
import { checkTransform, transform } from './rename/settings.ts'
import { stepOf } from './rename/steps.ts'
import type { Aside } from './rename/steps.ts'

export default defineComponent({
  kind: 'processor',
  type: 'rename',
  aliases: ['metrics_transform'],
  changes: ['filters', 'merges', 'creates'],
  summary:
    'Gives metrics other names, units, labels and scales, aggregates labels away, and combines or groups metrics.',
  description: `
The settings are those of the Collector's \`metricstransform\`; labels are what OTLP calls the attributes of data points. Each of
the \`transforms\` takes the metrics that \`include\` names, within a resource and scope; the next one finds them changed:

| \`action\` | Needs | Does |
| --- | --- | --- |
| \`update\` | | changes the metric; with \`experimental_match_labels\`, only the data points that match |
| \`insert\` | \`new_name\` | changes a copy of the metric, behind the others |
| \`combine\` | \`new_name\`, \`aggregation_type\` | makes one metric of all, whose labels also say what the groups of a regular expression found in the old names: \`(?<state>.*)\` makes a label \`state\`, a group without a name \`$1\` |
| \`group\` | \`group_resource_labels\` | moves the metric to a copy of its resource that has these attributes, where no later transform sees it |

An \`update\` that only gives another name does not read the metric any further and costs next to nothing. Metrics are combined
only if they have the same type, unit, temporality and monotonicity; otherwise all of them stay as they are, and the log says so.
The operations on data points are:

| \`action\` | Needs | Does |
| --- | --- | --- |
| \`update_label\` | \`label\`, and \`new_label\` or \`value_actions\` | gives a label another name, or its values others |
| \`add_label\` | \`new_label\`, \`new_value\` | adds a label to data points that do not have it |
| \`delete_label_value\` | \`label\`, \`label_value\` | deletes the data points whose label has this value |
| \`aggregate_labels\` | \`label_set\`, \`aggregation_type\` | keeps these labels only; data points that become the same are aggregated |
| \`aggregate_label_values\` | \`label\`, \`aggregated_values\`, \`new_value\`, \`aggregation_type\` | makes one value of several; data points that become the same are aggregated |
| \`toggle_scalar_data_type\` | | makes doubles of ints and ints of doubles, without their fraction |
| \`experimental_scale_value\` | \`experimental_scale\` | multiplies every value |

Data points are aggregated within a metric of a batch, where they have the same time: not over batches and not over metrics
that got the same name. Histograms and summaries are added, whatever \`aggregation_type\` says: histograms with the same bounds,
exponential histograms at the coarser scale, and of summaries the count and the sum, since quantiles cannot be added. What was
an int stays one, unless it is scaled by a fraction, it no longer fits into 64 bits, or its mean or the mean of two middle values is
taken. A \`count\` goes up and down, so a sum that was monotonic no longer is.

A cumulative count that was aggregated goes back when one of its series goes away or begins again, and then counts as begun
again. Put [cumulative_to_delta](cumulative_to_delta.md) before this processor where that can happen.

Everything in a histogram is scaled: bounds, sum, minimum, maximum and exemplars; of a summary, the sum and the quantiles. The
buckets of an exponential histogram move by the nearest whole number of buckets. A cumulative one is only scaled by a factor
that moves its buckets exactly, such as 2 or 1024; with any other factor it stays as it is, name and unit included, and the log
says so. Here, too, \`cumulative_to_delta\` before this processor helps.

In the balance of the pipeline, another name changes no number. What was aggregated counts as merged and what was copied as
created, set off against each other within a batch; what was deleted counts as filtered.
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
      title: 'A percentage in addition to the ratio',
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
    {
      title: 'One metric with a label in place of a metric for each method',
      yaml: `
rename:
  transforms:
    - include: '^web\\.requests\\.(?<http_method>.*)$'
      match_type: regexp
      action: combine
      new_name: web.requests
      aggregation_type: sum
      submatch_case: lower
`,
    },
  ],
  *check({ transforms }) {
    for (const [index, each] of transforms.entries()) yield* checkTransform(each, `transforms[${index}]`)
  },
  create({ clock, config, log }) {
    const steps = config.transforms.map((each) => stepOf(each, throttled(log, clock)))
    function* rename(batch: MetricBatch, account: ProcessorAccount): Divided<MetricBatch> {
      const groups: ResourceMetrics[] = []
      const renamed: ScopeMetrics[] = []
      for (const resource of batch.resources) {
        for (const scope of resource.scopes) {
          const aside: Aside = {
            deleted: (points) => account.filtered(points),
            grouped: (labels, metrics) => {
              const grouped = resource.resource.withAttributes(resource.resource.attributes.with(labels))
              groups.push(resource.withResource(grouped).withScopes([scope.withMetrics(metrics)]))
            },
          }
          let { metrics } = scope
          for (const step of steps) metrics = yield* step(metrics, aside)
          renamed.push(sameItems(metrics, scope.metrics) ? scope : scope.withMetrics(metrics))
        }
      }
      let index = 0
      const changed = batch.mapScopes(() => renamed[index++])
      return groups.length === 0 ? changed : MetricBatch.merge([changed, MetricBatch.fromResources(groups)])
    }
    return inTurns((batch, account) => atOnce(rename(batch, account)), rename)
  },
})

function sameItems<T>(left: readonly T[], right: readonly T[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index])
}
