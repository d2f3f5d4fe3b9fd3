import { describe, expect, it } from '@jest/globals'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import { fromSdk } from '../../../src/otlp/metrics/sdk.ts'

/** `ValueType.INT` of the OpenTelemetry API. */
const INT = 0

class ManualReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

describe('fromSdk', () => {
  it('makes a batch of what the OpenTelemetry SDK has collected', async () => {
    const reader = new ManualReader()
    const provider = new MeterProvider({ readers: [reader] })
    const meter = provider.getMeter('shop', '1.0')
    meter.createCounter('orders', { unit: '{order}', valueType: INT }).add(3, { kind: 'book' })
    meter.createHistogram('latency', { advice: { explicitBucketBoundaries: [1, 5] } }).record(2)
    const { resourceMetrics } = await reader.collect()
    const batch = fromSdk(resourceMetrics)
    await provider.shutdown()
    const [orders, latency] = batch.metrics()
    expect(orders.scope).toMatchObject({ name: 'shop', version: '1.0' })
    expect(orders.metric).toMatchObject({
      name: 'orders',
      unit: '{order}',
      type: 'sum',
      temporality: 'cumulative',
      monotonic: true,
      points: [{ value: 3, isInt: true }],
    })
    expect(orders.metric.points[0].attributes.toObject()).toEqual({ kind: 'book' })
    expect(latency.metric).toMatchObject({ type: 'histogram', points: [{ count: 1, sum: 2, bucketCounts: [0, 1, 0] }] })
    expect(orders.resource.attributes.has('service.name')).toBe(true)
  })
})
