import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { cpus, loadavg } from 'node:os'
import { basename, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import pbjs from 'protobufjs-cli/pbjs.js'
import { systemClock } from '../../src/time/clock.ts'
import { hostOverrider } from '../../src/datadog/host.ts'
import { tagMerger } from '../../src/datadog/tags.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { Attributes } from '../../src/otlp/common/attributes.ts'
import { perResource } from '../../src/otlp/common/resource.ts'
import { within } from '../../src/otlp/common/timely.ts'
import { TimeWindow, WITHIN } from '../../src/otlp/common/time_window.ts'
import { LogBatch } from '../../src/otlp/logs/batch.ts'
import { placesOf } from '../../src/otlp/metrics/time_window.ts'
import { NumberPointCursor } from '../../src/otlp/metrics/number_cursor.ts'
import { CumulativeToDelta } from '../../src/otlp/delta/cumulative_to_delta.ts'
import { HistogramCursor } from '../../src/otlp/metrics/histogram_cursor.ts'
import { TraceBatch } from '../../src/otlp/traces/batch.ts'
import { toOtlpJsonBytes } from '../../src/otlp/json/write.ts'
import { fromOtlpJson } from '../../src/otlp/json/read.ts'

/*
 * `npm run bench`: what one core does with OTLP, side by side with the plain way: decode with a protobufjs static module,
 * change the objects in place, encode. Both sides see the same bytes in the same run, by turns; what counts is the ratio.
 */

interface PlainValue {
  stringValue?: string
}
interface PlainAttribute {
  key: string
  value: PlainValue
}
interface PlainLong {
  low: number
  high: number
}
interface PlainPoint {
  attributes: PlainAttribute[]
  startTimeUnixNano: PlainLong
  timeUnixNano: PlainLong
}
interface PlainNumberPoint extends PlainPoint {
  asDouble: number
}
interface PlainHistogramPoint extends PlainPoint {
  count: PlainLong
  sum: number
  min?: number
  max?: number
  bucketCounts: PlainLong[]
  explicitBounds: number[]
}
interface PlainData<Point> {
  aggregationTemporality: number
  dataPoints: Point[]
}
interface PlainMetric {
  name: string
  sum?: PlainData<PlainNumberPoint> | null
  histogram?: PlainData<PlainHistogramPoint> | null
}
interface PlainRequest {
  resourceMetrics: { resource: { attributes: PlainAttribute[] }; scopeMetrics: { metrics: PlainMetric[] }[] }[]
}
interface PlainItem {
  attributes: PlainAttribute[]
  severityNumber?: number
  kind?: number
}
/** A request of log records or spans: of the two kinds of lists only one is there. */
interface PlainScopes {
  logRecords: PlainItem[]
  spans: PlainItem[]
}
interface PlainResourceItems {
  resource: { attributes: PlainAttribute[] }
  scopeLogs: PlainScopes[]
  scopeSpans: PlainScopes[]
}
interface PlainItems {
  resourceLogs: PlainResourceItems[]
  resourceSpans: PlainResourceItems[]
}
interface PlainCodec<T> {
  decode(bytes: Uint8Array): T
  encode(message: T): { finish(): Uint8Array }
}

const otlp = await plainModule<{
  opentelemetry: {
    proto: {
      ExportMetricsServiceRequest: PlainCodec<PlainRequest>
      ExportLogsServiceRequest: PlainCodec<PlainItems>
      ExportTraceServiceRequest: PlainCodec<PlainItems>
    }
  }
}>('test/kit/otlp.proto')
const plain = otlp.opentelemetry.proto.ExportMetricsServiceRequest
const plainOf = {
  logs: otlp.opentelemetry.proto.ExportLogsServiceRequest,
  traces: otlp.opentelemetry.proto.ExportTraceServiceRequest,
}
const agent = await plainModule<{ datadog: { agentpayload: { SketchPayload: PlainCodec<object> } } }>(
  'test/datadog/agent_payload.proto',
)
const plainSketchPayload = agent.datadog.agentpayload.SketchPayload

/** The plain way: the static module that protobufjs makes of published definitions. */
async function plainModule<T>(definitions: string): Promise<T> {
  const require = createRequire(import.meta.url)
  const module = resolve(`node_modules/.cache/${basename(definitions, '.proto')}.cjs`)
  // One root for each: they know nothing of each other.
  const flags = [
    '--no-create',
    '--no-verify',
    '--no-convert',
    '--no-delimited',
    '--root',
    basename(definitions, '.proto'),
  ]
  await promisify(pbjs.main)(['-t', 'static-module', '-w', 'commonjs', ...flags, '-o', module, definitions])
  return require(module) as T
}

const SECONDS = Number(process.env.BENCH_SECONDS ?? 1.5)
const TURNS = 3

/** A payload whose time can be moved on in place, as a sender would send the next one. */
interface Payload {
  readonly name: string
  readonly kind: 'sum' | 'histogram' | 'logs' | 'traces'
  /** Data points, log records or spans. */
  readonly points: number
  /** The next request: the same series a second later, or ever-new ones. */
  readonly next: Record<Form, () => Uint8Array>
}

/** The two forms of OTLP. */
type Form = 'protobuf' | 'json'

const attribute = (key: string, value: string): PlainAttribute => ({ key, value: { stringValue: value } })
const long = (low: number, high = 0) => ({ low, high, unsigned: true })

const ROUTE = '00000000'
const START = long(1, 0x17000000)
/** Bytes that stand nowhere else, in either form. */
const TIME = long(0x7a7a7a7a, 0x17171717)
const text = ({ low, high }: PlainLong): string => String((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0))

/** A sum of 143 bytes, or a histogram of 12 buckets. */
const data = {
  sum: (times: object, value: number) => ({ ...times, asDouble: value }),
  histogram: (times: object, value: number) => ({
    ...times,
    count: long(78),
    sum: 1000 + value,
    bucketCounts: Array.from({ length: 12 }, (_b, index) => long(index + 1)),
    explicitBounds: [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000],
    min: 0.5,
    max: 2500,
  }),
}

/** Requests of `resources` x `metrics` x `points` cumulative points with five attributes each. */
function payload(
  name: string,
  [resources, metrics, points]: readonly [number, number, number],
  { kind = 'sum', fresh = false }: { kind?: 'sum' | 'histogram'; fresh?: boolean } = {},
): Payload {
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
            [kind]: {
              aggregationTemporality: 2,
              ...(kind === 'sum' && { isMonotonic: true }),
              dataPoints: Array.from({ length: points }, (_p, p) => {
                const attributes = [
                  attribute('cpu', `cpu${p}`),
                  attribute('state', 'user'),
                  attribute('device', `eth${p}`),
                  attribute('http.route', `/users/${ROUTE}`),
                  attribute('region', 'us-east-1'),
                ]
                return data[kind]({ attributes, startTimeUnixNano: START, timeUnixNano: TIME }, p * 1.5 + m)
              }),
            },
          })),
        },
      ],
    })),
  }
  const protobuf = Buffer.from(plain.encode(request as unknown as PlainRequest).finish())
  const json = Buffer.from(
    JSON.stringify(request, (_key, value: unknown) =>
      typeof value === 'object' && value !== null && 'low' in value ? text(value as PlainLong) : value,
    ),
  )
  const view = new DataView(protobuf.buffer, protobuf.byteOffset, protobuf.length)
  const grow = growing(protobuf, view)
  const next = moving(protobuf, Buffer.from('7a7a7a7a17171717', 'hex'), fresh, (time, at) =>
    view.setBigUint64(at, time, true),
  )
  return {
    name,
    kind,
    points: resources * metrics * points,
    next: {
      protobuf: () => {
        grow()
        return next()
      },
      json: moving(json, Buffer.from(text(TIME)), fresh, (time, at) => json.write(String(time), at, 'latin1')),
    },
  }
}

