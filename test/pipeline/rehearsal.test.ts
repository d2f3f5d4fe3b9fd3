import { describe, expect, it } from '@jest/globals'
import type { ExplainedValue, Explanation } from '../../src/component/explain.ts'
import type { Logger } from '../../src/component/logger.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { LogBatch } from '../../src/otlp/logs/batch.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { ExponentialHistogramPoint, HistogramPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import { rehearse } from '../../src/pipeline/rehearsal.ts'
import type { RehearsedExporter } from '../../src/pipeline/rehearsal.ts'
import { gauge, logRecord, sum } from '../../src/testing.ts'
import { temporaryFolder } from '../kit/command.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const SECOND = 1_000_000_000n
const NOON = 1_767_268_800
const BOOT = 1_700_000_000n * SECOND

async function openIntake(): Promise<Intake> {
  return startIntake()
}

/** What the exporter of this entry would send. */
async function rehearsed(exporter: string, batches: readonly MetricBatch[]): Promise<RehearsedExporter> {
  const id = exporter.split(':', 1)[0]
  const text = `
receivers: { host_metrics: { scrapers: { load: } } }
exporters:
  ${exporter}
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [${id}] } } }
`
  // The points stand at fixed times.
  const sets = [`exporters.${id}.max_age=0s`]
  const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], sets, env: {} })
  const { exporters } = await rehearse(config, { log, batches })
  return exporters[0]
}

const explained = (exporter: RehearsedExporter) => exporter.explanation as Explanation
const tagsOf = ({ tags }: ExplainedValue) => Object.fromEntries(tags.map(({ tag, from }) => [tag, from]))

/** Every type of metric of two services, ten seconds after the round before. */
function round(number: number): MetricBatch {
  const timeUnixNano = BigInt(NOON + 10 * number) * SECOND
  const window = { timeUnixNano, startTimeUnixNano: timeUnixNano - 10n * SECOND }
  const metrics = [
    gauge('level', number, { State: 'Idle', 'host-group': 'ö' }, { unit: 'By', timeUnixNano }),
    gauge('db.level', number, { host: 'db-1' }, { timeUnixNano }),
    gauge('nothing', NaN, {}, { timeUnixNano }),
    sum('requests', 100 * number, {}, { timeUnixNano, startTimeUnixNano: BOOT }),
    sum('sessions', 5, { lower_bound: 'mine' }, { timeUnixNano, monotonic: false }),
    sum('system.cpu.time', number, { state: 'user' }, { timeUnixNano, startTimeUnixNano: BOOT }),
    sum('system.cpu.time', 3 * number, { state: 'idle' }, { timeUnixNano, startTimeUnixNano: BOOT }),
    {
      name: 'duration',
      type: 'histogram' as const,
      unit: 'ms',
      temporality: 'delta' as const,
      points: [new HistogramPoint({ ...window, count: 3, sum: 9, bucketCounts: [1, 2], explicitBounds: [2] })],
    },
    {
      name: 'size',
      type: 'exponential_histogram' as const,
      temporality: 'delta' as const,
      points: [
        new ExponentialHistogramPoint({ ...window, count: 2, sum: 3, positive: { offset: 0, bucketCounts: [2] } }),
      ],
    },
    {
      name: 'latency',
      type: 'summary' as const,
      points: [
        new SummaryPoint({
          timeUnixNano,
          count: number,
          sum: number,
          attributes: Attributes.of({ quantile: 'mine' }),
          quantileValues: [{ quantile: 0.5, value: 2 }],
        }),
      ],
    },
  ]
  const resource = (name: string) => ({
    'host.name': 'web-1',
    'service.name': name,
    service: name,
    env: 'dev',
    'process.pid': 7,
    'k8s.node.name': 'node-1',
  })
  return MetricBatch.of({ resource: resource('shop'), metrics }, { resource: resource('till'), metrics })
}

const rounds = [round(1), round(2)]

