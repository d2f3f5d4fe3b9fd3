import { spawnSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { compressionProblem } from '../../src/net/compression.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { Metric } from '../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import { gauge, sum } from '../../src/testing.ts'
import { startProcess, temporaryFolder } from '../kit/command.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { freePort } from '../kit/listen.ts'

/** An OpenTelemetry Collector with the `datadog` receiver; `npm run collector:build:datadog` makes one (docs/benchmarks.md). */
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

const NOON = 1_767_268_800
const at = (seconds: number): bigint => BigInt(NOON + seconds) * 1_000_000_000n

const compressions = (['gzip', 'deflate', 'none', 'zstd'] as const).filter(
  (one) => compressionProblem(one) === undefined,
)
const versions = compressions.flatMap((compression) =>
  compression === 'zstd' ? [['v2', compression]] : ['v1', 'v2'].map((version) => [version, compression]),
)

/*
 * What arrives is held against what was handed to our exporter. The receiver loses the unit and the interval of a series, that a
 * count only grows, and which tags are of the resource. A count or a distribution starts, for the receiver, at the time of the one
 * before.
 */
const suite = missing === undefined ? describe : describe.skip
suite(`the collector's datadog receiver${missing === undefined ? '' : ` (${missing})`}`, () => {
  it.each(versions)('understands series %s, compressed with %s, as they were meant', async (version, compression) => {
    const hosts = [numbers('web-1', 1), numbers('web-2', 3)]
    const { understood } = await passedOn(
      `tags: ["team:core"], series_version: ${version}, compression: ${compression}`,
      TIMES.map((_time, index) => MetricBatch.merge(hosts.map(({ batches }) => batches[index]))),
    )
    expect(understood).toEqual(inOrder(hosts.flatMap(({ expected }) => expected)))
  })

  it.each(compressions)('understands distributions, compressed with %s, as they were meant', async (compression) => {
    const hosts = ['web-1', 'web-2'].map((host, index) => distributions(host, index + 1))
    const { understood } = await passedOn(
      `sketches: { compression: ${compression} }`,
      TIMES.map((_time, index) => MetricBatch.merge(hosts.map(({ batches }) => batches[index]))),
    )
    expectDistributions(
      understood,
      hosts.flatMap(({ expected }) => expected),
    )
  })

  it.each(['v1', 'v2'])('understands names and tags in the writing of Datadog, in series %s', async (version) => {
    const attributes = {
      'url.full': 'https://shop.example/a?b=c&d=e:f',
      Größe: 'L/XL-2',
      said: 'it is "so" \\ \n\t, {really}',
      rocket: '🚀 up',
      日本: '語',
      nothing: '',
      whole: -5n,
      half: 0.5,
      yes: true,
      several: ['a', 'b'],
      // The receiver divides at the first colon, as Datadog does.
      'a:b': 'c:d',
      _9lives: 'cat_',
      long: 'x'.repeat(300),
    }
    const tags = {
      'url.full': 'https://shop.example/a_b_c_d_e:f',
      größe: 'l/xl-2',
      said: 'it_is__so_________really',
      rocket: '__up',
      日本: '語',
      nothing: 'n/a',
      whole: '-5',
      half: '0.5',
      yes: 'true',
      several: '__a___b',
      a: 'b:c:d',
      lives: 'cat',
      long: 'x'.repeat(200 - 'long:'.length),
    }
    const metrics = [
      gauge('0 größe (max)/sec', 1, attributes, { timeUnixNano: at(0) }),
      new Metric({
        ...{ name: '0 größe (max)/sec!', type: 'histogram', temporality: 'delta' },
        points: [new HistogramPoint({ ...window(0), ...bare(1), attributes: Attributes.of(attributes) })],
      }),
    ]
    const { understood } = await passedOn(`series_version: ${version}`, [
      MetricBatch.of({ resource: { 'host.name': 'Web 1.Example.ORG' }, metrics }),
    ])
    expect(understood.map(({ name, host, attributes }) => ({ name, host, attributes }))).toEqual([
      { name: 'gr__e__max__sec', host: 'Web 1.Example.ORG', attributes: tags },
      { name: 'gr__e__max__sec_', host: 'Web 1.Example.ORG', attributes: tags },
    ])
  })

  it.each([
    ['v1', 'gzip'],
    ['v2', 'none'],
  ])('understands hundreds of series %s in several requests, compressed with %s', async (version, compression) => {
    const long = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => [key, key.repeat(190)]))
    const times = Array.from({ length: 12 }, (_, index) => index)
    const series = Array.from({ length: 400 }, (_, number) => ({
      host: `web-${number % 7}`,
      name: `load.${number % 50}`,
      attributes: { ...long, number: String(number) },
      value: number / 4,
    }))
    const { understood, requests } = await passedOn(`series_version: ${version}, compression: ${compression}`, [
      MetricBatch.of(
        ...series.map(({ host, name, attributes, value }) => ({
          resource: { 'host.name': host },
          metrics: [
            new Metric({
              ...{ name, type: 'gauge' },
              points: times.map(
                (time) =>
                  new NumberPoint({
                    ...{ value: value + time, timeUnixNano: at(time), attributes: Attributes.of(attributes) },
                  }),
              ),
            }),
          ],
        })),
      ),
    ])
    expect(requests).toBeGreaterThan(1)
    expect(understood).toEqual(
      inOrder(
        series.flatMap(({ value, ...one }) =>
          times.map((time) => ({ ...one, type: 'gauge', time, value: value + time })),
        ),
      ),
    )
  })

  it('understands hundreds of distributions in several requests', async () => {
    const series = Array.from({ length: 300 }, (_, number) => ({
      ...{ host: `web-${number % 7}`, name: `wait.${number % 50}`, attributes: { number: String(number) } },
      point: histogram(BOUNDS, COUNTS, number + 1, { min: 0, max: 9000 }),
    }))
    const { understood, requests } = await passedOn('sketches: { compression: none, max_size: 64KiB }', [
      MetricBatch.of(
        ...series.map(({ host, name, attributes, point }) => ({
          resource: { 'host.name': host },
          metrics: [
            new Metric({
              ...{ name, type: 'histogram', temporality: 'delta' },
              points: [new HistogramPoint({ ...window(0), ...point, attributes: Attributes.of(attributes) })],
            }),
          ],
        })),
      ),
    ])
    expect(requests).toBeGreaterThan(1)
    expectDistributions(
      understood,
      series.map(({ point, ...one }) => ({ ...one, ...distribution(point), time: 0 })),
    )
  })
})

