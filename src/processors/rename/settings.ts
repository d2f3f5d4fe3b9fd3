import type { ConfigOf, Finding, Settings } from '../../component.ts'
import { patternProblem } from '../../otlp/match.ts'

const valueAction = {
  value: { doc: 'The value of the label.', format: 'string', default: null },
  new_value: { doc: 'What it becomes.', format: 'string', default: null },
} as const satisfies Settings

const operation = {
  action: {
    doc: 'What is done to the data points: see the table above.',
    format: ['update_label', 'add_label', 'aggregate_labels', 'aggregate_label_values', 'experimental_scale_value'],
    default: null,
  },
  label: { doc: 'The label that is changed.', format: 'string', default: undefined },
  new_label: { doc: 'The new name of the label, or the label that is added.', format: 'string', default: undefined },
  new_value: { doc: 'The value of the new label, or of what is aggregated.', format: 'string', default: undefined },
  value_actions: {
    doc: 'New values for values of the label.',
    format: { list: { settings: valueAction } },
    default: undefined,
  },
  label_set: {
    doc: 'The labels that stay; the others are aggregated away.',
    format: { list: 'string' },
    default: undefined,
  },
  aggregated_values: {
    doc: 'The values of the label that become one.',
    format: { list: 'string' },
    default: undefined,
  },
  aggregation_type: {
    doc: 'What becomes of the values of data points that fall together.',
    format: ['sum', 'mean', 'min', 'max'],
    default: undefined,
  },
  experimental_scale: { doc: 'What values are multiplied by.', format: 'number', default: undefined },
} as const satisfies Settings

export const transform = {
  include: { doc: 'The name of the metric.', format: 'string', default: null },
  match_type: {
    doc: 'How names and labels are compared: the whole text (`strict`), or a regular expression found in it (`regexp`).',
    format: ['strict', 'regexp'],
    default: 'strict',
  },
  experimental_match_labels: {
    doc: 'With `insert`: the labels of the data points that are copied, each with what its value has to match. Unset: all are.',
    format: { map: 'string' },
    default: undefined,
  },
  action: {
    doc: 'Whether the metric itself is changed (`update`), or a copy behind it (`insert`).',
    format: ['update', 'insert'],
    default: 'update',
  },
  new_name: {
    doc: 'The new name. With `regexp`, `$1` and `$name` stand for what the groups found.',
    format: 'string',
    default: undefined,
  },
  new_unit: { doc: 'The new unit, as UCUM writes it.', format: 'string', default: undefined },
  operations: {
    doc: 'What is done to the data points, one after the other.',
    format: { list: { settings: operation } },
    default: [],
  },
} as const satisfies Settings

export type Transform = ConfigOf<typeof transform>
export type Operation = ConfigOf<typeof operation>

/** The settings that each action needs; all others it may not have, but for those of `OPTIONAL`. */
const NEEDED: Readonly<Record<Operation['action'], readonly (keyof Operation)[]>> = {
  update_label: ['label'],
  add_label: ['new_label', 'new_value'],
  aggregate_labels: ['label_set', 'aggregation_type'],
  aggregate_label_values: ['label', 'aggregated_values', 'new_value', 'aggregation_type'],
  experimental_scale_value: ['experimental_scale'],
}
const OPTIONAL: readonly (keyof Operation)[] = ['new_label', 'value_actions']

/** What is wrong with a transform that the formats of its settings cannot say. */
export function* checkTransform(transform: Transform, path: string): Generator<Finding> {
  const { include, match_type, experimental_match_labels: labels, action, new_name, new_unit, operations } = transform
  const patterns = Object.entries(labels ?? {}).map(([key, value]) => ({ key, value }))
  for (const { key, value } of [{ key: '', value: include }, ...patterns]) {
    const problem = patternProblem(match_type, value)
    const setting = key === '' ? 'include' : `experimental_match_labels.${key}`
    if (problem !== undefined) yield { path: `${path}.${setting}`, message: problem }
  }
  if (new_name === '') yield { path: `${path}.new_name`, message: 'must not be empty' }
  if (action === 'insert' && new_name === undefined) {
    yield { path: `${path}.new_name`, message: 'is missing; a copy needs a name of its own' }
  }
  if (action === 'update' && labels !== undefined) {
    yield {
      path: `${path}.experimental_match_labels`,
      message: 'needs `action: insert`, because a metric has one name for all of its data points',
    }
  }
  if (action === 'update' && new_name === undefined && new_unit === undefined && operations.length === 0) {
    yield { path, message: 'changes nothing: give new_name, new_unit or operations' }
  }
  for (const [index, each] of operations.entries()) yield* checkOperation(each, `${path}.operations[${index}]`)
}

function* checkOperation(operation: Operation, path: string): Generator<Finding> {
  const { action, experimental_scale: scale, value_actions: values, new_label } = operation
  const needed = NEEDED[action]
  const allowed = action === 'update_label' ? [...needed, ...OPTIONAL] : needed
  for (const name of needed) {
    if (operation[name] === undefined) yield { path: `${path}.${name}`, message: `is missing; ${action} needs it` }
  }
  for (const name of Object.keys(operation) as (keyof Operation)[]) {
    if (name !== 'action' && operation[name] !== undefined && !allowed.includes(name)) {
      yield { path: `${path}.${name}`, message: `has no meaning for ${action}, which takes ${allowed.join(', ')}` }
    }
  }
  if (action === 'update_label' && new_label === undefined && values === undefined) {
    yield { path, message: 'changes nothing: give new_label or value_actions' }
  }
  if (scale === 0) yield { path: `${path}.experimental_scale`, message: 'must not be 0, which leaves nothing' }
}
