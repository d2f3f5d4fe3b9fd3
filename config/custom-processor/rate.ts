import { defineComponent, MetricBatch } from 'heka-pipeline'
import type { Attributes, Metric, NumberPoint, Resource } from 'heka-pipeline'
import { bufferTime, map, merge, share } from 'rxjs'

/** A custom processor in TypeScript. It holds time, so it is an RxJS operator rather than a function per batch. */
export default defineComponent({
  kind: 'processor',
  type: 'rate',
  changes: 'replaces',
  summary: 'Turns cumulative monotonic sums into gauges: the change per second over a window of time.',
  description: `
Each series gives one data point per window: the difference between its latest value and its latest value of the window
before, divided by the seconds between them. A series that is new counts from its first value in the window; one that went
back to zero is left out of that window. All other metrics pass at once and unchanged.
`,
  config: {
    window: { doc: 'How long values are gathered for one rate, at least `1s`.', format: 'duration', default: '10s' },
  },
  examples: [{ title: 'Rates over half a minute', yaml: 'rate: { window: 30s }' }],
  *check({ window }) {
    if (window < 1000) yield { path: 'window', message: 'must be at least 1s' }
  },
  create({ config }) {
    return {
      operator(batches) {
        let earlier: ReadonlyMap<string, NumberPoint> = new Map()
        const shared = batches.pipe(share())
        const others = shared.pipe(map((batch) => batch.filterMetrics((metric) => !isCounter(metric))))
        const rates = shared.pipe(
          map((batch) => batch.filterMetrics(isCounter)),
          bufferTime(config.window),
          map((window) => {
            const counters = MetricBatch.merge(window)
            const latest = latestPoints(counters)
            const result = ratesOf(counters, latest, earlier)
            if (latest.size > 0) earlier = latest
            return result
          }),
        )
        return merge(others, rates)
      },
    }
  },
})

function isCounter({ type, temporality, monotonic }: Metric): boolean {
  return type === 'sum' && temporality === 'cumulative' && monotonic
}

/** The last point of each series. */
function latestPoints(batch: MetricBatch): Map<string, NumberPoint> {
  const latest = new Map<string, NumberPoint>()
  for (const { series, point } of pointsOf(batch)) latest.set(series, point)
  return latest
}

/** One gauge point for each series that has an earlier value to compare with, in this window or the one before. */
function ratesOf(
  batch: MetricBatch,
  latest: ReadonlyMap<string, NumberPoint>,
  earlier: ReadonlyMap<string, NumberPoint>,
): MetricBatch {
  const first = new Map(earlier)
  for (const { series, point } of pointsOf(batch)) if (!first.has(series)) first.set(series, point)
  return batch
    .mapMetrics((metric, resource) =>
      metric.with({
        type: 'gauge',
        temporality: 'unspecified',
        monotonic: false,
        unit: `${metric.unit}/s`,
        points: metric.points.flatMap((point) => {
          const series = seriesOf(metric, point.attributes, resource)
          const start = first.get(series)
          if (point.kind !== 'number' || latest.get(series) !== point || start === undefined) return []
          const seconds = Number(point.timeUnixNano - start.timeUnixNano) / 1e9
          const change = Number(point.value) - Number(start.value)
          return seconds > 0 && change >= 0 ? [point.with({ value: change / seconds, isInt: false })] : []
        }),
      }),
    )
    .filterMetrics((metric) => metric.points.length > 0)
}

function* pointsOf(batch: MetricBatch): Generator<{ series: string; point: NumberPoint }> {
  for (const { metric, resource } of batch.metrics()) {
    for (const point of metric.points) {
      if (point.kind !== 'number' || point.value === undefined) continue
      yield { series: seriesOf(metric, point.attributes, resource), point }
    }
  }
}

function seriesOf(metric: Metric, attributes: Attributes, resource: Resource): string {
  const text = (entries: Attributes) => entries.keys().map((key) => [key, entries.text(key)])
  return JSON.stringify([metric.name, text(attributes), text(resource.attributes)])
}
