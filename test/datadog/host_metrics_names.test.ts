import { describe, expect, it } from '@jest/globals'
import { metricNames } from '../../src/datadog/host_metrics_names.ts'
import type { HostMetricsNames } from '../../src/datadog/host_metrics_names.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { Metric } from '../../src/otlp/metrics/metric.ts'
import { gauge, sum } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'

const SECOND = 1_000_000_000n
const NOON = 1_767_268_800

/** What a host says `seconds` after noon: bytes received since its start, its uptime and load, and what is no host metric. */
function scrape(host: string, seconds: number, bytes: number) {
  const time = { timeUnixNano: BigInt(NOON + seconds) * SECOND }
  return {
    resource: { 'host.name': host },
    metrics: [
      sum('system.network.io', bytes, { device: 'eth0', direction: 'receive' }, { ...time, startTimeUnixNano: 1n }),
      gauge('system.uptime', 100, {}, time),
      gauge('system.cpu.load_average.1m', 2, {}, time),
      gauge('system.processes.count', 7, { status: 'running' }, time),
      gauge('process.memory.usage', 8, {}, time),
      gauge('requests', 9, {}, time),
    ],
  }
}

/** The series of the second of two scrapes, as Datadog gets them. */
async function sent(settings: string): Promise<{ names: string[]; created: number; merged: number; series: object[] }> {
  const intake = await startIntake()
  const yaml = `datadog_native: { endpoint: "${intake.url}", api_key: k, ${settings} }`
  const exporter = await testExporter(datadogNative, yaml)
  const bytes = (seconds: number, count: number) =>
    MetricBatch.fromOtlp(MetricBatch.of(scrape('web-1', seconds, count)).toOtlp())
  const { created, merged } = await exporter.deliver(bytes(0, 5000), bytes(10, 6005))
  const series = intake.series().filter(({ points: [[time]] }) => time === NOON + 10)
  return { names: series.map(({ metric }) => metric).sort(), created, merged, series }
}

const others = ['process.memory.usage', 'requests', 'system.processes.count']
const open = ['system.cpu.load_average.1m', 'system.network.io', 'system.uptime']
const agents = ['system.load.1', 'system.net.bytes_rcvd']
const sorted = (...names: string[][]): string[] => names.flat().sort()
const heka = (names: string[]): string[] => names.map((name) => `heka.${name}`)

describe('datadog_native sends host metrics', () => {
  it.each([
    ['', sorted(others, open, agents)],
    ['host_metrics_names: both', sorted(others, open, agents)],
    ['host_metrics_names: otel', sorted(others, open)],
    ['host_metrics_names: datadog', sorted(others, agents, ['system.uptime'])],
    [
      'host_metrics_names: otel_prefixed',
      ['requests', ...sorted(open, others.slice(0, 1), others.slice(2)).map((name) => `otel.${name}`)].sort(),
    ],
    // The prefix is not put before the Agent's names.
    ['metric_prefix: heka', sorted(heka([...others, ...open]), agents, ['system.uptime'])],
    ['metric_prefix: heka, host_metrics_names: otel', sorted(heka([...others, ...open]))],
    ['metric_prefix: heka, host_metrics_names: datadog', sorted(heka(others), agents, ['system.uptime'])],
  ])('with { %s } as %j', async (settings, names) => expect((await sent(settings)).names).toEqual(names))

  it('as gauges for each second, with the host and the tags of the rest', async () => {
    const { series } = await sent('tags: ["env:prod"]')
    const tags = ['device:eth0', 'device_name:eth0', 'env:prod']
    expect(series).toContainEqual({
      metric: 'system.net.bytes_rcvd',
      type: 'gauge',
      host: 'web-1',
      tags,
      interval: undefined,
      points: [[NOON + 10, 100.5]],
    })
    expect(series).toContainEqual({
      metric: 'system.network.io',
      type: 'count',
      host: 'web-1',
      tags: ['device:eth0', 'direction:receive', 'env:prod'],
      interval: 10,
      points: [[NOON + 10, 1005]],
    })
  })

  it('and counts what it makes and what that replaces', async () => {
    // The first scrape has no rate.
    expect(await sent('host_metrics_names: both')).toMatchObject({ created: 3, merged: 0 })
    expect(await sent('host_metrics_names: datadog')).toMatchObject({ created: 5, merged: 5 })
    expect(await sent('host_metrics_names: otel')).toMatchObject({ created: 0, merged: 0 })
  })
})

describe('datadog_otlp', () => {
  it.each([
    ['', sorted(others, open)],
    [', host_metrics_names: datadog', sorted(others, agents, ['system.uptime'])],
  ])("with {%s} sends OpenTelemetry's names unless told otherwise", async (settings, names) => {
    const intake = await startIntake()
    const yaml = `datadog_otlp: { endpoint: "${intake.url}", api_key: k${settings} }`
    const exporter = await testExporter(datadogOtlp, yaml)
    await exporter.deliver(MetricBatch.of(scrape('web-1', 0, 5000)), MetricBatch.of(scrape('web-1', 10, 6005)))
    interface Body {
      resourceMetrics: { scopeMetrics: { metrics: { name: string }[] }[] }[]
    }
    const { resourceMetrics } = intake.requests[1].body as Body
    const metrics = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
    expect(metrics.map(({ name }) => name).sort()).toEqual(names)
  })
})

