import type { Finding, Setting } from '../../component/settings.ts'
import { matchesAny, patternProblem } from '../../text/match.ts'

type NamesSetting = Setting<{ readonly list: 'string' }> & { readonly default: readonly string[] }
type MatchTypeSetting = Setting<readonly ['strict', 'regexp']> & { readonly default: 'strict' }

/** The checked configuration that `selectionSettings` yields. */
type Selection<Key extends string> = Readonly<Record<Key, readonly string[]>> & {
  readonly match_type: 'strict' | 'regexp'
}

/** The settings of a choice by name, such as `include: { devices: [sda], match_type: strict }`. */
export function selectionSettings<Key extends string>(
  key: Key,
  doc: string,
): Readonly<Record<Key, NamesSetting>> & { readonly match_type: MatchTypeSetting } {
  const names: NamesSetting = { doc, format: { list: 'string' }, default: [] }
  const matchType: MatchTypeSetting = {
    doc: `Whether \`${key}\` is a list of exact names or of regular expressions, which may match any part of a name.`,
    format: ['strict', 'regexp'],
    default: 'strict',
  }
  return { ...({ [key]: names } as Record<Key, NamesSetting>), match_type: matchType }
}

/** Whether a name is chosen: included, if there is an `include`, and not excluded. */
export function selector<Key extends string>(
  key: Key,
  include: Selection<Key>,
  exclude: Selection<Key>,
): (name: string) => boolean {
  const included = matchesAny(include.match_type, include[key])
  const excluded = matchesAny(exclude.match_type, exclude[key])
  return (name) => (include[key].length === 0 || included(name)) && !excluded(name)
}

/** Whether a scraper's settings choose nothing, so that everything counts. */
export function selectsAll(settings: object): boolean {
  return [...selectionsIn(settings)].every(([, selection]) =>
    Object.values(selection).every((names) => typeof names === 'string' || names.length === 0),
  )
}

/** Finds invalid regular expressions in the choices among a scraper's settings. */
export function* checkSelections(settings: object, path: string): Iterable<Finding> {
  for (const [name, { match_type: matchType, ...lists }] of selectionsIn(settings)) {
    for (const [key, names] of Object.entries(lists)) {
      for (const [index, text] of names.entries()) {
        const problem = patternProblem(matchType, text)
        if (problem !== undefined) yield { path: `${path}.${name}.${key}[${index}]`, message: problem }
      }
    }
  }
}

/** The choices among a scraper's settings, by their names. */
function* selectionsIn(settings: object): Generator<[name: string, Selection<string>]> {
  for (const [name, setting] of Object.entries(settings as Record<string, unknown>)) {
    if (typeof setting === 'object' && setting !== null && 'match_type' in setting) {
      yield [name, setting as Selection<string>]
    }
  }
}
