import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Type } from 'protobufjs'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { fromOtlpJson, readOtlpJson } from '../../../src/otlp/json/read.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from '../../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import { Resource, Scope } from '../../../src/otlp/common/resource.ts'
import { schema } from '../../../src/otlp/schema.ts'
import { runs } from '../../kit/fuzzing.ts'
import { Ambiguous, jsonToProtobuf, repeatsKeys } from '../../kit/otlp_json_reference.ts'
import {
  ExportLogsServiceRequest,
  ExportMetricsServiceRequest,
  ExportTraceServiceRequest,
} from '../../kit/otlp_proto.ts'
import { logsRequest, request, traceRequest } from '../../kit/otlp_requests.ts'

/** A request with that metric alone, or with that point of a gauge, as JSON. */
const withMetric = (metric: string): string => `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[${metric}]}]}]}`
const withPoint = (point: string): string => withMetric(`{"gauge":{"dataPoints":[${point}]}}`)
const withValue = (value: string): string => withPoint(`{"attributes":[{"key":"k","value":${value}}]}`)
/** A value in so many lists. */
const nested = (depth: number): string =>
  '{"arrayValue":{"values":['.repeat(depth) + '{"intValue":1}' + ']}}'.repeat(depth)

function metricOf(json: string): Metric {
  const [{ metric }] = [...fromOtlpJson(json).metrics()]
  return metric
}
const pointOf = (json: string): NumberPoint => metricOf(json).points[0] as NumberPoint
const valueOf = (json: string): unknown => pointOf(withValue(json)).attributes.get('k')

const attributes = Attributes.from([
  { key: 'text', value: { stringValue: 'é"\\\n' } },
  { key: 'empty', value: { stringValue: '' } },
  { key: 'yes', value: { boolValue: true } },
  { key: 'no', value: { boolValue: false } },
  { key: 'int', value: { intValue: -(2n ** 63n) } },
  { key: 'zero', value: { intValue: 0 } },
  { key: 'double', value: { doubleValue: 1 } },
  { key: 'nan', value: { doubleValue: NaN } },
  { key: 'bytes', value: { bytesValue: Buffer.from([0, 255, 254, 62]) } },
  { key: 'list', value: { arrayValue: [{ intValue: 1 }, {}, { arrayValue: [] }] } },
  { key: 'map', value: { kvlistValue: [{ key: 'a', value: { stringValue: 'b' } }] } },
  { key: 'none', value: {} },
])
const exemplar = {
  filteredAttributes: attributes,
  timeUnixNano: 5n,
  value: 2n ** 60n,
  isInt: true,
  spanId: Buffer.from('0102030405060708', 'hex'),
  traceId: Buffer.from('0102030405060708090a0b0c0d0e0f10', 'hex'),
}
const times = { timeUnixNano: 2n ** 64n - 1n, startTimeUnixNano: 1_700_000_000_123_456_789n }
const point = { attributes, ...times, flags: 1, exemplars: [exemplar, { ...exemplar, value: -0.5, isInt: false }] }

