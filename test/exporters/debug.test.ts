import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import type { Account, ExportRequest } from '../../src/component/exporter.ts'
import { toTable } from '../../src/exporters/debug/table.ts'
import { atOnce } from '../../src/time/turns.ts'
import debug from '../../src/exporters/debug.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../src/otlp/json/write.ts'
import { Metric } from '../../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import { gauge, sum, testComponent } from '../../src/testing.ts'

const golden = (name: string) => readFileSync(new URL(`../cases/debug/${name}`, import.meta.url), 'utf8')

const timeUnixNano = 1_700_000_000_250_000_000n
const at = { timeUnixNano }
const since = { timeUnixNano, startTimeUnixNano: 1_600_000_000_000_000_000n }

/** Something of everything, names and values that have to be escaped included. */
const batch = MetricBatch.of(
  {
    resource: { 'host.name': 'web-1', 'deployment.environment.name': 'production', note: 'two words' },
    metrics: [
      new Metric({
        name: 'system.cpu.time',
        description: 'Seconds each CPU spent in each state.\nSay "idle", C:\\.',
        unit: 's',
        type: 'sum',
        temporality: 'cumulative',
        monotonic: true,
        points: ['user', 'idle'].map(
          (state, index) =>
            new NumberPoint({
              ...since,
              value: 1234.5678 * (index + 1),
              attributes: Attributes.of({ cpu: 'cpu0', state }),
            }),
        ),
      }),
      gauge('system.memory.usage', 16777216, { state: 'used' }, { unit: 'By', ...at }),
      gauge('system.memory.utilization', 0.123456789, { state: 'a "quoted" \\ value\n' }, { unit: '1', ...at }),
      sum(
        'http.requests_total',
        2n ** 60n,
        { 'http.route': '/', http_route: '/again' },
        { unit: '{request}', ...since },
      ),
      sum('queue.size', -3, {}, { monotonic: false, ...since }),
      sum('errors', 4, {}, { temporality: 'delta', ...since }),
      gauge('rate', NaN, {}, { unit: 'By/s', ...at }),
      gauge('limit', -Infinity, {}, at),
      new Metric({
        name: 'duration',
        unit: 'ms',
        type: 'histogram',
        temporality: 'cumulative',
        points: [
          new HistogramPoint({
            ...since,
            attributes: Attributes.of({ le: 'mine' }),
            count: 4,
            sum: 3007.1,
            min: 0,
            max: 3000,
            bucketCounts: [1, 2, 1],
            explicitBounds: [0.5, 1_000_000],
          }),
        ],
      }),
      new Metric({
        name: 'size',
        type: 'histogram',
        temporality: 'delta',
        points: [new HistogramPoint({ ...since, count: 2, sum: 5 })],
      }),
      new Metric({
        name: 'latency',
        unit: 's',
        type: 'summary',
        points: [
          new SummaryPoint({
            ...since,
            count: 10,
            sum: 2.5,
            quantileValues: [
              { quantile: 0, value: 0.1 },
              { quantile: 0.99, value: 0.9 },
              { quantile: 1, value: NaN },
            ],
          }),
        ],
      }),
    ],
  },
  {
    resource: { 'host.name': 'web-2' },
    metrics: [gauge('system.memory.usage', 0.00001, { state: 'used' }, { unit: 'By', ...at })],
  },
)

async function encoded(yaml: string, input: MetricBatch): Promise<{ text: string; points: number; dropped: object }> {
  const { created } = await testComponent(debug, yaml)
  const dropped: Record<string, number> = {}
  const account: Account = {
    created: () => expect('created').toBe('never'),
    merged: () => expect('merged').toBe('never'),
    dropped: (reason, points) => void (dropped[reason] = (dropped[reason] ?? 0) + points),
  }
  const requests = [...created.encode(input, account)] as (ExportRequest & { text: string })[]
  expect(requests).toHaveLength(1)
  expect(requests[0].bytes).toBe(Buffer.byteLength(requests[0].text))
  return { text: requests[0].text, points: requests[0].items, dropped }
}

