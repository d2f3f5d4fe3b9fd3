import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import type { HistogramPointFields } from '../../src/otlp/metrics/points.ts'
import { gauge, sum } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceResponse } from '../kit/otlp_proto.ts'

const SECOND = 1_000_000_000n
const NOON = 1_767_268_800n * SECOND
const BOOT = 1_700_000_000n * SECOND

let intake: Intake
beforeEach(async () => {
  intake = await startIntake({ apiKey: 'good-key' })
})

/** The exporter with these settings beside the address and key, as lines of YAML. */
async function exporting(settings = ''): Promise<ExporterTest> {
  const lines = [`endpoint: ${intake.url}`, 'api_key: good-key', ...settings.split('\n')].map((line) => `  ${line}\n`)
  return testExporter(datadogOtlp, `datadog_otlp:\n${lines.join('')}`)
}

/** What protobufjs reads by the published definitions: every resource's attributes as text, with its metrics. */
function received(): { resource: Record<string, string>; metrics: Record<string, unknown>[] }[] {
  interface Request {
    resourceMetrics: {
      resource: { attributes: { key: string; value: Record<string, unknown> }[] }
      scopeMetrics: { metrics: Record<string, unknown>[] }[]
    }[]
  }
  return intake.requests
    .filter(({ status }) => status === 200)
    .flatMap(({ body }) => (body as Request).resourceMetrics)
    .map(({ resource, scopeMetrics }) => ({
      resource: Object.fromEntries(
        resource.attributes.map(({ key, value }) => [key, String(value.stringValue ?? value.intValue)]),
      ),
      metrics: scopeMetrics.flatMap((scope) => scope.metrics),
    }))
}

function counter(name: string, value: number, seconds: bigint, attributes = {}): MetricFields {
  return sum(name, value, attributes, { timeUnixNano: NOON + seconds * SECOND, startTimeUnixNano: BOOT })
}

function of(resource: Record<string, string>, ...metrics: MetricFields[]): MetricBatch {
  return MetricBatch.of({ resource, metrics })
}

const now = { timeUnixNano: NOON }

