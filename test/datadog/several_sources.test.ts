import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Exporter, ExporterComponent } from '../../src/component/exporter.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { ResourceMetrics, ScopeMetrics } from '../../src/otlp/metrics/metric.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import { HistogramPoint, NumberPoint } from '../../src/otlp/metrics/points.ts'
import { Resource, Scope } from '../../src/otlp/common/resource.ts'
import { sum, testComponent } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { storedBy } from '../kit/stored.ts'

/*
 * Several sources that are one series at Datadog: instances of a service, scopes of one name, points that differ in what is not sent.
 */

const NOON = 1_767_268_800
const at = (seconds: number): bigint => BigInt(Math.round((NOON + seconds) * 1000)) * 1_000_000n

const both = [datadogNative, datadogOtlp] as readonly ExporterComponent[]

async function exporting(
  component: ExporterComponent,
  settings = '',
): Promise<{ intake: Intake; exporter: ExporterTest }> {
  const intake = await startIntake()
  const own = `endpoint: "${intake.url}", api_key: good-key`
  const exporter = await testExporter(component, `${component.type}: { ${own}, ${settings} }`)
  return { intake, exporter }
}

/** What a sender writes: one resource, as bytes. */
function request(resource: Record<string, string>, ...metrics: MetricFields[]): MetricBatch {
  return MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'service.name': 'shop', ...resource }, metrics }).toOtlp())
}

function orders(value: number, seconds: number, attributes = {}): MetricFields {
  const times = { timeUnixNano: at(seconds), startTimeUnixNano: at(seconds - 10) }
  return sum('orders', value, attributes, { ...times, temporality: 'delta' })
}

/** The sum of what Datadog keeps of a metric: the last value of each series and second. */
function total(intake: Intake, name: string): number {
  return [...storedBy(intake)].reduce((sum, [key, value]) => (key.startsWith(`${name} `) ? sum + value : sum), 0)
}

/** A hundred instances of a service, each with a delta of 1 every 10 seconds, for a minute, as they come. */
const instances = Array.from({ length: 600 }, (_, index) =>
  request({ 'service.instance.id': `i-${index % 100}` }, orders(1, index * 0.1)),
)

describe.each(both)('series that Datadog writes alike over $type', (component) => {
  it('add up, whatever case and characters they came in', async () => {
    const { intake, exporter } = await exporting(component)
    const times = { timeUnixNano: at(10), startTimeUnixNano: at(0), temporality: 'delta' } as const
    const balance = await exporter.deliver(
      request({}, sum('a.b', 1, { m: 'GET' }, times), sum('a.b', 2, { m: 'get' }, times)),
      request({}, sum('a b', 4, {}, times), sum('a_b', 8, {}, times)),
    )
    expect([...storedBy(intake).values()].sort()).toEqual([12, 3])
    expect(balance).toMatchObject({ handed_in: 4, sent: 2, merged: 2 })
  })
})

