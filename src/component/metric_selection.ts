import type { ConfigOf, Finding, Settings } from './settings.ts'
import { matchesAny, patternProblem } from '../text/match.ts'

/** The settings that choose metrics by name: those of `include` and of `exclude`. */
export const selection = {
  match_type: {
    doc: 'How names are compared: the whole name (`strict`), or a regular expression found in it (`regexp`).',
    format: ['strict', 'regexp'],
    default: 'strict',
  },
  metrics: {
    doc: 'The names, at least one.',
    format: { list: 'string' },
    default: null,
  },
} as const satisfies Settings

type Selection = ConfigOf<typeof selection>

/** The two settings of a processor that works on a choice of metrics. */
export interface Selections {
  readonly include: Selection | undefined
  readonly exclude: Selection | undefined
}

/** Makes the test for whether a metric of this name is included and not excluded. */
export function selects({ include, exclude }: Selections): (name: string) => boolean {
  const included = include === undefined ? () => true : matchesName(include)
  const excluded = exclude === undefined ? () => false : matchesName(exclude)
  return (name) => included(name) && !excluded(name)
}

/** Makes the test for whether a selection has a name. */
export function matchesName({ match_type, metrics }: Selection): (name: string) => boolean {
  return matchesAny(match_type, metrics)
}

/** The mistakes in the selections. */
export function* checkSelections({ include, exclude }: Selections): Generator<Finding> {
  if (include !== undefined) yield* checkSelection(include, 'include')
  if (exclude !== undefined) yield* checkSelection(exclude, 'exclude')
}

function* checkSelection(selection: Selection, path: string): Generator<Finding> {
  if (selection.metrics.length === 0) yield { path: `${path}.metrics`, message: 'must name at least one metric' }
  yield* checkPatterns(selection, path)
}

/** The mistakes in the names of a selection. */
export function* checkPatterns({ match_type, metrics }: Selection, path: string): Generator<Finding> {
  for (const [index, pattern] of metrics.entries()) {
    const problem = patternProblem(match_type, pattern)
    if (problem !== undefined) yield { path: `${path}.metrics[${index}]`, message: problem }
  }
}
