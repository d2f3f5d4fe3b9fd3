import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { readV1, readV2 } from '../kit/datadog_models.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'

async function intake(): Promise<Intake> {
  return startIntake()
}

const [UNSPECIFIED, DELTA, CUMULATIVE] = [0, 1, 2]
const BOOT = '1700000000000000000'
/** 2026-01-01 12:00:00 in seconds. */
/** Half a minute ago or so. */
const START = Math.floor(Date.now() / 10_000) * 10 - 30

/** One metric of every type and temporality, `round` 1 or 2, ten seconds apart. */
function everyType(round: number): object {
  const time = { timeUnixNano: `${START + 10 * round}000000000` }
  const since = { ...time, startTimeUnixNano: BOOT }
  const window = { ...time, startTimeUnixNano: `${START + 10 * (round - 1)}000000000` }
  const number = { ...since, asDouble: 10 * round, attributes: [{ key: 'cpu', value: { stringValue: '0' } }] }
  const explicit = { count: 3 * round, sum: 12 * round, bucketCounts: [0, 3 * round, 0], explicitBounds: [1, 8] }
  const exponential = {
    count: 2 * round,
    sum: 2.5 * round,
    scale: 1,
    positive: { offset: 0, bucketCounts: [2 * round] },
  }
  const quantileValues = [{ quantile: 0.5, value: 4 }]
  const sum = (name: string, temporality: number, isMonotonic: boolean, point: object = number) => ({
    name,
    sum: { aggregationTemporality: temporality, isMonotonic, dataPoints: [point] },
  })
  const metrics = [
    { name: 'level', unit: 'By', gauge: { dataPoints: [number] } },
    sum('counter', CUMULATIVE, true),
    sum('up.down', CUMULATIVE, false),
    sum('delta', DELTA, true, { ...number, ...window }),
    sum('nobody.knows', UNSPECIFIED, true),
    {
      name: 'latency',
      unit: 'ms',
      histogram: { aggregationTemporality: CUMULATIVE, dataPoints: [{ ...since, ...explicit }] },
    },
    {
      name: 'latency.delta',
      histogram: { aggregationTemporality: DELTA, dataPoints: [{ ...window, ...explicit, min: 2, max: 7 }] },
    },
    {
      name: 'size',
      exponentialHistogram: { aggregationTemporality: CUMULATIVE, dataPoints: [{ ...since, ...exponential }] },
    },
    {
      name: 'size.delta',
      exponentialHistogram: { aggregationTemporality: DELTA, dataPoints: [{ ...window, ...exponential }] },
    },
    { name: 'rpc', summary: { dataPoints: [{ ...since, count: 5 * round, sum: 20 * round, quantileValues }] } },
  ]
  const attributes = [{ key: 'host.name', value: { stringValue: 'web-1' } }]
  return { resourceMetrics: [{ resource: { attributes }, scopeMetrics: [{ metrics }] }] }
}

