import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { MetricIndex } from '../../../src/otlp/metrics/metric_index.ts'
import { ResourceMetrics } from '../../../src/otlp/metrics/metric.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { RememberedBytes } from '../../../src/otlp/common/remembered_bytes.ts'
import { perResource } from '../../../src/otlp/common/resource.ts'
import { splitBatch } from '../../../src/otlp/common/split.ts'

/** A request of one counter, as it comes from a sender. */
function request(host: string, value = 1, padding = 0): MetricBatch {
  const point = new NumberPoint({
    value,
    timeUnixNano: BigInt(value),
    attributes: Attributes.of({ pad: 'x'.repeat(padding) }),
  })
  const counter = { name: 'c', type: 'sum', temporality: 'cumulative', monotonic: true, points: [point] } as const
  return MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'host.name': host }, metrics: [counter] }).toOtlp())
}

const resourceOf = (batch: MetricBatch) => batch.resources[0].resource
const account = { created: () => undefined, merged: () => undefined, dropped: () => undefined }

describe('a resource that comes again', () => {
  it('is the same object, and keeps no request', () => {
    const [first, second] = [request('a', 1, 10_000), request('a', 2, 10_000)]
    expect(resourceOf(first)).toBe(resourceOf(second))
    expect(resourceOf(first)).not.toBe(resourceOf(request('b')))
    expect(resourceOf(first).encoded?.source.bytes.buffer.byteLength).toBeLessThan(100)
  })

  it('is changed once', () => {
    let changes = 0
    const change = perResource((resource) => {
      changes++
      return resource.withAttributes(resource.attributes.with({ env: 'prod' }))
    })
    const changed = [request('c'), request('c'), request('d'), request('c')].map((batch) => batch.mapResources(change))
    expect(changes).toBe(2)
    const hosts = changed.map((batch) => resourceOf(MetricBatch.fromOtlp(batch.toOtlp())).attributes.toObject())
    expect(hosts).toEqual(['c', 'c', 'd', 'c'].map((host) => ({ 'host.name': host, env: 'prod' })))
  })

  it('is forgotten among very many others', () => {
    const before = resourceOf(request('first'))
    for (let index = 0; index < 5000; index++)
      expect(resourceOf(request(`h${index}`)).attributes.text('host.name')).toBe(`h${index}`)
    expect(resourceOf(request('first'))).not.toBe(before)
    expect(resourceOf(request('first')).attributes).toEqual(before.attributes)
  })

  it('is read like any other when it is large', () => {
    const host = 'h'.repeat(10_000)
    expect(resourceOf(request(host)).attributes.text('host.name')).toBe(host)
  })

  it('stays known to an index of metrics as long as it comes', () => {
    const remembered = new RememberedBytes()
    const index = new MetricIndex(({ name }, { resource }) => `${name} ${resource.attributes.identity}`, remembered)
    const numberOf = (host: string, name?: string): number => {
      const [received] = request(host).metrics()
      const { metric } = received
      return index.numberOf(name === undefined ? metric : metric.withName(name), received)
    }
    numberOf('gone')
    const number = numberOf('kept')
    const renamed = numberOf('kept', 'renamed')
    for (const name of ['renamed', 'again']) numberOf('gone', name)
    const { used } = remembered
    index.keep(new Set([number, renamed]))
    expect(remembered.used).toBeLessThan(used / 2)
    // They get the numbers of what was forgotten, which must not be those that the kept ones stand below.
    for (let other = 0; other < 10; other++) expect([number, renamed]).not.toContain(numberOf(`other ${other}`))
    expect([numberOf('kept'), numberOf('kept', 'renamed')]).toEqual([number, renamed])
    index.keep(new Set())
    expect(remembered.used).toBe(0)
  })

  it('does not mix the series of several senders', () => {
    const delta = new CumulativeToDelta({ initialValue: 'keep' })
    const values = [1, 2, 3, 4].flatMap((value) =>
      ['x', 'y'].map((host, index) => {
        const [{ metric }] = delta.apply(request(host, value * (index + 1)), account).metrics()
        return (metric.points[0] as NumberPoint).value
      }),
    )
    expect(values).toEqual([1, 2, 1, 2, 1, 2, 1, 2])
  })

  it('is not joined with its double of which a part came with other fields', () => {
    const [fields] = request('e').resources
    const unknown = Uint8Array.of(0x98, 0x06, 0x01)
    const other = new ResourceMetrics({ resource: fields.resource, scopes: fields.scopes, unknown })
    const twice = MetricBatch.fromOtlp(MetricBatch.fromResources([fields, other, other]).toOtlp())
    const [part] = splitBatch(twice, 2)
    expect(part.resources.map((entry) => entry.unknown)).toEqual(
      [undefined, unknown].map((each) => each && Buffer.from(each)),
    )
  })
})
