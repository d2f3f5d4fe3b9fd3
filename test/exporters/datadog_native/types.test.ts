import { beforeEach, describe, expect, it } from '@jest/globals'
import datadogNative from '../../../src/exporters/datadog_native.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { Temporality } from '../../../src/otlp/metrics/metric_type.ts'
import type { MetricFields } from '../../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, SummaryPoint } from '../../../src/otlp/metrics/points.ts'
import type { HistogramPointFields } from '../../../src/otlp/metrics/points.ts'
import { checkComponent } from '../../../src/pipeline/config/config.ts'
import { gauge, sum } from '../../../src/testing.ts'
import { testExporter } from '../../kit/exporting.ts'
import type { ExporterTest } from '../../kit/exporting.ts'
import { startIntake } from '../../kit/intake.ts'
import type { Intake, ReceivedSeries } from '../../kit/intake.ts'
import { binsText, valueAtRank } from '../../kit/sketch_payload.ts'

/** 2026-01-01 12:00:00 in seconds. */
const NOON = 1_767_268_800
const BOOT = 1_700_000_000_000_000_000n

let intake: Intake
beforeEach(async () => {
  intake = await startIntake()
})

function yaml(settings: string): string {
  const lines = [`endpoint: ${intake.url}`, `api_key: ${'k'.repeat(32)}`, ...settings.split('\n')]
  return `datadog_native:\n${lines.map((line) => `  ${line}\n`).join('')}`
}

async function exporting(settings = ''): Promise<ExporterTest> {
  return testExporter(datadogNative, yaml(settings))
}

/** Nanoseconds of `seconds` after noon. */
function at(seconds: number): bigint {
  return BigInt(Math.round((NOON + seconds) * 1000)) * 1_000_000n
}

function of(...metrics: MetricFields[]): MetricBatch {
  return MetricBatch.of({ resource: { 'host.name': 'web-1', 'service.name': 'shop' }, metrics })
}

/** What comes over the network. */
function received(batch: MetricBatch): MetricBatch {
  return MetricBatch.fromOtlp(batch.toOtlp())
}

const FIELDS = { count: 6, sum: 50, min: 1, max: 20, bucketCounts: [1, 2, 3], explicitBounds: [5, 10] }

function histogram(
  name: string,
  seconds: number,
  fields: HistogramPointFields = {},
  temporality: Temporality = 'delta',
): MetricFields {
  const startTimeUnixNano = temporality === 'delta' ? at(seconds - 10) : BOOT
  const point = new HistogramPoint({ timeUnixNano: at(seconds), startTimeUnixNano, ...FIELDS, ...fields })
  return { name, type: 'histogram', unit: 'ms', temporality, points: [point] }
}

/** A line for each: metric, type, value, tags, and what else there is. */
function lines(series: readonly ReceivedSeries[]): readonly string[] {
  return series.map(({ metric, type, tags, interval, unit, points: [[second, value]] }) =>
    [
      `+${second - NOON}`,
      metric,
      type,
      value,
      ...tags,
      ...(interval === undefined ? [] : [`per ${interval}`]),
      ...(unit === undefined ? [] : [`in ${unit}`]),
    ].join(' '),
  )
}

