import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaOptions } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { counting } from '../../kit/differences.ts'
import { ExportMetricsServiceRequest as Reference } from '../../kit/otlp_proto.ts'

/** Keys and values, in the order in which they are written. */
type Pairs = readonly (readonly [key: string, value: object | string])[]

/** Where a point of a counter stands. */
interface Written {
  readonly resource?: Pairs
  readonly scope?: { readonly name?: string; readonly version?: string; readonly attributes?: Pairs }
  readonly schemaUrl?: string
  readonly attributes?: Pairs
}

const keyValues = (pairs: Pairs = []) =>
  pairs.map(([key, value]) => ({ key, value: typeof value === 'string' ? { stringValue: value } : value }))

/** A request with one point, `second` seconds after the start of its counter. */
function request(second: number, value: number, { resource, scope, schemaUrl, attributes }: Written): Uint8Array {
  const point = {
    attributes: keyValues(attributes),
    startTimeUnixNano: '1000000000',
    timeUnixNano: `${second + 1}000000000`,
    asInt: value,
  }
  const metrics = [{ name: 'requests', sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [point] } }]
  const scopeMetrics = [{ scope: { ...scope, attributes: keyValues(scope?.attributes) }, schemaUrl, metrics }]
  return Reference.encode(
    Reference.fromObject({ resourceMetrics: [{ resource: { attributes: keyValues(resource) }, scopeMetrics }] }),
  ).finish()
}

const asBytes = (bytes: Uint8Array): MetricBatch => MetricBatch.fromOtlp(bytes)
/** The same batch, of which no byte is left. */
const asObjects = (bytes: Uint8Array): MetricBatch => MetricBatch.fromOtlp(bytes).mapPoints((point) => point.with({}))

/** The differences of a counter that grows by one from point to point, each written in another way. */
function grow(written: readonly Written[], read = asBytes, options: Partial<DeltaOptions> = {}) {
  const engine = new CumulativeToDelta({ initialValue: 'drop', ...options })
  const { account, counted } = counting()
  const differences = written.flatMap((one, index) =>
    [...engine.apply(read(request(index + 1, 100 + index, one)), account).metrics()].flatMap(({ metric }) =>
      metric.points.map((point) => (point.kind === 'number' ? point.value : undefined)),
    ),
  )
  return { differences, dropped: counted.dropped, size: engine.size }
}

const ONE_SERIES = { differences: [1], dropped: { first_value: 1 } }
const TWO_SERIES = { differences: [], dropped: { first_value: 2 } }
const KEYS = ['a', 'b', 'c']
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
]
const inOrders = ORDERS.map((order): Written => ({ attributes: order.map((at) => [KEYS[at], 'x']) }))