/** Seconds since noon, of the batches. */
const TIMES = [0, 10, 25]

/** What a point of a difference says of its time: since the batch before. */
function window(index: number) {
  return { timeUnixNano: at(TIMES[index]), startTimeUnixNano: at(index === 0 ? -10 : TIMES[index - 1]) }
}

/** What a point of all time says of its time. */
function always(index: number) {
  return { timeUnixNano: at(TIMES[index]), startTimeUnixNano: at(-1000) }
}

/** Batches of one host, one for each time, and what is to be understood of them. */
interface Case {
  readonly batches: readonly MetricBatch[]
  readonly expected: readonly Understood[]
}

/** Every number times `factor`. */
function numbers(host: string, factor: number): Case {
  const level = [-1.5, 0, 2.5e-7]
  const memory = [1, 2 ** 40, 2 ** 53]
  const connections = [7, 3, 9]
  const requests = [100, 175, 180.5]
  const errors = [1, 0, 4]
  const balance = [-2, 5, -1.25]
  const counts = [1, 3, 6]
  const sums = [1.5, 4.5, 9.25]
  const median = [1.25, 1.25, 2]
  const slowest = [3, 3.5, NaN]
  const batches = TIMES.map((_time, index) => {
    const times = (values: readonly number[]): number => values[index] * factor
    const quantileValues = [
      { quantile: 0.5, value: times(median) },
      { quantile: 0.99, value: times(slowest) },
    ]
    return MetricBatch.of({
      resource: {
        'host.name': host,
        'service.name': 'shop',
        'service.version': '1.2.3',
        'deployment.environment.name': 'prod',
        'k8s.pod.name': 'shop-7d',
        'k8s.node.name': 'node-4',
        'container.image.tags': ['7', 'latest'],
        'cloud.region': 'eu-west-1',
        device: 'sda',
      },
      metrics: [
        gauge('level', times(level), {}, { ...always(index), unit: 'By' }),
        gauge('memory', BigInt(times(memory)), {}, always(index)),
        sum('connections', times(connections), {}, { ...always(index), monotonic: false }),
        sum('requests', times(requests), { 'http.request.method': 'get', device: 'sdb' }, always(index)),
        sum('errors', times(errors), {}, { ...window(index), temporality: 'delta' }),
        sum('balance', times(balance), {}, { ...window(index), temporality: 'delta', monotonic: false }),
        {
          ...{ name: 'latency', type: 'summary' },
          points: [new SummaryPoint({ ...always(index), count: times(counts), sum: times(sums), quantileValues })],
        },
      ],
    })
  })
  const attributes = {
    'service.name': 'shop',
    'service.version': '1.2.3',
    'deployment.environment.name': 'prod',
    'k8s.pod.name': 'shop-7d',
    // Datadog's name of it, which the receiver does not know.
    kube_node: 'node-4',
    // Of the tags of an image Datadog takes the first.
    'container.image.tags': '["7"]',
    'cloud.region': 'eu-west-1',
    device: 'sda',
    team: 'core',
  }
  const gauges = (name: string, values: readonly number[], more = {}) =>
    values.flatMap((value, index) => {
      if (Number.isNaN(value)) return []
      const tags = { ...attributes, ...more }
      return [{ name, type: 'gauge', host, time: TIMES[index], value: value * factor, attributes: tags }]
    })
  const deltas = (name: string, values: readonly number[], first: number, more = {}) =>
    values.map((value, index) => ({
      ...{ name, type: 'sum', temporality: 1, host, time: TIMES[index + first], value: value * factor },
      ...(index > 0 && { start: TIMES[index + first - 1] }),
      attributes: { ...attributes, ...more },
    }))
  const expected = [
    ...gauges('level', level),
    ...gauges('memory', memory),
    ...gauges('connections', connections),
    ...deltas('requests', [75, 5.5], 1, { 'http.request.method': 'get', device: 'sdb' }),
    ...deltas('errors', errors, 0),
    ...deltas('balance', balance, 0),
    ...deltas('latency.count', [2, 3], 1),
    ...deltas('latency.sum', [3, 4.75], 1),
    ...gauges('latency.quantile', median, { quantile: '0.5' }),
    ...gauges('latency.quantile', slowest, { quantile: '0.99' }),
  ]
  return { batches, expected }
}