describe('datadog_otlp', () => {
  it('sends cumulative sums as differences, with the key and the wish for tags in the headers', async () => {
    const exporter = await exporting()
    const scrape = (seconds: bigint, bytes: number): MetricBatch =>
      of({ 'host.name': 'web-1' }, counter('io', bytes, seconds, { device: 'sda' }))
    const balance = await exporter.deliver(scrape(0n, 1000), scrape(10n, 1700))
    expect(received()).toEqual([
      {
        resource: { 'host.name': 'web-1' },
        metrics: [
          expect.objectContaining({
            name: 'io',
            sum: {
              aggregationTemporality: 1,
              isMonotonic: true,
              dataPoints: [
                expect.objectContaining({
                  asDouble: 700,
                  startTimeUnixNano: String(NOON),
                  timeUnixNano: String(NOON + 10n * SECOND),
                }),
              ],
            },
          }),
        ],
      },
    ])
    expect(balance).toMatchObject({ handed_in: 2, sent: 1, dropped: { first_value: 1 } })
    const [{ path, headers }] = intake.requests
    expect(path).toBe('/v1/metrics')
    expect(headers).toMatchObject({
      'dd-api-key': 'good-key',
      'content-type': 'application/x-protobuf',
      'content-encoding': 'gzip',
      'dd-otel-metric-config': '{"resource_attributes_as_tags":true}',
    })
  })

  it('completes the buckets of a histogram, which the intake would refuse without its last count', async () => {
    const exporter = await exporting()
    const sized = (name: string, fields: HistogramPointFields): MetricFields => ({
      ...{ name, type: 'histogram', temporality: 'delta' },
      points: [new HistogramPoint({ ...now, count: 6, sum: 12, ...fields })],
    })
    const balance = await exporter.deliver(
      of(
        {},
        sized('endless', { bucketCounts: [1, 2, 3], explicitBounds: [1, 2, Infinity] }),
        sized('without', { bucketCounts: [1, 2], explicitBounds: [1, 2] }),
        sized('complete', { bucketCounts: [1, 2, 3], explicitBounds: [1, 2] }),
        sized('malformed', { bucketCounts: [1], explicitBounds: [1, 2] }),
      ),
    )
    const buckets = received()[0].metrics.map(({ name, histogram }) => {
      const [point] = (histogram as { dataPoints: Record<string, unknown>[] }).dataPoints
      return [name, point.bucketCounts, point.explicitBounds]
    })
    expect(buckets).toEqual([
      ['endless', ['1', '2', '3'], [1, 2]],
      ['without', ['1', '2', '3'], [1, 2]],
      ['complete', ['1', '2', '3'], [1, 2]],
      ['malformed', ['1'], [1, 2]],
    ])
    expect(balance).toMatchObject({ handed_in: 4, sent: 4, dropped: {} })
  })

  it('sends what the intake takes, converts what can be converted and counts the rest', async () => {
    const exporter = await exporting()
    const histogram = (temporality: 'delta' | 'cumulative', seconds: bigint, count: number): MetricFields => ({
      name: temporality,
      type: 'histogram',
      temporality,
      points: [
        new HistogramPoint({
          timeUnixNano: NOON + seconds * SECOND,
          startTimeUnixNano: BOOT,
          count,
          sum: count,
          explicitBounds: [1],
          bucketCounts: [count, 0],
        }),
      ],
    })
    const exponential = (seconds: bigint, count: number) => {
      const timeUnixNano = NOON + seconds * SECOND
      const positive = { offset: 1, bucketCounts: [count] }
      return [new ExponentialHistogramPoint({ timeUnixNano, startTimeUnixNano: BOOT, count, positive })]
    }
    const cumulativeExponential = (seconds: bigint, count: number): MetricFields => ({
      name: 'cumulative_exponential',
      type: 'exponential_histogram',
      temporality: 'cumulative',
      points: exponential(seconds, count),
    })
    const balance = await exporter.deliver(
      of({}, histogram('cumulative', 0n, 3), cumulativeExponential(0n, 4)),
      of(
        {},
        histogram('cumulative', 10n, 5),
        histogram('delta', 0n, 1),
        gauge('gauge', 1, {}, now),
        sum('up_down', 1, {}, { ...now, monotonic: false }),
        { name: 'summary', type: 'summary', points: [new SummaryPoint(now)] },
        { name: 'exponential', type: 'exponential_histogram', temporality: 'delta', points: exponential(0n, 1) },
        cumulativeExponential(10n, 9),
        sum('unspecified', 1, {}, { ...now, temporality: 'unspecified' }),
        gauge('nan', NaN, {}, now),
        { name: 'none', type: 'none' },
      ),
    )
    const [{ metrics }] = received()
    expect(metrics.map(({ name }) => name)).toEqual([
      'cumulative',
      'delta',
      'gauge',
      'up_down',
      'summary',
      'exponential',
      'cumulative_exponential',
    ])
    expect(metrics[0].histogram).toMatchObject({
      aggregationTemporality: 1,
      dataPoints: [{ count: '2', sum: 2, bucketCounts: ['2', '0'] }],
    })
    expect(metrics[6].exponentialHistogram).toMatchObject({
      aggregationTemporality: 1,
      dataPoints: [{ count: '5', positive: { offset: 1, bucketCounts: ['5'] } }],
    })
    expect(balance).toMatchObject({
      handed_in: 11,
      created: 0,
      sent: 7,
      dropped: { first_value: 2, unspecified_temporality: 1, not_finite: 1 },
    })
  })

  it('makes its hostname and tags win, leaves out what is not asked for, and keeps what decides the host', async () => {
    const exporter = await exporting(
      'hostname: edge-7\ntags: ["env:staging", "team:core"]\nresource_attributes: { exclude: [secret.*, host.name, k8s.node.name] }',
    )
    const resource = {
      'host.name': 'a',
      'k8s.node.name': 'n',
      'secret.path': 'x',
      'deployment.environment.name': 'prod',
      'service.name': 'shop',
    }
    await exporter.deliver(of(resource, gauge('m', 1, { team: 'blue', cpu: '0' }, now)))
    const [{ resource: sent, metrics }] = received()
    expect(sent).toEqual({
      'host.name': 'edge-7',
      'datadog.host.name': 'edge-7',
      'k8s.node.name': 'n',
      'service.name': 'shop',
      env: 'staging',
      team: 'core',
    })
    expect(metrics[0].gauge).toMatchObject({
      dataPoints: [{ attributes: [{ key: 'cpu', value: { stringValue: '0' } }] }],
    })
  })

  it('adds up what becomes one series in one second, because Datadog keeps only the last', async () => {
    const exporter = await exporting('tags: ["state:all"]')
    const scrape = (seconds: bigint, user: number, idle: number): MetricBatch =>
      of({}, counter('cpu', user, seconds, { state: 'user' }), counter('cpu', idle, seconds, { state: 'idle' }))
    const balance = await exporter.deliver(scrape(0n, 100, 500), scrape(10n, 130, 560))
    expect(received()[0].metrics).toMatchObject([{ name: 'cpu', sum: { dataPoints: [{ asDouble: 90 }] } }])
    expect(balance).toMatchObject({ handed_in: 4, sent: 1, merged: 1, dropped: { first_value: 2 } })
  })

  it.each(['gzip', 'none'])('keeps every request within the limits of Datadog, with %s', async (compression) => {
    const noise = (text: string): string => createHash('sha512').update(text).digest('hex')
    const points = Array.from({ length: 3000 }, (_, index) => {
      const values = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((key) => [key, noise(key + index)]))
      return new NumberPoint({ ...now, value: index, attributes: Attributes.of(values) })
    })
    const exporter = await exporting(`compression: ${compression}`)
    const balance = await exporter.deliver(of({}, { name: 'm', type: 'gauge', points }))
    expect(new Set(intake.requests.map(({ status }) => status))).toEqual(new Set([200]))
    expect(intake.requests.every(({ wireBytes }) => wireBytes <= 500_000)).toBe(true)
    expect(balance).toMatchObject({ sent: 3000, dropped: {} })
    const values = received().flatMap(({ metrics }) =>
      metrics.flatMap(({ gauge: data }) =>
        (data as { dataPoints: { asDouble: number }[] }).dataPoints.map(({ asDouble }) => asDouble),
      ),
    )
    expect(values).toEqual(points.map(({ value }) => value))
  })

  it('drops only the point that is too large for any request', async () => {
    const exporter = await exporting('compression: none')
    const large = gauge('large', 1, { text: 'x'.repeat(600_000) }, now)
    const balance = await exporter.deliver(of({}, gauge('a', 1, {}, now), large, gauge('b', 1, {}, now)))
    expect(balance).toMatchObject({ sent: 2, dropped: { too_large: 1 } })
  })
})

