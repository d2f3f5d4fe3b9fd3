import type { Logger } from '../../component.ts'
import { textMatcher } from '../../otlp/match.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { DataPoint } from '../../otlp/points.ts'
import { RegularExpression } from '../../regular_expression.ts'
import { combinationOf, isAlike } from './combine.ts'
import { operationOf } from './operations.ts'
import { canScale } from './scale.ts'
import type { Transform } from './settings.ts'

/** Where a step puts what leaves the metrics of its scope. */
export interface Aside {
  readonly deleted: (points: number) => void
  /** The metrics move to a resource that has these attributes in addition. No further step sees them. */
  readonly grouped: (labels: Readonly<Record<string, string>>, metrics: readonly Metric[]) => void
}

/** What one transform makes of all metrics of a scope. */
export type Step = (metrics: readonly Metric[], aside: Aside) => readonly Metric[]

/**
 * What a transform makes of a metric: none where all of its data points were deleted. `undefined`: it cannot be done to this
 * metric, which then keeps its name and unit, too.
 */
type Change = (metric: Metric, aside: Aside) => Metric | readonly Metric[] | undefined

/** Makes the function that does one transform, which was checked before. */
export function stepOf(config: Transform, log: Logger): Step {
  const divide = divisionOf(config)
  const change = changeOf(config, log)
  switch (config.action) {
    case 'update':
      return (metrics, aside) =>
        metrics.flatMap((metric) => {
          const { chosen, rest } = divide(metric)
          const changed = chosen && change(chosen, aside)
          if (changed === undefined) return metric
          if (rest === undefined) return changed
          return [changed].flat().map((each) => each.withPoints([...rest.points, ...each.points]))
        })
    case 'insert':
      return (metrics, aside) => [
        ...metrics,
        ...metrics.flatMap((metric) => {
          const { chosen } = divide(metric)
          return (chosen && change(chosen, aside)) ?? []
        }),
      ]
    case 'combine':
      return combineStep(config, divide, change, log)
    case 'group':
      return (metrics, aside) => {
        const parts = metrics.map(divide)
        const chosen = parts.flatMap((part) => part.chosen ?? [])
        if (chosen.length > 0) aside.grouped(config.group_resource_labels ?? {}, chosen)
        return parts.flatMap(({ rest }) => rest ?? [])
      }
  }
}

/** What a transform takes of a metric, and what it leaves, which together have all of its data points. */
interface Division {
  readonly chosen?: Metric
  readonly rest?: Metric
}

function divisionOf({
  include,
  match_type,
  experimental_match_labels: labels = {},
}: Transform): (metric: Metric) => Division {
  const matches = textMatcher(match_type)
  const matchesName = matches(include)
  const matchers = Object.entries(labels).map(([key, value]) => [key, matches(value)] as const)
  const matchesLabels = ({ attributes }: DataPoint): boolean =>
    // A label that is not there counts as empty.
    matchers.every(([key, matchesValue]) => matchesValue(attributes.text(key) ?? ''))
  return (metric) => {
    if (!matchesName(metric.name)) return { rest: metric }
    if (matchers.length === 0) return { chosen: metric }
    const chosen = metric.points.filter(matchesLabels)
    if (chosen.length === metric.points.length) return { chosen: metric }
    if (chosen.length === 0) return { rest: metric }
    const rest = metric.points.filter((point) => !matchesLabels(point))
    return { chosen: metric.withPoints(chosen), rest: metric.withPoints(rest) }
  }
}

function changeOf({ include, match_type, new_name, new_unit, operations }: Transform, log: Logger): Change {
  const expression = match_type === 'regexp' ? new RegularExpression(include) : undefined
  const operate = operations.map(operationOf)
  const factors = operations.flatMap(({ experimental_scale }) => experimental_scale ?? [])
  return (metric, { deleted }) => {
    const factor = factors.find((each) => !canScale(metric, each))
    if (factor !== undefined) {
      if (metric.type !== 'none') log.warn(NOT_SCALED, { metric: metric.name, factor })
      return undefined
    }
    let changed = new_name === undefined ? metric : metric.withName(expandName(new_name, metric.name, expression))
    if (new_unit !== undefined) changed = changed.with({ unit: new_unit })
    for (const operation of operate) changed = operation(changed, deleted)
    return operate.length > 0 && changed.pointCount === 0 && metric.pointCount > 0 ? [] : changed
  }
}

const NOT_SCALED =
  'A cumulative exponential histogram can only be multiplied by what moves it by whole buckets, such as 2 or 1024, so this one stays as it is, name and unit included. Its differences can be multiplied by anything: put cumulative_to_delta before this processor.'

/** Makes one metric of those that are chosen, unless they differ in what their values mean. */
function combineStep(config: Transform, divide: (metric: Metric) => Division, change: Change, log: Logger): Step {
  const combine = combinationOf(config)
  return (metrics, aside) => {
    // One that holds no data this version knows has nothing to combine.
    const parts = metrics.map((metric): Division => (metric.type === 'none' ? { rest: metric } : divide(metric)))
    const chosen = parts.flatMap((part) => part.chosen ?? [])
    if (chosen.length === 0) return metrics
    const other = chosen.find((metric) => !isAlike(metric, chosen[0]))
    if (other !== undefined) {
      log.warn(NOT_COMBINED, { new_name: config.new_name, metrics: [chosen[0].name, other.name] })
      return metrics
    }
    const combined = change(combine(chosen), aside)
    return combined === undefined ? metrics : [...parts.flatMap(({ rest }) => rest ?? []), combined].flat()
  }
}

const NOT_COMBINED =
  'Metrics that differ in type, unit, temporality or monotonicity are not combined; all that were chosen stay as they are.'

/**
 * Puts what the groups of the expression found in the place of `$1`, `${1}` and `$name`, nothing for unknown ones, and a
 * dollar in the place of `$$`. Source: https://pkg.go.dev/regexp#Regexp.Expand.
 */
function expandName(template: string, name: string, expression: RegExp | undefined): string {
  const found = expression?.exec(name)
  if (!found) return template
  const groups = new Map(Object.entries(found.groups ?? {}))
  found.forEach((text, index) => groups.set(String(index), text))
  const expanded = template.replaceAll(
    /\$(?:\$|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu,
    (all, bare?: string, braced?: string) => (all === '$$' ? '$' : (groups.get(bare ?? braced ?? '') ?? '')),
  )
  return expanded === '' ? template : expanded
}