/** A log record of 300 bytes, or a span of 300. */
const item = {
  logs: (index: number, attributes: PlainAttribute[], ids: object) => ({
    ...ids,
    timeUnixNano: TIME,
    observedTimeUnixNano: TIME,
    severityNumber: index % 4 === 0 ? 17 : 9,
    severityText: index % 4 === 0 ? 'ERROR' : 'INFO',
    body: {
      stringValue: `GET /users/${String(index).padStart(6, '0')} was answered with 200 in 13.7 ms, from the cache`,
    },
    attributes,
  }),
  traces: (index: number, attributes: PlainAttribute[], ids: object) => ({
    ...ids,
    parentSpanId: Buffer.alloc(8, 3),
    name: 'GET /users/{id}',
    kind: index % 4 === 0 ? 2 : 3,
    startTimeUnixNano: START,
    endTimeUnixNano: TIME,
    attributes,
    events: [{ timeUnixNano: TIME, name: 'cache.miss', attributes: [attribute('cache.name', 'users')] }],
    status: {},
  }),
}

/** Requests of `resources` x `count` log records or spans of a scope. */
function itemsPayload(name: string, kind: 'logs' | 'traces', [resources, count]: readonly [number, number]): Payload {
  const list = Array.from({ length: count }, (_i, index) => {
    const attributes = [
      attribute('http.request.method', 'GET'),
      attribute('http.route', '/users/{id}'),
      attribute('url.path', `/users/${String(index).padStart(6, '0')}`),
      attribute('thread.name', `worker-${index % 10}`),
    ]
    return item[kind](index, attributes, { traceId: Buffer.alloc(16, 1 + (index % 9)), spanId: Buffer.alloc(8, 2) })
  })
  const scope = { name: 'bench', version: '1' }
  const entries = Array.from({ length: resources }, (_r, r) => ({
    resource: {
      attributes: [attribute('host.name', `h${r}`), attribute('service.name', 'svc'), attribute('os.type', 'linux')],
    },
    ...(kind === 'logs' ? { scopeLogs: [{ scope, logRecords: list }] } : { scopeSpans: [{ scope, spans: list }] }),
  }))
  const request = kind === 'logs' ? { resourceLogs: entries } : { resourceSpans: entries }
  const protobuf = Buffer.from(plainOf[kind].encode(request as unknown as PlainItems).finish())
  const view = new DataView(protobuf.buffer, protobuf.byteOffset, protobuf.length)
  const next = moving(protobuf, Buffer.from('7a7a7a7a17171717', 'hex'), false, (time, at) =>
    view.setBigUint64(at, time, true),
  )
  return { name, kind, points: resources * count, next: { protobuf: next, json: next } }
}

