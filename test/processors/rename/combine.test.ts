import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { Metric } from '../../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import rename from '../../../src/processors/rename.ts'
import { gauge, sum, testProcessor } from '../../../src/testing.ts'
import { describeBatch } from '../../kit/scraping.ts'
import { at, joined, renaming } from './renaming.ts'

const byMethod =
  "include: '^web\\.(?P<http_method>\\w+) (Requests|Calls)?$', match_type: regexp, action: combine, new_name: web.requests, aggregation_type: sum"

describe('rename: combine', () => {
  it('makes one metric of several, and labels of what the groups of the expression found', async () => {
    const { batch, balance } = await renaming(
      [`{ ${byMethod}, submatch_case: lower, new_unit: '{request}' }`],
      sum('web.GET Requests', 1n, { host: 'a' }, at),
      gauge('other', 7n, {}, at),
      joined(sum('web.POST ', 2n, { host: 'a' }, at), sum('web.POST ', 3n, { http_method: 'x' }, at)),
    )
    expect(describeBatch(batch)).toEqual([
      '# other: gauge, ',
      '{} int 7',
      '# web.requests: monotonic cumulative sum, {request}',
      '{host="a",http_method="get",$2="requests"} int 1',
      '{host="a",http_method="post"} int 2',
      '{http_method="post"} int 3',
    ])
    expect(balance()).toMatchObject({ accepted: 4, handed_on: 4, merged: 0, created: 0, filtered: 0 })
  })

  it.each([
    ['sum', 'int 11'],
    ['max', 'int 9'],
    ['median', 'double 5.5'],
    ['count', 'int 2'],
  ])('aggregates what becomes the same by its %s, in whatever order of labels it came', async (type, value) => {
    const { batch, balance } = await renaming(
      [`{ include: '^disk', match_type: regexp, action: combine, new_name: disk, aggregation_type: ${type} }`],
      gauge('disk.read', 2n, { host: 'a', device: 'x' }, at),
      gauge('disk.write', 9n, { device: 'x', host: 'a' }, at),
    )
    expect(describeBatch(batch)).toEqual(['# disk: gauge, ', `{host="a",device="x"} ${value}`])
    expect(balance()).toMatchObject({ accepted: 2, merged: 1, handed_on: 1 })
  })

  it('does the operations to the combined metric', async () => {
    const operations = [
      '{ action: aggregate_labels, label_set: [http_method], aggregation_type: sum }',
      '{ action: update_label, label: http_method, new_label: method }',
      '{ action: experimental_scale_value, experimental_scale: 10 }',
    ]
    const { batch } = await renaming(
      [`{ ${byMethod}, submatch_case: upper, operations: [${operations.join(', ')}] }`],
      sum('web.get Requests', 1n, { host: 'a' }, at),
      sum('web.get Calls', 2n, { host: 'b' }, at),
    )
    expect(describeBatch(batch)).toEqual(['# web.requests: monotonic cumulative sum, ', '{method="GET"} int 30'])
  })

  it('takes only the data points whose labels match, and leaves the others where they are', async () => {
    const both = (name: string): Metric =>
      joined(gauge(name, 1n, { state: 'used' }, at), gauge(name, 2n, { state: 'free' }, at))
    const { batch } = await renaming(
      [
        '{ include: ^mem, match_type: regexp, action: combine, new_name: used, aggregation_type: sum, experimental_match_labels: { state: ^used$ } }',
      ],
      both('mem.a'),
      both('mem.b'),
      gauge('mem.c', 5n, { state: 'used' }, at),
    )
    expect(describeBatch(batch)).toEqual([
      '# mem.a: gauge, ',
      '{state="free"} int 2',
      '# mem.b: gauge, ',
      '{state="free"} int 2',
      '# used: gauge, ',
      '{state="used"} int 7',
    ])
  })

  const histogramPoint = { ...at, count: 1, sum: 1, bucketCounts: [1] }
  const distributions: readonly (readonly [Metric['type'], DataPoint])[] = [
    ['histogram', new HistogramPoint(histogramPoint)],
    ['exponential_histogram', new ExponentialHistogramPoint({ ...at, count: 1, sum: 1, zeroCount: 1 })],
    ['summary', new SummaryPoint({ ...at, count: 1, sum: 1 })],
  ]

  it.each(distributions)('adds a %s to another', async (type, point) => {
    const metrics = ['a.1', 'a.2'].map((name) => gauge(name, 1).with({ type, points: [point] }))
    const { metrics: results } = await renaming(
      ['{ include: ^a, match_type: regexp, action: combine, new_name: a, aggregation_type: sum }'],
      ...metrics,
    )
    expect(results).toMatchObject([{ name: 'a', type, points: [{ count: 2, sum: 2 }] }])
  })

  it.each([
    ['type', gauge('a.2', 1n, {}, at)],
    ['unit', sum('a.2', 1n, {}, { ...at, unit: 's' })],
    ['temporality', sum('a.2', 1n, {}, { ...at, temporality: 'delta' })],
    ['monotonicity', sum('a.2', 1n, {}, { ...at, monotonic: false })],
  ])('leaves metrics of another %s as they are, all of them, and says so', async (_what, other) => {
    const first = sum('a.1', 1n, {}, at)
    for (const metrics of [
      [first, other],
      [other, first],
    ]) {
      const { batch, logs } = await renaming(
        ['{ include: ^a, match_type: regexp, action: combine, new_name: a, new_unit: ms, aggregation_type: sum }'],
        ...metrics,
      )
      expect(describeBatch(batch)).toEqual(describeBatch(MetricBatch.of({ metrics })))
      const names = metrics.map(({ name }) => name)
      expect(logs).toMatchObject([{ level: 'warn', fields: { new_name: 'a', metrics: names } }])
    }
  })

  it('combines within each resource and scope', async () => {
    const transform = '{ include: a, match_type: regexp, action: combine, new_name: b, aggregation_type: sum }'
    const { process } = await testProcessor(rename, `rename: { transforms: [${transform}] }`)
    const metrics = [gauge('a.1', 1n, {}, at), gauge('a.2', 2n, {}, at)]
    const out = await process(MetricBatch.of({ resource: { host: 'x' }, metrics }, { scope: { name: 's' }, metrics }))
    expect(Array.from(out.metrics(), ({ metric }) => (metric.points[0] as NumberPoint).value)).toEqual([3, 3])
  })
})