/** Everything that OTLP metrics can say. */
const full = MetricBatch.fromResources([
  new ResourceMetrics({
    resource: new Resource({ attributes, droppedAttributesCount: 3 }),
    schemaUrl: 'https://opentelemetry.io/schemas/1.30.0',
    scopes: [
      new ScopeMetrics({
        scope: new Scope({ name: 'shop', version: '1.2.0', attributes, droppedAttributesCount: 4 }),
        schemaUrl: 'scope-schema',
        metrics: [
          new Metric({
            name: 'gauge',
            description: 'A gauge.',
            unit: '1',
            metadata: attributes,
            type: 'gauge',
            points: [
              new NumberPoint({ ...point, value: 2n ** 63n - 1n }),
              new NumberPoint({ value: 7, isInt: true }),
              new NumberPoint({ value: -Infinity }),
              new NumberPoint({}),
            ],
          }),
          new Metric({
            name: 'sum',
            type: 'sum',
            temporality: 'cumulative',
            monotonic: true,
            points: [new NumberPoint({ ...point, value: 0.1 })],
          }),
          new Metric({
            name: 'histogram',
            type: 'histogram',
            temporality: 'delta',
            points: [
              new HistogramPoint({
                ...point,
                count: 2n ** 64n - 1n,
                sum: 0,
                min: -1,
                max: 1e300,
                bucketCounts: [1, 2n ** 63n],
                explicitBounds: [0.5],
              }),
            ],
          }),
          new Metric({
            name: 'exponential',
            type: 'exponential_histogram',
            temporality: 'cumulative',
            points: [
              new ExponentialHistogramPoint({
                ...point,
                count: 5,
                sum: 6,
                scale: -3,
                zeroCount: 1,
                zeroThreshold: 0.25,
                positive: { offset: -2, bucketCounts: [1, 2] },
                negative: { offset: 3, bucketCounts: [] },
              }),
            ],
          }),
          new Metric({
            name: 'summary',
            type: 'summary',
            points: [
              new SummaryPoint({
                ...point,
                exemplars: [],
                count: 9,
                sum: 10,
                quantileValues: [
                  { quantile: 0, value: 0 },
                  { quantile: 0.99, value: NaN },
                ],
              }),
            ],
          }),
          new Metric({ name: 'none', type: 'none' }),
        ],
      }),
    ],
  }),
])

const reference = (bytes: Uint8Array, type: Type = ExportMetricsServiceRequest): object =>
  type.toObject(type.decode(bytes), {
    longs: String,
    bytes: String,
    arrays: true,
    defaults: true,
  })

/** With every key as it stands in the `.proto`. */
function protoNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(protoNames)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      protoNames(item),
    ]),
  )
}