/** Moves a request on, in place: `write` the next time wherever the time is, and ever-new routes if they are to be `fresh`. */
function moving(bytes: Buffer, timeBytes: Buffer, fresh: boolean, write: (time: bigint, at: number) => void) {
  const times = places(bytes, timeBytes)
  const routes = fresh ? places(bytes, Buffer.from(ROUTE)) : []
  let time = 0x17171717_00000000n
  let route = 0
  return () => {
    time += 1_000_000_000n
    for (const at of times) write(time, at)
    for (const at of routes) bytes.write((route++).toString().padStart(ROUTE.length, '0'), at, 'latin1')
    return bytes
  }
}

/** Lets every value of a request grow, in place: a sum by 3, each bucket of a histogram by as many as its place says. */
function growing(protobuf: Buffer, view: DataView): () => void {
  const sums: number[] = []
  const counts: { readonly at: number; readonly by: number }[] = []
  const numbers = new NumberPointCursor()
  const histograms = new HistogramCursor()
  for (const { metric } of MetricBatch.fromOtlp(protobuf).metrics()) {
    if (numbers.open(metric)) while (numbers.next()) sums.push(numbers.valueAt)
    if (!histograms.open(metric)) continue
    while (histograms.next()) {
      const { bucketsStart, bucketsEnd, countAt, sumAt } = histograms
      sums.push(sumAt)
      let by = 0
      for (let at = bucketsStart, index = 1; at < bucketsEnd; at += 8, by += index++) counts.push({ at, by: index })
      counts.push({ at: countAt, by })
    }
  }
  return () => {
    for (const at of sums) view.setFloat64(at, view.getFloat64(at, true) + 3, true)
    for (const { at, by } of counts) view.setUint32(at, view.getUint32(at, true) + by, true)
  }
}

