/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access */
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { defineComponent } from '../../../src/component/define.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import type { AttributeValue } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { handedOver } from '../../../src/otlp/metrics/handed_over.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { Metric, ResourceMetrics } from '../../../src/otlp/metrics/metric.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { gauge, sum, testProcessor } from '../../../src/testing.ts'

const TIME = 1_767_225_600_000_000_000n
const made = handedOver(
  MetricBatch.of({
    resource: { 'host.name': 'web-1' },
    metrics: [
      gauge('load', 0.5, { cpu: '0' }, { timeUnixNano: TIME }),
      sum('requests', 5n, {}, { timeUnixNano: TIME }),
      {
        name: 'latency',
        type: 'histogram',
        temporality: 'delta',
        points: [{ count: 3, sum: 6, bucketCounts: [1, 2], explicitBounds: [1], timeUnixNano: TIME } as never],
      },
    ],
  }),
)
const batches = { objects: made, bytes: MetricBatch.fromOtlp(made.toOtlp()) }

/** JavaScript, which no compiler looks at. */
type Loose = (batch: any) => unknown

/** What comes out of a processor that does `change`. */
async function through(change: Loose, batch: MetricBatch): Promise<MetricBatch> {
  const component = defineComponent({
    ...{ kind: 'processor', type: 'probe', summary: 'Probes.', config: {} },
    create: () => (given) => change(given) as MetricBatch,
  })
  const { process } = await testProcessor(component, 'probe:')
  return MetricBatch.fromOtlp((await process(batch)).toOtlp())
}

function first(batch: MetricBatch): Metric {
  return [...batch.metrics()][0].metric
}

