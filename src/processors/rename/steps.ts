import type { Logger } from '../../component/logger.ts'
import { textMatcher } from '../../text/match.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { PART } from '../../otlp/common/parts.ts'
import { joinedMetric, piecesOf } from '../../otlp/metrics/pieces.ts'
import type { DataPoint } from '../../otlp/metrics/points.ts'
import { RegularExpression } from '../../text/regular_expression.ts'
import { LONG } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import { combinationOf, isAlike } from './combine.ts'
import { operationOf } from './operations.ts'
import { canScale } from './scale.ts'
import type { Transform } from './settings.ts'

/** Where a step puts metrics that leave their scope. */
export interface Aside {
  readonly deleted: (points: number) => void
  /** The metrics move to a resource that has these attributes in addition. No further step sees them. */
  readonly grouped: (labels: Readonly<Record<string, string>>, metrics: readonly Metric[]) => void
}

/** The result of one transform for all metrics of a scope. */
type Step = (metrics: readonly Metric[], aside: Aside) => Divided<readonly Metric[]>

/**
 * The result of a transform for a metric: none if all of its data points were deleted. `undefined`: it cannot be
 * applied to this metric, which then also keeps its name and unit.
 */
type Changed = Metric | readonly Metric[] | undefined

/** The change to each metric: at once, or in turns for one with many points. */
interface Work {
  readonly divide: (metric: Metric) => Division
  readonly divideInTurns: (metric: Metric) => Divided<Division>
  change(metric: Metric, aside: Aside): Changed
  changeInTurns(metric: Metric, aside: Aside): Divided<Changed>
}

/** An upper limit for the data points of a metric, without reading one that came as bytes. */
function atMost(metric: Metric): number {
  const { encoded } = metric
  // Each takes at least a tag, a length and a time.
  return encoded === undefined ? metric.points.length : (encoded.end - encoded.start) / 8
}

/** The change to each of the metrics. */
function* each<T>(
  metrics: readonly Metric[],
  atOnce: (metric: Metric) => T,
  inTurns: (metric: Metric) => Divided<T>,
): Divided<T[]> {
  const done: T[] = []
  let size = 0
  for (const metric of metrics) {
    const points = atMost(metric)
    done.push(points >= LONG && metric.pointCount >= LONG ? yield* inTurns(metric) : atOnce(metric))
    size += 1 + points
    if (size < PART) continue
    size = 0
    yield
  }
  return done
}

/** Makes a function that applies one checked transform. */
export function stepOf(config: Transform, log: Logger): Step {
  const work = { ...divisionOf(config), ...changeOf(config, log) }
  switch (config.action) {
    case 'update':
      return function* (metrics, aside) {
        const parts = yield* divided(metrics, work)
        const all = yield* changed(parts, work, aside)
        return all.flatMap((result, index) => {
          const { rest } = parts[index]
          if (result === undefined) return metrics[index]
          if (rest === undefined) return result
          return [result].flat().map((each) => each.withPoints([...rest.points, ...each.points]))
        })
      }
    case 'insert':
      return function* (metrics, aside) {
        const inserted = yield* changed(yield* divided(metrics, work), work, aside)
        return [...metrics, ...inserted.flatMap((result) => result ?? [])]
      }
    case 'combine':
      return combineStep(config, work, log)
    case 'group':
      return function* (metrics, aside) {
        const parts = yield* divided(metrics, work)
        const chosen = parts.flatMap((part) => part.chosen ?? [])
        if (chosen.length > 0) aside.grouped(config.group_resource_labels ?? {}, chosen)
        return parts.flatMap(({ rest }) => rest ?? [])
      }
  }
}

function divided(metrics: readonly Metric[], work: Work): Divided<Division[]> {
  return each(metrics, work.divide, work.divideInTurns)
}

/** The changes to the chosen part of each metric. */
function* changed(parts: readonly Division[], work: Work, aside: Aside): Divided<Changed[]> {
  const chosen = parts.flatMap((part) => part.chosen ?? [])
  const all = yield* each(
    chosen,
    (metric) => work.change(metric, aside),
    (metric) => work.changeInTurns(metric, aside),
  )
  let next = 0
  return parts.map((part) => (part.chosen === undefined ? undefined : all[next++]))
}

/** The part of a metric that a transform takes, and the rest; together they have all of its data points. */
interface Division {
  readonly chosen?: Metric
  readonly rest?: Metric
}