describe.each(both)('the counts of a hundred instances over $type', (component) => {
  it('add up, in however many batches they are joined', async () => {
    for (const size of [1, 7, 10, 150]) {
      const { intake, exporter } = await exporting(component)
      const batches = Array.from({ length: Math.ceil(600 / size) }, (_, index) =>
        MetricBatch.merge(instances.slice(index * size, (index + 1) * size)),
      )
      const balance = await exporter.deliver(...batches)
      const { sent, merged, dropped } = balance
      const lost = dropped.overwritten ?? 0
      expect({ size, kept: total(intake, 'orders') + lost }).toEqual({ size, kept: 600 })
      expect(sent + merged + lost).toBe(600)
      // Ten batches a second for a minute, each of which takes a second, are more than five minutes hold.
      expect(lost).toBe(size === 1 ? 240 : 0)
      expect(exporter.logs.filter(({ level }) => level === 'warn')).toHaveLength(size === 1 ? 1 : 0)
      const last = Math.max(...Array.from(storedBy(intake).keys(), (key) => Number(key.split('@')[1])))
      expect(last).toBe(NOON + { 1: 359, 7: 85, 10: 59, 150: 59 }[size]!)
    }
  })

  it('add up when they are joined on their way, also beside what comes late', async () => {
    const { intake, exporter } = await exporting(component)
    const late = Array.from({ length: 30 }, (_, index) =>
      request({ 'service.instance.id': 'late' }, orders(1, -600 + index)),
    )
    await exporter.deliverTogether(...instances.slice(0, 300))
    const balance = await exporter.deliverTogether(...late, ...instances.slice(300))
    expect(total(intake, 'orders')).toBe(630)
    expect(balance.dropped).toEqual({})
  })

  it('add up to what other points of the same requests do in any order of batches', async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(instances.slice(0, 120), { minLength: 120 }), async (shuffled) => {
        const { intake, exporter } = await exporting(component)
        const seconds = [0, 1, 2, 3].map((part) => MetricBatch.merge(shuffled.slice(part * 30, part * 30 + 30)))
        expect((await exporter.deliver(...seconds)).dropped).toEqual({})
        expect(total(intake, 'orders')).toBe(120)
      }),
      { numRuns: 10 },
    )
  })

  it('add up over a restart and over a reload: what one exporter remembers, the next goes on from', async () => {
    const yaml = `${component.type}: { endpoint: "http://127.0.0.1:1", api_key: good-key }`
    const [first, next] = await Promise.all([1, 2].map(async () => (await testComponent(component, yaml)).created))
    const account = { created: () => undefined, merged: () => undefined, dropped: () => undefined }
    const seconds = (exporter: Exporter, batch: MetricBatch): readonly number[] => {
      const requests = [...exporter.encode(batch, account)]
      const { values } = exporter.explain!({ received: batch, prepared: batch, requests })
      return values.map(({ time }) => time - NOON)
    }
    const batch = (...ids: number[]) =>
      MetricBatch.merge(ids.map((id) => request({ 'service.instance.id': `i-${id}` }, orders(1, 0))))
    first.state?.beginCheckpoint()
    const [arrived, unknown] = [batch(1, 2), batch(3)]
    expect([seconds(first, arrived), seconds(first, unknown)]).toEqual([[0], [1]])
    first.ended?.(arrived)
    next.state?.restore([[{ bytes: first.state!.changes().bytes, age: 0 }]])
    // Nobody knows whether it arrived: it gets the second that it had.
    expect([seconds(next, unknown), seconds(next, batch(4))]).toEqual([[1], [2]])
  })
})