describe.each(Object.entries(batches))('a processor that is given a batch of %s', (_kind, batch) => {
  it('may spread a point, and keeps what it does not set', async () => {
    const left = await through(
      (given) =>
        given.mapPoints((point: DataPoint) => (point.kind === 'number' ? spreadPoint(point, { value: 3 }) : point)),
      batch,
    )
    expect(left.pointCount).toBe(3)
    const { points } = first(left)
    expect(points[0]).toMatchObject({ value: 3, timeUnixNano: TIME })
    expect(points[0].attributes.toObject()).toEqual({ cpu: '0' })
  })

  it('may spread a metric, also one that it has renamed', async () => {
    const change: Loose = (given) =>
      given.mapMetrics((metric: Metric) => ({ ...metric.withName('renamed'), unit: 's' }))
    const left = first(await through(change, batch))
    expect(left).toMatchObject({ name: 'renamed', unit: 's', type: 'gauge' })
    expect(left.points[0]).toMatchObject({ value: 0.5 })
  })

  it('may give attributes as a plain object, made from others too', async () => {
    const plain: Loose = (given) => given.mapPoints((point: any) => point.withAttributes({ a: 'b' }))
    expect(first(await through(plain, batch)).points[0].attributes.toObject()).toEqual({ a: 'b' })
    const spread: Loose = (given) =>
      given.mapPoints((point: any) => point.withAttributes({ ...point.attributes, a: 1 }))
    expect(first(await through(spread, batch)).points[0].attributes.toObject()).toEqual({ cpu: '0', a: 1 })
  })

  it.each<[string, Loose, string]>([
    [
      'a type that is none',
      (given) => given.mapMetrics((metric: any) => metric.with({ type: 'guage' })),
      'metric "load": type must be one of gauge, sum, histogram, exponential_histogram, summary, none, not "guage"',
    ],
    [
      'a type that is none, in a metric that was spread',
      (given) => given.mapMetrics((metric: any) => ({ ...metric, type: 'gage' })),
      'metric "load": type must be one of gauge, sum, histogram, exponential_histogram, summary, none, not "gage"',
    ],
    [
      'null for a metric',
      (given) => given.mapMetrics(() => null),
      'the function given to `mapMetrics` must return a Metric, not null',
    ],
    [
      'nothing for a scope',
      (given) => given.mapScopes(() => undefined),
      'the function given to `mapScopes` must return a ScopeMetrics, not nothing',
    ],
    [
      'a value that is a text',
      (given) => given.mapPoints((point: any) => point.with({ value: '3' })),
      'metric "load": points[0].value must be a number or a bigint, not a string',
    ],
    [
      'an int that is none',
      (given) => given.mapPoints((point: any) => point.with({ value: 3.5, isInt: true })),
      'metric "load": points[0].value is 3.5, which is no int; give `isInt: false` with it',
    ],
    [
      'a key that is misspelt',
      (given) => given.mapPoints((point: object) => spreadPoint(point, { vlaue: 3 })),
      'metric "load": points[0].vlaue is not a field',
    ],
    [
      'a time in milliseconds',
      (given) => given.mapPoints((point: any) => point.with({ timeUnixNano: 1_767_225_600_000 })),
      'metric "load": points[0].timeUnixNano must be a bigint, nanoseconds since 1970, not a number, 1767225600000',
    ],
    [
      'an attribute that holds a date',
      (given) => given.mapPoints((point: any) => point.withAttributes({ at: new Date() })),
      'metric "load": points[0].attributes cannot be made: the attribute "at" must be a text',
    ],
    [
      'an attribute of another layout',
      (given) =>
        given.mapPoints((point: any) =>
          point.withAttributes(Attributes.from([{ key: 'a', value: { intValue: 'x' } }] as never)),
        ),
      'metric "load": points[0].attributes["a"].intValue must be a whole number',
    ],
    [
      'attributes that contain themselves',
      (given) => given.mapPoints((point: any) => point.withAttributes({ a: endless() })),
      'metric "load": points[0].attributes cannot be made: the attribute "a" contains itself, or nests lists and maps deeper',
    ],
    [
      'a list that contains itself, in a batch that it makes',
      () => MetricBatch.of({ resource: { list: [endless()] } as never, metrics: [] }),
      'the attribute "list" contains itself, or nests lists and maps deeper than OTLP allows',
    ],
    [
      'attributes of OTLP that contain themselves',
      (given) => {
        const value: any = { arrayValue: [] }
        value.arrayValue.push(value)
        return given.mapPoints((point: any) =>
          point.withAttributes(Attributes.from([{ key: 'a', value: value as never }])),
        )
      },
      'metric "load": points[0].attributes["a"] contains itself, or nests lists and maps deeper than OTLP allows',
    ],
    ['no point', (given) => given.mapPoints(() => undefined), 'metric "load": points[0] must be a NumberPoint'],
    [
      'points of another type',
      (given) => given.mapMetrics((metric: any) => metric.with({ type: 'summary' })),
      'metric "load": points',
    ],
    [
      'a name that is a number',
      (given) => given.mapMetrics((metric: Metric) => metric.withName(5 as never)),
      'name must be a text',
    ],
    ['a list', () => [], 'must be a MetricBatch, not a list'],
    [
      'resources that are none',
      () => MetricBatch.fromResources({} as never),
      'resources must be a list, not an object',
    ],
  ])('is told the metric and the key of %s', async (_what, change, message) => {
    const failure: unknown = await through(change, batch).catch((error: unknown) => error)
    expect((failure as Error).message.replaceAll('\\', '')).toContain(message)
  })
})

/** A plain object that contains itself. */
function endless(): object {
  const object: Record<string, unknown> = {}
  return Object.assign(object, { object })
}

/** `{ ...point, ...fields }`, as JavaScript has it. */
function spreadPoint(point: object, fields: object): object {
  return { ...point, ...fields }
}