/** The lower and upper bound of each bucket, and its count; both bounds of the bucket of zeros are 0. */
type Buckets = readonly (readonly [lower: number, upper: number, count: number])[]

type Explicit = ReturnType<typeof histogram>
type Exponential = ReturnType<typeof exponential>

const BOUNDS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]
/** No value beyond the bounds. */
const COUNTS = [0, 1, 20, 300, 4, 0, 7, 1000, 2, 1, 0, 5, 1, 1, 3, 0]

/** A histogram whose counts are the given ones times `factor`, with half of the last bound times the count as its sum. */
function histogram(
  explicitBounds: readonly number[],
  counts: readonly number[],
  factor: number,
  extremes: { readonly min?: number; readonly max?: number } = {},
) {
  const bucketCounts = counts.map((count) => count * factor)
  const count = bucketCounts.reduce((total, one) => total + one, 0)
  return {
    ...extremes,
    count,
    sum: (count * explicitBounds[explicitBounds.length - 1]) / 2,
    bucketCounts,
    explicitBounds,
  }
}

/** One that has no buckets. */
function bare(factor: number): Explicit {
  return { count: 4 * factor, sum: 10 * factor, min: 1, max: 4, bucketCounts: [], explicitBounds: [] }
}

interface Counts {
  readonly offset: number
  readonly counts: readonly number[]
}

