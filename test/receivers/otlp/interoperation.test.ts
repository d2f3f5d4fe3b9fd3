import { describe, expect, it } from '@jest/globals'
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc'
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base'
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import type { PushMetricExporter, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { cleanups } from '../../kit/cleanups.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { startReceiving } from '../../kit/receiving.ts'

/*
 * The official exporters of OpenTelemetry send to our receiver, and what leaves our exporter is what they sent.
 */

class Reader extends MetricReader {
  protected async onShutdown() {}
  protected async onForceFlush() {}
}

/** Every type of metric and attribute that the SDK makes. */
async function everyMetric(temporality: AggregationTemporality): Promise<ResourceMetrics> {
  const reader = new Reader({ aggregationTemporalitySelector: () => temporality })
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'shop', 'service.ports': [80, 443], debug: false, weight: 0.5 }),
    readers: [reader],
    views: [{ instrumentName: 'size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  })
  const meter = provider.getMeter('shop', '1.2.0', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' })
  const attributes = { route: '/é', retry: true, code: 200, share: 0.25, hosts: ['a', 'b'] }
  meter
    .createCounter('requests', { unit: '{request}', description: 'Requests.' })
    .add(Number.MAX_SAFE_INTEGER, attributes)
  meter.createCounter('seconds').add(0.1, attributes)
  meter.createUpDownCounter('load').add(-1.5)
  meter.createGauge('temperature').record(-273.15, attributes)
  meter.createObservableGauge('observed').addCallback((result) => result.observe(7, attributes))
  const duration = meter.createHistogram('duration', { unit: 's' })
  const size = meter.createHistogram('size', { unit: 'By' })
  for (const value of [0, 0.1, 7, 3000]) {
    duration.record(value, attributes)
    size.record(value, attributes)
  }
  const { resourceMetrics, errors } = await reader.collect()
  await provider.shutdown()
  expect(errors).toEqual([])
  return resourceMetrics
}

/** As the reference reads it, what may be left out filled in. */
function meaning(request: Uint8Array): object {
  return ExportMetricsServiceRequest.toObject(ExportMetricsServiceRequest.decode(request), {
    longs: String,
    defaults: true,
  })
}

function send(exporter: PushMetricExporter, metrics: ResourceMetrics): Promise<void> {
  return new Promise((resolve, reject) => {
    exporter.export(metrics, ({ code, error }) =>
      Number(code) === 0 ? resolve() : reject(error ?? new Error(`code ${code}`)),
    )
  })
}

const exporters: readonly [string, (address: { HTTP?: string; gRPC?: string }) => PushMetricExporter][] = [
  ['HTTP in protobuf', ({ HTTP }) => new ProtobufExporter({ url: `http://${HTTP}/v1/metrics` })],
  ['HTTP in JSON', ({ HTTP }) => new JsonExporter({ url: `http://${HTTP}/v1/metrics` })],
  ['gRPC', ({ gRPC }) => new GrpcExporter({ url: `http://${gRPC}` })],
  [
    'HTTP in protobuf with gzip',
    ({ HTTP }) => new ProtobufExporter({ url: `http://${HTTP}/v1/metrics`, compression: CompressionAlgorithm.GZIP }),
  ],
  [
    'HTTP in JSON with gzip',
    ({ HTTP }) => new JsonExporter({ url: `http://${HTTP}/v1/metrics`, compression: CompressionAlgorithm.GZIP }),
  ],
  ['gRPC with gzip', ({ gRPC }) => new GrpcExporter({ url: `http://${gRPC}`, compression: CompressionAlgorithm.GZIP })],
]

describe("OpenTelemetry's own exporter", () => {
  it.each(exporters)('over %s: every metric arrives as it was sent', async (_protocol, make) => {
    const otlp = '{ protocols: { http: { endpoint: "localhost:0" }, grpc: { endpoint: "localhost:0" } } }'
    const { addresses, arrived } = await startReceiving({ otlp })
    const exporter = make(addresses)
    cleanups.push(() => exporter.shutdown())
    const cumulative = await everyMetric(AggregationTemporality.CUMULATIVE)
    const delta = await everyMetric(AggregationTemporality.DELTA)
    await send(exporter, cumulative)
    await send(exporter, delta)
    const expected = [cumulative, delta].map((metrics) =>
      meaning(ProtobufMetricsSerializer.serializeRequest(metrics) as Uint8Array),
    )
    expect((await arrived(2)).map(meaning)).toEqual(expected)
  })
})
