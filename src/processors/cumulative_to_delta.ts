import { defineComponent } from '../component.ts'
import type { ConfigOf, Finding, Settings } from '../component.ts'
import { CumulativeToDelta } from '../otlp/delta.ts'
import { patternProblem, textMatcher } from '../otlp/match.ts'
import type { Metric } from '../otlp/metrics.ts'

const selection = {
  match_type: {
    doc: 'How names are compared: the whole name (`strict`), or a regular expression found in it (`regexp`).',
    format: ['strict', 'regexp'],
    default: 'strict',
  },
  metrics: {
    doc: 'The names. Empty: any name.',
    format: { list: 'string' },
    default: [],
  },
  metric_types: {
    doc: 'The types, as the Collector writes them. Empty: any type.',
    format: { list: ['sum', 'histogram', 'exponentialhistogram'] },
    default: [],
  },
} as const satisfies Settings

type Selection = ConfigOf<typeof selection>

export default defineComponent({
  kind: 'processor',
  type: 'cumulative_to_delta',
  changes: 'filters',
  summary: 'Turns cumulative sums and histograms into differences.',
  description: `
Monotonic sums, histograms and exponential histograms that are cumulative become delta; each data point holds what was
counted since the one before. Gauges, summaries, sums that go up and down, and what is delta already pass as they are.
The minimum and maximum of a cumulative histogram are left out: they are those of all time.

A data point that has nothing to be the difference to is withheld and counted as filtered, unless \`initial_value\` says otherwise:
the first of a series, and the first after the series began anew, which is seen by a new start time or a count that
went back. So are data points that are late, come twice or hold no finite number. The counter \`withheld_points\` has them by
\`reason\`: \`first_value\`, \`counter_reset\`, \`out_of_order\`, \`duplicate_timestamp\`, \`no_recorded_value\`, \`not_finite\`,
\`too_many_series\`.

What is remembered of each series is lost when the process ends. All data points of a series have to pass through the same
process.
`,
  config: {
    include: {
      doc: 'The metrics that are converted: those that have one of the names and one of the types. Unset: all that can be.',
      format: { settings: selection },
      default: undefined,
    },
    exclude: {
      doc: 'The metrics that are not converted, of those included: those that have one of the names, and those of one of the types.',
      format: { settings: selection },
      default: undefined,
    },
    max_staleness: {
      doc: 'A series that sends nothing for this long is forgotten; `0s` means never. At most a million series are remembered.',
      format: 'duration',
      default: '1h',
    },
    initial_value: {
      doc: 'What becomes of a data point that has nothing to be the difference to: `keep` sends it as if counted from zero, `drop` withholds it, `auto` sends it only when the series says that it began after this process did.',
      format: ['auto', 'keep', 'drop'],
      default: 'auto',
    },
  },
  examples: [
    { title: 'Everything', yaml: 'cumulative_to_delta:' },
    {
      title: 'Only some, and nothing lost of those that begin with the process',
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
  create({ config, meter }) {
    const { include, exclude, initial_value: initialValue, max_staleness: maxStaleness } = config
    const differences = new CumulativeToDelta({ initialValue, ttl: maxStaleness === 0 ? Infinity : maxStaleness })
    // The Collector combines names and types in these two ways.
    const included = include === undefined ? [] : testsOf(include)
    const excluded = exclude === undefined ? [] : testsOf(exclude)
    const chosen = (metric: Metric) => included.every((test) => test(metric)) && !excluded.some((test) => test(metric))
    const counter = meter.createCounter('withheld_points', {
      description: 'Data points that were not passed on.',
      unit: '{point}',
    })
    return (batch) => {
      const withheld = new Map<string, number>()
      const dropped = (reason: string, points: number) => withheld.set(reason, (withheld.get(reason) ?? 0) + points)
      const converted = differences.apply(batch, { dropped }, chosen)
      for (const [reason, points] of withheld) counter.add(points, { reason })
      return converted
    }
  },
})

/** What a selection asks of a metric: nothing of its name or type where it names none. */
function testsOf({ match_type, metrics, metric_types }: Selection): ((metric: Metric) => boolean)[] {
  const names = metrics.map(textMatcher(match_type))
  return [
    ...(names.length === 0 ? [] : [({ name }: Metric) => names.some((matches) => matches(name))]),
    ...(metric_types.length === 0
      ? []
      : [({ type }: Metric) => metric_types.some((each) => each === type.replace('_', ''))]),
  ]
}

function* checkSelection({ match_type, metrics, metric_types }: Selection, path: string): Generator<Finding> {
  if (metrics.length + metric_types.length === 0) {
    yield { path: `${path}.metrics`, message: 'must name a metric, or metric_types a type' }
  }
  for (const [index, pattern] of metrics.entries()) {
    const problem = patternProblem(match_type, pattern)
    if (problem !== undefined) yield { path: `${path}.metrics[${index}]`, message: problem }
  }
}
