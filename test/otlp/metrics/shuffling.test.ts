import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { ExporterComponent } from '../../../src/component/exporter.ts'
import type { Batch } from '../../../src/otlp/signal.ts'
import type { Settings } from '../../../src/component/settings.ts'
import datadogNative from '../../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../../src/exporters/datadog_otlp.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import cumulativeToDelta from '../../../src/processors/cumulative_to_delta.ts'
import { testProcessor } from '../../../src/testing.ts'
import { testExporter } from '../../kit/exporting.ts'
import { runs } from '../../kit/fuzzing.ts'
import { startIntake } from '../../kit/intake.ts'
import type { Intake } from '../../kit/intake.ts'
import { ExportMetricsServiceRequest as Reference } from '../../kit/otlp_proto.ts'

/*
 * OTLP gives no order to attributes, nor to what stands in a request. Each history is sent twice, once as it was made and once
 * shuffled, and the same must arrive. No two points are of one series at one time or, for Datadog, in one second.
 */

const SECOND = 1_000_000_000n
const NOON = 1_767_268_800n * SECOND

interface KeyValue {
  readonly key: string
  readonly value: object
}

const anyValue: fc.Arbitrary<object> = fc.oneof(
  fc.record({ stringValue: fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'long'.repeat(100))) }),
  fc.record({ intValue: fc.oneof(fc.integer(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(String) }),
  fc.record({ boolValue: fc.boolean() }),
  fc.record({ doubleValue: fc.double({ noNaN: true, noDefaultInfinity: true }) }),
  fc.constant({ arrayValue: { values: [{ intValue: '1' }, { stringValue: 'b' }] } }),
  fc.constant({
    kvlistValue: {
      values: [
        { key: 'b', value: { intValue: '1' } },
        { key: 'a', value: { boolValue: true } },
      ],
    },
  }),
  fc.constant({ bytesValue: 'AQID' }),
  fc.constant({}),
)
/** Other keys for Datadog, too. */
const key = fc.constantFrom('zone', 'a', 'a.b', 'ключ', '鍵', '', 'key'.repeat(50))
const attributes: fc.Arbitrary<KeyValue[]> = fc.uniqueArray(fc.record({ key, value: anyValue }), {
  maxLength: 5,
  selector: ({ key }) => key,
})

const CUMULATIVE = { aggregationTemporality: 2 }
const DELTA = { aggregationTemporality: 1 }
const KINDS = {
  gauge: { field: 'gauge', more: {} },
  int: { field: 'sum', more: { ...CUMULATIVE, isMonotonic: true } },
  double: { field: 'sum', more: { ...CUMULATIVE, isMonotonic: true } },
  up_down: { field: 'sum', more: CUMULATIVE },
  delta: { field: 'sum', more: { ...DELTA, isMonotonic: true } },
  histogram: { field: 'histogram', more: CUMULATIVE },
  delta_histogram: { field: 'histogram', more: DELTA },
  exponential: { field: 'exponentialHistogram', more: CUMULATIVE },
  summary: { field: 'summary', more: {} },
} as const
type Kind = keyof typeof KINDS

const series = fc.record({
  resource: fc.nat(1),
  scope: fc.nat(1),
  kind: fc.constantFrom<Kind>(...(Object.keys(KINDS) as Kind[])),
  attributes,
})
const reading = fc.record({
  series: fc.nat(7),
  counted: fc.nat(20),
  fraction: fc.nat(999_999_999),
  becomes: fc.constantFrom('more', 'more', 'more', 'more', 'less', 'another'),
})
const history = fc.record({
  resources: fc.tuple(attributes, attributes),
  scopes: fc.tuple(attributes, attributes),
  series: fc.array(series, { minLength: 1, maxLength: 8 }),
  requests: fc.array(fc.array(reading, { minLength: 1, maxLength: 12, size: 'max' }), {
    minLength: 1,
    maxLength: 4,
    size: 'max',
  }),
})
type History = typeof history extends fc.Arbitrary<infer T> ? T : never

/** A point with all that says which series it is of. */
interface Leaf {
  readonly resource: readonly KeyValue[]
  readonly scope: readonly KeyValue[]
  readonly kind: Kind
  readonly attributes: readonly KeyValue[]
  readonly point: object
}

function leavesOf({ resources, scopes, series, requests }: History): Leaf[][] {
  const counts = series.map(() => 0)
  const starts = series.map(() => NOON - 1000n * SECOND)
  let second = 0n
  return requests.map((readings) =>
    readings.map(({ series: number, counted, fraction, becomes }) => {
      const id = number % series.length
      const { resource, scope, kind, attributes } = series[id]
      const time = NOON + ++second * 10n * SECOND + BigInt(fraction)
      if (becomes !== 'more') counts[id] = 0
      if (becomes === 'another') starts[id] = time - SECOND
      counts[id] += counted
      const times = { startTimeUnixNano: String(starts[id]), timeUnixNano: String(time) }
      return {
        resource: resources[resource],
        scope: scopes[scope],
        kind,
        // No two series are one at Datadog, which knows no scopes.
        attributes: [...attributes, { key: 'id', value: { intValue: String(id) } }],
        point: { ...times, ...figures(kind, counts[id], counted) },
      }
    }),
  )
}

function figures(kind: Kind, count: number, last: number): object {
  switch (kind) {
    case 'gauge':
    case 'double':
    case 'up_down':
      return { asDouble: count / 3 }
    case 'int':
    case 'delta':
      return { asInt: String(count) }
    case 'histogram':
    case 'delta_histogram':
      return { count: count + 3, sum: count * 1.1, min: -1, max: last, bucketCounts: [3, count], explicitBounds: [0] }
    case 'exponential':
      return {
        count: count + 1,
        sum: count * 1.1,
        scale: 1,
        zeroCount: 1,
        positive: { offset: 2, bucketCounts: [count] },
      }
    case 'summary':
      return { count, sum: count * 1.1, quantileValues: [{ quantile: 0.5, value: last }] }
  }
}

interface Block<Child> {
  readonly of: unknown
  readonly children: Child[]
}

/** The points of a request one after the other; each with the block before that it can share, where `joins` says so. */
function toRequest(
  leaves: readonly Leaf[],
  joins: () => boolean,
  shuffled: (of: readonly KeyValue[]) => KeyValue[],
): Uint8Array {
  const block = <Child>(blocks: Block<Child>[], of: unknown): Child[] => {
    const known = blocks.findLast((one) => one.of === of)
    if (known !== undefined && joins()) return known.children
    const added = { of, children: [] }
    blocks.push(added)
    return added.children
  }
  const resources: Block<Block<Block<object>>>[] = []
  for (const { resource, scope, kind, attributes, point } of leaves) {
    const points = block(block(block(resources, resource), scope), kind)
    points.push({ ...point, attributes: shuffled(attributes) })
  }
  const resourceMetrics = resources.map(({ of: resource, children }) => ({
    resource: { attributes: shuffled(resource as readonly KeyValue[]) },
    scopeMetrics: children.map(({ of: scope, children }) => ({
      scope: { name: 'shop', attributes: shuffled(scope as readonly KeyValue[]) },
      metrics: children.map(({ of, children: dataPoints }) => {
        const { field, more } = KINDS[of as Kind]
        return { name: `shop.${of as Kind}`, [field]: { ...more, dataPoints } }
      }),
    })),
  }))
  return Reference.encode(Reference.fromObject({ resourceMetrics })).finish()
}

const asItStands = (of: readonly KeyValue[]): KeyValue[] => [...of]

/** The requests of a history, as it was made and shuffled. */
const twoWays = fc.tuple(history, fc.gen()).map(([history, random]) => {
  const any = <T>(of: readonly T[]): T[] => random(fc.shuffledSubarray, [...of], { minLength: of.length })
  const leaves = leavesOf(history)
  return [
    leaves.map((request) => toRequest(request, () => true, asItStands)),
    leaves.map((request) => toRequest(any(request), () => random(fc.boolean), any)),
  ] as const
})

/** What is in OTLP requests, point by point: a text for each. */
function pointsOf(requests: readonly Uint8Array[]): string[] {
  interface Message {
    [field: string]: unknown
    attributes?: { key: string }[]
  }
  const plain = ({ attributes = [], ...fields }: Message = {}): string =>
    JSON.stringify([attributes.map((one) => JSON.stringify(one)).sort(), fields])
  const points = requests.flatMap((bytes) => {
    const { resourceMetrics = [] } = Reference.toObject(Reference.decode(bytes), { longs: String, bytes: String }) as {
      resourceMetrics?: {
        resource?: Message
        scopeMetrics?: { scope?: Message; metrics?: { name: string; [type: string]: unknown }[] }[]
      }[]
    }
    return resourceMetrics.flatMap(({ resource, scopeMetrics = [] }) =>
      scopeMetrics.flatMap(({ scope, metrics = [] }) =>
        metrics.flatMap((metric) => {
          const [type] = Object.keys(metric).filter((field) => typeof metric[field] === 'object')
          const { dataPoints = [], ...more } = metric[type] as { dataPoints?: Message[] }
          const about = [plain(resource), plain(scope), metric.name, type, JSON.stringify(more)].join()
          return dataPoints.map((point) => `${about} ${plain(point)}`)
        }),
      ),
    )
  })
  return points.sort()
}

const INITIAL_VALUES = fc.constantFrom('auto', 'keep')

/** What Datadog gets of requests, and the balance. */
async function exported<S extends Settings, B extends Batch>(
  component: ExporterComponent<S, B>,
  settings: string,
  requests: readonly Uint8Array[],
  read: (intake: Intake) => string[],
) {
  const intake = await startIntake()
  try {
    const exporter = await testExporter(
      component,
      `${component.type}: { endpoint: "${intake.url}", api_key: k, ${settings} }`,
    )
    const balance = await exporter.deliver(...requests.map((request) => MetricBatch.fromOtlp(request)))
    await exporter.stop()
    return { balance, got: read(intake) }
  } finally {
    await intake.close()
  }
}

/** The values of series and distributions, one by one. */
function valuesOf(intake: Intake): string[] {
  const series = intake.series().flatMap(({ points, ...one }) => points.map((point) => ({ ...one, point })))
  const sketches = intake
    .sketches()
    .flatMap(({ dogsketches, ...one }) => dogsketches.map((point) => ({ ...one, point })))
  return [...series, ...sketches].map(({ tags, ...one }) => JSON.stringify({ ...one, tags: tags.toSorted() })).sort()
}

describe('the order in which a request is written', () => {
  it('does not change what leaves `cumulative_to_delta`', async () => {
    await fc.assert(
      fc.asyncProperty(twoWays, INITIAL_VALUES, async ([made, shuffled], initialValue) => {
        const differences = async (requests: readonly Uint8Array[]) => {
          const { process, balance, stop } = await testProcessor(
            cumulativeToDelta,
            `cumulative_to_delta: { initial_value: ${initialValue} }`,
          )
          const left = []
          for (const request of requests) left.push((await process(MetricBatch.fromOtlp(request))).toOtlp())
          await stop()
          return { balance: balance(), left: pointsOf(left) }
        }
        expect(await differences(shuffled)).toEqual(await differences(made))
      }),
      runs(60),
    )
  })

  it.each(['v1', 'v2'])('does not change what Datadog gets over its own API (%s)', async (version) => {
    await fc.assert(
      fc.asyncProperty(twoWays, INITIAL_VALUES, async ([made, shuffled], initialValue) => {
        const settings = `series_version: ${version}, initial_value: ${initialValue}`
        const expected = await exported(datadogNative, settings, made, valuesOf)
        expect(await exported(datadogNative, settings, shuffled, valuesOf)).toEqual(expected)
      }),
      runs(30),
    )
  })

  it('does not change what Datadog gets over OTLP', async () => {
    const read = ({ requests }: Intake): string[] => pointsOf(requests.map(({ raw }) => raw))
    await fc.assert(
      fc.asyncProperty(twoWays, INITIAL_VALUES, async ([made, shuffled], initialValue) => {
        const settings = `initial_value: ${initialValue}`
        const expected = await exported(datadogOtlp, settings, made, read)
        expect(await exported(datadogOtlp, settings, shuffled, read)).toEqual(expected)
      }),
      runs(30),
    )
  })
})
