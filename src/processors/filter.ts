import { defineComponent } from '../component/define.ts'
import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import type { Attributes } from '../otlp/common/attributes.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { patternProblem, textMatcher } from '../text/match.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import type { Resource } from '../otlp/common/resource.ts'
import { partByPart } from '../component/part_by_part.ts'

const attribute = {
  key: { doc: 'The key of the attribute, always literal.', format: 'string', default: null },
  value: { doc: 'A pattern for its value. Unset: any value.', format: 'string', default: undefined },
} as const satisfies Settings

const selection = {
  match_type: {
    doc: 'How names and values are compared: the whole text (`strict`), or a regular expression found in it (`regexp`).',
    format: ['strict', 'regexp'],
    default: 'strict',
  },
  metric_names: {
    doc: 'Selects metrics with one of these names. Empty: any name.',
    format: { list: 'string' },
    default: [],
  },
  attributes: {
    doc: 'Selects data points with all of these attributes. Empty: any data point.',
    format: { list: { settings: attribute } },
    default: [],
  },
  resource_attributes: {
    doc: 'Selects data of a resource with all of these attributes. Empty: any resource.',
    format: { list: { settings: attribute } },
    default: [],
  },
} as const satisfies Settings

type Selection = ConfigOf<typeof selection>

export default defineComponent({
  kind: 'processor',
  type: 'filter',
  changes: 'filters',
  summary: 'Keeps or drops data points by metric name and attribute.',
  description: `
A data point is selected if it meets all of the given conditions: its metric has one of the \`metric_names\`, it has all of the
\`attributes\`, and its resource has all of the \`resource_attributes\`. First, \`include\` keeps the selected points and drops the
rest; then \`exclude\` drops the points that it selects. Metrics and resources left without data points are removed. Dropped data
points are counted as filtered.

Regular expressions use the syntax of [RE2](../configuration.md#regular-expressions) and may match anywhere in the text:
\`^system\\.cpu\\.\` selects a whole family. Values other than text are compared in their written form: \`80\`, \`true\`.
`,
  config: {
    include: {
      doc: 'The data to keep. Unset: everything.',
      format: { settings: selection },
      default: undefined,
    },
    exclude: {
      doc: 'The data to drop from that. Unset: nothing.',
      format: { settings: selection },
      default: undefined,
    },
  },
  examples: [
    {
      title: 'Only some metrics',
      yaml: `
filter:
  include:
    metric_names: [system.cpu.time, system.memory.usage]
`,
    },
    {
      title: 'Without the loopback device and the details of each disk',
      yaml: `
filter/details:
  exclude:
    match_type: regexp
    metric_names: ['^system\\.network\\.']
    attributes:
      - { key: device, value: '^lo$' }
`,
    },
    {
      title: 'All but the development hosts',
      yaml: `
filter:
  exclude:
    resource_attributes:
      - { key: deployment.environment.name, value: development }
`,
    },
  ],
  *check(config) {
    if (config.include === undefined && config.exclude === undefined) {
      yield { path: 'include', message: 'is missing, and so is exclude; at least one of them is required' }
    }
    for (const name of ['include', 'exclude'] as const) {
      const chosen = config[name]
      if (chosen !== undefined) yield* checkSelection(chosen, name)
    }
  },
  create({ config }) {
    const include = config.include === undefined ? undefined : filterBy(config.include, { keep: true })
    const exclude = config.exclude === undefined ? undefined : filterBy(config.exclude, { keep: false })
    return partByPart((batch: MetricBatch) => {
      const included = include === undefined ? batch : include(batch)
      return exclude === undefined ? included : exclude(included)
    })
  },
})

/** Keeps what a selection matches, or drops it. Data points are looked at only when it speaks of them. */
function filterBy(selection: Selection, { keep }: { readonly keep: boolean }): (batch: MetricBatch) => MetricBatch {
  const matches = textMatcher(selection.match_type)
  const names = selection.metric_names.map(matches)
  const hasAttributes = attributeMatcher(selection.attributes, matches)
  const hasResourceAttributes = attributeMatcher(selection.resource_attributes, matches)
  const selects = (metric: Metric, resource: Resource): boolean =>
    (names.length === 0 || names.some((matchesName) => matchesName(metric.name))) &&
    hasResourceAttributes(resource.attributes)
  if (selection.attributes.length === 0) {
    return (batch) => batch.filterMetrics((metric, resource) => selects(metric, resource) === keep)
  }
  return (batch) =>
    batch.filterPoints(
      (point, metric, resource) => (selects(metric, resource) && hasAttributes(point.attributes)) === keep,
    )
}

function attributeMatcher(
  wanted: Selection['attributes'],
  matches: ReturnType<typeof textMatcher>,
): (attributes: Attributes) => boolean {
  const matchers = wanted.map(({ key, value }) => ({
    key,
    matchesValue: value === undefined ? undefined : matches(value),
  }))
  return (attributes) =>
    matchers.every(({ key, matchesValue }) => {
      const text = attributes.text(key)
      return text !== undefined && (matchesValue === undefined || matchesValue(text))
    })
}

function* checkSelection(chosen: Selection, path: string): Generator<Finding> {
  const { match_type, metric_names, attributes, resource_attributes } = chosen
  if (metric_names.length + attributes.length + resource_attributes.length === 0) {
    yield { path, message: 'has no condition: give metric_names, attributes or resource_attributes' }
  }
  const patterns = [
    ...metric_names.map((value, index) => ({ value, path: `${path}.metric_names[${index}]` })),
    ...attributes.map(({ value }, index) => ({ value, path: `${path}.attributes[${index}].value` })),
    ...resource_attributes.map(({ value }, index) => ({ value, path: `${path}.resource_attributes[${index}].value` })),
  ]
  for (const pattern of patterns) {
    const problem = patternProblem(match_type, pattern.value ?? '')
    if (problem !== undefined) yield { path: pattern.path, message: problem }
  }
}
