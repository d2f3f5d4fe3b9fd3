import type { MetricBatch } from './batch.ts'
import type { Metric } from './metric.ts'
import { addDistributions } from './distributions.ts'
import { addValues } from './number_values.ts'
import { inParts, partsOf } from '../common/parts.ts'
import type { DataPoint } from './points.ts'
import { scopeIdentity } from '../common/resource.ts'
import type { Divided } from '../../time/turns.ts'

/** The rule for which points become one. */
interface AggregateOptions {
  /**
   * Nanoseconds within which points count as simultaneous. At 1n, several points of one series come from several series
   * that became one when an attribute was removed. At 1_000_000_000n, for a destination that keeps one value a second,
   * they come from one source.
   */
  readonly resolution: bigint
  /** Called with every value that is lost because that of another series takes its place. */
  readonly overwritten?: (metric: Metric) => void
}

/**
 * Makes one point of the points that a batch holds for one series (resource, scope, name, type, attributes) at one
 * time. Differences always add up. If several series became one, points of the very same nanosecond are added, too; the
 * latest gauge stays, and the others count as `overwritten`. Of one source the latest point stays, but summaries of
 * different times stay separate, and so do histograms whose buckets differ. The result takes the position of the first
 * point; the others are reported to `account`.
 */
export function aggregate(batch: MetricBatch, account: AggregateAccount, options: AggregateOptions): MetricBatch {
  if (isAggregated(batch, options)) return batch
  const aggregation = new Aggregation(account, options)
  aggregation.add(batch)
  return aggregation.finds() ? aggregation.result(batch) : batch
}

/** `aggregate` that may be left where it yields. */
export function* aggregateInTurns(
  batch: MetricBatch,
  account: AggregateAccount,
  options: AggregateOptions,
): Divided<MetricBatch> {
  let isDone = true
  for (const part of partsOf(batch)) {
    isDone = isAggregated(part.batch, options)
    if (!isDone) break
    yield
  }
  if (isDone) return batch
  const aggregation = new Aggregation(account, options)
  for (const part of partsOf(batch)) {
    aggregation.add(part.batch)
    yield
  }
  return aggregation.finds() ? yield* inParts(batch, (part) => aggregation.result(part)) : batch
}

interface AggregateAccount {
  merged(points: number): void
  dropped(reason: string, points: number): void
}

/** Points that were not changed were several series for their sender; only changes can have made one of them. */
function isAggregated(batch: MetricBatch, { resolution }: AggregateOptions): boolean {
  return resolution === 1n && batch.everyMetric((metric) => metric.pointsUnchanged)
}

/** Looks at all points of a batch, and then decides about each. */
class Aggregation {
  readonly #series = new Map<string, Map<string, Group>>()
  readonly #groupsOfPoints: (Group | 'gone')[] = []
  #merged = 0
  #lost = 0
  #index = 0

  constructor(
    private readonly account: AggregateAccount,
    private readonly options: AggregateOptions,
  ) {}

  /** Takes in the next points. */
  add(batch: MetricBatch): void {
    const { resolution, overwritten } = this.options
    const ofSeveral = resolution === 1n
    for (const { metric, resource, scope, schemaUrl } of batch.metrics()) {
      const key = [
        metric.type + metric.temporality + metric.monotonic,
        metric.name,
        resource.attributes.identity,
        scopeIdentity(scope, schemaUrl),
      ].join('\n')
      let groups = this.#series.get(key)
      if (groups === undefined) this.#series.set(key, (groups = new Map<string, Group>()))
      for (const point of metric.points) {
        const { identity } = point.attributes
        const time = point.timeUnixNano / resolution
        const first = groups.get(identity)
        const group = first?.time === time ? first : first?.later?.get(time)
        const result = group && combine(metric, group.result, point, { ofSeveral })
        if (group !== undefined && result !== undefined) {
          group.result = result
          this.#groupsOfPoints.push('gone')
          if (ofSeveral && metric.type === 'gauge') {
            this.#lost++
            overwritten?.(metric)
          } else this.#merged++
          continue
        }
        const started: Group = { time, result: point }
        this.#groupsOfPoints.push(started)
        if (group !== undefined) continue
        if (first === undefined) groups.set(identity, started)
        else (first.later ??= new Map()).set(time, started)
      }
    }
  }

  /** Whether any points become one; this is reported to `account`. */
  finds(): boolean {
    if (this.#merged > 0) this.account.merged(this.#merged)
    if (this.#lost > 0) this.account.dropped('overwritten', this.#lost)
    return this.#merged + this.#lost > 0
  }

  /** The points that remain of the next ones, in the order in which they were taken in. */
  result(batch: MetricBatch): MetricBatch {
    return batch.mapSomePoints(() => {
      const group = this.#groupsOfPoints[this.#index++]
      return group === 'gone' ? undefined : group.result
    })
  }
}

/** The points of one series that become one and, next to the first such group, the others of the series, by time. */
interface Group {
  readonly time: bigint
  result: DataPoint
  later?: Map<bigint, Group>
}

/**
 * The sum of two points of one metric, as a copy of the latest; `undefined`: they stay two. `ofSeveral`: they belong,
 * or belonged, to several series, so that totals add up, too.
 */
export function combine(
  { type, temporality }: Pick<Metric, 'type' | 'temporality'>,
  earlier: DataPoint,
  later: DataPoint,
  { ofSeveral }: { readonly ofSeveral: boolean },
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
