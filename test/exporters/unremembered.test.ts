import { afterEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import type { Settings } from '../../src/component/settings.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { HistogramPoint, NumberPoint } from '../../src/otlp/metrics/points.ts'
import { rememberedBytes } from '../../src/otlp/common/remembered_bytes.ts'
import { testExporter } from '../kit/exporting.ts'
import { runs } from '../kit/fuzzing.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

const SECOND = 1_000_000_000n
const NOW = BigInt(Math.floor(Date.now() / 1000)) * SECOND

interface Sent {
  readonly kind: 'gauge' | 'delta' | 'histogram' | 'cumulative'
  readonly at: number
  readonly value: number
  readonly series: number
  readonly padding?: number
}

function batchOf(all: readonly Sent[]): MetricBatch {
  const metrics = all.map(({ kind, at, value, series, padding = 0 }) => {
    const attributes = Attributes.of({ series, pad: 'x'.repeat(padding) })
    const times = { timeUnixNano: NOW + BigInt(at) * SECOND, startTimeUnixNano: NOW - 1000n * SECOND, attributes }
    if (kind === 'histogram') {
      const point = new HistogramPoint({
        ...times,
        count: value,
        sum: value,
        bucketCounts: [value, 0],
        explicitBounds: [1],
      })
      return { name: kind, type: 'histogram', temporality: 'delta', points: [point] } as const
    }
    const point = new NumberPoint({ ...times, value, isInt: true })
    if (kind === 'gauge') return { name: kind, type: 'gauge', points: [point] } as const
    return { name: kind, type: 'sum', temporality: kind, monotonic: true, points: [point] } as const
  })
  return MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'host.name': 'h' }, metrics }).toOtlp())
}

/** All that an intake has got, as texts: a name, a time, a value and how many tags. */
type Read = (intake: Intake) => string[]

const overApi: Read = (intake) => [
  ...intake
    .series()
    .flatMap(({ metric, points, tags }) => points.map(([time, value]) => [metric, time, value, tags.length].join(' '))),
  ...intake
    .sketches()
    .flatMap(({ metric, tags, dogsketches }) =>
      dogsketches.map(({ ts, cnt, sum }) => [metric, ts, cnt, sum, tags.length].join(' ')),
    ),
]

const overOtlp: Read = ({ requests }) =>
  requests.flatMap(({ raw }) =>
    [...MetricBatch.fromOtlp(raw).metrics()].flatMap(({ metric }) =>
      metric.points.map((point) => {
        const value = point.kind === 'number' ? point.value : (point as HistogramPoint).sum
        return [metric.name, point.timeUnixNano, value, point.attributes.size].join(' ')
      }),
    ),
  )

const VARIANTS: readonly (readonly [string, ExporterComponent<Settings, Batch>, string, Read])[] = [
  ['datadog_native, v1', datadogNative, '', overApi],
  ['datadog_native, v2', datadogNative, ', series_version: v2', overApi],
  ['datadog_otlp', datadogOtlp, '', overOtlp],
]

async function deliver([, component, settings, read]: (typeof VARIANTS)[number], batches: readonly MetricBatch[]) {
  const intake = await startIntake()
  const yaml = `${component.type}: { endpoint: "${intake.url}", api_key: k${settings} }`
  const exporter = await testExporter(component, yaml)
  const balance = await exporter.deliver(...batches)
  const { used } = rememberedBytes
  await exporter.stop()
  return { arrived: read(intake).sort(), balance, logs: exporter.logs, used }
}

afterEach(() => void (rememberedBytes.limit = Infinity))

describe.each(VARIANTS)('%s', (...variant) => {
  it('sends what needs no difference with attributes beyond 16 KiB, and does not remember it', async () => {
    const { used } = rememberedBytes
    const [one, other] = [10, 20].map((at) =>
      batchOf(
        (['gauge', 'delta', 'histogram', 'cumulative'] as const).map((kind) => {
          return { kind, at, value: at, series: 1, padding: 20_000 }
        }),
      ),
    )
    const { arrived, balance, logs, used: after } = await deliver(variant, [one, other])
    expect(arrived.map((line) => line.split(' ')[0])).toEqual([
      'delta',
      'delta',
      'gauge',
      'gauge',
      'histogram',
      'histogram',
    ])
    expect(balance.dropped).toEqual({ attributes_too_large: 2 })
    expect(logs).toMatchObject([{ level: 'warn', fields: { metric: 'cumulative' } }])
    // Those of the last batch, until the next comes.
    expect(after - used).toBeLessThan(100_000)
  })

  it('sends the same without any room to remember something, but for differences', async () => {
    const sent = fc.record({
      kind: fc.constantFrom<Sent['kind']>('gauge', 'delta', 'histogram'),
      value: fc.integer({ min: 1, max: 100 }),
      series: fc.nat(3),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(sent, { maxLength: 6 }), { minLength: 1, maxLength: 4 }), async (requests) => {
        // A series comes once in a second, so that nothing depends on what was before.
        const batches = requests.map((request, at) => {
          const all = new Map(request.map((one) => [`${one.kind} ${one.series}`, { ...one, at }]))
          return batchOf([...all.values()])
        })
        rememberedBytes.limit = Infinity
        const [free, { used }] = [await deliver(variant, batches), rememberedBytes]
        rememberedBytes.limit = 0
        const full = await deliver(variant, batches)
        expect([full.arrived, full.balance]).toEqual([free.arrived, free.balance])
        if (free.arrived.length > 0) {
          expect(full.logs).toMatchObject([
            { message: expect.stringMatching('^New series are not remembered') as unknown },
          ])
        }
        // Nothing is left of an exporter that has stopped.
        expect(rememberedBytes.used).toBeLessThanOrEqual(used)
      }),
      runs(8),
    )
  })

  it('counts what of one request meets in a second as one, also where nothing is remembered', async () => {
    rememberedBytes.limit = 0
    const meet = batchOf([
      { kind: 'delta', at: 10, value: 3, series: 1 },
      { kind: 'delta', at: 10, value: 4, series: 1 },
    ])
    const { arrived, balance } = await deliver(variant, [meet])
    expect(arrived.map((line) => line.split(' ')[2])).toEqual(['7'])
    expect(balance.merged).toBe(1)
  })
})