describe.each([
  ['bytes', asBytes],
  ['objects', asObjects],
])('the identity of a series in %s', (_name, read) => {
  it.each<[string, Written, Written]>([
    [
      'attributes',
      {
        attributes: [
          ['a', '1'],
          ['b', '2'],
        ],
      },
      {
        attributes: [
          ['b', '2'],
          ['a', '1'],
        ],
      },
    ],
    [
      'attributes of the resource',
      {
        resource: [
          ['a', '1'],
          ['b', '2'],
        ],
      },
      {
        resource: [
          ['b', '2'],
          ['a', '1'],
        ],
      },
    ],
    [
      'attributes of the scope',
      {
        scope: {
          attributes: [
            ['a', '1'],
            ['b', '2'],
          ],
        },
      },
      {
        scope: {
          attributes: [
            ['b', '2'],
            ['a', '1'],
          ],
        },
      },
    ],
    [
      'keys within a value',
      {
        attributes: [
          [
            'a',
            {
              kvlistValue: {
                values: keyValues([
                  ['b', '1'],
                  ['c', '2'],
                ]),
              },
            },
          ],
        ],
      },
      {
        attributes: [
          [
            'a',
            {
              kvlistValue: {
                values: keyValues([
                  ['c', '2'],
                  ['b', '1'],
                ]),
              },
            },
          ],
        ],
      },
    ],
  ])('does not depend on the order of %s', (_what, one, other) => {
    expect(grow([one, other], read)).toMatchObject(ONE_SERIES)
  })

  it('takes the first of repeated keys', () => {
    const [once, twice, other]: Pairs[] = [
      [['a', '1']],
      [
        ['a', '1'],
        ['a', '2'],
      ],
      [
        ['a', '2'],
        ['a', '1'],
      ],
    ]
    for (const at of [
      (attributes: Pairs) => ({ attributes }),
      (resource: Pairs) => ({ resource }),
      (attributes: Pairs) => ({ scope: { attributes } }),
    ]) {
      expect(grow([at(once), at(twice)], read)).toMatchObject(ONE_SERIES)
      expect(grow([at(twice), at(other)], read)).toMatchObject(TWO_SERIES)
    }
  })

  it.each<[string, Written, Written]>([
    ['a value', { attributes: [['a', '1']] }, { attributes: [['a', '2']] }],
    ['the kind of a value', { attributes: [['a', '1']] }, { attributes: [['a', { intValue: '1' }]] }],
    [
      'the order of an array',
      { attributes: [['a', { arrayValue: { values: [{ intValue: 1 }, { intValue: 2 }] } }]] },
      { attributes: [['a', { arrayValue: { values: [{ intValue: 2 }, { intValue: 1 }] } }]] },
    ],
    ['an empty value that is there', { attributes: [] }, { attributes: [['a', {}]] }],
    ['an attribute of the resource', { resource: [['a', '1']] }, { resource: [['a', '2']] }],
    ['the name of the scope', { scope: { name: 'a' } }, { scope: { name: 'b' } }],
    ['the version of the scope', { scope: { name: 'a', version: '1' } }, { scope: { name: 'a', version: '2' } }],
    [
      'where name and version of the scope part',
      { scope: { name: 'a', version: '1b' } },
      { scope: { name: 'a1', version: 'b' } },
    ],
    ['an attribute of the scope', { scope: { attributes: [['a', '1']] } }, { scope: { attributes: [['a', '2']] } }],
    [
      'the schema URL of the scope',
      { schemaUrl: 'https://opentelemetry.io/schemas/1.24.0' },
      { schemaUrl: 'https://opentelemetry.io/schemas/1.25.0' },
    ],
  ])('differs with %s', (_what, one, other) => {
    expect(grow([one, other], read)).toMatchObject(TWO_SERIES)
    expect(grow([one, one], read)).toMatchObject(ONE_SERIES)
  })
})

describe('the spellings of a series', () => {
  it('are all one series, of which the canonical one and four others are remembered', () => {
    const { differences, dropped, size } = grow([...inOrders, ...inOrders, ...inOrders])
    expect(differences).toEqual(Array(3 * ORDERS.length - 1).fill(1))
    expect(dropped).toEqual({ first_value: 1 })
    expect(size).toBe(5)
  })

  it('count toward the most that are remembered', () => {
    const other: Written = { attributes: [['d', 'x']] }
    expect(grow([inOrders[0], inOrders[1], other, other], asBytes, { maxSeries: 2 })).toEqual({
      differences: [1],
      dropped: { first_value: 1, too_many_series: 2 },
      size: 2,
    })
  })

  it('are not remembered beyond that, but known', () => {
    const { differences, size } = grow([...inOrders, ...inOrders], asBytes, { maxSeries: 2 })
    expect([differences, size]).toEqual([Array(2 * ORDERS.length - 1).fill(1), 2])
  })

  it('are known again where the memory was told and taken over', () => {
    const engine = new CumulativeToDelta({ initialValue: 'drop' })
    const { account } = counting()
    engine.state.beginCheckpoint()
    engine.apply(
      asBytes(
        request(1, 100, {
          ...inOrders[5],
          scope: {
            attributes: [
              ['a', '1'],
              ['b', '2'],
            ],
          },
        }),
      ),
      account,
    )
    const next = new CumulativeToDelta({ initialValue: 'drop' })
    next.state.restore([[{ bytes: engine.state.changes().bytes, age: 0 }]])
    const after = {
      ...inOrders[1],
      scope: {
        attributes: [
          ['b', '2'],
          ['a', '1'],
        ],
      },
    } as const
    expect(next.apply(asBytes(request(2, 107, after)), account).pointCount).toBe(1)
    expect(next.apply(asBytes(request(3, 107, { ...after, schemaUrl: 'another' })), account).pointCount).toBe(0)
  })
})