describe('histograms', () => {
  it('arrive as distributions, with the tags and host that a sum would have', async () => {
    const exporter = await exporting('tags: ["env:prod"]')
    const point = { attributes: Attributes.of({ Route: '/Users', 'service.version': '1' }) }
    const balance = await exporter.deliver(
      received(
        of(histogram('http.server-duration', 10, point), sum('hits', 1, {}, { ...point, timeUnixNano: at(10) })),
      ),
    )
    const [sketch, ...others] = intake.sketches()
    expect(others).toEqual([])
    expect(sketch).toMatchObject({
      metric: 'http.server_duration',
      host: 'web-1',
      tags: ['env:prod', 'route:/users', 'service.version:1', 'service:shop'],
      dogsketches: [{ ts: NOON + 10, cnt: 6, sum: 50, min: 1, max: 20, avg: 50 / 6 }],
    })
    expect(sketch.dogsketches[0].n.reduce((all, count) => all + count)).toBe(6)
    expect(balance).toMatchObject({ handed_in: 2, created: 0, sent: 1, dropped: { first_value: 1 } })
    const [request] = intake.requests
    expect(request).toMatchObject({
      path: '/api/beta/sketches',
      headers: {
        'content-type': 'application/x-protobuf',
        'content-encoding': 'deflate',
        'dd-api-key': 'k'.repeat(32),
      },
    })
  })

  it('that are cumulative arrive as the difference, of either kind', async () => {
    const exporter = await exporting('histograms: { send_aggregation_metrics: true }')
    const exponential = (seconds: number, counts: readonly number[]): MetricFields => ({
      name: 'exponential',
      type: 'exponential_histogram',
      temporality: 'cumulative',
      points: [
        new ExponentialHistogramPoint({
          timeUnixNano: at(seconds),
          startTimeUnixNano: BOOT,
          count: counts[0] + counts[1],
          sum: counts[0] * 1.5 + counts[1] * 3,
          scale: 0,
          positive: { offset: 0, bucketCounts: counts },
        }),
      ],
    })
    const balance = await exporter.deliver(
      received(of(histogram('explicit', 0, {}, 'cumulative'), exponential(0, [1, 1]))),
      received(
        of(
          histogram('explicit', 10, { count: 9, sum: 57, bucketCounts: [4, 2, 3] }, 'cumulative'),
          exponential(10, [1, 3]),
        ),
      ),
    )
    expect(intake.sketches().map(({ metric, dogsketches: [{ cnt, sum }] }) => [metric, cnt, sum])).toEqual([
      ['explicit', 3, 7],
      ['exponential', 2, 6],
    ])
    expect(lines(intake.series())).toEqual([
      '+10 explicit.count count 3 service:shop per 10',
      '+10 explicit.sum count 7 service:shop per 10',
      '+10 explicit.min gauge 1 service:shop',
      '+10 explicit.max gauge 5 service:shop',
      '+10 exponential.count count 2 service:shop per 10',
      '+10 exponential.sum count 6 service:shop per 10',
    ])
    expect(balance).toMatchObject({ handed_in: 4, created: 6, sent: 8, dropped: { first_value: 2 } })
  })

  it('are counters for their buckets, with a unit only where the value has one', async () => {
    const exporter = await exporting(
      'series_version: v2\nhistograms: { mode: counters, send_aggregation_metrics: true }',
    )
    const balance = await exporter.deliver(received(of(histogram('h', 10))))
    expect(lines(intake.series())).toEqual([
      '+10 h.count count 6 service:shop per 10',
      '+10 h.sum count 50 service:shop per 10 in millisecond',
      '+10 h.min gauge 1 service:shop in millisecond',
      '+10 h.max gauge 20 service:shop in millisecond',
      '+10 h.bucket count 1 lower_bound:-inf service:shop upper_bound:5.0 per 10',
      '+10 h.bucket count 2 lower_bound:5.0 service:shop upper_bound:10.0 per 10',
      '+10 h.bucket count 3 lower_bound:10.0 service:shop upper_bound:inf per 10',
    ])
    expect(balance).toMatchObject({ handed_in: 1, created: 6, sent: 7, dropped: {} })
  })

  it('that are one series in one second are merged, and stay two where one sketch cannot hold both', async () => {
    const exporter = await exporting('resource_attributes: { exclude: ["*"] }')
    const buckets = { bucketCounts: [0, 3, 0], explicitBounds: [1, 1], count: 3, sum: 3 }
    const many = { bucketCounts: [0, 2 ** 28 - 2 ** 17, 0], explicitBounds: [1, 1], count: 2 ** 28 - 2 ** 17, sum: 1 }
    const balance = await exporter.deliver(
      received(
        of(
          histogram('a-b', 10, buckets),
          histogram('a_b', 10.5, { ...buckets, min: 0.5, max: 20 }),
          histogram('a_b', 11, buckets),
          histogram('many', 10, many),
          histogram('many', 10.1, many),
        ),
      ),
    )
    expect(
      intake.sketches().map(({ metric, dogsketches: [sketch] }) => [metric, sketch.ts - NOON, sketch.cnt, sketch.sum]),
    ).toEqual([
      ['a_b', 10, 6, 6],
      ['a_b', 11, 3, 3],
      ['many', 10, 2 ** 28 - 2 ** 17, 1],
      ['many', 10, 2 ** 28 - 2 ** 17, 1],
    ])
    expect(binsText(intake.sketches()[0].dogsketches[0])).toBe('1338:6')
    expect(balance).toMatchObject({ handed_in: 5, sent: 4, merged: 1, dropped: {} })
  })

  it('that meet as other metrics have the least minimum and the greatest maximum', async () => {
    const exporter = await exporting('histograms: { mode: nobuckets, send_aggregation_metrics: true }')
    const extremes = (name: string, min: number, max: number): MetricFields => histogram(name, 10, { min, max })
    await exporter.deliver(received(of(extremes('a-b', 2, 30), extremes('a.b', 5, 7), extremes('a_b', 3, 40))))
    expect(lines(intake.series()).filter((line) => line.includes(' gauge '))).toEqual([
      '+10 a_b.min gauge 2 service:shop',
      '+10 a_b.max gauge 40 service:shop',
      '+10 a.b.min gauge 5 service:shop',
      '+10 a.b.max gauge 7 service:shop',
    ])
  })

  it('hold no value beyond their own minimum and maximum', async () => {
    const exporter = await exporting()
    const explicitBounds = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]
    const twenty = (name: string, bucket: number, figures: HistogramPointFields): MetricFields => {
      const bucketCounts = Array.from({ length: 16 }, (_, index) => (index === bucket ? 20 : 0))
      return histogram(name, 10, { count: 20, bucketCounts, explicitBounds, ...figures })
    }
    await exporter.deliver(
      received(
        of(
          twenty('seconds_in_ms_bounds', 1, { sum: 0.0728, min: 0.001, max: 0.01 }),
          twenty('beyond_last_bound', 15, { sum: 600_000, min: 12_000, max: 60_000 }),
          twenty('narrow', 7, { sum: 2480, min: 120, max: 130 }),
        ),
      ),
    )
    const found = intake.sketches().map(({ metric, dogsketches: [sketch] }) => {
      const values = Array.from({ length: sketch.cnt }, (_, rank) => valueAtRank(sketch, rank))
      return { metric, cnt: sketch.cnt, least: Math.min(...values), greatest: Math.max(...values) }
    })
    // As precise as a sketch is: to 1/128 of the value.
    const [near, exactly] = [1 / 128, { cnt: 20 }]
    expect(found).toMatchObject([
      { ...exactly, metric: 'seconds_in_ms_bounds' },
      { ...exactly, metric: 'beyond_last_bound' },
      { ...exactly, metric: 'narrow' },
    ])
    for (const [index, [min, max]] of [
      [0.001, 0.01],
      [12_000, 60_000],
      [120, 130],
    ].entries()) {
      expect(found[index].least).toBeGreaterThanOrEqual(min * (1 - near))
      expect(found[index].greatest).toBeLessThanOrEqual(max * (1 + near))
      expect(found[index].greatest).toBeGreaterThanOrEqual(max * 0.9)
    }
  })

  it('arrive whole if their last bound is +Inf, or if only the count tells of the last bucket', async () => {
    const shapes = { endless: [1, 2, Infinity], without: [1, 2], complete: [1, 2] }
    const counts = { endless: [1, 2, 3], without: [1, 2], complete: [1, 2, 3] }
    const batch = of(
      ...Object.entries(shapes).map(([name, explicitBounds]) =>
        histogram(name, 10, {
          ...{ count: 6, sum: 20, min: undefined, max: undefined },
          ...{ explicitBounds, bucketCounts: counts[name as keyof typeof counts] },
        }),
      ),
    )
    const distributions = await exporting()
    const balance = await distributions.deliver(received(batch))
    expect(balance).toMatchObject({ handed_in: 3, sent: 3, dropped: {} })
    const [endless, without, complete] = intake.sketches().map(({ dogsketches: [sketch] }) => sketch)
    expect(complete).toMatchObject({ cnt: 6, sum: 20, min: 1 })
    expect(endless).toEqual(complete)
    expect(without).toEqual(complete)

    const counters = await exporting('histograms: { mode: counters }')
    const before = intake.series().length
    await counters.deliver(received(batch))
    expect(lines(intake.series().slice(before))).toEqual(
      Object.keys(shapes).flatMap((name) => [
        `+10 ${name}.bucket count 1 lower_bound:-inf service:shop upper_bound:1.0 per 10`,
        `+10 ${name}.bucket count 2 lower_bound:1.0 service:shop upper_bound:2.0 per 10`,
        `+10 ${name}.bucket count 3 lower_bound:2.0 service:shop upper_bound:inf per 10`,
      ]),
    )
  })

  it('that are cumulative arrive as the difference without a last count, too', async () => {
    const exporter = await exporting()
    const scrape = (seconds: number, factor: number): MetricBatch =>
      received(
        of(
          ...[
            { bucketCounts: [1, 2, 3], explicitBounds: [1, 2, Infinity] },
            { bucketCounts: [1, 2], explicitBounds: [1, 2] },
            { bucketCounts: [1, 2, 3], explicitBounds: [1, 2] },
          ].map(({ bucketCounts, explicitBounds }, index) =>
            histogram(
              `h${index}`,
              seconds,
              {
                ...{ count: 6 * factor, sum: 20 * factor, min: 0.5, max: 9, explicitBounds },
                bucketCounts: bucketCounts.map((count) => count * factor),
              },
              'cumulative',
            ),
          ),
        ),
      )
    const balance = await exporter.deliver(scrape(0, 1), scrape(10, 3))
    expect(balance).toMatchObject({ handed_in: 6, sent: 3, dropped: { first_value: 3 } })
    const [endless, without, complete] = intake.sketches().map(({ dogsketches: [sketch] }) => sketch)
    expect(complete).toMatchObject({ cnt: 12, sum: 40, min: 0.5, max: 9 })
    expect(endless).toEqual(complete)
    expect(without).toEqual(complete)
  })

  it.each([false, true])(
    'that are cumulative have the extremes of all time within the buckets that counted, send_aggregation_metrics: %s',
    async (aggregations) => {
      const exporter = await exporting(`histograms: { send_aggregation_metrics: ${aggregations} }`)
      const explicit = (seconds: number, bucketCounts: readonly number[], sum: number, max: number): MetricFields => {
        const count = bucketCounts.reduce((all, each) => all + each)
        const explicitBounds = [5, 10, 25]
        return histogram('h', seconds, { count, sum, min: 5.1, max, bucketCounts, explicitBounds }, 'cumulative')
      }
      // (4, 8] and (8, 16].
      const exponential = (seconds: number, bucketCounts: readonly number[], sum: number): MetricFields => ({
        ...{ name: 'e', type: 'exponential_histogram', temporality: 'cumulative' },
        points: [
          new ExponentialHistogramPoint({
            ...{ timeUnixNano: at(seconds), startTimeUnixNano: BOOT, sum, min: 5, max: 15 },
            ...{ count: bucketCounts[0] + bucketCounts[1], positive: { offset: 2, bucketCounts } },
          }),
        ],
      })
      await exporter.deliver(
        received(of(explicit(0, [0, 3, 0, 0], 15.6, 5.3), exponential(0, [2, 1], 26))),
        received(of(explicit(10, [0, 6, 0, 0], 31.2, 5.3), exponential(10, [4, 1], 38))),
        received(of(explicit(20, [0, 6, 2, 1], 111.2, 40), exponential(20, [4, 3], 58))),
        received(of(explicit(30, [0, 7, 4, 1], 150.2, 40), exponential(30, [5, 4], 73))),
      )
      const extremes = [
        ['h', NOON + 10, 5.1, 5.3],
        ['e', NOON + 10, 5, 8],
        ['h', NOON + 20, 10, 40],
        ['e', NOON + 20, 8, 15],
        ['h', NOON + 30, 5.1, 25],
        ['e', NOON + 30, 5, 15],
      ]
      expect(intake.sketches().map(({ metric, dogsketches: [{ ts, min, max }] }) => [metric, ts, min, max])).toEqual(
        extremes,
      )
      const gauges = intake.series().filter(({ type }) => type === 'gauge')
      expect(gauges.map(({ metric, points: [[second, value]] }) => [metric, second, value])).toEqual(
        aggregations
          ? extremes.flatMap(([name, second, min, max]) => [
              [`${name}.min`, second, min],
              [`${name}.max`, second, max],
            ])
          : [],
      )
    },
  )

  it('that are malformed or empty cost nothing but themselves', async () => {
    const exporter = await exporting()
    const balance = await exporter.deliver(
      received(
        of(
          histogram('short', 10, { bucketCounts: [1] }),
          histogram('empty', 10, { count: 0, bucketCounts: [0, 0, 0] }),
          histogram('huge', 10, { bucketCounts: [0, 2 ** 40, 0] }),
          { ...histogram('odd', 10), temporality: 'unspecified' },
          histogram('good', 10),
        ),
      ),
    )
    expect(intake.sketches().map(({ metric }) => metric)).toEqual(['good'])
    expect(balance).toMatchObject({
      handed_in: 5,
      sent: 1,
      dropped: {
        malformed_histogram: 1,
        no_observations: 1,
        bucket_count_too_high: 1,
        unspecified_temporality: 1,
      },
    })
  })

  it('that are too many for one body go in several, each within the limits', async () => {
    const exporter = await exporting('sketches: { max_size: 2KiB, max_raw_size: 4KiB, compression: gzip }')
    const points = Array.from({ length: 100 }, (_, index) => {
      const { points: one = [] } = histogram('h', 10, { attributes: Attributes.of({ index }) })
      return (one as readonly HistogramPoint[])[0]
    })
    const balance = await exporter.deliver(received(of({ name: 'h', type: 'histogram', temporality: 'delta', points })))
    expect(balance).toMatchObject({ sent: 100, dropped: {} })
    expect(intake.requests.length).toBeGreaterThan(2)
    for (const { wireBytes, rawBytes, headers } of intake.requests) {
      expect(wireBytes).toBeLessThanOrEqual(2048)
      expect(rawBytes).toBeLessThanOrEqual(4096)
      expect(headers['content-encoding']).toBe('gzip')
    }
    expect(new Set(intake.sketches().map(({ tags }) => tags[0])).size).toBe(100)
  })

  it('are halved where the intake finds them too large, and go to the address of their own', async () => {
    const own = await startIntake({ limits: { wire: 250, raw: 1e6 } })
    const exporter = await exporting(`sketches: { endpoint: "${own.url}/", compression: none }`)
    const many = ['a', 'b', 'c', 'd', 'e'].map((name) => histogram(name, 10))
    expect(await exporter.deliver(of(...many, gauge('m', 1)))).toMatchObject({ sent: 6, dropped: {} })
    expect(own.sketches().map(({ metric }) => metric)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(own.requests.some(({ status }) => status === 413)).toBe(true)
    expect(intake.requests.map(({ path }) => path)).toEqual(['/api/v1/series'])
  })

  it('do not keep the numbers beside them from being read by their bytes', async () => {
    const exporter = await exporting()
    const scrape = (seconds: number, hits: number): MetricBatch =>
      received(
        of(
          sum('hits', hits, {}, { timeUnixNano: at(seconds), startTimeUnixNano: BOOT }),
          histogram('h', seconds),
          gauge('g', 1, {}, { timeUnixNano: at(seconds) }),
        ),
      )
    const balance = await exporter.deliver(scrape(0, 5), scrape(10, 7))
    expect(balance).toMatchObject({ handed_in: 6, sent: 5, dropped: { first_value: 1 } })
    expect(lines(intake.series())).toEqual([
      '+0 g gauge 1 service:shop',
      '+10 hits count 2 service:shop per 10',
      '+10 g gauge 1 service:shop',
    ])
  })

  it('that would be nothing are a mistake in the configuration', async () => {
    await expect(checkComponent(datadogNative, yaml('histograms: { mode: nobuckets }'))).rejects.toThrow(
      /histograms\.mode: `nobuckets` sends nothing unless `send_aggregation_metrics` is true/,
    )
    await checkComponent(datadogNative, yaml('histograms: { mode: nobuckets, send_aggregation_metrics: true }'))
  })
})