describe.each(both)('two scopes of one name that an attribute tells apart, over $type', (component) => {
  const scoped = (...metrics: readonly (readonly [warehouse: string, MetricFields[]])[]): MetricBatch =>
    MetricBatch.of(
      ...metrics.map(([warehouse, fields]) => ({
        resource: { 'service.name': 'shop', 'host.name': 'h' },
        scope: { name: 'Shop.Orders', version: '1' },
        metrics: fields,
        warehouse,
      })),
    ).mapScopes(withWarehouse(metrics.map(([warehouse]) => warehouse)))
  const withWarehouse = (warehouses: string[]) => (entry: ScopeMetrics) =>
    entry.withScope(entry.scope.withAttributes(Attributes.of({ warehouse: warehouses.shift() })))
  const round = (seconds: number, a: number, b: number): MetricBatch => {
    const metrics = (counted: number, stock: number, later: number): MetricFields[] => [
      sum('orders', counted, {}, { timeUnixNano: at(seconds + later), startTimeUnixNano: at(-4000) }),
      { name: 'stock', type: 'gauge', points: [new NumberPoint({ value: stock, timeUnixNano: at(seconds) })] },
    ]
    return MetricBatch.fromOtlp(scoped(['a', metrics(a, 3, 0)], ['b', metrics(b, 77, 0.001)]).toOtlp())
  }
  const rounds = [round(0, 10, 1000), round(10, 11, 1005), round(20, 12, 1010)]

  it('count together, and of their gauges one is dropped, counted and named', async () => {
    const { intake, exporter } = await exporting(component)
    const { dropped } = await exporter.deliver(...rounds)
    expect(total(intake, 'orders')).toBe(12)
    expect(dropped).toEqual({ first_value: 2, overwritten: 3 })
    const warned = exporter.logs.filter(({ level }) => level === 'warn')
    expect(warned.map(({ fields }) => fields)).toEqual([{ metric: 'stock' }])
  })

  it('are two series where scopes are tags', async () => {
    const { intake, exporter } = await exporting(component, 'instrumentation_scope_metadata_as_tags: true')
    const { dropped, merged } = await exporter.deliver(...rounds)
    expect(total(intake, 'orders')).toBe(12)
    expect([dropped, merged]).toEqual([{ first_value: 2 }, 0])
    const values = Array.from(storedBy(intake)).filter(([key]) => key.startsWith('stock '))
    expect(values.map(([, value]) => value).sort()).toEqual([3, 3, 3, 77, 77, 77])
    if (component.type === 'datadog_otlp') {
      const config = JSON.parse(String(intake.requests[0].headers['dd-otel-metric-config'])) as object
      expect(config).toEqual({ resource_attributes_as_tags: true, instrumentation_scope_metadata_as_tags: true })
    } else {
      expect(intake.series()[0].tags).toEqual([
        ...['instrumentation_scope:shop.orders', 'instrumentation_scope_version:1', 'service:shop', 'warehouse:a'],
      ])
    }
  })

  it('are named where their tags are explained', async () => {
    const yaml = `${component.type}: { api_key: good-key, instrumentation_scope_metadata_as_tags: true }`
    const { created } = await testComponent(component, yaml)
    const exporter = created
    const account = { created: () => undefined, merged: () => undefined, dropped: () => undefined }
    const batch = scoped(['a', [orders(1, 0)]])
    const requests = [...exporter.encode(batch, account)]
    const [{ tags }] = exporter.explain!({ received: batch, prepared: batch, requests }).values
    expect(Object.fromEntries(tags.map(({ tag, from }) => [tag, from]))).toMatchObject({
      'instrumentation_scope:shop.orders': 'scope name',
      'instrumentation_scope_version:1': 'scope version',
      'warehouse:a': 'scope attribute warehouse',
    })
  })

  it("give way to the exporter's own tags, and never name a host", async () => {
    const settings = 'instrumentation_scope_metadata_as_tags: true, tags: ["warehouse:all"]'
    const { intake, exporter } = await exporting(component, settings)
    const scope = Attributes.of({ warehouse: 'a', host: 'b' })
    const batch = MetricBatch.of({ metrics: [orders(1, 0)] }).mapScopes((entry) =>
      entry.withScope(entry.scope.withAttributes(scope)),
    )
    await exporter.deliver(batch)
    if (component.type === 'datadog_otlp') {
      expect(JSON.stringify(intake.requests[0].body)).not.toContain('"a"')
    } else {
      const [{ host, tags }] = intake.series()
      expect([host, tags]).toEqual([
        undefined,
        ['instrumentation_scope:n/a', 'instrumentation_scope_version:n/a', 'warehouse:all'],
      ])
    }
  })
})

