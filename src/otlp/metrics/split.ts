import { MetricBatch } from './batch.ts'
import type { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'

/** Cuts a batch into batches of at most `maxPoints` data points, in order; the batch itself when it is small enough. */
export function splitBatch(batch: MetricBatch, maxPoints: number): readonly MetricBatch[] {
  if (batch.pointCount <= maxPoints) return [batch]
  const parts: ResourceMetrics[][] = [[]]
  let room = maxPoints
  let filled: ResourceMetrics | undefined
  /** Scopes of one resource stay together. */
  const fill = (part: ResourceMetrics[], resource: ResourceMetrics, scope: ScopeMetrics): void => {
    const last = filled === resource ? part.pop() : undefined
    part.push(resource.withScopes([...(last?.scopes ?? []), scope]))
    filled = resource
  }
  for (const resource of batch.resources) {
    for (const scope of resource.scopes) {
      let metrics: Metric[] = []
      const close = (): void => {
        if (metrics.length > 0) fill(parts[parts.length - 1], resource, scope.withMetrics(metrics))
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
  return parts.map((resources) => MetricBatch.fromResources(resources))
}