/** The same with exponential buckets; the average is 1/128, which lies among the values of each. */
function exponential(
  scale: number,
  {
    zeros = 0,
    negative = { offset: 0, counts: [] },
    positive,
  }: { zeros?: number; negative?: Counts; positive: Counts },
  factor: number,
  extremes: { readonly min?: number; readonly max?: number } = {},
) {
  const side = ({ offset, counts }: Counts) => ({ offset, bucketCounts: counts.map((count) => count * factor) })
  const count = [zeros, ...negative.counts, ...positive.counts].reduce((total, one) => total + one, 0) * factor
  const sides = { negative: side(negative), positive: side(positive) }
  return { ...extremes, ...sides, scale, count, sum: count / 128, zeroCount: zeros * factor }
}

function bucketsOf(point: Explicit | Exponential): Buckets {
  if ('scale' in point) return exponentialBuckets(point.scale, point.zeroCount, point.negative, point.positive)
  const { explicitBounds, bucketCounts } = point
  if (bucketCounts.length === 0) return [[point.min as number, point.max as number, point.count]]
  const edges = [-Infinity, ...explicitBounds, Infinity]
  return bucketCounts.map((count, index) => [edges[index], edges[index + 1], count] as const)
}

function exponentialBuckets(
  scale: number,
  zeros: number,
  negative: Exponential['negative'],
  positive: Exponential['positive'],
): Buckets {
  const side = ({ offset, bucketCounts }: Exponential['positive']): Buckets =>
    bucketCounts.map((count, index) => {
      const [lower, upper] = [offset + index, offset + index + 1].map((exponent) => 2 ** (exponent * 2 ** -scale))
      return [lower, upper, count] as const
    })
  const mirrored = side(negative).map(([lower, upper, count]) => [-upper, -lower, count] as const)
  return [...mirrored.reverse(), [0, 0, zeros], ...side(positive)]
}

/** What is to be understood of a histogram. */
function distribution(point: Explicit | Exponential) {
  const { count, sum, min, max } = point
  return { type: 'exponentialHistogram', temporality: 1, count, sum, min, max, buckets: bucketsOf(point) }
}

/** Every count times `factor`. */
function distributions(host: string, factor: number): Case {
  const narrow = [-10.1, -10, 10, 10.1]
  const sides = {
    ...{ zeros: 3, negative: { offset: -2, counts: [5, 0, 1, 40] } },
    positive: { offset: -12, counts: [8, 0, 0, 100, 1, 70_000] },
  }
  const many = Array.from({ length: 160 }, (_, index) => (index * 31) % 17)
  const deltas: Readonly<Record<string, Explicit | Exponential>> = {
    bare: bare(factor),
    // More than a bin of a sketch counts.
    duration: histogram(narrow, [0, 1, 0, 70_000, 0], factor, { min: -10.1, max: 10.1 }),
    beyond: histogram(BOUNDS, [3, ...COUNTS.slice(1, -1), 9], factor, { min: -1, max: 12_345 }),
    size: exponential(5, { zeros: 2, positive: { offset: 63, counts: [5] } }, factor, { min: 0, max: 4 }),
    coarse: exponential(0, sides, factor, { min: -3.9, max: 0.015 }),
    fine: exponential(3, { positive: { offset: -70, counts: many } }, factor, { min: 0.0025, max: 2400 }),
  }
  const sums: Readonly<Record<string, (factor: number) => Explicit | Exponential>> = {
    'duration.total': (times) => histogram(BOUNDS, COUNTS, times),
    'coarse.total': (times) => exponential(0, sides, times),
  }
  /** So often what `distribution` says has happened until then. */
  const grown = [factor, 2 * factor, 5 * factor]
  const attributes = Attributes.of({ route: '/cart' })
  const batches = TIMES.map((_time, index) => {
    const metric = (name: string, point: Explicit | Exponential, temporality: 'delta' | 'cumulative'): Metric => {
      const fields = { ...(temporality === 'delta' ? window : always)(index), attributes }
      return 'scale' in point
        ? new Metric({
            ...{ name, type: 'exponential_histogram', temporality },
            points: [new ExponentialHistogramPoint({ ...fields, ...point })],
          })
        : new Metric({
            ...{ name, type: 'histogram', temporality },
            points: [new HistogramPoint({ ...fields, ...point })],
          })
    }
    return MetricBatch.of({
      resource: { 'host.name': host, 'service.name': 'shop' },
      metrics: [
        ...Object.entries(deltas).map(([name, point]) => metric(name, point, 'delta')),
        ...Object.entries(sums).map(([name, made]) => metric(name, made(grown[index]), 'cumulative')),
      ],
    })
  })
  const arriving = (name: string, point: Explicit | Exponential, first: number, index: number) => ({
    ...{ name, host, time: TIMES[index], attributes: { 'service.name': 'shop', route: '/cart' } },
    ...(index > first && { start: TIMES[index - 1] }),
    ...distribution(point),
  })
  const expected = [
    ...Object.entries(deltas).flatMap(([name, point]) => TIMES.map((_time, index) => arriving(name, point, 0, index))),
    ...Object.entries(sums).flatMap(([name, made]) =>
      [1, 2].map((index) => {
        const one = arriving(name, made(grown[index] - grown[index - 1]), 1, index)
        // The bounds of what holds values: the input has no extremes of the difference.
        const [min, max] = name === 'duration.total' ? [0, 10_000] : [near(-4, 1), near(2 ** -6, 3)]
        return { ...one, min, max }
      }),
    ),
  ]
  return { batches, expected }
}

