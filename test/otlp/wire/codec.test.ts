import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { hostOverrider } from '../../../src/datadog/host.ts'
import { tagMerger } from '../../../src/datadog/tags.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { compacted } from '../../../src/otlp/common/compaction.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { MalformedError } from '../../../src/otlp/wire/check.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { Resource } from '../../../src/otlp/common/resource.ts'
import { KeySearch } from '../../../src/otlp/wire/key_search.ts'
import { atOnce } from '../../../src/time/turns.ts'
import { runs } from '../../kit/fuzzing.ts'
import { ExportMetricsServiceRequest as Reference, Metric } from '../../kit/otlp_proto.ts'
import { metric, request } from '../../kit/otlp_requests.ts'

function referenceEncode(value: object): Uint8Array {
  return Reference.encode(Reference.fromObject(value)).finish()
}

/** What the reference decoder reads, with defaults filled in, so that equal meaning is equal data. */
function meaning(bytes: Uint8Array): object {
  return Reference.toObject(Reference.decode(bytes), { longs: String, bytes: String, arrays: true, defaults: true })
}

/** The same batch, written anew from its objects. */
function rewritten(bytes: Uint8Array): Uint8Array {
  return MetricBatch.fromResources(MetricBatch.fromOtlp(bytes).resources).toOtlp()
}

/** The bytes of a metric alone. */
function metricBytes(value: object): Uint8Array {
  return Metric.encode(Metric.fromObject(value)).finish()
}

/** A length-delimited field. */
function nest(field: number, inner: Uint8Array): Buffer {
  const length: number[] = []
  for (let rest = inner.length; ; rest >>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), inner])
}

interface Meaning {
  resourceMetrics: {
    resource: {
      attributes: { key: string; value: object }[]
      droppedAttributesCount: number
      entityRefs: object[]
    } | null
    scopeMetrics: { metrics: { name: string }[] }[]
  }[]
}