/** The grammar of the specification, line by line. */
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\n"])*"'
const number = '(?:NaN|[+-]Inf|[+-]?\\d+(?:\\.\\d+)?(?:e[+-]\\d+)?)'
const line = new RegExp(
  [
    '^# TYPE [a-zA-Z_][a-zA-Z0-9_]* (?:counter|gauge|histogram|gaugehistogram|summary|unknown)$',
    '^# UNIT [a-zA-Z_][a-zA-Z0-9_]* [a-zA-Z0-9_]+$',
    '^# HELP [a-zA-Z_][a-zA-Z0-9_]* (?:[^"\\\\\\n]|\\\\[\\\\n"])+$',
    `^[a-zA-Z_][a-zA-Z0-9_]*(?:\\{${label}(?:,${label})*\\})? ${number} \\d+(?:\\.\\d+)?$`,
    '^# EOF$',
  ].join('|'),
)

describe('debug, as openmetrics', () => {
  it('writes the golden text, and says nothing was dropped', async () => {
    const { text, points, dropped } = await encoded('debug: { format: openmetrics }', batch)
    expect(text).toBe(golden('openmetrics.txt'))
    expect({ points, dropped }).toEqual({ points: batch.pointCount, dropped: {} })
  })

  it('keeps to the grammar, and to one block per family with its unit at the end of its name', async () => {
    const { text } = await encoded('debug: { format: openmetrics }', batch)
    expect(text.endsWith('\n# EOF\n')).toBe(true)
    const families: string[] = []
    for (const each of text.trimEnd().split('\n')) {
      expect(each).toMatch(line)
      const [, kind, name, rest] = /^# (TYPE|UNIT) (\S+) (\S+)/.exec(each) ?? []
      if (kind === 'TYPE') families.push(name)
      if (kind === 'UNIT') expect(name.endsWith(`_${rest}`)).toBe(true)
      if (!each.startsWith('#')) expect(each.startsWith(families.at(-1) as string)).toBe(true)
    }
    expect(new Set(families).size).toBe(families.length)
  })

  it.each([
    ['io', 'By/s', 'io_bytes_per_second'],
    ['io', '{packet}/s', 'io_per_second'],
    ['io', '{packet}/{device}', 'io'],
    ['io', '1/min', 'io_per_minute'],
    ['io', 'constructor/fortnight', 'io_constructor_per_fortnight'],
    ['seconds', 's', 'seconds_seconds'],
    ['wait_seconds', 's', 'wait_seconds'],
    ['2nd.größe', '1', '_2nd_gr__e'],
    ['', '', '_'],
  ])('calls the metric "%s" in "%s" %s', async (name, unit, family) => {
    const { text } = await encoded(
      'debug: { format: openmetrics }',
      MetricBatch.of({ metrics: [gauge(name, 1, {}, { unit, ...at })] }),
    )
    expect(text).toContain(`\n${family} 1 1700000000.25\n`)
  })

  it('takes no longer for a unit of many braces', async () => {
    const started = performance.now()
    const unit = '{'.repeat(200_000)
    await encoded(
      'debug: { format: openmetrics }',
      MetricBatch.of({ metrics: [gauge('load', 1, {}, { unit, ...at })] }),
    )
    // With the square of the length it would be 20 seconds.
    expect(performance.now() - started).toBeLessThan(2000)
  })

  it('counts what OpenMetrics cannot hold', async () => {
    const { text, points, dropped } = await encoded(
      'debug: { format: openmetrics }',
      MetricBatch.of({
        metrics: [
          gauge('kept', 1, {}, at),
          gauge('kept', 2, {}, at),
          gauge('kept', 3, { 'a.b': 1 }, at),
          sum('kept', 4, {}, since),
          gauge('requests', 5, {}, at),
          sum('requests_total', 6, {}, since),
          sum('negative', -7, {}, since),
          new Metric({ name: 'stale', type: 'gauge', points: [new NumberPoint({ flags: 1 }), new NumberPoint({})] }),
          new Metric({
            name: 'wide',
            type: 'exponential_histogram',
            temporality: 'cumulative',
            points: [new ExponentialHistogramPoint({ count: 1 })],
          }),
          new Metric({
            name: 'broken',
            type: 'histogram',
            temporality: 'cumulative',
            points: [new HistogramPoint({ count: 3, bucketCounts: [1, 2], explicitBounds: [1, 2, 3] })],
          }),
        ],
      }),
    )
    expect(dropped).toEqual({
      duplicate_point: 1,
      conflicting_name: 2,
      invalid_value: 2,
      no_value: 2,
      unsupported_type: 1,
    })
    expect(points).toBe(3)
    expect(text.split('\n').filter((each) => !each.startsWith('#'))).toEqual([
      'kept 1 1700000000.25',
      'kept{a_b="1"} 3 1700000000.25',
      'requests 5 1700000000.25',
      '',
    ])
  })
})

