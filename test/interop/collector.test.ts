import { describe, expect, it } from '@jest/globals'
import { startCommand, startProcess, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'

/** An OpenTelemetry Collector; `npm run collector:build` makes one (docs/benchmarks.md). */
const collector = process.env.OTELCOL_BIN
const transports = (['http', 'grpc'] as const).flatMap((protocol) =>
  (['none', 'gzip'] as const).map((compression) => ({ protocol, compression })),
)
type Transport = (typeof transports)[number]

const suite = collector === undefined ? describe.skip : describe
suite('beside the OpenTelemetry Collector that OTELCOL_BIN names', () => {
  it.each(transports)(
    'takes what a collector sends over $protocol with compression $compression',
    async (transport) => {
      const intake = await openIntake()
      const ours = await startOurs(exporting({ protocol: 'http', compression: 'none' }, intake.url))
      const theirs = await startTheirs(exporting(transport, ours[transport.protocol]))
      await expect(passedOn(theirs.http, intake)).resolves.toEqual(decode(everyType))
    },
  )

  it.each(transports)(
    'sends what a collector takes over $protocol with compression $compression',
    async (transport) => {
      const intake = await openIntake()
      const theirs = await startTheirs(exporting({ protocol: 'http', compression: 'none' }, intake.url))
      const ours = await startOurs(exporting(transport, theirs[transport.protocol]))
      await expect(passedOn(ours.http, intake)).resolves.toEqual(decode(everyType))
    },
  )
})

/** Posts the sample and returns what arrives at the other end. */
async function passedOn(url: string, intake: Intake): Promise<unknown> {
  const response = await fetch(`${url}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: everyType,
  })
  expect(response.status).toBe(200)
  await intake.received(1)
  return decode(intake.requests[0].raw)
}

async function openIntake(): Promise<Intake> {
  const intake = await startIntake()
  intake.respondBy(() => ({ status: 200, headers: { 'content-type': 'application/x-protobuf' } }))
  return intake
}

/** The exporter's entry, the same in both configurations. */
function exporting({ protocol, compression }: Transport, endpoint: string): string {
  const plain = protocol === 'grpc' ? ', tls: { insecure: true }' : ''
  return `otlp_${protocol}: { endpoint: "${endpoint}", compression: ${compression}${plain} }`
}

/** The URL at which a process receives each protocol. */
type Endpoints = Readonly<Record<Transport['protocol'], string>>

async function startOurs(exporter: string): Promise<Endpoints> {
  const file = await configure(exporter, 'logs: { encoding: json }')
  const command = startCommand(['--config', file])
  const url = async (server: string): Promise<string> => `http://${await command.address(server)}`
  return { http: await url('otlp_http'), grpc: await url('otlp_grpc') }
}

async function startTheirs(exporter: string): Promise<Endpoints> {
  const file = await configure(exporter, 'metrics: { level: none }')
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

async function configure(exporter: string, telemetry: string): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" }, grpc: { endpoint: "127.0.0.1:0" } } }
exporters:
  ${exporter}
service:
  telemetry: { ${telemetry} }
  pipelines:
    metrics: { receivers: [otlp], exporters: [${exporter.split(':', 1)[0]}] }
`,
  })
  return folder.path('pipeline.yaml')
}

function decode(bytes: Uint8Array): unknown {
  return ExportMetricsServiceRequest.toObject(ExportMetricsServiceRequest.decode(bytes), {
    longs: String,
    bytes: String,
  })
}

/** A request with every type of metric and every kind of value, written by the reference. */
const everyType = request()

function request(): Uint8Array {
  const time = { startTimeUnixNano: '1790000000000000001', timeUnixNano: '1790000060000000002' }
  const attributes = [
    { key: 'text', value: { stringValue: 'ö' } },
    { key: 'yes', value: { boolValue: true } },
    { key: 'big', value: { intValue: '-9007199254740993' } },
    { key: 'half', value: { doubleValue: 0.5 } },
    { key: 'bytes', value: { bytesValue: Buffer.from([0, 255]) } },
    { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }] } } },
    { key: 'map', value: { kvlistValue: { values: [{ key: 'k', value: { stringValue: 'v' } }] } } },
  ]
  const exemplars = [
    {
      filteredAttributes: attributes.slice(0, 1),
      timeUnixNano: '1790000059000000003',
      asInt: '9007199254740993',
      spanId: Buffer.from('0102030405060708', 'hex'),
      traceId: Buffer.from('0102030405060708090a0b0c0d0e0f10', 'hex'),
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
  return ExportMetricsServiceRequest.encode(
    ExportMetricsServiceRequest.fromObject({
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
    }),
  ).finish()
}