describe('what a component hands over', () => {
  it('is not looked at again where it is shared', () => {
    const { metric, looks } = watched()
    const batch = handedOver(MetricBatch.of({ metrics: [metric] }))
    expect(looks()).toBe(1)
    handedOver(batch)
    handedOver(
      batch.filterMetrics(() => true).mapResources((resource) => resource.withAttributes(Attributes.of({ a: 1 }))),
    )
    expect(looks()).toBe(1)
    handedOver(batch.mapMetrics((shared) => shared.withName('other')))
    expect(looks()).toBe(1)
  })

  it('is read no further than the component did where it is bytes', () => {
    const batch = batches.bytes.mapResources((resource) => resource.withAttributes(Attributes.of({ a: 'b' })))
    expect(handedOver(batch)).toBe(batch)
  })

  it('takes values as deep as can be read again, and no deeper', () => {
    const deep = (levels: number, wrap: (inner: AttributeValue) => AttributeValue): MetricBatch => {
      let value: AttributeValue = 1
      for (let level = 0; level < levels; level++) value = wrap(value)
      const exemplar = { filteredAttributes: Attributes.of({ value }), timeUnixNano: TIME, value: 1 }
      const ids = { spanId: new Uint8Array(8), traceId: new Uint8Array(16), isInt: true }
      const points = [new NumberPoint({ value: 1, timeUnixNano: TIME, exemplars: [{ ...exemplar, ...ids }] })]
      return handedOver(MetricBatch.of({ metrics: [{ name: 'deep', type: 'gauge', points }] }))
    }
    for (const [most, wrap] of [
      [46, (inner: AttributeValue) => [inner]],
      [30, (inner: AttributeValue) => ({ inner })],
    ] as const) {
      expect(MetricBatch.fromOtlp(deep(most, wrap).toOtlp()).pointCount).toBe(1)
      expect(() => deep(most + 1, wrap)).toThrow('nests lists and maps deeper than OTLP allows')
    }
  })

  it('can be written and read again, or is refused with a reason, whatever stands in it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.anything({ withBigInt: true, withDate: true }), { minLength: 1 }),
        fc.nat(),
        (junk, at) => {
          const batch = planted(junk, at)
          let sound: MetricBatch
          try {
            sound = handedOver(batch)
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError)
            return
          }
          expect(MetricBatch.fromOtlp(sound.toOtlp()).pointCount).toBe(sound.pointCount)
          expect(typeof toOtlpJson(sound)).toBe('string')
        },
      ),
      { numRuns: 500 },
    )
  })
})

/** A metric that counts how often its value is read. */
function watched(): { metric: Metric; looks: () => number } {
  let looks = 0
  const fields = {
    get value() {
      looks += 1
      return 1
    },
    timeUnixNano: TIME,
  }
  return {
    metric: new Metric({ name: 'watched', type: 'gauge', points: [new NumberPoint(fields)] }),
    looks: () => looks,
  }
}

/** A batch of plain objects in which one value after the other is junk. */
function planted(junk: readonly unknown[], at: number): MetricBatch {
  const places: [object: Record<string, unknown>, key: string][] = []
  const open = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
    for (const [key, inner] of Object.entries(value)) {
      places.push([value as Record<string, unknown>, key])
      open(inner)
    }
  }
  const points = { attributes: { a: 'b', c: [1, { d: true }] }, timeUnixNano: TIME, startTimeUnixNano: 0n, flags: 0 }
  const exemplar = {
    ...{ filteredAttributes: {}, timeUnixNano: TIME, value: 1, isInt: false },
    ...{ spanId: new Uint8Array(8), traceId: new Uint8Array(16) },
  }
  const buckets = { offset: -3, bucketCounts: [1, 2n] }
  const sums = { ...points, count: 3, sum: 1.5, min: 0, max: 1, exemplars: [exemplar] }
  const resources = [
    {
      resource: { attributes: { 'host.name': 'a' }, droppedAttributesCount: 1 },
      schemaUrl: 'u',
      scopes: [
        {
          scope: { name: 's', version: '1', attributes: {}, droppedAttributesCount: 0 },
          schemaUrl: '',
          metrics: [
            {
              name: 'n',
              description: '',
              unit: '1',
              type: 'sum',
              temporality: 'delta',
              monotonic: true,
              points: [{ ...points, value: 1, isInt: true, exemplars: [exemplar] }],
            },
            {
              name: 'h',
              type: 'histogram',
              temporality: 'delta',
              points: [{ ...sums, bucketCounts: [1, 2], explicitBounds: [0.5] }],
            },
            {
              name: 'e',
              type: 'exponential_histogram',
              temporality: 'delta',
              points: [{ ...sums, scale: 2, zeroCount: 1, zeroThreshold: 0, positive: buckets, negative: buckets }],
            },
            {
              name: 's',
              type: 'summary',
              metadata: {},
              points: [{ ...points, count: 1, sum: 2, quantileValues: [{ quantile: 0.5, value: 1 }] }],
            },
          ],
        },
      ],
    },
  ]
  open(resources)
  for (const [index, value] of junk.entries()) {
    const [object, key] = places[(at + index * 7) % places.length]
    object[key] = value
  }
  return MetricBatch.fromResources(resources as unknown as ResourceMetrics[])
}
