import type { MetricBatch } from './batch.ts'
import type { Metric } from './metrics.ts'
import { addDistributions } from './distributions.ts'
import { addValues } from './number_values.ts'
import type { DataPoint } from './points.ts'
import type { Resource, Scope } from './resource.ts'

/** What makes two points belong together. */
export interface AggregateOptions {
  /** Nanoseconds within which points count as simultaneous: 1n, or 1_000_000_000n where one value a second is kept. */
  readonly resolution: bigint
  /** The points were different series until their attributes changed: all sums add up, and scopes do not count. */
  readonly distinct?: boolean
  /** Told of every point that became part of another. */
  readonly collided?: (metric: Metric) => void
}

/**
 * Makes one point of the points that a batch holds for one series (resource, name, type, attributes) at one time.
 * Points of a sum, histogram or summary at the very same nanosecond are what is left of several series after an attribute was
 * taken away: they are added. Differences always add up. Of everything else the latest stays, but summaries of different
 * times and histograms whose buckets differ stay apart. The result stands where the first point stood; `account.merged` is told of
 * the others.
 */
export function aggregate(
  batch: MetricBatch,
  account: { merged(points: number): void },
  options: AggregateOptions,
): MetricBatch {
  // Points that are as they came were several series for their sender; only changes can have made one of them.
  if (options.resolution === 1n && batch.everyMetric((metric) => metric.pointsAsCame)) {
    return batch
  }
  const series = new Map<string, Map<string, Group>>()
  const groupsOfPoints: (Group | 'merged')[] = []
  let merged = 0
  for (const { metric, resource, scope } of batch.metrics()) {
    const key = seriesOf(metric, resource, scope, options)
    let groups = series.get(key)
    if (groups === undefined) series.set(key, (groups = new Map<string, Group>()))
    // Where points were changed on their way, equal attributes may have come about in different ways.
    const asCame = metric.encoded !== undefined
    for (const point of metric.points) {
      const attributes = asCame ? point.attributes.bytesIdentity : point.attributes.identity
      const time = point.timeUnixNano / options.resolution
      const first = groups.get(attributes)
      const group = first?.time === time ? first : first?.later?.get(time)
      const result = group && combine(metric, group.result, point, options)
      if (group !== undefined && result !== undefined) {
        group.result = result
        groupsOfPoints.push('merged')
        options.collided?.(metric)
        merged++
        continue
      }
      const started: Group = { time, result: point }
      groupsOfPoints.push(started)
      if (group !== undefined) continue
      if (first === undefined) groups.set(attributes, started)
      else (first.later ??= new Map()).set(time, started)
    }
  }
  if (merged === 0) return batch
  account.merged(merged)
  let index = 0
  const emptied = new Set<Metric>()
  return batch
    .mapMetrics((metric) => {
      const points = metric.points.flatMap(() => {
        const group = groupsOfPoints[index++]
        return group === 'merged' ? [] : [group.result]
      })
      if (points.every((point, at) => point === metric.points[at]) && points.length === metric.points.length) {
        return metric
      }
      const changed = metric.withPoints(points)
      if (points.length === 0) emptied.add(changed)
      return changed
    })
    .filterMetrics((metric) => !emptied.has(metric))
}

/** The points of one series that become one, and beside the first such group the others of the series, by time. */
interface Group {
  readonly time: bigint
  result: DataPoint
  later?: Map<bigint, Group>
}

function seriesOf(metric: Metric, resource: Resource, scope: Scope, options: AggregateOptions): string {
  const scoped = options.distinct ? '' : `${scope.name}\n${scope.version}`
  return `\n${metric.type}${metric.temporality}${metric.monotonic}\n${metric.name}\n${scoped}\n${resource.attributes.identity}\n`
}

/** `undefined`: they stay two. */
function combine(
  { type, temporality }: Metric,
  earlier: DataPoint,
  later: DataPoint,
  { distinct = false }: AggregateOptions,
): DataPoint | undefined {
  const latest = later.timeUnixNano >= earlier.timeUnixNano ? later : earlier
  const adds = distinct || temporality === 'delta' || earlier.timeUnixNano === later.timeUnixNano
  if (type === 'gauge') return latest
  if (!adds) return type === 'summary' ? undefined : latest
  const startTimeUnixNano =
    earlier.startTimeUnixNano < later.startTimeUnixNano ? earlier.startTimeUnixNano : later.startTimeUnixNano
  if (earlier.kind === 'number' && later.kind === 'number') {
    return (latest as typeof later).with({ ...addValues(earlier, later), startTimeUnixNano })
  }
  return addDistributions(earlier, later)?.with({ startTimeUnixNano, timeUnixNano: latest.timeUnixNano })
}