describe('what the OTLP intake answers', () => {
  const three = of({}, gauge('a', 1, {}, now), gauge('b', 1, {}, now), gauge('c', 1, {}, now))
  const answer = (rejectedDataPoints: number, errorMessage: string) => ({
    headers: { 'content-type': 'application/x-protobuf' },
    body: ExportMetricsServiceResponse.encode({ partialSuccess: { rejectedDataPoints, errorMessage } }).finish(),
  })

  it('counts what a partial success rejects as rejected, not as sent, and does not send it again', async () => {
    intake.respondWith(answer(2, 'no cumulative sums'))
    const exporter = await exporting()
    expect(await exporter.deliver(three)).toMatchObject({ handed_in: 3, sent: 1, rejected: 2, dropped: {} })
    expect(intake.requests).toHaveLength(1)
    expect(JSON.stringify(exporter.logs)).toContain('no cumulative sums')
  })

  it('reads a partial success in JSON too', async () => {
    intake.respondWith({ body: '{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"all of it"}}' })
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 0, rejected: 3 })
  })

  it('only warns when nothing was rejected', async () => {
    intake.respondWith(answer(0, 'slow down'))
    const exporter = await exporting()
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, rejected: 0 })
    expect(exporter.logs).toContainEqual(expect.objectContaining({ level: 'warn', fields: { warning: 'slow down' } }))
  })

  it('does not lose what was taken when the answer cannot be read', async () => {
    intake.respondWith({ headers: { 'content-type': 'application/x-protobuf' }, body: Buffer.from([0x0a, 0xff]) })
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 3, rejected: 0 })
  })

  it.each([401, 403, 429, 502, 503, 504])('sends again after %i', async (status) => {
    intake.respondWith({ status, headers: { 'retry-after': '0' } })
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 3, dropped: {} })
  })

  it('counts a point as rejected for each error that Datadog lists while it takes them', async () => {
    intake.respondWith({ status: 202, body: '{"errors":["good-key may not send m0"]}' })
    const exporter = await exporting()
    expect(await exporter.deliver(three)).toMatchObject({ sent: 2, rejected: 1 })
    expect(JSON.stringify(exporter.logs)).toContain('[REDACTED] may not send m0')
  })

  it('waits after a 429 as long as X-RateLimit-Reset says', async () => {
    const arrived: number[] = []
    const headers = { 'x-ratelimit-reset': '1' }
    intake.respondBy(() => (arrived.push(performance.now()) === 1 ? { status: 429, headers } : undefined))
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 3 })
    expect(arrived[1] - arrived[0]).toBeGreaterThan(950)
  })

  it.each([400, 404, 500])('gives up after %i', async (status) => {
    intake.respondWith({ status })
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 0, dropped: { refused: 3 } })
  })

  it('halves what is too large', async () => {
    intake.respondWith({ status: 413 })
    expect(await (await exporting()).deliver(three)).toMatchObject({ sent: 3 })
    expect(intake.requests.map(({ status }) => status)).toEqual([413, 200, 200])
  })
})