describe.each(both)('the order in which things stand, over $type,', (component) => {
  const keys = ['a', 'b', 'c']
  const point = fc.record({ series: fc.nat(2), second: fc.nat(3), value: fc.integer({ min: 1, max: 9 }) })
  const points = fc.uniqueArray(point, { selector: ({ series, second }) => `${series} ${second}`, maxLength: 6 })
  const metric = fc.record({
    name: fc.constantFrom('m', 'n'),
    kind: fc.constantFrom('count', 'gauge', 'histogram'),
    points,
  })
  const metrics = fc.uniqueArray(metric, {
    selector: ({ name, kind }) => `${name} ${kind}`,
    minLength: 1,
    maxLength: 4,
  })
  const entries = fc.uniqueArray(fc.record({ service: fc.nat(2), scope: fc.nat(1), metrics }), {
    selector: ({ service, scope }) => `${service} ${scope}`,
    minLength: 1,
    maxLength: 4,
  })

  /** The same data in an order that a number chooses at every level. */
  function written(all: Parameters<Parameters<typeof entries.map>[0]>[0], seed: number): MetricBatch {
    let state = seed
    const shuffled = <T>(items: readonly T[]): T[] => {
      const left = [...items]
      return items.map(() => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31
        return left.splice(state % left.length, 1)[0]
      })
    }
    const attributesOf = (series: number): Attributes =>
      Attributes.from(
        shuffled(keys).map((key) => ({ key, value: { stringValue: key === 'a' ? String(series) : 'x' } })),
      )
    const resources = shuffled(all).map(({ service, scope, metrics: own }) => {
      const attributes = shuffled([
        ['service.name', `s${service}`],
        ['k', 'v'],
      ] as const)
      const fields = shuffled(own).map(({ name, kind, points: values }) => ({
        name: `${kind}.${name}`,
        type: kind === 'count' ? ('sum' as const) : kind,
        temporality: 'delta' as const,
        monotonic: true,
        points: shuffled(values).map(({ series, second, value }) => {
          const times = {
            timeUnixNano: at(second),
            startTimeUnixNano: at(second - 1),
            attributes: attributesOf(series),
          }
          if (kind !== 'histogram') return new NumberPoint({ ...times, value })
          return new HistogramPoint({ ...times, count: value, sum: value, bucketCounts: [value], explicitBounds: [] })
        }),
      }))
      const written = MetricBatch.of({ metrics: fields }).resources[0].scopes[0].metrics
      const ofScope = Attributes.of({ scope })
      return new ResourceMetrics({
        resource: new Resource({ attributes: Attributes.of(Object.fromEntries(attributes)) }),
        scopes: [new ScopeMetrics({ scope: new Scope({ name: 'x', attributes: ofScope }), metrics: written })],
      })
    })
    return MetricBatch.fromOtlp(MetricBatch.fromResources(resources).toOtlp())
  }

  it('changes nothing of what is stored', async () => {
    const settings = 'instrumentation_scope_metadata_as_tags: true'
    const deliver = async (batches: readonly MetricBatch[]) => {
      const { intake, exporter } = await exporting(component, settings)
      const { dropped, merged } = await exporter.deliver(...batches)
      return { dropped, merged, stored: Object.fromEntries([...storedBy(intake)].sort()) }
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(entries, { minLength: 1, maxLength: 2 }),
        fc.nat(),
        fc.nat(),
        async (all, one, other) => {
          const [first, second] = await Promise.all(
            [one, other].map((seed) => deliver(all.map((batch) => written(batch, seed)))),
          )
          expect(second).toEqual(first)
        },
      ),
      { numRuns: 25 },
    )
  })

  it('of attributes does not make two series of one in one second', async () => {
    const attributes = (...order: string[]) =>
      Attributes.from(order.map((key) => ({ key, value: { stringValue: 'x' } })))
    const level = (value: number, milliseconds: number, ...order: string[]): NumberPoint =>
      new NumberPoint({ value, timeUnixNano: at(milliseconds / 1000), attributes: attributes(...order) })
    const points = [level(1, 0, 'a', 'b'), level(2, 1, 'b', 'a')]
    const { intake, exporter } = await exporting(component)
    const { merged, dropped } = await exporter.deliver(
      request(
        {},
        { name: 'level', type: 'gauge', points },
        { name: 'size', type: 'sum', temporality: 'cumulative', monotonic: false, points },
        { name: 'count', type: 'sum', temporality: 'delta', monotonic: true, points },
      ),
    )
    // Of one source: the latest of what is now, the sum of what was counted.
    const stored = Array.from(storedBy(intake), ([key, value]) => [key.split(' ')[0], value])
    expect(stored.sort()).toEqual([
      ['count', 3],
      ['level', 2],
      ['size', 2],
    ])
    expect([merged, dropped]).toEqual([3, {}])
  })
})