describe('summaries', () => {
  const summary = (seconds: number, count: number, total: number): MetricFields => ({
    name: 'rpc',
    type: 'summary',
    unit: 's',
    points: [
      new SummaryPoint({
        timeUnixNano: at(seconds),
        startTimeUnixNano: BOOT,
        count,
        sum: total,
        quantileValues: [
          { quantile: 0.5, value: 2 },
          { quantile: 1, value: NaN },
          { quantile: 0.99, value: 7 },
        ],
      }),
    ],
  })

  it('arrive as quantiles at once, and as count and sum from the second on', async () => {
    const exporter = await exporting('series_version: v2')
    const balance = await exporter.deliver(received(of(summary(0, 10, 100))), received(of(summary(10, 13, 160))))
    expect(lines(intake.series())).toEqual([
      '+0 rpc.quantile gauge 2 quantile:0.5 service:shop in second',
      '+0 rpc.quantile gauge 7 quantile:0.99 service:shop in second',
      '+10 rpc.count count 3 service:shop per 10',
      '+10 rpc.sum count 60 service:shop per 10 in second',
      '+10 rpc.quantile gauge 2 quantile:0.5 service:shop in second',
      '+10 rpc.quantile gauge 7 quantile:0.99 service:shop in second',
    ])
    expect(balance).toMatchObject({ handed_in: 2, created: 4, sent: 6, dropped: {} })
  })

  it('arrive without quantiles when they are not wanted', async () => {
    const exporter = await exporting('summaries: { mode: noquantiles }')
    const balance = await exporter.deliver(received(of(summary(0, 10, 100))), received(of(summary(10, 13, 160))))
    expect(lines(intake.series())).toEqual([
      '+10 rpc.count count 3 service:shop per 10',
      '+10 rpc.sum count 60 service:shop per 10',
    ])
    expect(balance).toMatchObject({ handed_in: 2, created: 1, sent: 2, dropped: { first_value: 1 } })
  })
})