function places(bytes: Buffer, part: Buffer): number[] {
  const found: number[] = []
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + part.length)) found.push(at)
  return found
}

type Run = (bytes: Uint8Array) => unknown

/** Points whose requests are made before the clock starts: a large one, or many small ones. */
const POINTS_AT_ONCE = 1000

/**
 * Million points a second of CPU time for each of the runs, so that what else the machine does counts less; by turns, so that
 * it counts for all of them. Only the work counts, not the making of the requests.
 */
function rates(make: () => Payload, form: Form, runs: readonly Run[]): number[] {
  const sides = runs.map((run) => {
    const { points, next } = make()
    for (let index = 0; index < 10; index++) run(next[form]())
    return { run, points, next: next[form], count: 0, microseconds: 0 }
  })
  for (let turn = 0; turn < TURNS; turn++) {
    for (const side of sides) {
      const until = performance.now() + (SECONDS * 1000) / TURNS
      while (performance.now() < until) {
        // Each is made in the place of the one before.
        const requests = Array.from({ length: Math.ceil(POINTS_AT_ONCE / side.points) }, () =>
          side.points < POINTS_AT_ONCE ? Buffer.from(side.next()) : side.next(),
        )
        const start = process.cpuUsage()
        for (const request of requests) side.run(request)
        const { user, system } = process.cpuUsage(start)
        side.microseconds += user + system
        side.count += requests.length * side.points
      }
    }
  }
  return sides.map(({ count, microseconds }) => count / microseconds)
}

const tags = ['env:prod', 'team:platform', 'tier:one']
const tagMap = new Map(tags.map((tag) => tag.split(':') as [string, string]))
const ignore = () => undefined
const account = { created: ignore, merged: ignore, dropped: ignore }

/** `datadog_native` without compression and without sending. */
function toDatadog(version: 'v1' | 'v2'): Run {
  const exporter = datadogNative.create({
    config: {
      site: 'datadoghq.com',
      api_key: 'k',
      hostname: undefined,
      host: { from: [], fallback: 'none' },
      host_metrics_names: 'both',
      host_metadata: { enabled: false, tags: [], reporter_period: 1_800_000, endpoint: undefined },
      tags: [],
      initial_value: 'keep',
      delta_ttl: 3_600_000,
      resource_attributes: { include: ['*'], exclude: [] },
      endpoint: undefined,
      series_version: version,
      compression: 'none',
      metric_prefix: undefined,
      histograms: { mode: 'distributions', send_aggregation_metrics: false },
      summaries: { mode: 'gauges' },
      sketches: { endpoint: undefined, compression: 'none', max_size: 2_621_440, max_raw_size: 4_194_304 },
      count_interval: undefined,
      proxy_url: undefined,
      tls: {
        ca_file: undefined,
        cert_file: undefined,
        key_file: undefined,
        insecure_skip_verify: false,
        reload_interval: 0,
      },
      headers: {},
    },
    clock: systemClock,
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    onStop: () => undefined,
  } as unknown as Parameters<typeof datadogNative.create>[0])
  return (bytes) => {
    const prepared = exporter.prepare?.(MetricBatch.fromOtlp(bytes), account) as MetricBatch
    return [...exporter.encode(prepared, account)]
  }
}

const seriesOf = (host: string, name: string, { attributes }: PlainPoint): string =>
  `${host}|${name}|${attributes.map((each) => `${each.key}:${each.value.stringValue}`).join(',')}`

/** The difference to the point before of each series, in place; the first value is left as it is. */
function plainDelta(state: Map<string, number>, host: string, name: string, point: PlainNumberPoint): void {
  const series = seriesOf(host, name, point)
  const value = point.asDouble
  point.asDouble = value - (state.get(series) ?? 0)
  state.set(series, value)
}

