import { describe, expect, it } from '@jest/globals'
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtobufLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc'
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufTraces } from '@opentelemetry/exporter-trace-otlp-proto'
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base'
import { ProtobufLogsSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { Type } from 'protobufjs'
import { cleanups } from '../../kit/cleanups.ts'
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from '../../kit/otlp_proto.ts'
import { startReceiving } from '../../kit/receiving.ts'

/*
 * The official exporters of OpenTelemetry send log records and spans to our receiver, and what leaves our exporter is what they sent.
 */

const resource = resourceFromAttributes({ 'service.name': 'shop', 'service.ports': [80, 443], weight: 0.5 })
const attributes = { route: '/é', retry: true, code: 200, share: 0.25, hosts: ['a', 'b'] }
/** `SpanStatusCode.ERROR` and `SpanKind.SERVER` of the OpenTelemetry API. */
const ERROR = 2
const SERVER = 1

/** Every kind of body that the SDK makes. */
async function records(): Promise<readonly ReadableLogRecord[]> {
  const memory = new InMemoryLogRecordExporter()
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter: memory })] })
  const logger = provider.getLogger('shop', '1.2.0')
  for (const body of ['paid', 7, 0.5, true, ['a', 1], { user: { id: 3 } }]) {
    logger.emit({ body, severityNumber: 9, severityText: 'INFO', attributes, eventName: 'payment' })
  }
  await provider.forceFlush()
  return memory.getFinishedLogRecords()
}

/** A span with all that it can have, and its child. */
async function spans(): Promise<readonly ReadableSpan[]> {
  const memory = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(memory)] })
  const tracer = provider.getTracer('shop', '1.2.0')
  const link = { context: { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', traceFlags: 1 } }
  const span = tracer.startSpan('GET /é', { kind: SERVER, attributes, links: [{ ...link, attributes }] })
  span.addEvent('retry', attributes)
  span.setStatus({ code: ERROR, message: 'gone' })
  span.end()
  tracer.startSpan('SELECT').end()
  await provider.forceFlush()
  return memory.getFinishedSpans()
}

interface Exporting<T> {
  export(items: readonly T[], done: (result: { readonly code: number; readonly error?: Error }) => void): void
  shutdown(): Promise<void>
}

interface Address {
  readonly HTTP?: string
  readonly gRPC?: string
}

/** The exporters of a signal, by protocol. */
function exportersOf<T>(
  path: string,
  [Protobuf, Json, Grpc]: readonly (new (options: object) => Exporting<T>)[],
): [string, (address: Address) => Exporting<T>][] {
  const over = (Exporter: new (options: object) => Exporting<T>, options = {}) => {
    return ({ HTTP }: Address) => new Exporter({ url: `http://${HTTP}${path}`, ...options })
  }
  const gzip = { compression: CompressionAlgorithm.GZIP }
  return [
    ['HTTP in protobuf', over(Protobuf)],
    ['HTTP in JSON', over(Json)],
    ['gRPC', ({ gRPC }) => new Grpc({ url: `http://${gRPC}` })],
    ['HTTP in protobuf with gzip', over(Protobuf, gzip)],
    ['HTTP in JSON with gzip', over(Json, gzip)],
    ['gRPC with gzip', ({ gRPC }) => new Grpc({ url: `http://${gRPC}`, ...gzip })],
  ]
}

async function arrives<T>(
  signal: 'logs' | 'traces',
  make: (address: Address) => Exporting<T>,
  items: readonly T[],
  type: Type,
): Promise<object> {
  const otlp = '{ protocols: { http: { endpoint: "localhost:0" }, grpc: { endpoint: "localhost:0" } } }'
  const { addresses, arrived } = await startReceiving({ otlp, signal })
  const exporter = make(addresses)
  cleanups.push(() => exporter.shutdown())
  await new Promise<void>((resolve, reject) => {
    exporter.export(items, ({ code, error }) => (code === 0 ? resolve() : reject(error ?? new Error(`code ${code}`))))
  })
  const [body] = await arrived(1)
  return meaning(type, body)
}

/** As the reference reads it, what may be left out filled in. */
function meaning(type: Type, request: Uint8Array): object {
  return type.toObject(type.decode(request), { longs: String, bytes: String, defaults: true })
}

describe("OpenTelemetry's own exporter of logs", () => {
  it.each(exportersOf<ReadableLogRecord>('/v1/logs', [ProtobufLogs, JsonLogs, GrpcLogs]))(
    'over %s: every record arrives as it was sent',
    async (_protocol, make) => {
      const sent = await records()
      const expected = ProtobufLogsSerializer.serializeRequest([...sent]) as Uint8Array
      expect(await arrives('logs', make, sent, ExportLogsServiceRequest)).toEqual(
        meaning(ExportLogsServiceRequest, expected),
      )
    },
  )
})

describe("OpenTelemetry's own exporter of traces", () => {
  it.each(exportersOf<ReadableSpan>('/v1/traces', [ProtobufTraces, JsonTraces, GrpcTraces]))(
    'over %s: every span arrives as it was sent',
    async (_protocol, make) => {
      const sent = await spans()
      const expected = ProtobufTraceSerializer.serializeRequest([...sent]) as Uint8Array
      expect(await arrives('traces', make, sent, ExportTraceServiceRequest)).toEqual(
        meaning(ExportTraceServiceRequest, expected),
      )
    },
  )
})
