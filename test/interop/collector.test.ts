import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from '@jest/globals'
import type { Type } from 'protobufjs'
import { startCommand, startProcess, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { listen } from '../kit/listen.ts'
import { ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest } from '../kit/otlp_proto.ts'

/** An OpenTelemetry Collector; `npm run collector:build` makes one (docs/benchmarks.md). */
const collector = process.env.OTELCOL_BIN
interface Transport {
  readonly protocol: 'http' | 'grpc'
  readonly compression: 'none' | 'gzip'
}
type Signal = 'metrics' | 'logs' | 'traces'

const cases = (['metrics', 'logs', 'traces'] as const).flatMap((signal) =>
  (['http', 'grpc'] as const).flatMap((protocol) =>
    (['none', 'gzip'] as const).map((compression) => ({ signal, protocol, compression })),
  ),
)

const suite = collector === undefined ? describe.skip : describe
suite('beside the OpenTelemetry Collector that OTELCOL_BIN names', () => {
  it.each(cases)(
    'accepts $signal that a collector sends over $protocol with compression $compression',
    async ({ signal, ...transport }) => {
      const destination = await openDestination()
      const ours = await startOurs(signal, exporting({ protocol: 'http', compression: 'none' }, destination.url))
      const theirs = await startTheirs(signal, exporting(transport, ours[transport.protocol]))
      await expect(passedOn(signal, theirs.http, destination)).resolves.toEqual(decode(signal, samples[signal].bytes))
    },
  )

  it.each(cases)(
    'sends $signal that a collector accepts over $protocol with compression $compression',
    async ({ signal, ...transport }) => {
      const destination = await openDestination()
      const theirs = await startTheirs(signal, exporting({ protocol: 'http', compression: 'none' }, destination.url))
      const ours = await startOurs(signal, exporting(transport, theirs[transport.protocol]))
      await expect(passedOn(signal, ours.http, destination)).resolves.toEqual(decode(signal, samples[signal].bytes))
    },
  )
})

/** Posts the sample and returns what arrives at the other end. */
async function passedOn(signal: Signal, url: string, destination: Destination): Promise<unknown> {
  const response = await fetch(`${url}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: samples[signal].bytes,
  })
  expect(response.status).toBe(200)
  const { path, body } = await destination.first
  expect(path).toBe(`/v1/${signal}`)
  return decode(signal, body)
}

interface Destination {
  readonly url: string
  /** The first request that arrives. */
  readonly first: Promise<{ readonly path: string | undefined; readonly body: Buffer }>
}

async function openDestination(): Promise<Destination> {
  let arrived: (request: Awaited<Destination['first']>) => void = () => undefined
  const first = new Promise<Awaited<Destination['first']>>((resolve) => (arrived = resolve))
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
      arrived({ path: request.url, body })
    })
  })
  const { url } = await listen(server)
  return { url, first }
}

/** The exporter's entry, the same in both configurations. */
function exporting({ protocol, compression }: Transport, endpoint: string): string {
  const plain = protocol === 'grpc' ? ', tls: { insecure: true }' : ''
  return `otlp_${protocol}: { endpoint: "${endpoint}", compression: ${compression}${plain} }`
}

/** The URL at which a process receives each protocol. */
type Endpoints = Readonly<Record<Transport['protocol'], string>>

async function startOurs(signal: Signal, exporter: string): Promise<Endpoints> {
  const file = await configure(signal, exporter, 'logs: { encoding: json }')
  const command = startCommand(['--config', file])
  const url = async (server: string): Promise<string> => `http://${await command.address(server)}`
  return { http: await url('otlp_http'), grpc: await url('otlp_grpc') }
}

async function startTheirs(signal: Signal, exporter: string): Promise<Endpoints> {
  const file = await configure(signal, exporter, 'metrics: { level: none }')
  const command = startProcess(collector as string, ['--config', file])
  await ready(command, 'Everything is ready')
  const url = (protocol: string): string => address(command, `Starting ${protocol} server.*"endpoint": "([^"]+)"`)
  return { http: url('HTTP'), grpc: url('GRPC') }
}

async function ready(command: RunningCommand, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) await command.waitFor(text)
}

/** Where a process says in its log that it listens. */
function address(command: RunningCommand, pattern: string): string {
  return `http://${new RegExp(pattern).exec(command.stderr())?.[1]}`
}

async function configure(signal: Signal, exporter: string, telemetry: string): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" }, grpc: { endpoint: "127.0.0.1:0" } } }
exporters:
  ${exporter}
service:
  telemetry: { ${telemetry} }
  pipelines:
    ${signal}: { receivers: [otlp], exporters: [${exporter.split(':', 1)[0]}] }
`,
  })
  return folder.path('pipeline.yaml')
}

function decode(signal: Signal, bytes: Uint8Array): unknown {
  const { type } = samples[signal]
  return type.toObject(type.decode(bytes), { longs: String, bytes: String })
}

const written = (type: Type, request: object): Sample => ({
  type,
  bytes: type.encode(type.fromObject(request)).finish(),
})

interface Sample {
  readonly type: Type
  readonly bytes: Uint8Array
}

const attributes = [
  { key: 'text', value: { stringValue: 'ö' } },
  { key: 'yes', value: { boolValue: true } },
  { key: 'big', value: { intValue: '-9007199254740993' } },
  { key: 'half', value: { doubleValue: 0.5 } },
  { key: 'bytes', value: { bytesValue: Buffer.from([0, 255]) } },
  { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }] } } },
  { key: 'map', value: { kvlistValue: { values: [{ key: 'k', value: { stringValue: 'v' } }] } } },
]

const ids = {
  spanId: Buffer.from('0102030405060708', 'hex'),
  traceId: Buffer.from('0102030405060708090a0b0c0d0e0f10', 'hex'),
}

/** By signal, a request with every kind of item and value, written by the reference. */
const samples: Readonly<Record<Signal, Sample>> = { metrics: everyMetric(), logs: everyRecord(), traces: everySpan() }

function everyRecord(): Sample {
  const time = { timeUnixNano: '1790000060000000002', observedTimeUnixNano: '1790000061000000003' }
  // The Collector writes an empty body where there is none.
  const bodies = [...attributes.map(({ value }) => value), {}]
  const logRecords = bodies.map((body, index) => ({
    ...time,
    ...ids,
    ...{ severityNumber: index + 1, severityText: 'any', attributes, droppedAttributesCount: index, flags: 1, body },
    eventName: 'paid',
  }))
  const scope = { name: 'scope', version: '1.2.3', attributes: attributes.slice(0, 1), droppedAttributesCount: 1 }
  return written(ExportLogsServiceRequest, {
    resourceLogs: [
      {
        resource: { attributes, droppedAttributesCount: 2 },
        schemaUrl: 'https://opentelemetry.io/schemas/1.30.0',
        scopeLogs: [{ scope, schemaUrl: 'https://opentelemetry.io/schemas/1.31.0', logRecords }],
      },
    ],
  })
}

function everySpan(): Sample {
  const times = { startTimeUnixNano: '1790000000000000001', endTimeUnixNano: '1790000060000000002' }
  const spans = [0, 1, 2, 3, 4, 5].map((kind) => ({
    ...ids,
    ...times,
    ...{ name: `span ${kind}`, kind, traceState: 'a=b', flags: 257, attributes, droppedAttributesCount: 1 },
    parentSpanId: Buffer.from('1112131415161718', 'hex'),
    events: [{ timeUnixNano: '1790000030000000001', name: 'retry', attributes, droppedAttributesCount: 3 }],
    links: [{ ...ids, traceState: 'c=d', attributes, droppedAttributesCount: 4, flags: 256 }],
    ...{ droppedEventsCount: 5, droppedLinksCount: 6, status: { code: kind % 3, message: 'said' } },
  }))
  return written(ExportTraceServiceRequest, {
    resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope: { name: 'scope' }, spans }] }],
  })
}

function everyMetric(): Sample {
  const time = { startTimeUnixNano: '1790000000000000001', timeUnixNano: '1790000060000000002' }
  const exemplars = [
    {
      filteredAttributes: attributes.slice(0, 1),
      timeUnixNano: '1790000059000000003',
      asInt: '9007199254740993',
      ...ids,
    },
  ]
  const metrics = [
    {
      name: 'a.gauge',
      description: 'What it is.',
      unit: 'By',
      metadata: [{ key: 'kept', value: { stringValue: 'yes' } }],
      gauge: {
        dataPoints: [
          { ...time, attributes, exemplars, asInt: '9007199254740993' },
          { timeUnixNano: time.timeUnixNano, asDouble: -0.1 },
          { timeUnixNano: time.timeUnixNano, flags: 1 },
        ],
      },
    },
    {
      name: 'a.sum',
      sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [{ ...time, asDouble: 1e300 }] },
    },
    { name: 'a.difference', sum: { aggregationTemporality: 1, dataPoints: [{ ...time, asInt: '-3' }] } },
    {
      name: 'a.histogram',
      histogram: {
        aggregationTemporality: 1,
        dataPoints: [
          {
            ...time,
            attributes,
            exemplars,
            count: '3',
            sum: 6,
            bucketCounts: ['1', '2'],
            explicitBounds: [2.5],
            min: 1,
            max: 3,
          },
          { ...time, count: '18446744073709551615' },
        ],
      },
    },
    {
      name: 'an.exponential_histogram',
      exponentialHistogram: {
        aggregationTemporality: 2,
        dataPoints: [
          {
            ...time,
            attributes,
            exemplars,
            count: '7',
            sum: 4.5,
            scale: -2,
            zeroCount: '1',
            zeroThreshold: 0.001,
            positive: { offset: -5, bucketCounts: ['1', '0', '2'] },
            negative: { offset: 3, bucketCounts: ['3'] },
            min: -9,
            max: 10,
          },
        ],
      },
    },
    {
      name: 'a.summary',
      summary: {
        dataPoints: [{ ...time, attributes, count: '4', sum: 10, quantileValues: [{ quantile: 0.99, value: 4 }] }],
      },
    },
  ]
  return written(ExportMetricsServiceRequest, {
    resourceMetrics: [
      {
        resource: { attributes, droppedAttributesCount: 2 },
        schemaUrl: 'https://opentelemetry.io/schemas/1.30.0',
        scopeMetrics: [
          {
            scope: { name: 'scope', version: '1.2.3', attributes: attributes.slice(0, 1), droppedAttributesCount: 1 },
            schemaUrl: 'https://opentelemetry.io/schemas/1.31.0',
            metrics,
          },
        ],
      },
      { resource: {}, scopeMetrics: [{ scope: {}, metrics: metrics.slice(1, 2) }] },
    ],
  })
}