describe('the account of points', () => {
  it('is complete for whatever comes', async () => {
    const exporter = await exporting('tags: ["b:x"]')
    const metric = fc.record({
      name: fc.constantFrom('m', 'n'),
      type: fc.constantFrom('gauge', 'sum', 'histogram', 'exponential_histogram', 'summary'),
      temporality: fc.constantFrom('cumulative', 'delta', 'unspecified'),
      monotonic: fc.boolean(),
      points: fc.array(
        fc.record({
          value: fc.constantFrom(1, -1, 2.5, NaN),
          half: fc.bigInt({ min: 0n, max: 5n }),
          tag: fc.constantFrom('a', 'b'),
        }),
        { maxLength: 4 },
      ),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(metric, { maxLength: 4 }), { maxLength: 3 }), async (batches) => {
        await exporter.deliver(
          ...batches.map((metrics) =>
            of(
              {},
              ...metrics.map(({ points, ...fields }) => ({
                ...(fields as MetricFields),
                points: points.map(({ value, half, tag }) => {
                  const common = {
                    timeUnixNano: NOON + (half * SECOND) / 2n,
                    attributes: Attributes.of({ [tag]: 'x' }),
                  }
                  if (fields.type === 'histogram') return new HistogramPoint({ ...common, count: 1 })
                  if (fields.type === 'exponential_histogram') return new ExponentialHistogramPoint(common)
                  return fields.type === 'summary' ? new SummaryPoint(common) : new NumberPoint({ ...common, value })
                }),
              })),
            ),
          ),
        )
      }),
      { numRuns: 60 },
    )
    const { handed_in, created, sent, merged, dropped } = await exporter.deliver()
    expect(dropped).not.toHaveProperty('unaccounted')
    expect(dropped).not.toHaveProperty('exporter_error')
    expect(sent + merged + Object.values(dropped).reduce((all, points) => all + points, 0)).toBe(handed_in + created)
    for (const { metrics } of received()) {
      for (const data of metrics.map(
        (metric) =>
          (metric.sum ?? metric.histogram ?? metric.exponentialHistogram) as Record<string, unknown> | undefined,
      )) {
        // Datadog refuses everything cumulative but sums that go up and down.
        if (data !== undefined && data.isMonotonic !== false) expect(data.aggregationTemporality).toBe(1)
      }
    }
  })
})
