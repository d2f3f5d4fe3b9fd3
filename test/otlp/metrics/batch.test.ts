import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { compacted } from '../../../src/otlp/common/compaction.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { splitBatch } from '../../../src/otlp/common/split.ts'
import { atOnce } from '../../../src/time/turns.ts'

const compact = (of: MetricBatch): MetricBatch => atOnce(compacted(of))

function gauge(name: string, ...values: number[]) {
  const attributes = Attributes.of({ cpu: '0' })
  return { name, type: 'gauge' as const, points: values.map((value) => new NumberPoint({ value, attributes })) }
}

const batch = MetricBatch.of(
  { resource: { 'host.name': 'a' }, metrics: [gauge('one', 1, 2), gauge('two', 3)] },
  { resource: { 'host.name': 'b' }, metrics: [gauge('three', 4)] },
)

function names(of: MetricBatch): string[] {
  return [...of.metrics()].map(({ metric }) => metric.name)
}

function values(of: MetricBatch): unknown[] {
  return [...of.metrics()].flatMap(({ metric }) => metric.points.map((point) => (point as NumberPoint).value))
}
describe('a batch', () => {
  it('is the same batch when nothing changed', () => {
    expect(batch.mapResources((resource) => resource)).toBe(batch)
    expect(batch.mapMetrics((metric) => metric.withName(metric.name))).toBe(batch)
    expect(batch.mapPoints((point) => point)).toBe(batch)
    expect(batch.filterMetrics(() => true)).toBe(batch)
    expect(batch.filterPoints(() => true)).toBe(batch)
  })

  it('shares what did not change', () => {
    const renamed = batch.mapMetrics((metric) => (metric.name === 'one' ? metric.withName('uno') : metric))
    expect(names(renamed)).toEqual(['uno', 'two', 'three'])
    expect(names(batch)).toEqual(['one', 'two', 'three'])
    expect(renamed.resources[1]).toBe(batch.resources[1])
    expect(renamed.resources[0].scopes[0].metrics[1]).toBe(batch.resources[0].scopes[0].metrics[1])
    expect(renamed.resources[0].scopes[0].metrics[0].points).toBe(batch.resources[0].scopes[0].metrics[0].points)
  })

  it('loses resources, scopes and metrics that a filter leaves empty', () => {
    const filtered = batch.filterMetrics((metric) => metric.name === 'three')
    expect(filtered.resources).toHaveLength(1)
    expect(filtered.pointCount).toBe(1)
    expect(names(batch.filterPoints((point) => (point as NumberPoint).value === 2))).toEqual(['one'])
    expect(batch.filterMetrics(() => false).resources).toEqual([])
  })

  it('counts its data points', () => {
    expect(batch.pointCount).toBe(4)
    expect(MetricBatch.empty.pointCount).toBe(0)
  })

  it.each([
    ['objects', batch],
    ['bytes', MetricBatch.fromOtlp(batch.toOtlp())],
  ])('counts its data points after every kind of change, made from %s', (_, from) => {
    const renamed = from.mapMetrics((metric) => metric.withName(`x.${metric.name}`))
    expect(renamed.pointCount).toBe(4)
    expect(renamed.mapResources((resource) => resource.withAttributes(Attributes.empty)).pointCount).toBe(4)
    expect(renamed.mapMetrics((metric) => metric.withPoints(metric.points.slice(1))).pointCount).toBe(1)
    expect(renamed.filterPoints((point) => (point as NumberPoint).value !== 1).pointCount).toBe(3)
    expect(MetricBatch.merge([renamed, from]).pointCount).toBe(8)
  })

  it('merges with others in order, from objects and from bytes', () => {
    expect(values(MetricBatch.merge([batch, batch]))).toEqual([1, 2, 3, 4, 1, 2, 3, 4])
    const encoded = MetricBatch.fromOtlp(batch.toOtlp())
    const merged = MetricBatch.merge([encoded, encoded])
    expect(values(merged)).toEqual([1, 2, 3, 4, 1, 2, 3, 4])
    expect(values(MetricBatch.fromOtlp(merged.toOtlp()))).toEqual([1, 2, 3, 4, 1, 2, 3, 4])
  })

  it('stays the bytes it came as when it was only read, however small it is', () => {
    const bytes = MetricBatch.of({ resource: { 'host.name': 'a'.repeat(60) }, metrics: [gauge('one', 1)] }).toOtlp()
    // ResourceMetrics with its schema_url in front.
    const moved = Buffer.from([0x0a, bytes[1] + 3, 0x1a, 0x01, 0x75, ...bytes.subarray(2)])
    expect(bytes[1]).toBeLessThan(125)
    const request = MetricBatch.fromOtlp(moved)
    expect(values(request.filterMetrics(() => true))).toEqual([1])
    expect(compact(request)).toBe(request)
    expect(request.toOtlp()).toBe(moved)
  })

  it('lets go of the request it came in when little of it is left', () => {
    const metrics = Array.from({ length: 200 }, (_, index) => gauge(`metric.${index}`, index))
    const request = MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'host.name': 'a' }, metrics }).toOtlp())
    expect(compact(request)).toBe(request)
    expect(compact(request.mapMetrics((metric) => metric.withName(`x.${metric.name}`))).pointCount).toBe(200)
    const little = request.filterMetrics(({ name }) => name === 'metric.7')
    const compacted = compact(little)
    expect(compacted).not.toBe(little)
    expect(values(compacted)).toEqual([7])
    for (const { metric } of compacted.metrics()) {
      expect(metric.encoded?.source.bytes.buffer.byteLength).toBeLessThanOrEqual(compacted.toOtlp().length)
    }
    const changed = little.mapPoints((point) => (point as NumberPoint).with({ value: 8 }))
    expect(compact(changed)).not.toBe(changed)
    expect(values(compact(changed))).toEqual([8])
  })

  it('lets go of the request when nothing but its resources is left in it, and keeps its metrics as they are', () => {
    const delta = new CumulativeToDelta({ initialValue: 'keep' })
    const metrics = Array.from({ length: 20 }, (_, index) => ({
      name: `metric.${index}`,
      type: 'sum' as const,
      temporality: 'cumulative' as const,
      monotonic: true,
      points: [new NumberPoint({ value: 1, timeUnixNano: 10n })],
    }))
    const request = MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'host.name': 'a' }, metrics }).toOtlp())
    const differences = delta.apply(request, {
      created: () => undefined,
      merged: () => undefined,
      dropped: () => undefined,
    })
    const compacted = compact(differences)
    const [{ resource, scopes }] = compacted.resources
    expect(resource.attributes.text('host.name')).toBe('a')
    expect(resource.encoded?.source.bytes.buffer.byteLength).toBeLessThan(request.toOtlp().length / 4)
    expect(scopes[0].metrics[7]).toBe(differences.resources[0].scopes[0].metrics[7])
    expect(compacted.toOtlp()).toEqual(differences.toOtlp())
  })

  it.each([1, 2, 3, 4, 5])('splits into parts of at most %i points that together are the batch', (size) => {
    const parts = splitBatch(batch, size)
    expect(parts.flatMap(values)).toEqual([1, 2, 3, 4])
    expect(parts.map((part) => part.pointCount)).toEqual(
      Array.from({ length: Math.ceil(4 / size) }, (_, index) => Math.min(size, 4 - index * size)),
    )
  })

  it('keeps the resource of each part when it splits', () => {
    const hosts = splitBatch(batch, 3).map((part) =>
      part.resources.map(({ resource }) => resource.attributes.get('host.name')),
    )
    expect(hosts).toEqual([['a'], ['b']])
  })
})
