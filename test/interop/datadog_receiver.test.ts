import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { MetricBatch } from '../../src/otlp/batch.ts'
import { ExponentialHistogramPoint, HistogramPoint, SummaryPoint } from '../../src/otlp/points.ts'
import { gauge, sum } from '../../src/testing.ts'
import { startProcess, temporaryFolder } from '../kit/command.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

/** An OpenTelemetry Collector of which the `datadog` receiver is a part, as it is of the contrib distribution. */
const collector = process.env.OTELCOL_BIN
const missing =
  collector === undefined
    ? 'OTELCOL_BIN names no collector'
    : hasReceiver(collector)
      ? undefined
      : `${collector} has no datadog receiver`

function hasReceiver(program: string): boolean {
  const { stdout } = spawnSync(program, ['components'], { encoding: 'utf8' })
  const [, receivers = ''] = /^receivers:\n((?: .*\n)*)/m.exec(stdout) ?? []
  return /^ +- name: datadog$/m.test(receivers)
}

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const NOON = 1_767_268_800
const at = (seconds: number): bigint => BigInt(NOON + seconds) * 1_000_000_000n

const suite = missing === undefined ? describe : describe.skip
suite(`the collector's datadog receiver${missing === undefined ? '' : ` (${missing})`}`, () => {
  it.each([
    ['v1', 'gzip'],
    ['v1', 'deflate'],
    ['v2', 'gzip'],
    ['v2', 'none'],
  ])('understands series %s, compressed with %s, as they were meant', async (version, compression) => {
    const sent = await passedOn(`tags: ["team:core"], series_version: ${version}, compression: ${compression}`, [
      numbers(0, 100),
      numbers(10, 175),
    ])
    const shop = { 'service.name': 'shop', 'deployment.environment.name': 'prod', device: 'sda', team: 'core' }
    const count = (name: string, value: number) => ({ name, type: 'sum', delta: true, host: 'web-1', time: 10, value })
    expect(sent).toEqual(
      [
        { name: 'level', type: 'gauge', host: 'web-1', time: 0, value: -1.5, attributes: shop },
        { name: 'level', type: 'gauge', host: 'web-1', time: 10, value: -1.5, attributes: shop },
        { ...count('requests', 75), attributes: { ...shop, device: 'sdb' } },
        { ...count('latency.count', 2), attributes: shop },
        { ...count('latency.sum', 3), attributes: shop },
        ...[0, 10].map((time) => ({
          ...{ name: 'latency.quantile', type: 'gauge', host: 'web-1', time, value: 1.25 },
          attributes: { ...shop, quantile: '0.5' },
        })),
      ].sort(inOrder),
    )
  })

  it.each(['deflate', 'gzip', 'none'])(
    'understands distributions, compressed with %s, as they were meant',
    async (compression) => {
      const window = { timeUnixNano: at(10), startTimeUnixNano: at(0) }
      const batch = MetricBatch.of({
        resource: { 'host.name': 'web-1', 'service.name': 'shop' },
        metrics: [
          {
            ...{ name: 'duration', type: 'histogram', temporality: 'delta' },
            points: [
              new HistogramPoint({
                ...{ ...window, count: 70_001, sum: 700_700, min: -10.1, max: 10.1 },
                ...{ bucketCounts: [0, 1, 0, 70_000, 0], explicitBounds: [-10.1, -10, 10, 10.1] },
              }),
            ],
          },
          {
            ...{ name: 'size', type: 'exponential_histogram', temporality: 'delta' },
            points: [
              new ExponentialHistogramPoint({
                ...{ ...window, count: 7, sum: 21, min: 0, max: 4, scale: 5, zeroCount: 2 },
                positive: { offset: 63, bucketCounts: [5] },
              }),
            ],
          },
        ],
      })
      const [duration, size] = await passedOn(`sketches: { compression: ${compression} }`, [batch])
      const common = {
        type: 'exponentialHistogram',
        delta: true,
        host: 'web-1',
        time: 10,
        attributes: { 'service.name': 'shop' },
      }
      expect(duration).toMatchObject({
        ...common,
        name: 'duration',
        count: 70_001,
        sum: 700_700,
        min: -10.1,
        max: 10.1,
        zeros: 0,
      })
      expect(within(duration.positive, 10, 10.1)).toBe(70_000)
      expect(within(duration.negative, 10, 10.1)).toBe(1)
      expect(size).toMatchObject({ ...common, name: 'size', count: 7, sum: 21, min: 0, max: 4, zeros: 2 })
      expect(within(size.positive, 2 ** (63 / 32), 4)).toBe(5)
    },
  )
})

/** A cumulative counter, a gauge and a summary of a service, which counted so much at a time. */
function numbers(seconds: number, requests: number): MetricBatch {
  const time = { timeUnixNano: at(seconds), startTimeUnixNano: at(-1000) }
  const quantileValues = [{ quantile: 0.5, value: 1.25 }]
  const count = 1 + seconds / 5
  return MetricBatch.of({
    resource: { 'host.name': 'web-1', 'service.name': 'shop', 'deployment.environment.name': 'prod', device: 'sda' },
    metrics: [
      gauge('level', -1.5, {}, time),
      sum('requests', requests, { device: 'sdb' }, time),
      {
        name: 'latency',
        type: 'summary',
        points: [new SummaryPoint({ ...time, count, sum: 1.5 * count, quantileValues })],
      },
    ],
  })
}