interface PlainDistribution {
  readonly sum: number
  readonly count: number
  readonly bucketCounts: readonly number[]
}

const toNumber = ({ low, high }: PlainLong): number => (high >>> 0) * 4294967296 + (low >>> 0)
const toLong = (value: number): PlainLong => long(value | 0, (value / 4294967296) | 0)

/** The same of histograms. */
function plainHistogramDelta(
  state: Map<string, PlainDistribution>,
  host: string,
  name: string,
  point: PlainHistogramPoint,
): void {
  const series = seriesOf(host, name, point)
  const before = state.get(series)
  const now = { sum: point.sum, count: toNumber(point.count), bucketCounts: point.bucketCounts.map(toNumber) }
  state.set(series, now)
  if (before === undefined) return
  point.sum = now.sum - before.sum
  point.count = toLong(now.count - before.count)
  point.bucketCounts = now.bucketCounts.map((count, index) => toLong(count - before.bucketCounts[index]))
  delete point.min
  delete point.max
}

const pointsOf = ({ sum, histogram }: PlainMetric): PlainPoint[] => sum?.dataPoints ?? histogram?.dataPoints ?? []

/** A 64-bit integer of JSON, in the form that protobufjs encodes. */
function jsonLong(text: unknown): PlainLong {
  const bits = BigInt(text as string)
  return long(Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0)
}

/** The plain way from JSON: parse, turn what protobuf has another form for in place, encode. */
function plainFromJson(bytes: Uint8Array): Uint8Array {
  const request = JSON.parse((bytes as Buffer).toString()) as PlainRequest
  for (const { scopeMetrics } of request.resourceMetrics) {
    for (const { metrics } of scopeMetrics) {
      for (const metric of metrics) {
        for (const point of pointsOf(metric)) {
          point.startTimeUnixNano = jsonLong(point.startTimeUnixNano)
          point.timeUnixNano = jsonLong(point.timeUnixNano)
        }
        for (const point of metric.histogram?.dataPoints ?? []) {
          point.count = jsonLong(point.count)
          point.bucketCounts = point.bucketCounts.map(jsonLong)
        }
      }
    }
  }
  return plain.encode(request).finish()
}

const jsonText = (value: PlainLong): PlainLong => text(value) as unknown as PlainLong

/** The plain way to JSON: decode, turn what JSON has another form for in place, stringify. */
function plainToJson(bytes: Uint8Array): Uint8Array {
  const request = plain.decode(bytes)
  for (const { scopeMetrics } of request.resourceMetrics) {
    for (const { metrics } of scopeMetrics) {
      for (const metric of metrics) {
        for (const point of pointsOf(metric)) {
          point.startTimeUnixNano = jsonText(point.startTimeUnixNano)
          point.timeUnixNano = jsonText(point.timeUnixNano)
        }
        for (const point of metric.histogram?.dataPoints ?? []) {
          point.count = jsonText(point.count)
          point.bucketCounts = point.bucketCounts.map(jsonText)
        }
      }
    }
  }
  return Buffer.from(JSON.stringify(request))
}

interface Row {
  readonly name: string
  /** What the request comes in; default: protobuf. */
  readonly form?: Form
  /** The kinds of payload it is for; default: all of metrics. */
  readonly kinds?: readonly Payload['kind'][]
  readonly ours: () => Run
  readonly plain: () => Run
}

