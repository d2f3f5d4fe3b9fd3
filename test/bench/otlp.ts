import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import pbjs from 'protobufjs-cli/pbjs.js'
import { overrideHost } from '../../src/datadog/host.ts'
import { mergeTags } from '../../src/datadog/tags.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { MetricBatch } from '../../src/otlp/batch.ts'
import { CumulativeToDelta } from '../../src/otlp/delta.ts'

/*
 * `npm run bench`: what one core does with OTLP, side by side with the plain way: decode with a protobufjs static module,
 * change the objects in place, encode. Both sides see the same bytes in the same run; what counts is the ratio.
 */

interface PlainValue {
  stringValue?: string
}
interface PlainAttribute {
  key: string
  value: PlainValue
}
interface PlainPoint {
  attributes: PlainAttribute[]
  startTimeUnixNano: { low: number; high: number }
  timeUnixNano: { low: number; high: number }
  asDouble: number
}
interface PlainRequest {
  resourceMetrics: {
    resource: { attributes: PlainAttribute[] }
    scopeMetrics: { metrics: { name: string; sum: { aggregationTemporality: number; dataPoints: PlainPoint[] } }[] }[]
  }[]
}
interface PlainCodec<T> {
  decode(bytes: Uint8Array): T
  encode(message: T): { finish(): Uint8Array }
}

const plain = await plainCodec()

/** The plain way: the static module that protobufjs makes of the published definitions. */
async function plainCodec(): Promise<PlainCodec<PlainRequest>> {
  const require = createRequire(import.meta.url)
  const module = resolve('node_modules/.cache/otlp.cjs')
  const definitions = 'test/kit/otlp.proto'
  const flags = ['--no-create', '--no-verify', '--no-convert', '--no-delimited']
  await promisify(pbjs.main)(['-t', 'static-module', '-w', 'commonjs', ...flags, '-o', module, definitions])
  return (require(module) as { opentelemetry: { proto: { ExportMetricsServiceRequest: PlainCodec<PlainRequest> } } })
    .opentelemetry.proto.ExportMetricsServiceRequest
}

const SECONDS = Number(process.env.BENCH_SECONDS ?? 1.5)

/** A payload whose time can be moved on in place, as a sender would send the next one. */
interface Payload {
  readonly name: string
  readonly points: number
  /** The next request: the same series a second later, or ever-new ones. */
  next(): Uint8Array
}

const attribute = (key: string, value: string): PlainAttribute => ({ key, value: { stringValue: value } })

/** Requests of `resources` x `metrics` x `points` cumulative sums with five attributes each, 143 bytes a point. */
function payload(
  name: string,
  [resources, metrics, points]: readonly [number, number, number],
  fresh = false,
): Payload {
  const ROUTE = '00000000'
  const marker = { low: 0x7a7a7a7a, high: 0x17171717, unsigned: true }
  const request = {
    resourceMetrics: Array.from({ length: resources }, (_r, r) => ({
      resource: {
        attributes: [attribute('host.name', `h${r}`), attribute('service.name', 'svc'), attribute('os.type', 'linux')],
      },
      scopeMetrics: [
        {
          scope: { name: 'bench', version: '1' },
          metrics: Array.from({ length: metrics }, (_m, m) => ({
            name: `system.metric.name.${m}`,
            description: 'some description of metric',
            unit: 'By',
            sum: {
              aggregationTemporality: 2,
              isMonotonic: true,
              dataPoints: Array.from({ length: points }, (_p, p) => ({
                attributes: [
                  attribute('cpu', `cpu${p}`),
                  attribute('state', 'user'),
                  attribute('device', `eth${p}`),
                  attribute('http.route', `/users/${ROUTE}`),
                  attribute('region', 'us-east-1'),
                ],
                startTimeUnixNano: { low: 1, high: 0x17000000, unsigned: true },
                timeUnixNano: marker,
                asDouble: p * 1.5 + m,
              })),
            },
          })),
        },
      ],
    })),
  }
  const bytes = Buffer.from(plain.encode(request as unknown as PlainRequest).finish())
  const times = places(bytes, Buffer.from([0x7a, 0x7a, 0x7a, 0x7a, 0x17, 0x17, 0x17, 0x17]))
  const routes = fresh ? places(bytes, Buffer.from(ROUTE)) : []
  let time = 0x17171717_00000000n
  let route = 0
  return {
    name,
    points: resources * metrics * points,
    next() {
      time += 1_000_000_000n
      for (const at of times) bytes.writeBigUInt64LE(time, at)
      for (const at of routes) bytes.write((route++).toString().padStart(8, '0'), at, 'latin1')
      return bytes
    },
  }
}

