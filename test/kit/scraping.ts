import { systemClock } from '../../src/time/clock.ts'
import type { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { DataPoint } from '../../src/otlp/metrics/points.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { Telemetry } from '../../src/pipeline/telemetry/telemetry.ts'
import hostMetrics from '../../src/receivers/host_metrics.ts'
import type { PortableSystem } from '../../src/receivers/host_metrics/portable.ts'
import { collect } from '../../src/receivers/host_metrics/receiver.ts'
import type { HostMetricsConfig } from '../../src/receivers/host_metrics/receiver.ts'
import { Root } from '../../src/receivers/host_metrics/root.ts'
import { cleanups } from './cleanups.ts'

/** The receiver at work, one scrape at a time, until the test has ended. */
export interface Scraping {
  /** The batch of the next scrape. */
  next(): Promise<MetricBatch>
  /** What was counted so far, by `name{label="value"}`. */
  counters(): Readonly<Record<string, number>>
  /** What was logged since this was last asked, a line each. */
  logs(): string[]
  /** Ends the receiver; resolves when it has ended. */
  stop(): Promise<void>
}

/** Starts the receiver with the settings of a YAML entry; `portable` takes the place of `/proc`, `own` that of its own root. */
export async function startScraping(
  yaml: string,
  { env, portable, own = '' }: { env?: Record<string, string>; portable?: PortableSystem; own?: string } = {},
): Promise<Scraping> {
  const { config } = await checkComponent(hostMetrics, yaml, env)
  const telemetry = new Telemetry()
  const meter = telemetry.meter(hostMetrics, 'host_metrics')
  meter.begin()
  const controller = new AbortController()
  const lines: string[] = []
  const write = (message: string, fields: object = {}) => {
    lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  const batches = collect(
    {
      clock: systemClock,
      config: config as HostMetricsConfig,
      log: { debug: write, info: write, warn: write, error: write },
      meter,
      signal: controller.signal,
    },
    portable,
    new Root(own),
  )
  const stop = async (): Promise<void> => {
    controller.abort()
    while ((await batches.next()).done !== true);
  }
  cleanups.push(stop)
  return {
    counters: () => telemetry.counters(),
    logs: () => lines.splice(0),
    async next() {
      const { done, value } = await batches.next()
      if (done === true) throw new Error('The receiver has ended.')
      return value
    },
    stop,
  }
}

/** The points of a batch as text: a line of `#` for each metric, one for each of its points. */
export function describeBatch(batch: MetricBatch): string[] {
  return [...batch.metrics()].flatMap(({ metric: { name, type, monotonic, temporality, unit, points } }) => {
    const kind = type === 'sum' ? `${monotonic ? 'monotonic ' : ''}${temporality} sum` : type
    return [`# ${name}: ${kind}, ${unit}`, ...points.map((point) => describePoint(point, name))]
  })
}

function describePoint(point: DataPoint, name: string): string {
  if (point.kind !== 'number') throw new Error(`${name} has a point that is no number`)
  const labels = [...point.attributes].map(({ key }) => `${key}="${point.attributes.text(key)}"`)
  return `{${labels.join(',')}} ${point.isInt ? 'int' : 'double'} ${point.value}`
}

/** Every value of one metric by its attributes, as `state=used`. */
export function valuesOf(batch: MetricBatch, name: string): Record<string, number> {
  const metric = [...batch.metrics()].find(({ metric }) => metric.name === name)?.metric
  return Object.fromEntries(
    (metric?.points ?? []).map((point) => {
      if (point.kind !== 'number') throw new Error(`${name} has a point that is no number`)
      const labels = [...point.attributes].map(({ key }) => `${key}=${point.attributes.text(key)}`)
      return [labels.join(' '), Number(point.value)]
    }),
  )
}