const rows: Row[] = [
  {
    name: 'check and count (fromOtlp)',
    ours: () => (bytes) => MetricBatch.fromOtlp(bytes).pointCount,
    plain: () => (bytes) => plain.decode(bytes),
  },
  {
    name: 'check, count, look for old points',
    ours: () => {
      const window = new TimeWindow(0n, 2n ** 63n)
      return (bytes) => MetricBatch.fromOtlp(bytes).everyMetric((metric) => placesOf(metric, window) === WITHIN)
    },
    plain: () => (bytes) => plain.decode(bytes),
  },
  {
    name: 'prefix + tags + hostname, OTLP to OTLP',
    ours: () => {
      const [tagged, named] = [tagMerger(tags, 'override'), hostOverrider('my-host', 'override')]
      return (bytes) => {
        const prefixed = MetricBatch.fromOtlp(bytes).mapMetrics((metric) =>
          metric.name.startsWith('heka.') ? metric : metric.withName(`heka.${metric.name}`),
        )
        return named(tagged(prefixed)).toOtlp()
      }
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
            for (const { attributes } of pointsOf(metric)) {
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
      const histogramState = new Map<string, PlainDistribution>()
      return (bytes) => {
        const request = plain.decode(bytes)
        for (const { resource, scopeMetrics } of request.resourceMetrics) {
          const host = resource.attributes[0].value.stringValue ?? ''
          for (const { metrics } of scopeMetrics) {
            for (const { name, sum, histogram } of metrics) {
              if (sum) {
                sum.aggregationTemporality = 1
                for (const point of sum.dataPoints) plainDelta(state, host, name, point)
              }
              if (histogram) {
                histogram.aggregationTemporality = 1
                for (const point of histogram.dataPoints) plainHistogramDelta(histogramState, host, name, point)
              }
            }
          }
        }
        return plain.encode(request).finish()
      }
    },
  },
  {
    name: 'OTLP/JSON to OTLP',
    form: 'json',
    ours: () => (bytes) => fromOtlpJson(bytes).toOtlp(),
    plain: () => plainFromJson,
  },
  {
    name: 'OTLP to OTLP/JSON',
    ours: () => (bytes) => toOtlpJsonBytes(MetricBatch.fromOtlp(bytes)),
    plain: () => plainToJson,
  },
  { name: 'OTLP to Datadog v1 JSON', kinds: ['sum'], ours: () => toDatadog('v1'), plain: () => plainDatadog },
  { name: 'OTLP to Datadog v2 protobuf', kinds: ['sum'], ours: () => toDatadog('v2'), plain: () => plainDatadog },
  {
    name: 'histograms to Datadog sketches',
    kinds: ['histogram'],
    ours: () => toDatadog('v2'),
    plain: () => {
      const state = new Map<string, PlainDistribution>()
      return (bytes) => plainSketches(state, bytes)
    },
  },
]

/** The rows of log records or spans; `items`: what they are called. */
function itemRows(kind: 'logs' | 'traces', items: string): Row[] {
  const codec = plainOf[kind]
  const kinds = [kind]
  const entriesOf = (request: PlainItems): PlainResourceItems[] => request.resourceLogs ?? request.resourceSpans
  const scopesOf = (entry: PlainResourceItems): PlainScopes[] => entry.scopeLogs ?? entry.scopeSpans
  const listsOf = (request: PlainItems): PlainItem[][] =>
    entriesOf(request).flatMap((entry) => scopesOf(entry).map(({ logRecords, spans }) => logRecords ?? spans))
  const read = (bytes: Uint8Array) => (kind === 'logs' ? LogBatch.fromOtlp(bytes) : TraceBatch.fromOtlp(bytes))
  const added = Object.fromEntries(tagMap)
  const tagged = (attributes: Attributes): Attributes => attributes.with(added)
  const plainTagged = (attributes: PlainAttribute[]): void => {
    for (const [key, value] of tagMap) {
      const known = attributes.find((each) => each.key === key)
      if (known === undefined) attributes.push(attribute(key, value))
      else known.value = { stringValue: value }
    }
  }
  return [
    {
      name: `check and count ${items}`,
      kinds,
      ours: () => (bytes) => read(bytes).itemCount,
      plain: () => (bytes) => codec.decode(bytes),
    },
    {
      name: `check, count, look for old ${items}`,
      kinds,
      ours: () => {
        const window = new TimeWindow(0n, 2n ** 63n)
        return (bytes) => within(read(bytes), window, ignore)
      },
      plain: () => (bytes) => codec.decode(bytes),
    },
    {
      name: 'tags to resources, OTLP to OTLP',
      kinds,
      ours: () => {
        const change = perResource((resource) => resource.withAttributes(tagged(resource.attributes)))
        return (bytes) => read(bytes).mapResources(change).toOtlp()
      },
      plain: () => (bytes) => {
        const request = codec.decode(bytes)
        for (const { resource } of entriesOf(request)) plainTagged(resource.attributes)
        return codec.encode(request).finish()
      },
    },
    {
      name: `tags to ${items}, OTLP to OTLP`,
      kinds,
      ours: () => (bytes) => {
        const batch = read(bytes)
        const changed =
          batch instanceof LogBatch
            ? batch.mapRecords((record) => record.withAttributes(tagged(record.attributes)))
            : batch.mapSpans((span) => span.withAttributes(tagged(span.attributes)))
        return changed.toOtlp()
      },
      plain: () => (bytes) => {
        const request = codec.decode(bytes)
        for (const list of listsOf(request)) for (const { attributes } of list) plainTagged(attributes)
        return codec.encode(request).finish()
      },
    },
    {
      name: `one of four ${items} kept, OTLP to OTLP`,
      kinds,
      ours: () => (bytes) => {
        const batch = read(bytes)
        const kept =
          batch instanceof LogBatch
            ? batch.filterRecords(({ severityNumber }) => severityNumber >= 17)
            : batch.filterSpans((span) => span.kind === 'server')
        return kept.toOtlp()
      },
      plain: () => (bytes) => {
        const request = codec.decode(bytes)
        for (const entry of entriesOf(request)) {
          for (const scope of scopesOf(entry)) {
            if (kind === 'logs')
              scope.logRecords = scope.logRecords.filter(({ severityNumber = 0 }) => severityNumber >= 17)
            else scope.spans = scope.spans.filter((span) => span.kind === 2)
          }
        }
        return codec.encode(request).finish()
      },
    },
  ]
}
rows.push(...itemRows('logs', 'records'), ...itemRows('traces', 'spans'))

const plainState = new Map<string, number>()
/** v1 JSON by objects; the plain side of both versions, since `JSON.stringify` is the faster of the two. */
function plainDatadog(bytes: Uint8Array): Buffer {
  const series: object[] = []
  for (const { resource, scopeMetrics } of plain.decode(bytes).resourceMetrics) {
    const host = resource.attributes[0].value.stringValue ?? ''
    const own = resource.attributes.slice(1).map(({ key, value }) => `${key}:${value.stringValue}`)
    for (const { metrics } of scopeMetrics) {
      for (const { name, sum } of metrics) {
        for (const point of sum?.dataPoints ?? []) {
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

/** The sketches of a request, as objects whose bins are counted in a map, encoded by a protobufjs static module. */
function plainSketches(state: Map<string, PlainDistribution>, bytes: Uint8Array): Uint8Array {
  const sketches: object[] = []
  for (const { resource, scopeMetrics } of plain.decode(bytes).resourceMetrics) {
    const host = resource.attributes[0].value.stringValue ?? ''
    const own = resource.attributes.slice(1).map(({ key, value }) => `${key}:${value.stringValue}`)
    for (const { metrics } of scopeMetrics) {
      for (const { name, histogram } of metrics) {
        for (const point of histogram?.dataPoints ?? []) {
          plainHistogramDelta(state, host, name, point)
          const tags = [...own, ...point.attributes.map(({ key, value }) => `${key}:${value.stringValue}`)].sort()
          const bins = plainBins(point.bucketCounts.map(toNumber), point.explicitBounds)
          const cnt = toNumber(point.count)
          const keys = [...bins.keys()].sort((left, right) => left - right)
          const dogsketch = {
            ts: Math.floor(toNumber(point.timeUnixNano) / 1e9),
            cnt,
            min: point.min ?? point.explicitBounds[0],
            max: point.max ?? point.explicitBounds[point.explicitBounds.length - 1],
            avg: point.sum / cnt,
            sum: point.sum,
            k: keys,
            n: keys.map((key) => bins.get(key)),
          }
          sketches.push({ metric: name, host, tags, dogsketches: [dogsketch] })
        }
      }
    }
  }
  return plainSketchPayload.encode({ sketches }).finish()
}

const GAMMA = 1 + 2 / 128
const powers = Array.from({ length: 4096 }, (_, key) => GAMMA ** (key - 1338))
const plainKey = (value: number): number => (value === 0 ? 0 : Math.round(Math.log(value) / Math.log(GAMMA)) + 1338)

/** The values of each bucket spread over the keys between its bounds as the Agent does, bucket by bucket. */
function plainBins(counts: readonly number[], bounds: readonly number[]): Map<number, number> {
  const bins = new Map<number, number>()
  const add = (key: number, count: number): unknown => bins.set(key, (bins.get(key) ?? 0) + count)
  counts.forEach((count, index) => {
    if (count === 0) return
    if (index === 0 || bounds[index - 1] === 0) return add(plainKey(bounds[index]), count)
    const lower = bounds[index - 1]
    if (index === bounds.length) return add(plainKey(lower), count)
    const [first, last] = [plainKey(lower), plainKey(bounds[index])]
    const distance = bounds[index] - lower
    let left = count
    let from = first
    for (let key = first + 1; key <= last && left > 0; key++) {
      const share = Math.floor(((powers[key] - powers[from]) / distance) * count)
      if (share < 1) continue
      add(from, Math.min(share, left))
      left -= share
      from = key
    }
    if (left > 0) add(from, left)
  })
  return bins
}

const payloads: readonly (() => Payload)[] = [
  () => payload('10,000 points a request, repeated series', [10, 100, 10]),
  () => payload('10 points a request, repeated series', [1, 2, 5]),
  () => payload('10,000 points a request, ever-new series', [10, 100, 10], { fresh: true }),
  () => payload('10,000 histograms a request, repeated series', [10, 100, 10], { kind: 'histogram' }),
  () => itemsPayload('10,000 log records a request', 'logs', [10, 1000]),
  () => itemsPayload('10 log records a request', 'logs', [1, 10]),
  () => itemsPayload('10,000 spans a request', 'traces', [10, 1000]),
  () => itemsPayload('10 spans a request', 'traces', [1, 10]),
]

/** Every row has a process of its own: what V8 learns from the objects of one payload would slow down the plain side of another. */
const only = new RegExp(process.env.BENCH_ROW ?? '')
const [, script, place] = process.argv
if (place === undefined) {
  const [{ model }] = cpus()
  console.log(`${new Date().toISOString().slice(0, 10)}, Node.js ${process.versions.node}, ${cpus().length} x ${model}`)
  console.log(
    `Load ${loadavg()[0].toFixed(1)} before the start. Million points, records or spans a second of CPU time: this code, plain, ratio.`,
  )
  console.log(
    'No straw man: on a quiet machine of this kind plain reaches 0.20 M/s for edits and 0.13 M/s for Datadog v1.',
  )
  payloads.forEach((make, payloadIndex) => {
    const { name: payloadName, kind } = make()
    console.log(`\n${payloadName}`)
    rows.forEach(({ name, kinds = ['sum', 'histogram'] }, rowIndex) => {
      if (!kinds.includes(kind) || !only.test(`${payloadName}: ${name}`)) return
      const { status } = spawnSync(process.execPath, [script, `${payloadIndex} ${rowIndex}`], { stdio: 'inherit' })
      if (status !== 0) process.exit(1)
    })
  })
} else {
  const [payloadIndex, rowIndex] = place.split(' ').map(Number)
  const { name, form = 'protobuf', ours, plain: other } = rows[rowIndex]
  const runs = process.env.BENCH_OURS === undefined ? [ours(), other()] : [ours()]
  const [mine, theirs = NaN] = rates(payloads[payloadIndex], form, runs)
  const ratio = `${(mine / theirs).toFixed(1)}x`
  console.log(
    `  ${name.padEnd(40)}${mine.toFixed(2).padStart(8)} M/s${theirs.toFixed(2).padStart(8)} M/s${ratio.padStart(9)}`,
  )
}