describe('debug, as openmetrics, of histograms without a last count', () => {
  it.each([
    ['because the last bound is +Inf', { bucketCounts: [1, 2, 3], explicitBounds: [1, 2, Infinity] }],
    ['because the count tells of it', { bucketCounts: [1, 2], explicitBounds: [1, 2] }],
  ])('writes every bucket %s', async (_why, buckets) => {
    const points = [new HistogramPoint({ ...at, count: 6, sum: 12, ...buckets })]
    const histogram = new Metric({ name: 'size', type: 'histogram', temporality: 'cumulative', points })
    const { text, dropped } = await encoded('debug: { format: openmetrics }', MetricBatch.of({ metrics: [histogram] }))
    expect(dropped).toEqual({})
    expect(text.split('\n').filter((line) => line.startsWith('size_'))).toEqual([
      'size_bucket{le="1.0"} 1 1700000000.25',
      'size_bucket{le="2.0"} 3 1700000000.25',
      'size_bucket{le="+Inf"} 6 1700000000.25',
      'size_count 6 1700000000.25',
      'size_sum 12 1700000000.25',
    ])
  })
})

describe('debug, as otlp_json', () => {
  it('writes a line per batch', async () => {
    const { text, points } = await encoded('debug: { format: otlp_json }', batch)
    expect(text).toBe(`${toOtlpJson(batch)}\n`)
    expect(points).toBe(batch.pointCount)
  })
})

describe('debug, as a table', () => {
  const withoutTime = (text: string) => text.replace(/^\d\d:\d\d:\d\d/gm, 'hh:mm:ss')

  it.each([120, 80])('fits %d columns as in the golden text', (width) => {
    const text = atOnce(toTable(batch, width))
    expect(withoutTime(text)).toBe(golden(`table_${width}.txt`))
    expect(Math.max(...text.split('\n').map((each) => each.length))).toBeLessThanOrEqual(width)
  })

  it('is what is written when no format is given, with every point', async () => {
    const { text, points } = await encoded('debug:', batch)
    expect(text).toBe(atOnce(toTable(batch, process.stdout.columns ?? 120)))
    expect(points).toBe(batch.pointCount)
  })

  it('never lets a value steer the terminal', () => {
    const text = atOnce(toTable(MetricBatch.of({ metrics: [gauge('a\u001b[2Jb', 1, { c: '\u009b31m' })] }), 80))
    expect(text).toContain('a\\u{1b}[2Jb')
    expect(text).toContain('c=\\u{9b}31m')
  })

  it('stays readable when the terminal is narrow', () => {
    const text = atOnce(toTable(batch, 30))
    expect(text).toContain('1,234.57')
    expect(text).toContain('state=user')
  })

  it('has a line for each point, however many there are', () => {
    const points = Array.from({ length: 150_000 }, () => new NumberPoint({ value: 1 }))
    const text = atOnce(toTable(MetricBatch.of({ metrics: [{ name: 'many', type: 'gauge', points }] }), 80))
    expect(text.split('\n')).toHaveLength(points.length + 4)
  })

  it('is empty for a batch without points', () => {
    expect(atOnce(toTable(MetricBatch.of({ resource: { a: 1 }, metrics: [] }), 80))).toBe('')
  })
})

it('debug refuses a format it does not know', async () => {
  await expect(testComponent(debug, 'debug: { format: xml }')).rejects.toThrow('debug.format')
})