/** As JSON has it: ids in hex, other bytes in base64, and what is no number as text. */
function forJson(key: string, value: unknown): unknown {
  if (/^(?:parent_?)?(?:span|trace)_?id$/i.test(key)) return Buffer.from(value as string, 'base64').toString('hex')
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

/** Pieces that make the most of a place they are put in. */
const pieces = [
  ...['"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', '0', '1', '9', 'e', 'E5', '+', ' ', '\n', '\0', 'é', '\ufeff'],
  ...['null', 'true', 'false', '{}', '[]', '""', '\\u00e9', '\\ud800', '\\"', '12345678901234567890', '1e400', '"NaN"'],
  ...['"name":"x",', '"name":null,', '"attributes":[],', '"asInt":"7",', '"flags":0,', '"value":{"intValue":1},'],
  ...['"x":[{"y":null}],', '"dataPoints":[{}],', '"resource":{},', '"\\u006eame":"n",', '"time_unix_nano":5,'],
]

/** A change to a text in UTF-8: a piece or a part of it put in place of a few bytes, or a bit that is another. */
const damage = fc.oneof(
  fc.record({ at: fc.nat(), length: fc.nat(8), piece: fc.constantFrom(...pieces) }),
  fc.record({ at: fc.nat(), from: fc.nat(), length: fc.nat(60) }),
  fc.record({ at: fc.nat(), bit: fc.nat(7) }),
)
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damaged(text: Buffer, change: Damage): Buffer {
  const at = change.at % text.length
  const put = (piece: Uint8Array, length: number): Buffer =>
    Buffer.concat([text.subarray(0, at), piece, text.subarray(at + length)])
  if ('piece' in change) return put(Buffer.from(change.piece), change.length)
  if ('bit' in change) return put(Buffer.of(text[at] ^ (1 << change.bit)), 1)
  const from = change.from % text.length
  return put(text.subarray(from, from + change.length), 0)
}

function attempt(read: () => object): { result?: object; error?: unknown } {
  try {
    return { result: read() }
  } catch (error) {
    return { error }
  }
}

describe('fromOtlpJson', () => {
  it('reads back everything that is written, from text and bytes', () => {
    const json = toOtlpJson(full)
    expect(reference(fromOtlpJson(json).toOtlp())).toEqual(reference(full.toOtlp()))
    expect(reference(fromOtlpJson(Buffer.from(json)).toOtlp())).toEqual(reference(full.toOtlp()))
  })

  it('takes the names of the .proto as well', () => {
    const json = JSON.stringify(protoNames(JSON.parse(toOtlpJson(full))))
    expect(json).toContain('resource_metrics')
    expect(reference(fromOtlpJson(json).toOtlp())).toEqual(reference(full.toOtlp()))
  })

  it('reads any request that the reference writes as JSON', () => {
    const integer = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)
    const unsigned = fc.bigInt(0n, 2n ** 64n - 1n)
    const points = fc.array(
      fc.record({
        timeUnixNano: unsigned.map(String),
        value: fc.oneof(
          integer.map((asInt) => ({ asInt: String(asInt) })),
          fc.double({ noNaN: true, noDefaultInfinity: true }).map((asDouble) => ({ asDouble })),
        ),
        attributes: fc.array(fc.record({ key: fc.string(), value: fc.record({ stringValue: fc.string() }) })),
        flags: fc.nat(),
      }),
      { minLength: 1, maxLength: 3 },
    )
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), points, (name, generated) => {
        const dataPoints = generated.map(({ value, ...rest }) => ({ ...rest, ...value }))
        const json = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name, sum: { dataPoints } }] }] }] }
        const text = JSON.stringify(json)
        // In the text, a negative zero is just zero.
        const message = ExportMetricsServiceRequest.fromObject(JSON.parse(text) as object)
        const bytes = ExportMetricsServiceRequest.encode(message).finish()
        const read = fromOtlpJson(text)
        const expected = MetricBatch.fromOtlp(bytes)
        expect(toOtlpJson(read)).toBe(toOtlpJson(expected))
      }),
    )
  })

  it('keeps long integers exact, as text and as numbers', () => {
    expect(pointOf(withPoint('{"asInt":9007199254740993}')).value).toBe(9007199254740993n)
    expect(pointOf(withPoint('{"asInt": -9223372036854775808 }')).value).toBe(-(2n ** 63n))
    expect(pointOf(withPoint('{"timeUnixNano":1700000000123456789}')).timeUnixNano).toBe(1700000000123456789n)
    expect(pointOf(withPoint('{"asDouble":12345678901234567890}')).value).toBe(Number('12345678901234567890'))
    expect(pointOf(withPoint('{"asDouble":0.12345678901234567890}')).value).toBe(Number('0.12345678901234567890'))
    expect(pointOf(withPoint('{"asDouble":1234567890123456e10}')).value).toBe(1234567890123456e10)
    expect(valueOf('{"stringValue":"12345678901234567890"}')).toBe('12345678901234567890')
    expect(valueOf('{"stringValue":"\\" 12345678901234567890 \\\\"}')).toBe('" 12345678901234567890 \\')
  })

  it('takes whole numbers in every form of proto3: 5, "5", 5.0, 5e0', () => {
    for (const five of ['5', '"5"', '5.0', '"5.0"', '5e0', '"5e0"']) {
      const { value, isInt } = pointOf(withPoint(`{"asInt":${five}}`))
      expect({ value, isInt }).toEqual({ value: 5, isInt: true })
    }
    // Source: protobuf.dev, "ProtoJSON Format", the rows of int32 and int64: with an exponent in quotes and without.
    for (const text of ['1e3', '"1e3"', '"1E+3"', '"0.1e4"', '"10000e-1"']) {
      expect(pointOf(withPoint(`{"asInt":${text}}`)).value).toBe(1000)
    }
  })

  it('takes numbers as text, also those that JSON has not', () => {
    const double = (text: string) => pointOf(withPoint(`{"asDouble":${text}}`)).value
    expect(['1.5', '"1.5"', '"NaN"', '"Infinity"', '"-Infinity"'].map(double)).toEqual([
      1.5,
      1.5,
      NaN,
      Infinity,
      -Infinity,
    ])
  })

  it('takes enums by number and by name, and an unknown number as unspecified', () => {
    const temporality = (text: string) => metricOf(withMetric(`{"sum":{"aggregationTemporality":${text}}}`)).temporality
    expect(['1', '"AGGREGATION_TEMPORALITY_CUMULATIVE"', '7', 'null'].map(temporality)).toEqual([
      'delta',
      'cumulative',
      'unspecified',
      'unspecified',
    ])
  })

  it('takes base64 in both alphabets, with and without padding, and ids as hex in either case', () => {
    for (const text of ['+/8=', '-_8=', '-_8', '+/8']) {
      expect(valueOf(`{"bytesValue":"${text}"}`)).toEqual(Buffer.from([0xfb, 0xff]))
    }
    const [found] = pointOf(withPoint('{"exemplars":[{"traceId":"0A0b","spanId":""}]}')).exemplars
    expect([found.traceId, found.spanId]).toEqual([Buffer.from([10, 11]), Buffer.alloc(0)])
  })

  it('ignores unknown keys, and takes null as absent', () => {
    const json = withMetric('{"name":null,"unheard_of":[1],"gauge":null,"sum":{"dataPoints":null,"__proto__":{"x":1}}}')
    expect(metricOf(json)).toMatchObject({ name: '', type: 'sum', points: [] })
    expect(valueOf('null')).toBeUndefined()
    expect(valueOf('{"stringValue":null,"intValue":"3"}')).toBe(3)
    expect(fromOtlpJson('{}').pointCount).toBe(0)
  })

  it('takes the last value of a key that stands twice, also when it is null or in the other spelling', () => {
    expect(metricOf(withMetric('{"name":"a","gauge":{},"name":"b"}')).name).toBe('b')
    expect(metricOf(withMetric('{"name":"a","name":null,"unit":"s"}'))).toMatchObject({ name: '', unit: 's' })
    expect(pointOf(withPoint('{"timeUnixNano":1,"asInt":7,"time_unix_nano":2}'))).toMatchObject({
      timeUnixNano: 2n,
      value: 7,
    })
    const twice = '{"gauge":{"dataPoints":[{"asInt":1},{"asInt":2}],"dataPoints":[{"asInt":3}]}}'
    expect(metricOf(withMetric(twice)).points.map((each) => (each as NumberPoint).value)).toEqual([3])
    expect(fromOtlpJson(withMetric(twice)).pointCount).toBe(1)
  })

  it('reads lists whose numbers take more room than their digits, and texts of any length', () => {
    const zeros = Array.from({ length: 100_000 }, () => 0)
    const [point] = metricOf(
      withMetric(`{"histogram":{"dataPoints":[{"bucketCounts":${JSON.stringify(zeros)}}]}}`),
    ).points
    expect((point as HistogramPoint).bucketCounts).toEqual(zeros)
    for (const length of [127, 128, 16_383, 16_384, 6_000_000]) {
      const text = 'é'.repeat(length / 2).padStart(length / 2 + (length % 2), 'e')
      expect(valueOf(`{"stringValue":"${text}"}`)).toBe(text)
      expect(valueOf(`{"stringValue":"\\n${text}"}`)).toBe(`\n${text}`)
    }
  })

  it('begins anew after a request that it refused', () => {
    const json = withPoint('{"asInt":1,"attributes":[{"key":"k","value":{"stringValue":"v"}}]}')
    const whole = fromOtlpJson(json).toOtlp()
    expect(() => fromOtlpJson(json.slice(0, -5))).toThrow('is not JSON: Unexpected end')
    expect(fromOtlpJson(json).toOtlp()).toEqual(whole)
  })

  it('makes U+FFFD of what is not Unicode', () => {
    expect(valueOf('{"stringValue":"a\\ud800b"}')).toBe('a\ufffdb')
    const bytes = Buffer.from(withValue('{"stringValue":"aXb"}'))
    bytes[bytes.indexOf('aXb') + 1] = 0xff
    const [{ metric }] = [...fromOtlpJson(bytes).metrics()]
    expect(metric.points[0].attributes.get('k')).toBe('a\ufffdb')
  })

  it.each([
    ['is not JSON: ', ''],
    ['is not JSON: Unexpected', '{"resourceMetrics":[}'],
    ['is not JSON: Unexpected "é" at byte 20', '{"resourceMetrics":[é]}'],
    ['is not JSON: Unexpected "}" at byte 22', '{"resourceMetrics":[],}'],
    ['is not JSON: Unexpected "x" at byte 3', '{} x'],
    ['is not JSON: Unexpected "1" at byte', withPoint('{"asDouble":01}')],
    ['metrics[0].name: must be a text', withMetric('{"name":12345678901234567890}')],
    ['must be an object', '[]'],
    ['resourceMetrics: must be a list', '{"resourceMetrics":{}}'],
    ['resourceMetrics[0]: must be an object', '{"resourceMetrics":[null]}'],
    [
      'resourceMetrics[1].resource.attributes[0].key: must be a text',
      '{"resourceMetrics":[{},{"resource":{"attributes":[{"key":1}]}}]}',
    ],
    [
      'resourceMetrics[0].scopeMetrics[0].metrics[1].sum.isMonotonic: must be true or false',
      withMetric('{},{"sum":{"isMonotonic":1}}'),
    ],
    [
      'sum.aggregationTemporality: must be a number or a name of the enum',
      withMetric('{"sum":{"aggregationTemporality":"DELTA"}}'),
    ],
    [
      'gauge.dataPoints[0].asInt: must be a whole number from -9223372036854775808 to 9223372036854775807',
      withPoint('{"asInt":"1.5"}'),
    ],
    ['asInt: must be a whole number', withPoint('{"asInt":9223372036854775808}')],
    ['asInt: must be a whole number', withPoint('{"asInt":"1e-1"}')],
    ['asInt: must be a whole number', withPoint('{"asInt":"1e19"}')],
    ['timeUnixNano: must be a whole number from 0 to 18446744073709551615', withPoint('{"timeUnixNano":"-1"}')],
    ['flags: must be a whole number from 0 to 4294967295', withPoint('{"flags":4294967296}')],
    ['asDouble: must be a number', withPoint('{"asDouble":"1.5.5"}')],
    ['gauge.dataPoints[0].asDouble: must be a number', withPoint('{"asDouble":true}')],
    ['exemplars[0].traceId: must be hex', withPoint('{"exemplars":[{"traceId":"abc"}]}')],
    ['attributes[0].value.bytesValue: must be base64', withValue('{"bytesValue":"!"}')],
    [
      'value.arrayValue.values[1].intValue: must be a whole number',
      withValue('{"arrayValue":{"values":[{},{"intValue":{}}]}}'),
    ],
    ['byte 204: is nested more than 200 deep', `{"x":${'['.repeat(200)}`],
    ['metrics[0]: more than 100 messages are nested', withValue(nested(47))],
  ])('says: %s', (message, json) => {
    expect(() => fromOtlpJson(json)).toThrow(message)
    expect(() => fromOtlpJson(json)).toThrow(expect.objectContaining({ name: 'MalformedError' }))
  })

  it('takes nesting as deep as anybody writes', () => {
    expect(JSON.stringify(valueOf(nested(46)))).toBe('['.repeat(46) + '1' + ']'.repeat(46))
  })

  it.each([
    ['metrics', schema.ExportMetricsServiceRequest, ExportMetricsServiceRequest, request],
    ['logs', schema.ExportLogsServiceRequest, ExportLogsServiceRequest, logsRequest],
    ['traces', schema.ExportTraceServiceRequest, ExportTraceServiceRequest, traceRequest],
  ] as const)(
    'reads the %s that the reference reads, and refuses what it refuses, from any text whole or damaged',
    (_signal, type, referenceType, requests) => {
      fc.assert(
        fc.property(
          requests as fc.Arbitrary<object>,
          fc.nat(2),
          fc.boolean(),
          fc.array(damage, { maxLength: 3 }),
          (value, space, odd, damages) => {
            const whole = JSON.stringify(odd ? protoNames(value) : value, forJson, space)
            const bytes = damages.reduce<Buffer>(damaged, Buffer.from(whole))
            const read = attempt(() => reference(readOtlpJson(bytes, type), referenceType))
            const expected = attempt(() => reference(jsonToProtobuf(bytes.toString(), referenceType), referenceType))
            if (read.error !== undefined) expect(read.error).toMatchObject({ name: 'MalformedError' })
            if (expected.error instanceof Ambiguous) return
            // A value that another replaces must be well-formed as well; the reference never sees it.
            if (read.error !== undefined && expected.error === undefined && repeatsKeys(bytes.toString())) return
            expect({ ...read, error: read.error !== undefined }).toEqual({
              ...expected,
              error: expected.error !== undefined,
            })
          },
        ),
        runs(300),
      )
    },
  )
})
