import type { ConfigOf, Finding, Settings } from '../../component/settings.ts'
import { patternProblem } from '../../text/match.ts'

const AGGREGATION_TYPES = ['sum', 'mean', 'min', 'max', 'count', 'median'] as const

export type AggregationType = (typeof AGGREGATION_TYPES)[number]

const valueAction = {
  value: { doc: 'The value of the label.', format: 'string', default: null },
  new_value: { doc: 'The new value.', format: 'string', default: null },
} as const satisfies Settings

const operation = {
  action: {
    doc: 'The operation on the data points: see the table above.',
    format: [
      'update_label',
      'add_label',
      'delete_label_value',
      'aggregate_labels',
      'aggregate_label_values',
      'toggle_scalar_data_type',
      'experimental_scale_value',
    ],
    default: null,
  },
  label: { doc: 'The label to change or check.', format: 'string', default: undefined },
  new_label: { doc: 'The new name of the label, or the label to add.', format: 'string', default: undefined },
  new_value: {
    doc: 'The value of the new label, or the value that replaces the aggregated ones.',
    format: 'string',
    default: undefined,
  },
  label_value: { doc: 'The value of the label whose data points are deleted.', format: 'string', default: undefined },
  value_actions: {
    doc: 'New values for values of the label.',
    format: { list: { settings: valueAction } },
    default: undefined,
  },
  label_set: {
    doc: 'The labels to keep; the others are aggregated away.',
    format: { list: 'string' },
    default: undefined,
  },
  aggregated_values: {
    doc: 'The values of the label to aggregate into one.',
    format: { list: 'string' },
    default: undefined,
  },
  aggregation_type: {
    doc: 'How the values of data points that become equal are aggregated.',
    format: AGGREGATION_TYPES,
    default: undefined,
  },
  experimental_scale: { doc: 'The factor for all values.', format: 'number', default: undefined },
} as const satisfies Settings

export const transform = {
  include: { doc: 'The name of the metric.', format: 'string', default: null },
  match_type: {
    doc: 'How names and labels are compared: the whole text (`strict`), or a regular expression found in it (`regexp`).',
    format: ['strict', 'regexp'],
    default: 'strict',
  },
  experimental_match_labels: {
    doc: 'Only data points with these labels are taken. Each label has a pattern for its value; a missing label counts as empty. Unset: all data points.',
    format: { map: 'string' },
    default: undefined,
  },
  action: {
    doc: 'Whether to change the metric itself (`update`) or a copy of it (`insert`), to combine all metrics into one (`combine`), or to move them to a resource of their own (`group`).',
    format: ['update', 'insert', 'combine', 'group'],
    default: 'update',
  },
  new_name: {
    doc: 'The new name. With `regexp`, `$1` and `$name` stand for the texts of the groups.',
    format: 'string',
    default: undefined,
  },
  new_unit: { doc: 'The new unit, in UCUM.', format: 'string', default: undefined },
  aggregation_type: {
    doc: 'With `combine`: how the values of data points that become equal are aggregated.',
    format: AGGREGATION_TYPES,
    default: undefined,
  },
  submatch_case: {
    doc: 'With `combine`: whether labels made from groups are put into lower or upper case. Unset: they stay as they are.',
    format: ['lower', 'upper'],
    default: undefined,
  },
  group_resource_labels: {
    doc: 'With `group`: the attributes that the new resource has in addition to those of the old one.',
    format: { map: 'string' },
    default: undefined,
  },
  operations: {
    doc: 'The operations on the data points, applied one after the other.',
    format: { list: { settings: operation } },
    default: [],
  },
} as const satisfies Settings

export type Transform = ConfigOf<typeof transform>
export type Operation = ConfigOf<typeof operation>

/** The settings that an action requires, and those that it allows. It accepts no others. */
interface Takes<Setting> {
  readonly needed: readonly Setting[]
  readonly optional?: readonly Setting[]
}

const TRANSFORMS: Readonly<Record<Transform['action'], Takes<keyof Transform>>> = {
  update: { needed: [], optional: ['experimental_match_labels', 'new_name', 'new_unit', 'operations'] },
  insert: { needed: ['new_name'], optional: ['experimental_match_labels', 'new_unit', 'operations'] },
  combine: {
    needed: ['new_name', 'aggregation_type'],
    optional: ['experimental_match_labels', 'submatch_case', 'new_unit', 'operations'],
  },
  group: { needed: ['group_resource_labels'], optional: ['experimental_match_labels'] },
}