describe('the protobuf form of a batch', () => {
  it('means the same to the reference decoder after it was read and written, for every kind of metric and value', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = referenceEncode(value)
        expect(meaning(rewritten(bytes))).toEqual(meaning(bytes))
      }),
      runs(300),
    )
  })

  it('hands out the bytes it was made from as they came', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = referenceEncode(value)
        expect(MetricBatch.fromOtlp(bytes).toOtlp()).toBe(bytes)
      }),
      runs(100),
    )
  })

  it('keeps fields it does not know', () => {
    const unknownField = Buffer.from([0xa2, 0x06, 0x03, 1, 2, 3]) // field 100, three bytes
    const point = Buffer.concat([Buffer.from([0x19, 1, 0, 0, 0, 0, 0, 0, 0]), unknownField])
    const metric = Buffer.concat([nest(5, nest(1, point)), unknownField])
    const bytes = nest(
      1,
      Buffer.concat([
        nest(1, Buffer.alloc(0)),
        nest(2, Buffer.concat([nest(1, Buffer.alloc(0)), nest(2, metric)])),
        unknownField,
      ]),
    )
    expect(Buffer.from(rewritten(bytes))).toEqual(bytes)
  })

  it('answers damaged bytes with one clear error or with what the reference reads', () => {
    fc.assert(
      fc.property(request, fc.nat(), fc.option(fc.record({ at: fc.nat(), bit: fc.nat(7) })), (value, length, flip) => {
        const whole = referenceEncode(value)
        const bytes = Buffer.from(whole.subarray(0, whole.length - (length % (whole.length + 1))))
        if (flip !== null && bytes.length > 0) bytes[flip.at % bytes.length] ^= 1 << flip.bit
        try {
          MetricBatch.fromOtlp(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
          expect((error as Error).message).toMatch(
            /^(request|resource_metrics\[\d+\](\.scope_metrics\[\d+\](\.metrics\[\d+\])?)?): /,
          )
        }
      }),
      runs(500),
    )
  })

  it('edits through its views as the decoded objects would be edited, written oddly or not', () => {
    const rename = (name: string): string => `heka.${name}`
    fc.assert(
      fc.property(request, fc.array(fc.tuple(metric, metric), { maxLength: 2 }), (value, twins) => {
        // Metrics whose fields stand twice: what two encodings in a row mean is for the decoder to say.
        const odd = twins.map(([first, second]) => {
          const both = Buffer.concat([metricBytes(first), metricBytes(second)])
          return nest(1, nest(2, nest(2, both)))
        })
        const bytes = Buffer.concat([referenceEncode(value), ...odd])
        const batch = MetricBatch.fromOtlp(bytes)
        const edited = batch
          .mapMetrics((each) => each.withName(rename(each.name)))
          .mapResources((resource) => resource.withAttributes(resource.attributes.with({ env: 'prod' })))
        const expected = meaning(bytes) as Meaning
        for (const entry of expected.resourceMetrics) {
          for (const { metrics } of entry.scopeMetrics) for (const each of metrics) each.name = rename(each.name)
          entry.resource ??= { attributes: [], droppedAttributesCount: 0, entityRefs: [] }
          const value = { stringValue: 'prod' }
          const known = entry.resource.attributes.find(({ key }) => key === 'env')
          if (known === undefined) entry.resource.attributes.push({ key: 'env', value })
          else known.value = value
        }
        expect(meaning(edited.toOtlp())).toEqual(expected)
        expect(edited.pointCount).toBe(batch.pointCount)
      }),
      runs(200),
    )
  })

  it('reads only the points that may have an attribute it is asked for', () => {
    fc.assert(
      fc.property(request, fc.string({ maxLength: 3 }), (value, key) => {
        const batch = MetricBatch.fromOtlp(referenceEncode(value))
        const without = (point: DataPoint): DataPoint => point.withAttributes(point.attributes.without(new Set([key])))
        expect(meaning(batch.mapPointsWith(new KeySearch([key]), without).toOtlp())).toEqual(
          meaning(batch.mapPoints(without).toOtlp()),
        )
      }),
      runs(100),
    )
    const plain = MetricBatch.fromOtlp(
      referenceEncode({
        resourceMetrics: [
          { scopeMetrics: [{ metrics: [{ gauge: { dataPoints: [{ attributes: [{ key: 'a' }] }] } }] }] },
        ],
      }),
    )
    const fail = (): never => {
      throw new Error('The point was read.')
    }
    expect(plain.mapPointsWith(['b'], fail)).toBe(plain)
    expect(() => plain.mapPointsWith(['a'], fail)).toThrow('The point was read.')
  })

  it('changes each of many requests as if it were the only one', () => {
    const attribute = fc.record({
      key: fc.constantFrom('env', 'host', 'host.name', 'cpu', 'tier'),
      value: fc.oneof(fc.record({ stringValue: fc.string({ maxLength: 3 }) }), fc.record({ boolValue: fc.boolean() })),
    })
    const attributes = fc.array(attribute, { maxLength: 3 })
    const metric = fc.record({
      name: fc.string({ unit: 'binary', maxLength: 4 }),
      gauge: fc.record({ dataPoints: fc.array(fc.record({ attributes }), { minLength: 1, maxLength: 3 }) }),
    })
    const resourceMetrics = fc.array(
      fc.record({
        resource: fc.record({ attributes }),
        scopeMetrics: fc.array(fc.record({ metrics: fc.array(metric, { maxLength: 3 }) }), { maxLength: 2 }),
      }),
      { maxLength: 3 },
    )
    const steps = () => {
      const [tagged, kept] = [tagMerger(['env:prod', 'tier:one'], 'override'), tagMerger(['cpu:0'], 'keep')]
      const named = hostOverrider('web-1', 'override')
      return (bytes: Uint8Array) =>
        named(kept(tagged(MetricBatch.fromOtlp(bytes).mapMetrics((metric) => metric.withName(`heka.${metric.name}`)))))
    }
    const shared = steps()
    fc.assert(
      fc.property(fc.array(resourceMetrics, { minLength: 1, maxLength: 4 }), (requests) => {
        for (const value of requests) {
          const bytes = referenceEncode({ resourceMetrics: value })
          const alone = steps()(bytes)
          // Without what is known of resources that came before.
          const objects = MetricBatch.fromResources(
            alone.resources.map((entry) =>
              entry.withResource(new Resource({ attributes: Attributes.from([...entry.resource.attributes]) })),
            ),
          )
          const changed = shared(bytes)
          expect(meaning(changed.toOtlp())).toEqual(meaning(objects.toOtlp()))
          expect(meaning(atOnce(compacted(MetricBatch.merge([changed, changed]))).toOtlp())).toEqual(
            meaning(Buffer.concat([changed.toOtlp(), changed.toOtlp()])),
          )
        }
      }),
      runs(200),
    )
  })

  it('finds points by the keys of their attributes in whatever order the metrics stand', () => {
    const metrics = ['one', 'two', 'three'].map((name) => ({
      name,
      gauge: { dataPoints: [{ attributes: [{ key: 'env', value: { stringValue: 'dev' } }] }] },
    }))
    const batch = MetricBatch.fromOtlp(referenceEncode({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }))
    const [resource] = batch.resources
    const [scope] = resource.scopes
    const reversed = MetricBatch.fromResources([
      resource.withScopes([scope.withMetrics(scope.metrics.toReversed())]),
    ]).mapPointsWith(new KeySearch(['env']), (point) => point.withAttributes(Attributes.empty))
    for (const { metric } of reversed.metrics()) expect(metric.points[0].attributes.size).toBe(0)
  })

  it('refuses a length of more than five bytes, which the reference does not read either', () => {
    // ResourceMetrics, ScopeMetrics, Metric and string name, of which the last is "abcd".
    const name = [0x0a, 0x84, 0x80, 0x80, 0x80, 0x80, 0x01, ...Buffer.from('abcd')]
    const nested = [0x12, 0x12].reduce((inner, tag) => [tag, inner.length, ...inner], name)
    const bytes = Buffer.from([0x0a, nested.length, ...nested])
    expect(() => Reference.decode(bytes)).toThrow()
    expect(() => MetricBatch.fromOtlp(bytes)).toThrow('a length is longer than five bytes')
  })

  it('writes a batch as it is after one that could not be written', () => {
    const batchOf = (value: number, isInt: boolean): MetricBatch =>
      MetricBatch.of({
        resource: { 'host.name': 'a' },
        metrics: [{ name: 'm', type: 'gauge', points: [new NumberPoint({ value, isInt })] }],
      })
    const right = batchOf(2, true).toOtlp()
    for (let time = 0; time < 3; time++) {
      expect(() => batchOf(1.5, true).toOtlp()).toThrow(RangeError)
      expect(batchOf(2, true).toOtlp()).toEqual(right)
    }
  })

  it('holds int64 values and nanoseconds beyond 2^53 exactly', () => {
    const bytes = referenceEncode({
      resourceMetrics: [
        {
          scopeMetrics: [
            {
              metrics: [
                { sum: { dataPoints: [{ asInt: '9223372036854775807', timeUnixNano: '18446744073709551615' }] } },
              ],
            },
          ],
        },
      ],
    })
    const [point] = MetricBatch.fromOtlp(bytes).resources[0].scopes[0].metrics[0].points
    expect(point).toMatchObject({ value: 9223372036854775807n, isInt: true, timeUnixNano: 18446744073709551615n })
    expect(meaning(rewritten(bytes))).toEqual(meaning(bytes))
  })

  it('gives the attributes of a point to one of another kind, under whose number they stand', () => {
    const dataPoints = [{ count: 1, attributes: [{ key: 'a', value: { stringValue: 'b' } }] }]
    const bytes = referenceEncode({
      resourceMetrics: [
        {
          scopeMetrics: [{ metrics: [{ histogram: { dataPoints } }, { exponentialHistogram: { dataPoints } }] }],
        },
      ],
    })
    const counts = MetricBatch.fromOtlp(bytes).mapMetrics((metric) =>
      metric.with({
        type: 'gauge',
        points: metric.points.map(({ attributes }) => new NumberPoint({ value: 1, attributes })),
      }),
    )
    for (const { metric } of MetricBatch.fromOtlp(counts.toOtlp()).metrics()) {
      expect(metric.points[0].attributes.toObject()).toEqual({ a: 'b' })
    }
  })
})
