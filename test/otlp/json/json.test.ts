import { describe, expect, it } from '@jest/globals'
import { JsonMetricsSerializer, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import fc from 'fast-check'
import { Writer } from 'protobufjs'
import type { Type } from 'protobufjs'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { Metric } from '../../../src/otlp/metrics/metric.ts'
import { HistogramPoint, NumberPoint, SummaryPoint } from '../../../src/otlp/metrics/points.ts'
import { runs } from '../../kit/fuzzing.ts'
import { jsonToProtobuf } from '../../kit/otlp_json_reference.ts'
import { ExportMetricsServiceRequest, Metric as ReferenceMetric } from '../../kit/otlp_proto.ts'
import { metric, request } from '../../kit/otlp_requests.ts'

const encode = (type: Type, value: object): Uint8Array => type.encode(type.fromObject(value)).finish()
const nest = (field: number, bytes: Uint8Array): Uint8Array =>
  Writer.create()
    .uint32((field << 3) | 2)
    .bytes(bytes)
    .finish()

/** What the reference reads, where a message that is not there means the same as one without fields. */
function meaning(bytes: Uint8Array): unknown {
  const options = { longs: String, bytes: String, arrays: true, defaults: true }
  const read = ExportMetricsServiceRequest.toObject(ExportMetricsServiceRequest.decode(bytes), options)
  const empty: Record<string, unknown> = {
    resource: { attributes: [], droppedAttributesCount: 0, entityRefs: [] },
    scope: { name: '', version: '', attributes: [], droppedAttributesCount: 0 },
    value: {},
  }
  const fill = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(fill)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, item === null && key in empty ? empty[key] : fill(item)]),
    )
  }
  return fill(read)
}

class Reader extends MetricReader {
  protected async onShutdown() {}
  protected async onForceFlush() {}
}

/** Without what proto3's JSON mapping lets a writer leave out, and with 64-bit integers as text. */
function canonical(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item, key))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .map(([name, item]) => [name, canonical(item, name)] as const)
        .filter(([, item]) => item !== '' && item !== undefined && !(Array.isArray(item) && item.length === 0))
        .filter(([name, item]) => !(item === 0 && ['droppedAttributesCount', 'flags'].includes(name))),
    )
  }
  return ['asInt', 'intValue', 'count', 'zeroCount', 'bucketCounts'].includes(key) ? String(value) : value
}

const valueOf = (json: string): Record<string, unknown> =>
  (JSON.parse(json) as { resourceMetrics: { scopeMetrics: { metrics: Record<string, unknown>[] }[] }[] })
    .resourceMetrics[0].scopeMetrics[0].metrics[0]