const OPERATIONS: Readonly<Record<Operation['action'], Takes<keyof Operation>>> = {
  update_label: { needed: ['label'], optional: ['new_label', 'value_actions'] },
  add_label: { needed: ['new_label', 'new_value'] },
  delete_label_value: { needed: ['label', 'label_value'] },
  aggregate_labels: { needed: ['label_set', 'aggregation_type'] },
  aggregate_label_values: { needed: ['label', 'aggregated_values', 'new_value', 'aggregation_type'] },
  toggle_scalar_data_type: { needed: [] },
  experimental_scale_value: { needed: ['experimental_scale'] },
}

/** The operations that may change some data points of a metric and leave the others as they are. */
const PARTIAL: readonly Operation['action'][] = ['update_label', 'toggle_scalar_data_type', 'experimental_scale_value']

/** The mistakes in a transform that the formats of its settings cannot express. */
export function* checkTransform(transform: Transform, path: string): Generator<Finding> {
  const { include, match_type, experimental_match_labels: labels, action, new_name, new_unit, operations } = transform
  yield* checkTaken(
    { ...transform, operations: operations.length === 0 ? undefined : operations },
    TRANSFORMS[action],
    ['include', 'match_type'],
    path,
  )
  const patterns = Object.entries(labels ?? {}).map(([key, value]) => ({ key, value }))
  for (const { key, value } of [{ key: '', value: include }, ...patterns]) {
    const problem = patternProblem(match_type, value)
    const setting = key === '' ? 'include' : `experimental_match_labels.${key}`
    if (problem !== undefined) yield { path: `${path}.${setting}`, message: problem }
  }
  if (new_name === '') yield { path: `${path}.new_name`, message: 'must not be empty' }
  if (action === 'update' && new_name === undefined && new_unit === undefined && operations.length === 0) {
    yield { path, message: 'changes nothing: give new_name, new_unit or operations' }
  }
  if (action === 'combine' && new_name !== undefined && /\$[\w{]/.test(new_name)) {
    yield { path: `${path}.new_name`, message: 'must be one name; the texts of groups become labels of the metric' }
  }
  if (transform.submatch_case !== undefined && match_type !== 'regexp') {
    yield { path: `${path}.submatch_case`, message: 'needs `match_type: regexp`, since only that has groups' }
  }
  const whole =
    new_name !== undefined || new_unit !== undefined || operations.some((each) => !PARTIAL.includes(each.action))
  if (action === 'update' && labels !== undefined && whole) {
    yield {
      path: `${path}.experimental_match_labels`,
      message: `allows, with \`action: update\`, only the operations ${PARTIAL.join(', ')}: all others need all data points of a metric; use \`insert\`, \`combine\` or \`group\``,
    }
  }
  for (const [index, each] of operations.entries()) yield* checkOperation(each, `${path}.operations[${index}]`)
}

function* checkOperation(operation: Operation, path: string): Generator<Finding> {
  const { action, experimental_scale: scale, value_actions: values, new_label, new_value } = operation
  yield* checkTaken(operation, OPERATIONS[action], [], path)
  if (action === 'update_label' && new_label === undefined && values === undefined) {
    yield { path, message: 'changes nothing: give new_label or value_actions' }
  }
  if (scale === 0) yield { path: `${path}.experimental_scale`, message: 'must not be 0, which would erase every value' }
  const newValues = [
    { at: 'new_value', text: new_value },
    ...(values ?? []).map((each, index) => ({ at: `value_actions[${index}].new_value`, text: each.new_value })),
  ]
  for (const { at, text } of newValues) {
    if (text?.includes('{{version}}')) {
      yield {
        path: `${path}.${at}`,
        message:
          'must not contain {{version}}, which is not replaced here; `${env:...}` takes a version from the environment',
      }
    }
  }
}

/** Finds missing settings that an action requires, and settings that it does not accept. */
function* checkTaken<S extends { readonly action: string }>(
  settings: S,
  { needed, optional = [] }: Takes<keyof S>,
  always: readonly (keyof S)[],
  path: string,
): Generator<Finding> {
  const { action } = settings
  const taken = [...needed, ...optional]
  for (const name of needed) {
    if (settings[name] === undefined)
      yield { path: `${path}.${String(name)}`, message: `is missing; ${action} needs it` }
  }
  for (const name of Object.keys(settings) as (keyof S)[]) {
    if (name === 'action' || settings[name] === undefined || [...taken, ...always].includes(name)) continue
    const takes = taken.length === 0 ? 'takes no settings' : `takes ${taken.join(', ')}`
    yield { path: `${path}.${String(name)}`, message: `has no meaning for ${action}, which ${takes}` }
  }
}