describe('every type of OTLP metric', () => {
  it('arrives at Datadog, from YAML and a socket, over both versions of its API', async () => {
    const [first, second] = [await intake(), await intake()]
    const key = 'k'.repeat(32)
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:0 } } }
exporters:
  datadog_native/v1: { endpoint: "${first.url}", api_key: ${key}, series_version: v1 }
  datadog_native/v2:
    endpoint: ${second.url}
    api_key: ${key}
    series_version: v2
    histograms: { send_aggregation_metrics: true }
service:
  shutdown_timeout: 5s
  pipelines: { metrics: { receivers: [otlp], exporters: [datadog_native/v1, datadog_native/v2] } }
`,
    })
    const command = startCommand(['--config', folder.path('pipeline.yaml')])
    const address = await command.address('otlp_http')
    const post = async (contentType: string, body: Uint8Array | string): Promise<void> => {
      const { statusCode } = await request(`http://${address}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': contentType },
        body,
      })
      expect(statusCode).toBe(200)
    }
    const message = ExportMetricsServiceRequest.fromObject(everyType(1))
    await post('application/x-protobuf', ExportMetricsServiceRequest.encode(message).finish())
    await post('application/json', JSON.stringify(everyType(2)))
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)

    const rows = (all: Intake): readonly string[] =>
      all
        .series()
        .map(({ metric, type, host, tags, interval = '-', unit = '-', points: [[time, value]] }) =>
          [time - START, metric, type, value, host, ...tags, interval, unit].join(' '),
        )
        .sort()
    const numbers = (unit: string): readonly string[] => [
      `10 level gauge 10 web-1 cpu:0 - ${unit}`,
      '10 up.down gauge 10 web-1 cpu:0 - -',
      '10 delta count 10 web-1 cpu:0 10 -',
      '10 rpc.quantile gauge 4 web-1 quantile:0.5 - -',
      `20 level gauge 20 web-1 cpu:0 - ${unit}`,
      '20 counter count 10 web-1 cpu:0 10 -',
      '20 up.down gauge 20 web-1 cpu:0 - -',
      '20 delta count 20 web-1 cpu:0 10 -',
      '20 rpc.count count 5 web-1 10 -',
      '20 rpc.sum count 20 web-1 10 -',
      '20 rpc.quantile gauge 4 web-1 quantile:0.5 - -',
    ]
    expect(rows(first)).toEqual([...numbers('-')].sort())
    expect(rows(second)).toEqual(
      [
        ...numbers('byte'),
        '10 latency.delta.count count 3 web-1 10 -',
        '10 latency.delta.sum count 12 web-1 10 -',
        '10 latency.delta.min gauge 2 web-1 - -',
        '10 latency.delta.max gauge 7 web-1 - -',
        '10 size.delta.count count 2 web-1 10 -',
        '10 size.delta.sum count 2.5 web-1 10 -',
        '20 latency.count count 3 web-1 10 -',
        '20 latency.sum count 12 web-1 10 millisecond',
        '20 latency.delta.count count 6 web-1 10 -',
        '20 latency.delta.sum count 24 web-1 10 -',
        '20 latency.delta.min gauge 2 web-1 - -',
        '20 latency.delta.max gauge 7 web-1 - -',
        '20 size.count count 2 web-1 10 -',
        '20 size.sum count 2.5 web-1 10 -',
        '20 size.delta.count count 4 web-1 10 -',
        '20 size.delta.sum count 5 web-1 10 -',
      ].sort(),
    )
    for (const all of [first, second]) {
      const sketches = all
        .sketches()
        .map(({ metric, host, dogsketches: [{ ts, cnt, sum, min, max, n }] }) =>
          [ts - START, metric, host, cnt, sum, Math.round(min), Math.round(max), n.reduce((a, b) => a + b)].join(' '),
        )
      expect([...sketches].sort()).toEqual(
        [
          '10 latency.delta web-1 3 12 2 7 3',
          '10 size.delta web-1 2 2.5 1 1 2',
          '20 latency web-1 3 12 1 8 3',
          '20 latency.delta web-1 6 24 2 7 6',
          '20 size web-1 2 2.5 1 1 2',
          '20 size.delta web-1 4 5 1 1 4',
        ].sort(),
      )
    }
    for (const { path, body } of [...first.requests, ...second.requests]) {
      if (path === '/api/v1/series') expect(readV1(body).series.length).toBeGreaterThan(0)
      if (path === '/api/v2/series') expect(readV2(body).series.length).toBeGreaterThan(0)
    }
    const dropped = 'dropped(unspecified_temporality) 2 + dropped(first_value) 3'
    const sheet = (name: string): string | undefined =>
      new RegExp(`Data points of exporter ${name}: (.*)`).exec(command.stderr())?.[1]
    expect(sheet('datadog_native/v1')).toBe(`handed in 20 + created 2 = sent 17 + ${dropped}`)
    expect(sheet('datadog_native/v2')).toBe(`handed in 20 + created 18 = sent 33 + ${dropped}`)
  })
})
