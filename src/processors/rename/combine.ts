import type { Metric } from '../../otlp/metrics.ts'
import { RegularExpression } from '../../regular_expression.ts'
import { aggregateBy } from './aggregate.ts'
import type { Transform } from './settings.ts'

/** Whether the values of two metrics mean the same, so that they can stand in one. */
export function isAlike(left: Metric, right: Metric): boolean {
  return (
    left.type === right.type &&
    left.unit === right.unit &&
    left.temporality === right.temporality &&
    left.monotonic === right.monotonic
  )
}

/** Makes the function that combines metrics that are alike into one, which is like the first. */
export function combinationOf({
  include,
  match_type,
  new_name: name = '',
  aggregation_type = 'sum',
  submatch_case,
}: Transform): (metrics: readonly Metric[]) => Metric {
  const expression = match_type === 'regexp' ? new RegularExpression(include) : undefined
  const aggregate = aggregateBy((attributes) => attributes, aggregation_type)
  return (metrics) => {
    const points = metrics.flatMap((metric) => {
      const labels = expression === undefined ? {} : labelsOf(expression, metric.name, submatch_case)
      return metric.points.map((point) => point.withAttributes(point.attributes.with(labels)))
    })
    return aggregate(metrics[0].with({ name, points }))
  }
}

/** The labels that the groups of an expression make of a name: `$1` where a group has no name; none where it found nothing. */
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