describe('toOtlpJson', () => {
  it('writes what the OpenTelemetry SDK writes for the same metrics', async () => {
    const reader = new Reader({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE })
    const provider = new MeterProvider({
      readers: [reader],
      views: [{ instrumentName: 'size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
    })
    const meter = provider.getMeter('shop', '1.2.0', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' })
    meter.createCounter('requests', { unit: '{request}', description: 'Requests.' }).add(3, { route: '/', retry: true })
    meter.createUpDownCounter('load').add(-1.5, { list: ['a', 'b'] })
    meter.createGauge('temperature').record(21.5)
    const duration = meter.createHistogram('duration', { unit: 's' })
    const size = meter.createHistogram('size')
    for (const value of [0, 0.1, 7, 3000]) {
      duration.record(value)
      size.record(value)
    }
    const { resourceMetrics } = await reader.collect()
    const protobuf = ProtobufMetricsSerializer.serializeRequest(resourceMetrics) as Uint8Array
    const json = JsonMetricsSerializer.serializeRequest(resourceMetrics) as Uint8Array
    await provider.shutdown()

    const written: unknown = JSON.parse(toOtlpJson(MetricBatch.fromOtlp(protobuf)))
    expect(canonical(written)).toEqual(canonical(JSON.parse(new TextDecoder().decode(json))))
  })

  it('keeps integers beyond 2^53, and writes times and integers as text', () => {
    const point = new NumberPoint({ value: 2n ** 62n, timeUnixNano: 1_700_000_000_123_456_789n, startTimeUnixNano: 1n })
    const batch = MetricBatch.of({ metrics: [{ name: 'bytes', type: 'sum', temporality: 'delta', points: [point] }] })
    expect(valueOf(toOtlpJson(batch))).toEqual({
      name: 'bytes',
      sum: {
        aggregationTemporality: 1,
        isMonotonic: false,
        dataPoints: [{ asInt: '4611686018427387904', timeUnixNano: '1700000000123456789', startTimeUnixNano: '1' }],
      },
    })
  })

  it('writes ids as hex, other bytes as base64, and NaN and infinities as text', () => {
    const attributes = Attributes.of({ raw: Uint8Array.of(251, 255), nested: { depth: 1, list: [0.5, undefined] } })
    const exemplar = {
      filteredAttributes: Attributes.empty,
      timeUnixNano: 2n,
      value: NaN,
      isInt: false,
      spanId: Uint8Array.of(0, 17, 34, 51, 68, 85, 102, 255),
      traceId: new Uint8Array(16).fill(171),
    }
    const point = new HistogramPoint({
      attributes,
      count: 1,
      sum: Infinity,
      bucketCounts: [0, 1],
      explicitBounds: [10],
      exemplars: [exemplar],
      flags: 1,
    })
    const json = toOtlpJson(
      MetricBatch.of({ metrics: [{ type: 'histogram', temporality: 'cumulative', points: [point] }] }),
    )
    expect(valueOf(json)).toEqual({
      histogram: {
        aggregationTemporality: 2,
        dataPoints: [
          {
            attributes: [
              { key: 'raw', value: { bytesValue: '+/8=' } },
              {
                key: 'nested',
                value: {
                  kvlistValue: {
                    values: [
                      { key: 'depth', value: { intValue: '1' } },
                      { key: 'list', value: { arrayValue: { values: [{ doubleValue: 0.5 }, {}] } } },
                    ],
                  },
                },
              },
            ],
            timeUnixNano: '0',
            count: '1',
            sum: 'Infinity',
            bucketCounts: ['0', '1'],
            explicitBounds: [10],
            exemplars: [{ timeUnixNano: '2', asDouble: 'NaN', spanId: '00112233445566ff', traceId: 'ab'.repeat(16) }],
            flags: 1,
          },
        ],
      },
    })
  })

  it('writes summaries, points without a value and metrics without data', () => {
    const summary = new SummaryPoint({ count: 2, sum: 3, quantileValues: [{ quantile: 0.5, value: 1.5 }] })
    const batch = MetricBatch.of({
      metrics: [
        { name: 'summary', type: 'summary', points: [summary] },
        { name: 'gone', type: 'gauge', points: [new NumberPoint({ flags: 1 })] },
        new Metric({ name: 'nothing', type: 'none' }),
      ],
    })
    const json = JSON.parse(toOtlpJson(batch)) as { resourceMetrics: { scopeMetrics: { metrics: unknown }[] }[] }
    expect(json.resourceMetrics[0].scopeMetrics[0].metrics).toEqual([
      {
        name: 'summary',
        summary: {
          dataPoints: [{ timeUnixNano: '0', count: '2', sum: 3, quantileValues: [{ quantile: 0.5, value: 1.5 }] }],
        },
      },
      { name: 'gone', gauge: { dataPoints: [{ timeUnixNano: '0', flags: 1 }] } },
      { name: 'nothing' },
    ])
  })

  it('means what the reference reads in the bytes, also where a message stands in two parts', () => {
    fc.assert(
      fc.property(request, metric, metric, (value, first, second) => {
        const parts = Buffer.concat([encode(ReferenceMetric, first), encode(ReferenceMetric, second)])
        const bytes = Buffer.concat([encode(ExportMetricsServiceRequest, value), nest(1, nest(2, nest(2, parts)))])
        expect(meaning(jsonToProtobuf(toOtlpJson(MetricBatch.fromOtlp(bytes))))).toEqual(meaning(bytes))
      }),
      runs(300),
    )
  })

  it('writes the last of values that stand twice, and lists of which no number is packed', () => {
    const point = Buffer.from('21010000000000000021020000000000000031030000000000000031ffffffffffffffff', 'hex')
    const json = toOtlpJson(MetricBatch.fromOtlp(nest(1, nest(2, nest(2, nest(9, nest(1, point)))))))
    expect(valueOf(json)).toMatchObject({
      histogram: { dataPoints: [{ count: '2', bucketCounts: ['3', '18446744073709551615'] }] },
    })
  })

  it('is one line', () => {
    expect(toOtlpJson(MetricBatch.of({ resource: { text: 'two\nlines' }, metrics: [] }))).not.toContain('\n')
  })
})
