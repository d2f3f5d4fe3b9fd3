import { subtractInts } from './number_values.ts'

/** The buckets of a histogram with explicit bounds, as a point has them or in any other form. */
export interface ExplicitBuckets {
  readonly count: number | bigint
  readonly bucketCounts: ArrayLike<number | bigint>
  readonly explicitBounds: ArrayLike<number>
}

/**
 * The same buckets as OTLP asks for them: one count more than bounds, and no bound of +Inf. Some senders leave out the last
 * count, because a bound of +Inf ends the bucket before it (swift-otel up to 1.0.2), or because `count` tells how many values lie
 * above the last bound (Micrometer before 1.12). Buckets that are complete are returned as they are, as are
 * those that cannot be completed.
 */
export function completeBuckets<Buckets extends ExplicitBuckets>(buckets: Buckets): Buckets | ExplicitBuckets {
  const { count, bucketCounts, explicitBounds } = buckets
  const bounds = explicitBounds.length
  const complete = bucketCounts.length === bounds + 1
  if (bounds === 0 || (!complete && bucketCounts.length !== bounds)) return buckets
  if (explicitBounds[bounds - 1] === Infinity) {
    if (complete && Number(bucketCounts[bounds]) !== 0) return buckets
    const [counts, finite] = [Array.from(bucketCounts), Array.from(explicitBounds)]
    return { count, bucketCounts: counts.slice(0, bounds), explicitBounds: finite.slice(0, -1) }
  }
  if (complete) return buckets
  const counts = Array.from(bucketCounts)
  const rest = counts.reduce(subtractInts, count)
  return rest < 0 ? buckets : { count, bucketCounts: [...counts, rest], explicitBounds }
}