function places(bytes: Buffer, text: Buffer): number[] {
  const found: number[] = []
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) found.push(at)
  return found
}

/** Million points a second of CPU time, so that what else the machine does counts less. */
function rate(payload: Payload, run: (bytes: Uint8Array) => unknown): number {
  for (let index = 0; index < 10; index++) run(payload.next())
  const start = process.cpuUsage()
  const until = performance.now() + SECONDS * 1000
  let count = 0
  while (performance.now() < until) {
    run(payload.next())
    count++
  }
  const { user, system } = process.cpuUsage(start)
  return (count * payload.points) / (user + system)
}

const tags = ['env:prod', 'team:platform', 'tier:one']
const tagMap = new Map(tags.map((tag) => tag.split(':') as [string, string]))
const account = { created: () => undefined, merged: () => undefined, dropped: () => undefined }

/** `datadog_native` without compression and without sending. */
function toDatadog(version: 'v1' | 'v2'): (bytes: Uint8Array) => unknown {
  const exporter = datadogNative.create({
    config: {
      site: 'datadoghq.com',
      api_key: 'k',
      hostname: undefined,
      tags: [],
      initial_value: 'auto',
      resource_attributes: { include: ['*'], exclude: [] },
      endpoint: undefined,
      series_version: version,
      compression: 'none',
      metric_prefix: undefined,
      count_interval: undefined,
      proxy_url: undefined,
      tls: { ca_file: undefined, cert_file: undefined, key_file: undefined, insecure_skip_verify: false },
      headers: {},
    },
    onStop: () => undefined,
  } as unknown as Parameters<typeof datadogNative.create>[0])
  return (bytes) => {
    const prepared = exporter.prepare?.(MetricBatch.fromOtlp(bytes), account) as MetricBatch
    return [...exporter.encode(prepared, account)]
  }
}

/** The difference to the point before of each series, in place; the first value is left as it is. */
function plainDelta(state: Map<string, number>, host: string, name: string, point: PlainPoint): string {
  const key = `${host}|${name}|${point.attributes.map((each) => `${each.key}:${each.value.stringValue}`).join(',')}`
  const value = point.asDouble
  point.asDouble = value - (state.get(key) ?? 0)
  state.set(key, value)
  return key
}

interface Row {
  readonly name: string
  readonly ours: () => (bytes: Uint8Array) => unknown
  readonly plain: () => (bytes: Uint8Array) => unknown
}