function divisionOf({
  include,
  match_type,
  experimental_match_labels: labels = {},
}: Transform): Pick<Work, 'divide' | 'divideInTurns'> {
  const matches = textMatcher(match_type)
  const matchesName = matches(include)
  const matchers = Object.entries(labels).map(([key, value]) => [key, matches(value)] as const)
  const matchesLabels = ({ attributes }: DataPoint): boolean =>
    // A missing label counts as empty.
    matchers.every(([key, matchesValue]) => matchesValue(attributes.text(key) ?? ''))
  const divide = (metric: Metric): Division => {
    if (!matchesName(metric.name)) return { rest: metric }
    if (matchers.length === 0) return { chosen: metric }
    const chosen = metric.points.filter(matchesLabels)
    if (chosen.length === metric.points.length) return { chosen: metric }
    if (chosen.length === 0) return { rest: metric }
    const rest = metric.points.filter((point) => !matchesLabels(point))
    return { chosen: metric.withPoints(chosen), rest: metric.withPoints(rest) }
  }
  return {
    divide,
    *divideInTurns(metric) {
      if (matchers.length === 0 || !matchesName(metric.name)) return divide(metric)
      const chosen: Metric[] = []
      const rest: Metric[] = []
      for (const piece of piecesOf(metric)) {
        const part = divide(piece)
        if (part.chosen !== undefined) chosen.push(part.chosen)
        if (part.rest !== undefined) rest.push(part.rest)
        yield
      }
      if (rest.length === 0) return { chosen: metric }
      return chosen.length === 0 ? { rest: metric } : { chosen: joinedMetric(chosen), rest: joinedMetric(rest) }
    },
  }
}

function changeOf(
  { include, match_type, new_name, new_unit, operations }: Transform,
  log: Logger,
): Pick<Work, 'change' | 'changeInTurns'> {
  const expression = match_type === 'regexp' ? new RegularExpression(include) : undefined
  const operate = operations.map(operationOf)
  const factors = operations.flatMap(({ experimental_scale }) => experimental_scale ?? [])
  /** The factor that a metric cannot be multiplied by. */
  const refused = (metric: Metric): number | undefined => factors.find((factor) => !canScale(metric, factor))
  /** The metric before the operations; `undefined` as in `Changed`. */
  const named = (metric: Metric, factor: number | undefined): Metric | undefined => {
    if (factor !== undefined) {
      if (metric.type !== 'none') log.warn(NOT_SCALED, { metric: metric.name, factor })
      return undefined
    }
    const changed = new_name === undefined ? metric : metric.withName(expandName(new_name, metric.name, expression))
    return new_unit === undefined ? changed : changed.with({ unit: new_unit })
  }
  const left = (metric: Metric, changed: Metric): Changed =>
    operate.length > 0 && changed.pointCount === 0 && metric.pointCount > 0 ? [] : changed
  return {
    change(metric, { deleted }) {
      let changed = named(metric, refused(metric))
      if (changed === undefined) return undefined
      for (const operation of operate) changed = operation.atOnce(changed, deleted)
      return left(metric, changed)
    },
    *changeInTurns(metric, { deleted }) {
      let factor: number | undefined
      if (factors.length > 0) {
        for (const piece of piecesOf(metric)) {
          factor ??= refused(piece)
          yield
        }
      }
      let changed = named(metric, factor)
      if (changed === undefined) return undefined
      for (const operation of operate) changed = yield* operation.inTurns(changed, deleted)
      return left(metric, changed)
    },
  }
}

const NOT_SCALED =
  'A cumulative exponential histogram can only be multiplied by factors that move it by whole buckets, such as 2 or 1024, so this one stays unchanged, including its name and unit. Its differences can be multiplied by any factor: put cumulative_to_delta in front of this processor.'

/** Makes one metric of the chosen ones, unless the meanings of their values differ. */
function combineStep(config: Transform, work: Work, log: Logger): Step {
  const combine = combinationOf(config)
  // A metric without data that this version knows has nothing to combine.
  const combinable: Work = {
    ...work,
    divide: (metric) => (metric.type === 'none' ? { rest: metric } : work.divide(metric)),
  }
  return function* (metrics, aside) {
    const parts = yield* divided(metrics, combinable)
    const chosen = parts.flatMap((part) => part.chosen ?? [])
    if (chosen.length === 0) return metrics
    const other = chosen.find((metric) => !isAlike(metric, chosen[0]))
    if (other !== undefined) {
      log.warn(NOT_COMBINED, { new_name: config.new_name, metrics: [chosen[0].name, other.name] })
      return metrics
    }
    const [combined] = yield* changed([{ chosen: yield* combine(chosen) }], work, aside)
    return combined === undefined ? metrics : [...parts.flatMap(({ rest }) => rest ?? []), combined].flat()
  }
}

const NOT_COMBINED =
  'Metrics that differ in type, unit, temporality or monotonicity are not combined; all of the chosen ones stay unchanged.'

/**
 * Replaces `$1`, `${1}` and `$name` by the texts of the groups, by nothing if there is no such group, and `$$` by a
 * dollar. Source: https://pkg.go.dev/regexp#Regexp.Expand.
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