describe('an explanation', () => {
  const settings = 'api_key: good-key, tags: ["env:prod"], host: { from: [k8s.node.name] }'

  it.each([
    ['v1', 'distributions', 'none'],
    ['v2', 'distributions', 'gzip'],
    ['v2', 'counters', 'deflate'],
  ])(
    'of series %s with histograms as %s and compression %s is what Datadog gets',
    async (version, mode, compression) => {
      const intake = await openIntake()
      const yaml = (url: string): string =>
        `datadog_native: { endpoint: "${url}", ${settings}, series_version: ${version}, compression: ${compression}, histograms: { mode: ${mode}, send_aggregation_metrics: true } }`
      const exporter = await rehearsed(yaml(intake.url), rounds)
      expect(intake.connections()).toBe(0)
      const sending = await testExporter(datadogNative, yaml(intake.url))
      await expect(sending.deliver(...rounds)).resolves.toEqual(exporter.balance)

      const { values, requests } = explained(exporter)
      const plain = ({ name, type, host, tags, unit, interval, time, value }: ExplainedValue) => ({
        ...{ metric: name, type, host: host.name, tags: tags.map(({ tag }) => tag) },
        ...{ interval, points: [[time, value]], ...(unit !== undefined && { unit }) },
      })
      expect(values.filter(({ type }) => type !== 'distribution').map(plain)).toEqual(intake.series())
      const distributions = values.filter(({ type }) => type === 'distribution')
      expect(distributions.map(({ name, host, time, value }) => ({ name, host: host.name, time, value }))).toEqual(
        intake.sketches().flatMap(({ metric, host, dogsketches }) =>
          dogsketches.map(({ ts, cnt, min, max, avg, sum }) => ({
            ...{ name: metric, host: host === '' ? undefined : host, time: ts },
            value: { count: cnt, min, max, avg, sum },
          })),
        ),
      )
      expect(requests.map(({ to, rawBytes }, index) => [to, rawBytes, exporter.requests[index].bytes])).toEqual(
        intake.requests.map(({ path, rawBytes, wireBytes }) => [intake.url + path, rawBytes, wireBytes]),
      )
      // All of it is known where it comes from.
      for (const { from, host, tags } of values) {
        expect(from).toHaveLength(1)
        expect(host.rule).toBe(host.name === 'db-1' ? 'host, of the data point' : 'k8s.node.name, by host.from')
        for (const { tag, from: source } of tags) {
          expect([tag, source]).toEqual([tag, expect.stringMatching(/attribute|exporter|metric itself/)])
        }
      }
    },
  )

  it('of OTLP has a value for every point that is sent, under the names and tags that Datadog gives', async () => {
    const intake = await openIntake()
    const yaml = `datadog_otlp: { endpoint: "${intake.url}", ${settings} }`
    const exporter = await rehearsed(yaml, rounds)
    expect(intake.connections()).toBe(0)
    const sending = await testExporter(datadogOtlp, yaml)
    await expect(sending.deliver(...rounds)).resolves.toEqual(exporter.balance)
    expect(exporter.requests.map(({ bytes }) => bytes)).toEqual(intake.requests.map(({ wireBytes }) => wireBytes))

    const { values } = explained(exporter)
    const names = [...new Set(values.map(({ name, type }) => `${name} ${type}`))]
    expect(names).toEqual([
      'level gauge',
      'db.level gauge',
      'sessions gauge',
      'duration distribution',
      'size distribution',
      'latency.count count',
      'latency.sum count',
      'latency.quantile gauge',
      'requests count',
      'system.cpu.time count',
    ])
    expect(values[0].host).toEqual({ name: 'node-1', rule: 'k8s.node.name, by host.from' })
    expect(tagsOf(values[0])).toMatchObject({
      'env:prod': "the exporter's tags",
      'service:shop': 'resource attribute service',
      'service.name:shop': 'resource attribute service.name',
      'state:idle': 'data point attribute State',
      'host-group:ö': 'data point attribute host-group',
    })
  })

  it('names the rules, the sources of tags, and every resource attribute that is none', async () => {
    const { explanation } = await rehearsed(`datadog_native: { ${settings}, metric_prefix: heka }`, rounds)
    const { values, notSent } = explanation as Explanation
    const level = values.find(({ name }) => name === 'heka.level') as ExplainedValue
    expect(tagsOf(level)).toEqual({
      'env:prod': "the exporter's tags",
      'host-group:ö': 'data point attribute host-group',
      'host.name:web-1': 'resource attribute host.name',
      'kube_node:node-1': 'resource attribute k8s.node.name',
      'service:shop': 'resource attribute service',
      'state:idle': 'data point attribute State',
    })
    expect(level.from).toEqual(['level'])
    expect(values.find(({ name }) => name === 'system.cpu.user')?.from).toEqual(['system.cpu.time'])
    expect(notSent).toEqual([
      { attribute: 'service.name', value: 'till', reason: 'the tag service comes from service' },
      { attribute: 'env', value: 'dev', reason: "the exporter's tags have env" },
      { attribute: 'process.pid', value: '7', reason: 'left out by resource_attributes' },
    ])
  })

  it.each([
    ['hostname: edge-7', { name: 'edge-7', rule: "the exporter's hostname" }],
    ['host: { from: [service.name] }', { name: 'shop', rule: 'service.name, by host.from' }],
    ['', { name: 'node-1', rule: 'k8s.node.name' }],
  ])('with %j names host and rule', async (setting, host) => {
    const exporter = await rehearsed(`datadog_native: { api_key: good-key, ${setting} }`, rounds)
    expect(explained(exporter).values[0].host).toEqual(host)
  })

  it('says why there is no host, and by which fallback there is one', async () => {
    const hostless = [MetricBatch.of({ resource: { 'host.name': 'localhost' }, metrics: [gauge('m', 1)] })]
    const rule = 'host.name: "localhost" is not a host'
    const none = await rehearsed('datadog_native: { api_key: good-key }', hostless)
    expect(explained(none).values[0].host).toEqual({ name: undefined, rule })
    const fallback = 'hostname: spare, host: { fallback: config }'
    const spare = await rehearsed(`datadog_otlp: { api_key: good-key, ${fallback} }`, hostless)
    expect(explained(spare).values[0].host).toEqual({ name: 'spare', rule: `host.fallback: config, since ${rule}` })
  })

  it('says of which metrics points are dropped, and counts what Datadog bills', async () => {
    const { droppedNames, explanation } = await rehearsed('datadog_native: { api_key: good-key }', rounds)
    expect(
      Object.fromEntries([...droppedNames].map(([reason, metrics]) => [reason, Object.fromEntries(metrics)])),
    ).toEqual({
      not_finite: { nothing: 4 },
      first_value: { requests: 2, 'system.cpu.time': 4 },
    })
    // Of each service six series of numbers, three of a summary, and two distributions of five each; the Agent's are free.
    expect(explanation?.billedMetrics).toBe(2 * (6 + 3 + 2 * 5))
  })

  it('of a custom exporter that would send what is no batch is left out, and the log says why', async () => {
    const folder = await temporaryFolder({
      'sink.js': `export default {
        kind: 'exporter', type: 'sink', signals: ['logs'], summary: 'Takes everything.', config: {},
        create: () => ({
          encode: (batch) => [{ items: batch.itemCount, bytes: 1 }],
          send: async () => undefined,
          explain: () => ({ values: [], requests: [{ to: 'sink', rawBytes: 1 }], notSent: [], sent: [] }),
        }),
      }`,
    })
    const text = `
modules: ["${folder.path('sink.js')}"]
receivers: { otlp: { protocols: { http: } } }
exporters: { sink: }
service: { pipelines: { logs: { receivers: [otlp], exporters: [sink] } } }
`
    const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
    const errors: unknown[] = []
    const heard: Logger = { ...log, error: (_message, fields) => void errors.push(fields) }
    const records = [logRecord('It works.')]
    const { exporters } = await rehearse(config, { log: heard, batches: [LogBatch.of({ records })] })
    expect(exporters).toMatchObject([{ id: 'sink:logs', exporter: 'sink', explanation: undefined }])
    expect(exporters[0].prepared.itemCount).toBe(1)
    expect(errors).toEqual([{ error: 'must be a LogBatch, not a list' }])
    await folder.remove()
  })
})
