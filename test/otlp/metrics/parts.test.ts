import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { ResourceMetrics } from '../../../src/otlp/metrics/metric.ts'
import type { Metric } from '../../../src/otlp/metrics/metric.ts'
import { inParts, PART, partsOf } from '../../../src/otlp/common/parts.ts'
import type { Grain } from '../../../src/otlp/common/parts.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { atOnce } from '../../../src/time/turns.ts'
import { runs } from '../../kit/fuzzing.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { request } from '../../kit/otlp_requests.ts'

/** Requests in which some metrics have thousands of points, as bytes and as objects. */
const batches = fc
  .tuple(request, fc.array(fc.nat(1200), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([fields, times, asBytes]) => {
    let index = 0
    const many = (metric: Metric): Metric => {
      const { points } = metric
      const repeated = Array.from({ length: times[index++ % times.length] }, () => points).flat()
      return points.length === 0 ? metric : metric.withPoints(repeated)
    }
    const bytes = ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.fromObject(fields)).finish()
    const batch = MetricBatch.fromOtlp(bytes).mapMetrics(many)
    return asBytes ? MetricBatch.fromOtlp(batch.toOtlp()) : batch
  })

const property = (test: (batch: MetricBatch) => void): void => fc.assert(fc.property(batches, test), runs(30))

describe('the parts of a batch', () => {
  it('hold all of its points, in order, and few each', () => {
    property((batch) => {
      const parts = Array.from(partsOf(batch), (part) => part.batch)
      for (const part of parts) expect(part.pointCount).toBeLessThanOrEqual(PART)
      expect(parts.reduce((points, part) => points + part.pointCount, 0)).toBe(batch.pointCount)
      const texts = (all: readonly MetricBatch[]): string[] =>
        all
          .flatMap((each) => Array.from(each.metrics()))
          .flatMap(({ metric }) =>
            metric.points.map(
              ({ timeUnixNano, attributes }) => `${metric.name} ${timeUnixNano} ${attributes.identity}`,
            ),
          )
      expect(texts(parts)).toEqual(texts([batch]))
    })
  })

  it('are the same batch again where nothing changed', () => {
    property((batch) => {
      expect(atOnce(inParts(batch, (part) => part))).toBe(batch)
      expect(atOnce(inParts(batch, (part) => part, 'items'))).toBe(batch)
      expect(atOnce(inParts(batch, (part) => part, 'resources'))).toBe(batch)
    })
  })

  it('are what was written, once each is written by itself', () => {
    property((batch) => {
      const written = atOnce(inParts(batch, (part) => MetricBatch.fromOtlp(part.toOtlp())))
      expect(toOtlpJson(written)).toBe(toOtlpJson(batch))
      expect(written.pointCount).toBe(batch.pointCount)
    })
  })

  const isEven = (point: DataPoint): boolean => point.startTimeUnixNano % 2n === 0n
  it.each<[string, (batch: MetricBatch) => MetricBatch, grain?: Grain]>([
    [
      'changes points',
      (batch) =>
        batch.mapPoints((point) =>
          isEven(point) ? point.withAttributes(point.attributes.with({ even: true })) : point,
        ),
    ],
    ['leaves out points', (batch) => batch.filterPoints(isEven)],
    ['leaves out metrics', (batch) => batch.filterMetrics(({ name }) => name.length % 2 === 0)],
    ['leaves out all', (batch) => batch.filterPoints(() => false)],
    [
      'changes resources',
      (batch) => batch.mapResources((resource) => resource.withAttributes(resource.attributes.with({ a: 'b' }))),
    ],
    [
      'adds a resource for each',
      (batch) =>
        batch.withResources(
          batch.resources.flatMap((entry) => [entry, new ResourceMetrics({ resource: entry.resource, scopes: [] })]),
        ),
      'resources',
    ],
    ['renames metrics', (batch) => batch.mapMetrics((metric) => metric.withName(`a.${metric.name}`)), 'items'],
  ])('become the same as the batch at once by what %s', (_, change, ...[grain]) => {
    property((batch) => {
      const [whole, divided] = [change(batch), atOnce(inParts(batch, change, grain))]
      expect(toOtlpJson(divided)).toBe(toOtlpJson(whole))
      expect(divided.pointCount).toBe(whole.pointCount)
      expect(divided.everyMetric((metric) => metric.pointsUnchanged)).toBe(
        whole.everyMetric((metric) => metric.pointsUnchanged),
      )
    })
  })
})

describe('the objects of a batch that is worked on part by part', () => {
  const histogram = (points: number): object => ({
    name: 'h',
    histogram: { dataPoints: Array.from({ length: points }, (_, count) => ({ count, bucketCounts: [count] })) },
  })
  const batchOf = (...metrics: readonly object[]): MetricBatch => {
    const fields = ExportMetricsServiceRequest.fromObject({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] })
    return MetricBatch.fromOtlp(ExportMetricsServiceRequest.encode(fields).finish())
  }
  const tagged = (batch: MetricBatch): MetricBatch =>
    batch.mapPoints((point) => point.withAttributes(point.attributes.with({ a: 'b' })))

  it('become bytes where they were changed, which say so', () => {
    const batch = batchOf(histogram(3000), histogram(10))
    const changed = atOnce(inParts(batch, tagged))
    expect(toOtlpJson(changed)).toBe(toOtlpJson(tagged(batch)))
    for (const { metric } of changed.metrics()) {
      expect([metric.holdsObjects, metric.pointsUnchanged]).toEqual([false, false])
      expect(metric.withName('n').pointsUnchanged).toBe(false)
      expect(metric.with({ unit: 's' }).pointsUnchanged).toBe(false)
    }
  })

  it('are forgotten where they were only read', () => {
    const batch = batchOf(histogram(600), histogram(600), histogram(600))
    const read: DataPoint[] = []
    const reading = (part: MetricBatch): MetricBatch => {
      for (const { metric } of part.metrics()) read.push(...metric.points)
      return part
    }
    expect(atOnce(inParts(batch, reading))).toBe(batch)
    const again = Array.from(batch.metrics()).flatMap(({ metric }) => metric.points)
    expect(again).toHaveLength(1800)
    expect(again.filter((point, index) => point === read[index])).toEqual([])
  })
})
