import { defineComponent } from '../component/define.ts'
import type { ProcessorAccount } from '../component/processor.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import type { ResourceMetrics, ScopeMetrics } from '../otlp/metrics/metric.ts'
import { inTurns } from '../component/part_by_part.ts'
import { inDividedParts } from '../otlp/common/parts.ts'
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
The settings are those of the Collector's \`metricstransform\`; a label is an attribute of data points. Each of the \`transforms\`
applies to the metrics that \`include\` names, within a resource and scope; the next one sees its results:

| \`action\` | Needs | Does |
| --- | --- | --- |
| \`update\` | | changes the metric; with \`experimental_match_labels\`, only the data points that match |
| \`insert\` | \`new_name\` | changes a copy of the metric, which comes after the others |
| \`combine\` | \`new_name\`, \`aggregation_type\` | combines the metrics into one. Groups of the regular expression become labels with the texts that they matched: \`(?<state>.*)\` becomes the label \`state\`, and a group without a name \`$1\` |
| \`group\` | \`group_resource_labels\` | moves the metric to a copy of its resource that has these attributes, which no later transform sees |

An \`update\` that only sets a new name does not read the metric any further and costs next to nothing. Metrics are combined only if
they have the same type, unit, temporality and monotonicity; otherwise all of them stay unchanged, and the log says so. The
operations on data points are:

| \`action\` | Needs | Does |
| --- | --- | --- |
| \`update_label\` | \`label\`, and \`new_label\` or \`value_actions\` | renames a label or its values |
| \`add_label\` | \`new_label\`, \`new_value\` | adds a label to data points that do not have it |
| \`delete_label_value\` | \`label\`, \`label_value\` | deletes the data points whose label has this value |
| \`aggregate_labels\` | \`label_set\`, \`aggregation_type\` | keeps only these labels; data points that become equal are aggregated |
| \`aggregate_label_values\` | \`label\`, \`aggregated_values\`, \`new_value\`, \`aggregation_type\` | replaces several values by one; data points that become equal are aggregated |
| \`toggle_scalar_data_type\` | | turns ints into doubles, and doubles into ints, without their fraction |
| \`experimental_scale_value\` | \`experimental_scale\` | multiplies every value |

Data points are aggregated within a metric of a batch if they have the same time; they are not aggregated over batches, or over
metrics that were given the same name. Histograms and summaries are added, whatever \`aggregation_type\` says: histograms with the
same bounds, exponential histograms at the coarser scale, and the count and sum of summaries, because quantiles cannot be added.
An int stays an int, unless it is scaled by a fraction, no longer fits into 64 bits, or is averaged. A \`count\` goes up and down,
so a monotonic sum is no longer monotonic.

An aggregated cumulative count falls when one of its series ends or restarts, and then looks like a restarted counter. If that can
happen, put [cumulative_to_delta](cumulative_to_delta.md) in front of this processor.

Scaling a histogram scales its bounds, sum, minimum, maximum and exemplars; scaling a summary, its sum and quantiles. The buckets
of an exponential histogram move by the nearest whole number of buckets. A cumulative one is only scaled by a factor that moves
its buckets exactly, such as 2 or 1024; with any other factor it stays unchanged, including its name and unit, and the log says
so. In that case, too, put \`cumulative_to_delta\` in front of this processor.

In the balance of the pipeline, a new name changes no number. Aggregated points count as merged and copied points as created,
offset against each other within a batch; deleted points count as filtered.
`,
  config: {
    transforms: {
      doc: 'The changes, applied one after the other.',
      format: { list: { settings: transform } },
      default: null,
    },
  },
  examples: [
    {
      title: 'New names, one by one and for a whole family',
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
    function* renamed(batch: MetricBatch, account: ProcessorAccount, groups: ResourceMetrics[]): Divided<MetricBatch> {
      const scopes: ScopeMetrics[] = []
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
          scopes.push(sameItems(metrics, scope.metrics) ? scope : scope.withMetrics(metrics))
          yield
        }
      }
      let index = 0
      return batch.mapScopes(() => scopes[index++])
    }
    const withGroups = (batch: MetricBatch, groups: readonly ResourceMetrics[]): MetricBatch =>
      groups.length === 0 ? batch : MetricBatch.merge([batch, MetricBatch.fromResources(groups)])
    return inTurns(
      (batch: MetricBatch, account) => {
        const groups: ResourceMetrics[] = []
        return withGroups(atOnce(renamed(batch, account, groups)), groups)
      },
      function* (batch, account) {
        const groups: ResourceMetrics[] = []
        const changed = yield* inDividedParts(batch, (part) => renamed(part, account, groups), 'resources')
        return withGroups(changed, groups)
      },
    )
  },
})

function sameItems<T>(left: readonly T[], right: readonly T[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index])
}
