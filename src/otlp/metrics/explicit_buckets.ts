import type { MetricBatch } from './batch.ts'
import { subtractInts } from './number_values.ts'
import type { DataPoint } from './points.ts'

/** The buckets of a histogram with explicit bounds, as a point has them or in any other form. */
export interface ExplicitBuckets {
  readonly count: number | bigint
  readonly bucketCounts: ArrayLike<number | bigint>
  readonly explicitBounds: ArrayLike<number>
}

interface CompletedBuckets extends ExplicitBuckets {
  readonly bucketCounts: readonly (number | bigint)[]
  readonly explicitBounds: readonly number[]
}

/**
 * The same buckets in the form that OTLP requires: one count more than bounds, and no bound of +Inf. Some senders leave
 * out the last count, because a bound of +Inf ends the bucket before it (swift-otel up to 1.0.2), or because `count`
 * implies how many values lie above the last bound (Micrometer before 1.12). Buckets that are complete, or cannot be
 * completed, are returned as they are.
 */
export function completeBuckets<Buckets extends ExplicitBuckets>(buckets: Buckets): Buckets | CompletedBuckets {
  const { count, bucketCounts, explicitBounds } = buckets
  const bounds = explicitBounds.length
  const complete = bucketCounts.length === bounds + 1
  if (bounds === 0 || (!complete && bucketCounts.length !== bounds)) return buckets
  const endless = explicitBounds[bounds - 1] === Infinity
  if (complete && !(endless && Number(bucketCounts[bounds]) === 0)) return buckets
  const counts = Array.from(bucketCounts).slice(0, bounds)
  if (endless) return { count, bucketCounts: counts, explicitBounds: Array.from(explicitBounds).slice(0, -1) }
  const rest = counts.reduce(subtractInts, count)
  return rest < 0 ? buckets : { count, bucketCounts: [...counts, rest], explicitBounds: Array.from(explicitBounds) }
}

/** The batch with complete buckets in all histograms. */
export function completeHistograms(batch: MetricBatch): MetricBatch {
  return batch.mapMetrics((metric) => {
    if (metric.type !== 'histogram') return metric
    const points = metric.points.map(completed)
    return points.every((point, index) => point === metric.points[index]) ? metric : metric.withPoints(points)
  })
}

function completed(point: DataPoint): DataPoint {
  if (point.kind !== 'histogram') return point
  const buckets = completeBuckets(point)
  if (buckets === point) return point
  return point.with({ bucketCounts: buckets.bucketCounts, explicitBounds: buckets.explicitBounds })
}