function near(value: number, digits: number): number {
  return expect.closeTo(value, digits) as unknown as number
}

/** What was understood of a point. */
interface Understood {
  readonly name: string
  readonly type: string
  /** 1: delta. */
  readonly temporality?: number
  readonly host: string | undefined
  /** Seconds since noon. */
  readonly time: number
  readonly start?: number
  readonly attributes: Readonly<Record<string, string>>
  readonly value?: number
  readonly count?: number
  readonly sum?: number
  readonly min?: number
  readonly max?: number
  readonly buckets?: Buckets
}

function expectDistributions(understood: readonly Understood[], expected: readonly Understood[]): void {
  const sent = inOrder(expected)
  expect(understood).toEqual(sent.map((distribution) => ({ ...distribution, buckets: expect.any(Array) })))
  understood.forEach(({ buckets }, index) => expectSpread(buckets as Buckets, sent[index].buckets as Buckets))
}

/**
 * Holds that as many values as were counted up to any bound arrive up to there, and as many above: so every quantile
 * stays in its bucket. To within the width of a bin of a sketch, its half by which the receiver has all bins too high, and the
 * width of a bucket of scale 5 that it makes of them.
 */
function expectSpread(arrived: Buckets, sent: Buckets): void {
  const slack = (1 + 1 / 64) ** 1.5 * 2 ** (1 / 32)
  const counted = (buckets: Buckets, holds: (lower: number, upper: number) => boolean): number =>
    buckets.reduce((total, [lower, upper, count]) => total + (holds(lower, upper) ? count : 0), 0)
  const total = counted(sent, () => true)
  expect(counted(arrived, () => true)).toBe(total)
  const strayed = sent.filter(([, bound]) => {
    const [low, high] = bound < 0 ? [bound * slack, bound / slack] : [bound / slack, bound * slack]
    const below = counted(sent, (_lower, upper) => upper <= bound)
    const above = total - below
    return counted(arrived, (_, upper) => upper <= high) < below || counted(arrived, (lower) => lower >= low) < above
  })
  expect(strayed).toEqual([])
}

