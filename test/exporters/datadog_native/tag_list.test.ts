import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { normalizeTag } from '../../../src/datadog/names.ts'
import { TagList } from '../../../src/exporters/datadog_native/mapping/tag_list.ts'
import type { KeyedTags } from '../../../src/exporters/datadog_native/mapping/tag_list.ts'
import { anyValueText, Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { runs } from '../../kit/fuzzing.ts'
import { ExportMetricsServiceRequest as Reference } from '../../kit/otlp_proto.ts'

const text = fc.oneof(
  fc.constantFrom(
    '',
    'host',
    'Env',
    'env',
    'service',
    '9lives',
    '_x',
    'a_',
    'a__',
    'ü',
    'a b',
    'a"b\\c',
    'x'.repeat(95),
  ),
  fc.constantFrom('y'.repeat(130), 'z'.repeat(189), 'z'.repeat(199), 'z'.repeat(260)),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.string({ maxLength: 12 }),
)
const value = fc.oneof(
  text.map((stringValue) => ({ stringValue })),
  fc.boolean().map((boolValue) => ({ boolValue })),
  fc
    .oneof(fc.nat(300), fc.maxSafeInteger(), fc.constantFrom(2 ** 34, 2 ** 35 - 1, 2 ** 35))
    .map((intValue) => ({ intValue })),
  fc.double().map((doubleValue) => ({ doubleValue })),
  fc.constant({ arrayValue: { values: [{ intValue: 1 }] } }),
  fc.constant({}),
)
const attribute = fc.record({ key: text, value })

/** The attributes of a point as they come on the wire. */
function onTheWire(attributes: readonly object[]): Attributes {
  const dataPoints = [{ attributes, timeUnixNano: '1', asDouble: 1 }]
  const request = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints } }] }] }] }
  const bytes = Reference.encode(Reference.fromObject(request)).finish()
  return [...MetricBatch.fromOtlp(bytes).metrics()][0].metric.points[0].attributes
}

function written({ count, bytes, starts, ends }: TagList): string[] {
  return Array.from({ length: count }, (_, index) => bytes.toString('utf8', starts[index], ends[index]))
}

/** The rules, in so many words. */
function expected(resource: KeyedTags, point: Attributes, more: readonly string[]): string[] {
  const tags = new Set(more)
  for (const [key, tag] of resource) if (!point.has(key)) tags.add(tag)
  for (const { key, value } of Attributes.of(point.toObject())) {
    if (key !== 'host') tags.add(normalizeTag(key, anyValueText(value)))
  }
  tags.delete('')
  return [...tags].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)))
}

describe('the tags of a series', () => {
  it('are the same whether they are written from bytes or from texts', () => {
    const list = new TagList()
    fc.assert(
      fc.property(
        fc.array(attribute, { maxLength: 8 }),
        fc.array(fc.tuple(fc.constantFrom('env', 'service', 'region', 'x'), text), { maxLength: 4 }),
        fc.constantFrom<readonly string[]>([], ['quantile:0.5']),
        (attributes, pairs, more) => {
          const resource = [...new Map(pairs)].map(([key, value]) => [key, normalizeTag(key, value)] as const)
          const point = onTheWire(attributes)
          list.fill(resource, point, more)
          const byBytes = { tags: written(list), host: list.host }
          list.fill(resource, Attributes.from([...point]), more)
          expect(byBytes).toEqual({ tags: written(list), host: list.host })
          expect(byBytes.tags).toEqual(expected(resource, point, more))
        },
      ),
      runs(2000),
    )
  })

  it('hold more of them than there is room for at first', () => {
    const attributes = Array.from({ length: 100 }, (_, index) => ({
      key: `key${String(index).padStart(3, '0')}`,
      value: { stringValue: 'v'.repeat(100) },
    }))
    const list = new TagList()
    list.fill([['zone', 'zone:a']], onTheWire(attributes), [])
    expect(written(list)).toEqual([...attributes.map(({ key }) => `${key}:${'v'.repeat(100)}`), 'zone:a'])
  })

  it('take lengths and numbers written in more bytes than they need as what they mean', () => {
    const list = new TagList()
    for (const [value, tag] of [
      ['0a8100' + '62', 'a:b'],
      ['0a818000' + '62', 'a:b'],
      ['188100', 'a:1'],
      ['108100', 'a:true'],
    ]) {
      // NumberDataPoint { attributes { key: "a", value: ... }, time_unix_nano: 1, as_double: 1 }
      const any = Buffer.from(value, 'hex')
      const keyValue = Buffer.concat([Buffer.from('0a016112', 'hex'), Buffer.from([any.length]), any])
      const fields = Buffer.from('190100000000000000' + '21000000000000f03f', 'hex')
      const point = Buffer.concat([Buffer.from([0x3a, keyValue.length]), keyValue, fields])
      const wrap = (field: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([field, body.length]), body])
      const metric = Buffer.concat([wrap(0x0a, Buffer.from('m')), wrap(0x2a, wrap(0x0a, point))])
      const bytes = wrap(0x0a, wrap(0x12, wrap(0x12, metric)))
      list.fill([], [...MetricBatch.fromOtlp(bytes).metrics()][0].metric.points[0].attributes, [])
      expect(written(list)).toEqual([tag])
    }
  })
})