describe('one second in several requests', () => {
  const delta = (value: number, seconds: number, attributes = {}): MetricFields =>
    sum('hits', value, attributes, {
      timeUnixNano: at(seconds),
      startTimeUnixNano: at(seconds - 1),
      temporality: 'delta',
    })

  it('moves a later count to the next free second, so that none overwrites another', async () => {
    const exporter = await exporting()
    for (const form of [received, (batch: MetricBatch) => batch]) {
      await exporter.deliver(
        form(of(delta(1, 0))),
        form(of(delta(2, 0.5))),
        form(of(delta(4, 1))),
        form(of(delta(8, 9))),
      )
    }
    expect(lines(intake.series())).toEqual([
      '+0 hits count 1 service:shop per 1',
      '+1 hits count 2 service:shop per 1',
      '+2 hits count 4 service:shop per 1',
      '+9 hits count 8 service:shop per 1',
      '+3 hits count 1 service:shop per 1',
      '+4 hits count 2 service:shop per 1',
      '+5 hits count 4 service:shop per 1',
      '+10 hits count 8 service:shop per 1',
    ])
  })

  it('lets the later gauge win, whichever request comes last', async () => {
    const exporter = await exporting()
    const level = (value: number, seconds: number): MetricBatch =>
      received(of(gauge('level', value, {}, { timeUnixNano: at(seconds) })))
    const balance = await exporter.deliver(level(1, 0.1), level(2, 0.7), level(3, 0.4), level(4, 1))
    expect(lines(intake.series())).toEqual([
      '+0 level gauge 1 service:shop',
      '+0 level gauge 2 service:shop',
      '+1 level gauge 4 service:shop',
    ])
    expect(balance).toMatchObject({ handed_in: 4, sent: 3, merged: 1 })
  })

  it('counts and names once what another source took the place of, in one request or in several, and nothing else', async () => {
    const exporter = await exporting()
    const level = (name: string, seconds: number, cpu: string): MetricFields =>
      gauge(name, 1, { cpu }, { timeUnixNano: at(seconds) })
    const { merged, dropped } = await exporter.deliver(
      received(of(level('met', 0, 'A'), level('met', 0.1, 'a'), level('alone', 0, 'x'), level('alone', 0.5, 'x'))),
      received(of(level('met', 1, 'A'), delta(1, 0), level('alone', 0.2, 'x'))),
      received(of(level('met', 1.5, 'a'), delta(1, 0))),
    )
    expect([merged, dropped]).toEqual([2, { overwritten: 2 }])
    const warned = exporter.logs.filter(({ level: logged }) => logged === 'warn')
    expect(warned.map(({ fields }) => fields)).toEqual([{ metric: 'met' }])
    expect(warned[0].message).toContain('which stores one value per second')
    expect(warned[0].message).toContain('instrumentation_scope_metadata_as_tags')
  })

  it('tells sources apart by what the tags of the exporter replace, too', async () => {
    const exporter = await exporting('tags: ["cpu:all"]')
    const level = (seconds: number, cpu: string): MetricFields =>
      gauge(seconds < 2 ? 'twice' : 'met', 1, { cpu }, { timeUnixNano: at(seconds) })
    const { merged, dropped } = await exporter.deliver(
      received(of(level(0, 'a'), level(0.5, 'a'))),
      received(of(level(2, 'a'), level(2.5, 'b'))),
      received(of(level(2.7, 'a'))),
    )
    expect([merged, dropped]).toEqual([1, { overwritten: 2 }])
    expect(exporter.logs.map(({ fields }) => fields)).toEqual([{ metric: 'met' }])
  })
})

describe('units', () => {
  it('go with the first unit of a name, by the names that Datadog has, over v2', async () => {
    const exporter = await exporting('series_version: v2')
    const time = { timeUnixNano: at(0) }
    const balance = await exporter.deliver(
      received(
        of(
          gauge('io', 1, { cpu: 'a' }, { ...time, unit: 'By' }),
          gauge('io', 2, { cpu: 'b' }, { ...time, unit: 's' }),
          gauge('io', 3, { cpu: 'A' }, { ...time, unit: '1' }),
          gauge('ratio', 1, {}, { ...time, unit: '1' }),
        ),
      ),
    )
    expect(lines(intake.series())).toEqual([
      '+0 io gauge 3 cpu:a service:shop in byte',
      '+0 io gauge 2 cpu:b service:shop in byte',
      '+0 ratio gauge 1 service:shop',
    ])
    expect(balance).toMatchObject({ sent: 3, dropped: { overwritten: 1 } })
  })
})
