import { MadePoints } from '../../otlp/metrics/made_points.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { PART } from '../../otlp/common/parts.ts'
import { RegularExpression } from '../../text/regular_expression.ts'
import type { Divided } from '../../time/turns.ts'
import { aggregateBy, fewOf } from './aggregate.ts'
import type { Transform } from './settings.ts'

/** Whether the values of two metrics have the same meaning, so that they can be in one metric. */
export function isAlike(left: Metric, right: Metric): boolean {
  return (
    left.type === right.type &&
    left.unit === right.unit &&
    left.temporality === right.temporality &&
    left.monotonic === right.monotonic
  )
}

/** Makes a function that combines metrics of the same kind into one, which is like the first. */
export function combinationOf({
  include,
  match_type,
  new_name: name = '',
  aggregation_type = 'sum',
  submatch_case,
}: Transform): (metrics: readonly Metric[]) => Divided<Metric> {
  const expression = match_type === 'regexp' ? new RegularExpression(include) : undefined
  const aggregate = aggregateBy((attributes) => attributes, aggregation_type)
  return function* (metrics) {
    const points = new MadePoints(metrics[0])
    for (const metric of metrics) {
      const labels = expression === undefined ? {} : labelsOf(expression, metric.name, submatch_case)
      for (const piece of fewOf(metric)) {
        for (const point of piece.points) {
          points.set(points.length, point.withAttributes(point.attributes.with(labels)))
          if (points.length % PART === 0) yield
        }
      }
    }
    return yield* aggregate(metrics[0].with({ name, points: points.all() }))
  }
}

/** The labels made from the groups of an expression: `$1` if a group has no name; none for a group that matched nothing. */
function labelsOf(
  expression: RegularExpression,
  name: string,
  submatchCase: Transform['submatch_case'],
): Record<string, string> {
  const labels: Record<string, string> = {}
  const named = Object.entries(expression.groupNumbers)
  expression.exec(name)?.forEach((text: string | undefined, index) => {
    if (index === 0 || !text) return
    const label = named.find(([, number]) => number === index)?.[0] ?? `$${index}`
    labels[label] = submatchCase === 'lower' ? text.toLowerCase() : submatchCase === 'upper' ? text.toUpperCase() : text
  })
  return labels
}