/** What the receiver made of batches that our exporter sent it, and in how many requests it came. */
async function passedOn(settings: string, batches: readonly MetricBatch[]) {
  const intake = await startIntake({ keyHeader: '', limits: { wire: 2 ** 25, raw: 2 ** 25 } })
  const receiver = await startReceiver(intake)
  const exporter = await testExporter(
    datadogNative,
    `datadog_native: { endpoint: "${receiver.endpoint}", api_key: key, ${settings} }`,
  )
  const { sent, rejected, dropped } = await exporter.deliver(...batches)
  expect({ rejected, ...dropped, first_value: 0 }).toEqual({ rejected: 0, first_value: 0 })
  await receiver.stop()
  const understood = intake.requests.flatMap(({ body }) => read(body as Body))
  expect(understood).toHaveLength(sent)
  return { understood: inOrder(understood), requests: intake.requests.length }
}

function inOrder(points: readonly Understood[]): readonly Understood[] {
  return points
    .map((point) => {
      const { name, host, attributes } = point
      return { point, key: [name, host, ...Object.entries(attributes).map(String).sort()].join('\n') }
    })
    .sort((one, other) => (one.key === other.key ? one.point.time - other.point.time : one.key < other.key ? -1 : 1))
    .map(({ point }) => point)
}

/** `stop` resolves when all that it took has been passed on. */
async function startReceiver({ url }: Intake): Promise<{ endpoint: string; stop: () => Promise<unknown> }> {
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
  // So that a key given twice shows.
  const gates = '--feature-gates=receiver.datadogreceiver.EnableMultiTagParsing'
  const command = startProcess(collector as string, ['--config', folder.path('collector.yaml'), gates])
  const stop = (): Promise<unknown> => {
    command.kill('SIGTERM')
    return command.ended
  }
  await command.waitFor('Everything is ready')
  return { endpoint: `http://127.0.0.1:${port}`, stop }
}

interface KeyValues {
  readonly attributes?: readonly { readonly key: string; readonly value: Value }[]
}

interface Value {
  readonly stringValue?: string
  readonly arrayValue?: { readonly values: readonly Value[] } | null
}

interface Side {
  readonly offset: number
  readonly bucketCounts: readonly string[]
}

interface Point extends KeyValues {
  readonly timeUnixNano: string
  readonly startTimeUnixNano: string
  readonly asDouble?: number
  readonly count: string
  readonly sum: number
  readonly min: number
  readonly max: number
  readonly scale: number
  readonly zeroCount: string
  readonly positive?: Side | null
  readonly negative?: Side | null
}

interface Data {
  readonly dataPoints: readonly Point[]
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
        const { dataPoints, aggregationTemporality: temporality } = metric[type] as Data
        return dataPoints.map((point) => {
          const { 'host.name': host, ...attributes } = { ...valuesOf(resource), ...valuesOf(point) }
          const common = { name: metric.name, type, host, time: secondsOf(point.timeUnixNano), attributes }
          if (type === 'gauge') return { ...common, value: point.asDouble ?? 0 }
          const start = point.startTimeUnixNano === '0' ? {} : { start: secondsOf(point.startTimeUnixNano) }
          if (type === 'sum') return { ...common, ...start, temporality, value: point.asDouble ?? 0 }
          const { sum, min, max } = point
          return {
            ...{ ...common, ...start, temporality, count: Number(point.count), sum, min, max },
            buckets: exponentialBuckets(
              point.scale,
              Number(point.zeroCount),
              sideOf(point.negative),
              sideOf(point.positive),
            ),
          }
        })
      }),
  )
}

function secondsOf(nanoseconds: string): number {
  return Number(BigInt(nanoseconds) - at(0)) / 1e9
}

function valuesOf({ attributes = [] }: KeyValues): Record<string, string> {
  // An empty `source` is the receiver's own.
  const own = attributes.filter(({ key, value }) => key !== 'source' || value.stringValue !== '')
  return Object.fromEntries(own.map(({ key, value }) => [key, textOf(value)]))
}

function textOf({ stringValue, arrayValue }: Value): string {
  return arrayValue?.values === undefined ? (stringValue ?? '') : JSON.stringify(arrayValue.values.map(textOf))
}

function sideOf(side: Side | null | undefined) {
  return { offset: side?.offset ?? 0, bucketCounts: side?.bucketCounts.map(Number) ?? [] }
}
