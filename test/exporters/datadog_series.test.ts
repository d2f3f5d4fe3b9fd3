import { describe, expect, it } from '@jest/globals'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import type { Settings } from '../../src/component/settings.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceRequest as Reference } from '../kit/otlp_proto.ts'

/** Milliseconds; after this process started. */
const NOW = Date.now()

interface Point {
  /** Seconds after the test began; those of the start are long before that unless it says so. */
  readonly at: number
  readonly value: number
  readonly start?: number
  readonly attributes?: Readonly<Record<string, string>>
}

const keyValues = (values: Readonly<Record<string, string>> = {}) =>
  Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }))

const nanoseconds = (seconds: number): string => String(BigInt(NOW + Math.round(seconds * 1000)) * 1_000_000n)

/** What an application sends of a counter, by scope. */
function request(
  name: string,
  ...scopes: readonly { attributes?: Readonly<Record<string, string>>; points: readonly Point[] }[]
): MetricBatch {
  const scopeMetrics = scopes.map(({ attributes, points }) => {
    const dataPoints = points.map(({ at, value, start = -4000, attributes }) => ({
      attributes: keyValues(attributes),
      startTimeUnixNano: nanoseconds(start),
      timeUnixNano: nanoseconds(at),
      asInt: value,
    }))
    const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints }
    return {
      scope: { name: 'Shop.Orders', version: '1', attributes: keyValues(attributes) },
      metrics: [{ name, unit: '1', sum }],
    }
  })
  const resource = { attributes: keyValues({ 'service.name': 'shop', 'host.name': 'h' }) }
  return MetricBatch.fromOtlp(
    Reference.encode(Reference.fromObject({ resourceMetrics: [{ resource, scopeMetrics }] })).finish(),
  )
}

/** The values of a metric that Datadog was sent, with those that have a tag only. */
type Read = (intake: Intake, tag?: string) => number[]

const overApi: Read = (intake, tag) =>
  intake
    .series()
    .filter(({ tags }) => tag === undefined || tags.includes(tag))
    .flatMap(({ points }) => points.map(([, value]) => value))

const overOtlp: Read = ({ requests }, tag) =>
  requests.flatMap(({ raw }) =>
    [...MetricBatch.fromOtlp(raw).metrics()].flatMap(({ metric }) =>
      (metric.points as readonly NumberPoint[])
        .filter(
          ({ attributes }) =>
            tag === undefined || attributes.keys().some((key) => `${key}:${attributes.text(key)}` === tag),
        )
        .map(({ value }) => Number(value)),
    ),
  )

const total = (values: readonly number[]): number => values.reduce((left, right) => left + right, 0)

describe.each<[string, ExporterComponent<Settings, Batch>, string, Read]>([
  ['datadog_native, v1', datadogNative, '', overApi],
  ['datadog_native, v2', datadogNative, ', series_version: v2', overApi],
  ['datadog_otlp', datadogOtlp, '', overOtlp],
])('%s', (_name, component, settings, read) => {
  async function deliver(...batches: readonly MetricBatch[]) {
    const intake = await startIntake()
    const exporter = await testExporter(
      component,
      `${component.type}: { endpoint: "${intake.url}", api_key: k${settings} }`,
    )
    const balance = await exporter.deliver(...batches)
    return { values: (tag?: string) => read(intake, tag), balance }
  }

  it('keeps counters apart whose scopes differ only in an attribute', async () => {
    const batches = [0, 1, 2].map((round) =>
      request(
        'orders',
        { attributes: { warehouse: 'a' }, points: [{ at: -200 + round * 10, value: 10 + round }] },
        { attributes: { warehouse: 'b' }, points: [{ at: -199.999 + round * 10, value: 1000 + round * 5 }] },
      ),
    )
    const { values, balance } = await deliver(...batches)
    expect([total(values()), balance.dropped]).toEqual([12, { first_value: 2 }])
  })

  it('takes a counter for one whose attributes come in another order with each export', async () => {
    const keys = ['method', 'route', 'status']
    const batches = Array.from({ length: 9 }, (_, round) => {
      const attributes = Object.fromEntries(keys.map((_key, at) => [keys[(at + round) % 3], 'x']))
      return request('requests', { points: [{ at: -200 + round * 10, value: 100 + round * 10, attributes }] })
    })
    const { values, balance } = await deliver(...batches)
    expect([values(), balance.dropped]).toEqual([Array(8).fill(10), { first_value: 1 }])
  })

  it('adds up what two replicas count whose resources are equal', async () => {
    const batches = Array.from({ length: 8 }, (_, round) => {
      const [value, start] = round % 2 === 0 ? [101 + round / 2, 1] : [51 + (round - 1) / 2, 1.4]
      return request('flow.completed', { points: [{ at: 3 + round, value, start }] })
    })
    const { values, balance } = await deliver(...batches)
    expect([total(values()), balance.dropped]).toEqual([104 + 54, {}])
  })

  it('sends the first value of a label value that is new', async () => {
    const batches = [0, 1, 2, 3].map((round) => {
      const at = -200 + round * 10
      const full = { at, value: 1, attributes: { type: 'disk_full' } }
      const timeout = { at, value: 50 + round, attributes: { type: 'timeout' } }
      return request('errors', { points: round < 2 ? [timeout] : [timeout, full] })
    })
    const { values } = await deliver(...batches)
    expect([values('type:disk_full'), values('type:timeout')]).toEqual([
      [1, 0],
      [1, 1, 1],
    ])
  })
})