interface Understood {
  readonly name: string
  readonly type: string
  readonly delta?: boolean
  readonly host: string | undefined
  /** Seconds since noon. */
  readonly time: number
  readonly attributes: Readonly<Record<string, string>>
  readonly value?: number
  readonly count?: number
  readonly sum?: number
  readonly min?: number
  readonly max?: number
  readonly zeros?: number
  /** What each bucket counts, by its index. */
  readonly positive: ReadonlyMap<number, number>
  readonly negative: ReadonlyMap<number, number>
}

/** What the receiver made of batches that our exporter sent it, in the order of names and times. */
async function passedOn(settings: string, batches: readonly MetricBatch[]) {
  const intake = await startIntake({ keyHeader: '' })
  cleanups.push(() => intake.close())
  const endpoint = await startReceiver(intake)
  const exporter = await testExporter(
    datadogNative,
    `datadog_native: { endpoint: "${endpoint}", api_key: key, ${settings} }`,
  )
  cleanups.push(() => exporter.stop())
  const { sent, dropped } = await exporter.deliver(...batches)
  expect(dropped).not.toHaveProperty('retries_exhausted')
  let understood: readonly Understood[] = []
  for (let requests = 1; understood.length < sent; requests++) {
    await intake.received(requests)
    understood = intake.requests.flatMap(({ body }) => read(body as Body))
  }
  return [...understood].sort(inOrder)
}

function inOrder(left: Pick<Understood, 'name' | 'time'>, right: Pick<Understood, 'name' | 'time'>): number {
  return left.name === right.name ? left.time - right.time : left.name < right.name ? -1 : 1
}

async function startReceiver({ url }: Intake): Promise<string> {
  const port = await freePort()
  const folder = await temporaryFolder({
    'collector.yaml': `
receivers: { datadog: { endpoint: "127.0.0.1:${port}" } }
exporters: { otlp_http: { endpoint: "${url}", compression: none } }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { metrics: { receivers: [datadog], exporters: [otlp_http] } }
`,
  })
  cleanups.push(folder.remove)
  const command = startProcess(collector as string, ['--config', folder.path('collector.yaml')])
  cleanups.push(() => {
    command.kill('SIGTERM')
    return command.ended
  })
  await command.waitFor('Everything is ready')
  return `http://127.0.0.1:${port}`
}

/** The receiver does not tell which port the system gave it. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

interface KeyValues {
  readonly attributes?: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
}

interface Buckets {
  readonly offset?: number
  readonly bucketCounts?: readonly string[]
}

interface Point extends KeyValues {
  readonly timeUnixNano: string
  readonly asDouble?: number
  readonly count?: string
  readonly sum?: number
  readonly min?: number
  readonly max?: number
  readonly zeroCount?: string
  readonly positive?: Buckets | null
  readonly negative?: Buckets | null
}

interface Data {
  readonly dataPoints: readonly Point[]
  /** 1: delta. */
  readonly aggregationTemporality?: number
}

interface Body {
  readonly resourceMetrics: readonly {
    readonly resource: KeyValues
    readonly scopeMetrics: readonly {
      readonly metrics: readonly ({ readonly name: string } & Readonly<Record<string, Data | string>>)[]
    }[]
  }[]
}

const TYPES = ['gauge', 'sum', 'exponentialHistogram'] as const

function read({ resourceMetrics }: Body): Understood[] {
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics
      .flatMap(({ metrics }) => metrics)
      .flatMap((metric) => {
        const type = TYPES.find((one) => typeof metric[one] === 'object') as (typeof TYPES)[number]
        const { dataPoints, aggregationTemporality } = metric[type] as Data
        return dataPoints.map((point) => {
          // `source` is the receiver's own, and empty.
          const { 'host.name': host, source, ...attributes } = { ...valuesOf(resource), ...valuesOf(point) }
          expect(source ?? '').toBe('')
          const time = Number(BigInt(point.timeUnixNano) / 1_000_000_000n) - NOON
          const common = { name: metric.name, type, host, time, attributes }
          const delta = type === 'gauge' ? {} : { delta: aggregationTemporality === 1 }
          if (type !== 'exponentialHistogram') {
            return { ...common, ...delta, value: point.asDouble ?? 0 } as Understood
          }
          const { sum = 0, min = 0, max = 0 } = point
          return {
            ...{ ...common, ...delta, sum, min, max, count: Number(point.count), zeros: Number(point.zeroCount ?? 0) },
            positive: byIndex(point.positive),
            negative: byIndex(point.negative),
          }
        })
      }),
  )
}

function valuesOf({ attributes = [] }: KeyValues): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? '']))
}

function byIndex(buckets: Buckets | null | undefined): ReadonlyMap<number, number> {
  const { offset = 0, bucketCounts = [] } = buckets ?? {}
  return new Map(bucketCounts.map((count, index) => [offset + index, Number(count)]))
}

/** How much is counted from `lower` to `upper`, to within the width of a bin of a sketch and of a bucket of scale 5. */
function within(buckets: ReadonlyMap<number, number>, lower: number, upper: number): number {
  const slack = 2 ** (1 / 32) * (1 + 1 / 64)
  let count = 0
  for (const [index, value] of buckets) {
    if (2 ** (index / 32) >= lower / slack && 2 ** ((index + 1) / 32) <= upper * slack) count += value
  }
  return count
}
