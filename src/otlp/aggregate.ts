import type { MetricBatch } from './batch.ts'
import type { Metric } from './metrics.ts'
import type { NumberPoint } from './points.ts'
import type { Resource, Scope } from './resource.ts'

/** What makes two number points belong together. */
export interface AggregateOptions {
  /** Nanoseconds within which points count as simultaneous: 1n, or 1_000_000_000n where one value a second is kept. */
  readonly resolution: bigint
  /** The points were different series until their attributes changed: all sums add up, and scopes do not count. */
  readonly distinct?: boolean
}

/**
 * Makes one point of the number points that a batch holds for one series (resource, name, type, attributes) at one time.
 * Points of a sum at the very same nanosecond are what is left of several series after an attribute was taken away: they
 * are added. Differences always add up. Of everything else the latest stays. The result stands where the first point
 * stood; `account.merged` is told of the others.
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
  const groupsOfPoints: (Group | 'merged' | undefined)[] = []
  let merged = 0
  for (const { metric, resource, scope } of batch.metrics()) {
    if (metric.type !== 'gauge' && metric.type !== 'sum') {
      groupsOfPoints.length += metric.pointCount
      continue
    }
    const key = seriesOf(metric, resource, scope, options)
    let groups = series.get(key)
    if (groups === undefined) series.set(key, (groups = new Map<string, Group>()))
    // Where points were changed on their way, equal attributes may have come about in different ways.
    const asCame = metric.encoded !== undefined
    for (const point of metric.points as readonly NumberPoint[]) {
      const attributes = asCame ? point.attributes.bytesIdentity : point.attributes.identity
      const time = point.timeUnixNano / options.resolution
      const first = groups.get(attributes)
      const group = first?.time === time ? first : first?.later?.get(time)
      if (group !== undefined) {
        group.result = combine(metric, group.result, point, options)
        groupsOfPoints.push('merged')
        merged++
        continue
      }
      const started: Group = { time, result: point }
      groupsOfPoints.push(started)
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
      const points = metric.points.flatMap((point) => {
        const group = groupsOfPoints[index++]
        return group === 'merged' ? [] : [group?.result ?? point]
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
  result: NumberPoint
  later?: Map<bigint, Group>
}

function seriesOf(metric: Metric, resource: Resource, scope: Scope, options: AggregateOptions): string {
  const scoped = options.distinct ? '' : `${scope.name}\n${scope.version}`
  return `\n${metric.type}${metric.temporality}${metric.monotonic}\n${metric.name}\n${scoped}\n${resource.attributes.identity}\n`
}

function combine(
  metric: Metric,
  earlier: NumberPoint,
  later: NumberPoint,
  { distinct = false }: AggregateOptions,
): NumberPoint {
  const latest = later.timeUnixNano >= earlier.timeUnixNano ? later : earlier
  const adds = distinct || metric.temporality === 'delta' || earlier.timeUnixNano === later.timeUnixNano
  if (metric.type !== 'sum' || !adds) return latest
  return latest.with({
    ...addValues(earlier, later),
    startTimeUnixNano:
      earlier.startTimeUnixNano < later.startTimeUnixNano ? earlier.startTimeUnixNano : later.startTimeUnixNano,
  })
}

/** A number as a data point holds it: an int (a bigint beyond 2^53) or a double. */
export interface NumberValue {
  readonly value: number | bigint | undefined
  readonly isInt: boolean
}

/** `left + right`: exact, and an int, when both are ints. */
export function addValues(left: NumberValue, right: NumberValue): NumberValue {
  return subtractValues(left, { value: -(right.value ?? 0), isInt: right.isInt })
}

/** `left - right`: exact, and an int, when both are ints. */
export function subtractValues(left: NumberValue, right: NumberValue): NumberValue {
  if (!left.isInt || !right.isInt) return { value: Number(left.value ?? 0) - Number(right.value ?? 0), isInt: false }
  if (typeof left.value === 'number' && typeof right.value === 'number') {
    const value = left.value - right.value
    if (Number.isSafeInteger(value)) return { value, isInt: true }
  }
  const exact = BigInt(left.value ?? 0) - BigInt(right.value ?? 0)
  const value = Number(exact)
  return { value: Number.isSafeInteger(value) ? value : exact, isInt: true }
}