describe('rename: group', () => {
  it('moves metrics to a resource of their own, with all that its resource and scope say', async () => {
    const transforms = [
      "{ include: '^k8s\\.pod\\.', match_type: regexp, action: group, group_resource_labels: { resource.type: pod, source: kubelet } }",
      '{ include: k8s.pod.memory, new_name: renamed }',
      '{ include: left, new_name: stays }',
    ]
    const { process, balance } = await testProcessor(rename, `rename: { transforms: [${transforms.join(', ')}] }`)
    const metrics = [gauge('k8s.pod.cpu', 1), gauge('left', 2), gauge('k8s.pod.memory', 3)]
    const scope = { name: 'scope', version: '1' }
    const out = await process(
      MetricBatch.of(
        { resource: { source: 'x', cluster: 'c' }, scope, metrics },
        { resource: { cluster: 'd' }, metrics: [gauge('k8s.pod.cpu', 4)] },
        { resource: { cluster: 'e' }, metrics: [gauge('left', 5)] },
      ),
    )
    const found = Array.from(MetricBatch.fromOtlp(out.toOtlp()).metrics(), ({ metric, resource, scope }) => [
      metric.name,
      resource.attributes.toObject(),
      scope.name,
    ])
    const pod = { source: 'kubelet', 'resource.type': 'pod' }
    expect(found).toEqual([
      ['stays', { source: 'x', cluster: 'c' }, 'scope'],
      ['stays', { cluster: 'e' }, ''],
      ['k8s.pod.cpu', { cluster: 'c', ...pod }, 'scope'],
      ['k8s.pod.memory', { cluster: 'c', ...pod }, 'scope'],
      ['k8s.pod.cpu', { cluster: 'd', ...pod }, ''],
    ])
    expect(balance()).toMatchObject({ accepted: 5, handed_on: 5, merged: 0, created: 0, dropped: {} })
  })

  it('moves only the data points whose labels match', async () => {
    const { batch } = await renaming(
      ['{ include: a, action: group, group_resource_labels: { kind: x }, experimental_match_labels: { state: used } }'],
      joined(gauge('a', 1n, { state: 'used' }, at), gauge('a', 2n, {}, at)),
    )
    const found = Array.from(batch.metrics(), ({ metric, resource }) => [
      resource.attributes.get('kind'),
      metric.points.map((point) => (point as NumberPoint).value),
    ])
    expect(found).toEqual([
      [undefined, [2]],
      ['x', [1]],
    ])
  })
})
