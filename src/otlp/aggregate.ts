import type { MetricBatch } from './batch.ts'
import type { Metric } from './metrics.ts'
import { addDistributions } from './distributions.ts'
import { addValues } from './number_values.ts'
import type { DataPoint } from './points.ts'
import { scopeIdentity } from './resource.ts'

/** Which points become one. */
export interface AggregateOptions {
  /**
   * Nanoseconds within which points count as simultaneous. At 1n, points of one series are what is left of several after an attribute
   * was taken away. At 1_000_000_000n, where one value a second is kept, they are of one source.
   */
  readonly resolution: bigint
  /** Told of every value that is lost, because that of another series takes its place. */
  readonly overwritten?: (metric: Metric) => void
}

/**
 * Makes one point of the points that a batch holds for one series (resource, scope, name, type, attributes) at one time. Differences always
 * add up. What is left of several series at the very same nanosecond is added, too; of gauges the latest stays, and the others count as
 * `overwritten`. Of one source the latest stays, but summaries of different times stay apart, and so do histograms whose buckets differ. The
 * result stands where the first point stood; `account` is told of the others.
 */
export function aggregate(
  batch: MetricBatch,
  account: { merged(points: number): void; dropped(reason: string, points: number): void },
  { resolution, overwritten }: AggregateOptions,
): MetricBatch {
  const ofSeveral = resolution === 1n
  // Points that are as they came were several series for their sender; only changes can have made one of them.
  if (ofSeveral && batch.everyMetric((metric) => metric.pointsAsCame)) return batch
  const series = new Map<string, Map<string, Group>>()
  const groupsOfPoints: (Group | 'gone')[] = []
  let merged = 0
  let lost = 0
  for (const { metric, resource, scope, schemaUrl } of batch.metrics()) {
    const key = [
      metric.type + metric.temporality + metric.monotonic,
      metric.name,
      resource.attributes.identity,
      scopeIdentity(scope, schemaUrl),
    ].join('\n')
    let groups = series.get(key)
    if (groups === undefined) series.set(key, (groups = new Map<string, Group>()))
    for (const point of metric.points) {
      const { identity } = point.attributes
      const time = point.timeUnixNano / resolution
      const first = groups.get(identity)
      const group = first?.time === time ? first : first?.later?.get(time)
      const result = group && combine(metric, group.result, point, ofSeveral)
      if (group !== undefined && result !== undefined) {
        group.result = result
        groupsOfPoints.push('gone')
        if (ofSeveral && metric.type === 'gauge') {
          lost++
          overwritten?.(metric)
        } else merged++
        continue
      }
      const started: Group = { time, result: point }
      groupsOfPoints.push(started)
      if (group !== undefined) continue
      if (first === undefined) groups.set(identity, started)
      else (first.later ??= new Map()).set(time, started)
    }
  }
  if (merged + lost === 0) return batch
  if (merged > 0) account.merged(merged)
  if (lost > 0) account.dropped('overwritten', lost)
  let index = 0
  return batch.mapSomePoints(() => {
    const group = groupsOfPoints[index++]
    return group === 'gone' ? undefined : group.result
  })
}

/** The points of one series that become one, and beside the first such group the others of the series, by time. */
interface Group {
  readonly time: bigint
  result: DataPoint
  later?: Map<bigint, Group>
}

/**
 * What two points of one metric are together, as a copy of the latest; `undefined`: they stay two. `ofSeveral`: they are, or were, of
 * several series, so that also totals add up.
 */
export function combine(
  { type, temporality }: Pick<Metric, 'type' | 'temporality'>,
  earlier: DataPoint,
  later: DataPoint,
  ofSeveral: boolean,
): DataPoint | undefined {
  const latest = later.timeUnixNano >= earlier.timeUnixNano ? later : earlier
  if (type === 'gauge') return latest
  if (!ofSeveral && temporality !== 'delta') return type === 'summary' ? undefined : latest
  const startTimeUnixNano =
    earlier.startTimeUnixNano < later.startTimeUnixNano ? earlier.startTimeUnixNano : later.startTimeUnixNano
  if (earlier.kind === 'number' && later.kind === 'number') {
    return (latest as typeof later).with({ ...addValues(earlier, later), startTimeUnixNano })
  }
  return addDistributions(earlier, later)?.with({ startTimeUnixNano, timeUnixNano: latest.timeUnixNano })
}
