import { defineComponent } from '../component/define.ts'
import type { ConfigOf, Finding } from '../component/settings.ts'
import { logDropped } from '../component/dropped.ts'
import { checkPatterns, matchesName, selection } from '../component/metric_selection.ts'
import { ATTRIBUTES_TOO_LARGE, CumulativeToDelta, SEVERAL_WRITERS } from '../otlp/delta/cumulative_to_delta.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import { inTurns } from '../component/part_by_part.ts'
import { noRoomReport, throttled, warnOncePerMetric } from '../throttled.ts'

const typedSelection = {
  ...selection,
  metrics: { ...selection.metrics, doc: 'The names. Empty: any name.', default: [] },
  metric_types: {
    doc: 'The types, as the Collector writes them. Empty: any type.',
    format: { list: ['sum', 'histogram', 'exponentialhistogram'] },
    default: [],
  },
} as const

type Selection = ConfigOf<typeof typedSelection>

export default defineComponent({
  kind: 'processor',
  type: 'cumulative_to_delta',
  changes: 'filters',
  summary: 'Turns cumulative sums and histograms into differences.',
  description: `
Monotonic sums, histograms and exponential histograms that are cumulative become delta; each data point holds what was
counted since the previous one. Gauges, summaries, sums that go up and down, and data that is already delta pass unchanged.
The minimum and maximum of a cumulative histogram are left out: they are those of all time.

The first data point of a series is withheld and counted as filtered, unless it is certain that nothing was counted before (see
\`initial_value\`). A counter that restarted, which shows in a start after its last data point, counts from zero. A start that
changes in any other way is not a restart. A data point that falls is withheld until the next one shows why: after a reset it
counts from zero; a second sender of the same series is treated as a counter of its own from then on, for up to four senders. Data
points that are late, repeated or without a finite number are withheld, too. The counter \`withheld_points\` counts them by
\`reason\`: \`first_value\`, \`counter_reset\`, \`out_of_order\`, \`duplicate_timestamp\`, \`several_writers\`, \`no_recorded_value\`,
\`not_finite\`, \`too_many_series\`, \`attributes_too_large\`. The last two are for series that are not remembered: because there is [no
more room](../reliability.md#what-is-remembered-has-a-bound), or because a name or a set of attributes is larger than 16 KiB.

The state of each series is lost when the process ends. All data points of a series have to pass through the same
process.

If no sending queue has room, data is [refused before it reaches this processor](../reliability.md#what-a-client-is-answered), so
a client that sends it again loses no interval. That does not hold if a later processor, such as \`memory_limiter\`, refuses the
batch: this processor has already remembered the data, which comes back as \`duplicate_timestamp\`, and the interval is missing. Put
such a processor in front of this one. The same loss happens to data of receivers that cannot be refused, such as \`host_metrics\`,
when the queue is full. The Datadog exporters convert the data that they accept themselves, and do not need this processor.
`,
  config: {
    include: {
      doc: 'The metrics that are converted: those with one of the names and one of the types. Unset: all that can be.',
      format: { settings: typedSelection },
      default: undefined,
    },
    exclude: {
      doc: 'The metrics among those included that are not converted: those with one of the names, and those of one of the types.',
      format: { settings: typedSelection },
      default: undefined,
    },
    max_staleness: {
      doc: 'A series that sends nothing for this long is forgotten; `0s` means never. At most a million series are remembered, counting other orders of their attributes, and no more than `service.max_remembered_size` allows.',
      format: 'duration',
      default: '1h',
    },
    initial_value: {
      doc: 'What happens to the first data point of a series: `keep` sends it as if counted from zero; `drop` withholds it, also after a restart of the series; `auto` sends it if the series started after this process did, or if its metric was exported at least twice before without it.',
      format: ['auto', 'keep', 'drop'],
      default: 'auto',
    },
  },
  examples: [
    { title: 'Everything', yaml: 'cumulative_to_delta:' },
    {
      title: 'Only some metrics, without losing the first values of those that start with the process',
      yaml: `
cumulative_to_delta:
  include: { match_type: regexp, metrics: ['^http\\.server\\.'] }
  exclude: { metrics: [http.server.active_requests] }
  max_staleness: 10m
  initial_value: keep
`,
    },
  ],
  *check({ include, exclude }) {
    if (include !== undefined) yield* checkSelection(include, 'include')
    if (exclude !== undefined) yield* checkSelection(exclude, 'exclude')
  },
  create(context) {
    const { clock, config, meter, log, onStop } = context
    const { include, exclude, initial_value: initialValue, max_staleness: maxStaleness } = config
    const differences = new CumulativeToDelta({
      initialValue,
      ttl: maxStaleness === 0 ? Infinity : maxStaleness,
      severalWriters: warnOncePerMetric(log, SEVERAL_WRITERS),
      tooLarge: warnOncePerMetric(log, ATTRIBUTES_TOO_LARGE),
      full: noRoomReport(context),
      clock,
    })
    onStop(() => differences.close())
    // The Collector combines names and types in these two ways.
    const included = include === undefined ? [] : testsOf(include)
    const excluded = exclude === undefined ? [] : testsOf(exclude)
    const chosen = (metric: Metric) => included.every((test) => test(metric)) && !excluded.some((test) => test(metric))
    const quiet = throttled(log, clock)
    const counter = meter.createCounter('withheld_points', {
      description: 'Data points that were not passed on.',
      unit: '{point}',
    })
    const counting = () => {
      const withheld = new Map<string, number>()
      const dropped = (reason: string, points: number) => withheld.set(reason, (withheld.get(reason) ?? 0) + points)
      const account = { dropped, merged: () => undefined, created: () => undefined }
      const count = (): void =>
        withheld.forEach((points, reason) => {
          counter.add(points, { reason })
          logDropped(quiet, reason, points)
        })
      return { account, count }
    }
    return inTurns(
      (batch: MetricBatch) => {
        const { account, count } = counting()
        const converted = differences.apply(batch, account, chosen)
        count()
        return converted
      },
      function* (batch) {
        const { account, count } = counting()
        const converted = yield* differences.applyInTurns(batch, account, chosen)
        count()
        return converted
      },
    )
  },
})

/** The test of a selection; it does not check names or types if the selection has none. */
function testsOf({ match_type, metrics, metric_types }: Selection): ((metric: Metric) => boolean)[] {
  const named = matchesName({ match_type, metrics })
  return [
    ...(metrics.length === 0 ? [] : [({ name }: Metric) => named(name)]),
    ...(metric_types.length === 0
      ? []
      : [({ type }: Metric) => metric_types.some((each) => each === type.replace('_', ''))]),
  ]
}

function* checkSelection(selection: Selection, path: string): Generator<Finding> {
  if (selection.metrics.length + selection.metric_types.length === 0) {
    yield { path: `${path}.metrics`, message: 'must name a metric, or metric_types a type' }
  }
  yield* checkPatterns(selection, path)
}