describe('metricNames', () => {
  const account = { created: () => undefined, merged: () => undefined }
  const named = (names: HostMetricsNames, batch: MetricBatch) => metricNames(names, undefined)(batch, account)

  it.each(['otel', 'otel_prefixed', 'datadog', 'both'] as const)(
    'with %s returns the same batch when it holds nothing of a host',
    (names) => {
      const batch = MetricBatch.of({ metrics: [gauge('requests', 1), gauge('systematic', 1)] })
      expect(named(names, batch)).toBe(batch)
    },
  )

  it('keeps hosts apart', () => {
    const scraped = { timeUnixNano: 1_767_268_800_000_000_000n }
    const of = (host: string, load: number) => ({
      resource: { 'host.name': host },
      metrics: [
        gauge('system.cpu.load_average.1m', load, {}, scraped),
        gauge('system.cpu.logical.count', 2, {}, scraped),
      ],
    })
    const result = named('datadog', MetricBatch.of(of('a', 1), of('b', 3)))
    const values = Array.from(result.metrics(), ({ metric, resource }) => {
      const [point] = metric.points
      return [resource.attributes.text('host.name'), metric.name, point.kind === 'number' && point.value]
    })
    expect(values).toEqual([
      ['a', 'system.cpu.num_cores', 2],
      ['a', 'system.load.1', 1],
      ['a', 'system.load.norm.1', 0.5],
      ['b', 'system.cpu.num_cores', 2],
      ['b', 'system.load.1', 3],
      ['b', 'system.load.norm.1', 1.5],
    ])
  })

  it('keeps what nothing could be made of, although the Agent has a name for such', () => {
    const memory = gauge('system.memory.usage', 1, { state: 'unheard of' })
    const batch = MetricBatch.of({ metrics: [memory, gauge('system.uptime', 5)] })
    expect(Array.from(named('datadog', batch).metrics(), ({ metric }) => metric.name)).toEqual([
      'system.memory.usage',
      'system.uptime',
    ])
  })

  it('replaces shares only where the amounts are missing', () => {
    const time = { timeUnixNano: 1_767_268_800_000_000_000n }
    const share = gauge('system.memory.utilization', 0.25, { state: 'used' }, time)
    const usage = [
      gauge('system.memory.usage', 25, { state: 'used' }, time),
      gauge('system.memory.limit', 100, {}, time),
    ]
    const names = (metrics: Metric[]) =>
      Array.from(named('datadog', MetricBatch.of({ metrics })).metrics(), ({ metric }) => metric.name)
    expect(names([share])).toEqual(['system.mem.pct_usable'])
    expect(names([share, ...usage])).toEqual([
      'system.memory.utilization',
      'system.mem.total',
      'system.mem.usable',
      'system.mem.pct_usable',
    ])
  })

  it('does not change the batch it is given', () => {
    const batch = MetricBatch.of(scrape('web-1', 0, 1))
    const before = Buffer.from(batch.toOtlp())
    named('datadog', batch)
    named('otel_prefixed', batch)
    expect(Buffer.from(MetricBatch.fromResources(batch.resources).toOtlp())).toEqual(before)
  })
})

describe('counters of pods whose tags are the same', () => {
  it.each([
    ['datadog_native', datadogNative, { 'k8s.pod.uid': 'a' }, { 'k8s.pod.uid': 'b' }],
    ['datadog_native', datadogNative, { 'service.instance.id': 'a' }, { 'service.instance.id': 'b' }],
    ['datadog_native', datadogNative, { 'process.pid': 1 }, { 'process.pid': 2 }],
  ] as const)('never become one counter with resets (%s, %#)', async (type, component, one, other) => {
    const intake = await startIntake()
    const exporter = await testExporter(component, `${type}: { endpoint: "${intake.url}", api_key: k }`)
    const of = (identity: Record<string, string | number>, seconds: number, value: number) => {
      const time = { timeUnixNano: BigInt(NOON + seconds) * SECOND, startTimeUnixNano: 1n }
      return { resource: { 'k8s.namespace.name': 'shop', ...identity }, metrics: [sum('requests', value, {}, time)] }
    }
    const balance = await exporter.deliver(
      MetricBatch.of(of(one, 0, 1000), of(other, 0, 10)),
      MetricBatch.of(of(one, 10, 1003), of(other, 10, 14)),
    )
    expect(intake.series()).toMatchObject([
      { metric: 'requests', tags: ['kube_namespace:shop'], points: [[NOON + 10, 7]] },
    ])
    expect(balance).toMatchObject({ sent: 1, merged: 1, dropped: { first_value: 2 } })
  })
})