const rows: readonly Row[] = [
  {
    name: 'check and count (fromOtlp)',
    ours: () => (bytes) => MetricBatch.fromOtlp(bytes).pointCount,
    plain: () => (bytes) => plain.decode(bytes),
  },
  {
    name: 'prefix + tags + hostname, OTLP to OTLP',
    ours: () => (bytes) => {
      const named = MetricBatch.fromOtlp(bytes).mapMetrics((metric) =>
        metric.name.startsWith('heka.') ? metric : metric.withName(`heka.${metric.name}`),
      )
      return overrideHost(mergeTags(named, tags, 'override'), 'my-host', 'override').toOtlp()
    },
    plain: () => (bytes) => {
      const request = plain.decode(bytes)
      for (const { resource, scopeMetrics } of request.resourceMetrics) {
        resource.attributes = resource.attributes.filter(
          ({ key }) => !tagMap.has(key) && !/^(datadog\.)?host/.test(key),
        )
        for (const [key, value] of tagMap) resource.attributes.push(attribute(key, value))
        resource.attributes.push(attribute('host.name', 'my-host'), attribute('datadog.host.name', 'my-host'))
        for (const { metrics } of scopeMetrics) {
          for (const metric of metrics) {
            if (!metric.name.startsWith('heka.')) metric.name = `heka.${metric.name}`
            for (const { attributes } of metric.sum.dataPoints) {
              for (let index = attributes.length - 1; index >= 0; index--) {
                if (tagMap.has(attributes[index].key) || attributes[index].key === 'host') attributes.splice(index, 1)
              }
            }
          }
        }
      }
      return plain.encode(request).finish()
    },
  },
  {
    name: 'cumulative to delta, OTLP to OTLP',
    ours: () => {
      const delta = new CumulativeToDelta({ initialValue: 'keep' })
      return (bytes) => delta.apply(MetricBatch.fromOtlp(bytes), account).toOtlp()
    },
    plain: () => {
      const state = new Map<string, number>()
      return (bytes) => {
        const request = plain.decode(bytes)
        for (const { resource, scopeMetrics } of request.resourceMetrics) {
          const host = resource.attributes[0].value.stringValue ?? ''
          for (const { metrics } of scopeMetrics) {
            for (const { name, sum } of metrics) {
              sum.aggregationTemporality = 1
              for (const point of sum.dataPoints) plainDelta(state, host, name, point)
            }
          }
        }
        return plain.encode(request).finish()
      }
    },
  },
  { name: 'OTLP to Datadog v1 JSON', ours: () => toDatadog('v1'), plain: () => plainDatadog },
  { name: 'OTLP to Datadog v2 protobuf', ours: () => toDatadog('v2'), plain: () => plainDatadog },
]

const plainState = new Map<string, number>()
/** v1 JSON by objects; the plain side of both versions, since `JSON.stringify` is the faster of the two. */
function plainDatadog(bytes: Uint8Array): Buffer {
  const series: object[] = []
  for (const { resource, scopeMetrics } of plain.decode(bytes).resourceMetrics) {
    const host = resource.attributes[0].value.stringValue ?? ''
    const own = resource.attributes.slice(1).map(({ key, value }) => `${key}:${value.stringValue}`)
    for (const { metrics } of scopeMetrics) {
      for (const { name, sum } of metrics) {
        for (const point of sum.dataPoints) {
          plainDelta(plainState, host, name, point)
          const seconds = Math.floor((point.timeUnixNano.high * 4294967296 + point.timeUnixNano.low) / 1e9)
          const all = [...own, ...point.attributes.map(({ key, value }) => `${key}:${value.stringValue}`)].sort()
          series.push({
            metric: name,
            type: 'count',
            interval: 1,
            host,
            tags: all,
            points: [[seconds, point.asDouble]],
          })
        }
      }
    }
  }
  return Buffer.from(JSON.stringify({ series }))
}

const payloads: readonly (() => Payload)[] = [
  () => payload('10,000 points a request, repeated series', [10, 100, 10]),
  () => payload('10 points a request, repeated series', [1, 2, 5]),
  () => payload('10,000 points a request, ever-new series', [10, 100, 10], true),
]

const only = process.env.BENCH_ROW
for (const make of payloads) {
  console.log(`\n${make().name}${' '.repeat(20)}`)
  for (const { name, ours, plain: other } of rows) {
    if (only !== undefined && !name.includes(only)) continue
    const mine = rate(make(), ours())
    const theirs = process.env.BENCH_OURS === undefined ? rate(make(), other()) : NaN
    const ratio = `${(mine / theirs).toFixed(1)}x`
    console.log(
      `  ${name.padEnd(40)}${mine.toFixed(2).padStart(8)} M/s${theirs.toFixed(2).padStart(8)} M/s${ratio.padStart(9)}`,
    )
  }
}
