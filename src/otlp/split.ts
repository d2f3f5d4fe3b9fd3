import { MetricBatch } from './batch.ts'
import type { Metric, ResourceMetrics, ScopeMetrics } from './metrics.ts'

/** Cuts a batch into batches of at most `maxPoints` data points, in order; the batch itself when it is small enough. */
export function splitBatch(batch: MetricBatch, maxPoints: number): readonly MetricBatch[] {
  if (batch.pointCount <= maxPoints) return [batch]
  const parts: ResourceMetrics[][] = [[]]
  let room = maxPoints
  for (const resource of batch.resources) {
    for (const scope of resource.scopes) {
      let metrics: Metric[] = []
      const close = (): void => {
        if (metrics.length > 0) parts[parts.length - 1].push(resource.withScopes([scope.withMetrics(metrics)]))
        metrics = []
      }
      for (const metric of scope.metrics) {
        for (let start = 0; start < metric.points.length;) {
          if (room === 0) {
            close()
            parts.push([])
            room = maxPoints
          }
          const end = Math.min(start + room, metric.points.length)
          metrics.push(
            end - start === metric.points.length ? metric : metric.withPoints(metric.points.slice(start, end)),
          )
          room -= end - start
          start = end
        }
      }
      close()
    }
  }
  return parts.map((resources) => MetricBatch.fromResources(joinScopes(resources)))
}

/** Puts neighbouring scopes of the same resource back together. */
function joinScopes(resources: readonly ResourceMetrics[]): readonly ResourceMetrics[] {
  const joined: ResourceMetrics[] = []
  for (const entry of resources) {
    const last = joined.at(-1)
    if (last?.resource === entry.resource && last.schemaUrl === entry.schemaUrl) {
      const scopes: readonly ScopeMetrics[] = [...last.scopes, ...entry.scopes]
      joined[joined.length - 1] = last.withScopes(scopes)
    } else joined.push(entry)
  }
  return joined
}
