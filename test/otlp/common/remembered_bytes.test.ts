import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { systemClock } from '../../../src/time/clock.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import type { AttributeValue } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { BytesIndex } from '../../../src/otlp/wire/bytes_index.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { viewOf } from '../../../src/otlp/wire/lazy_message.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { oldestOf, RememberedBytes } from '../../../src/otlp/common/remembered_bytes.ts'
import { counting, LONG_AGO, SECOND } from '../../kit/differences.ts'
import { runs } from '../../kit/fuzzing.ts'

type Values = Readonly<Record<string, AttributeValue>>

interface Sent {
  readonly name?: string
  readonly attributes?: Values
  readonly resource?: Values
  readonly scope?: Values
}

/** A counter as it is sent `seconds` after LONG_AGO, when it has come to `value`. */
function counter(seconds: number, value: number, { name = 'c', attributes = {}, resource = {}, scope }: Sent = {}) {
  const point = new NumberPoint({
    value,
    isInt: true,
    timeUnixNano: LONG_AGO + BigInt(seconds) * SECOND,
    startTimeUnixNano: LONG_AGO,
    attributes: Attributes.of(attributes),
  })
  const metric = { name, type: 'sum', temporality: 'cumulative', monotonic: true, points: [point] } as const
  const batch = MetricBatch.of({ resource, metrics: [metric] })
  if (scope === undefined) return batch
  return batch.mapScopes((entry) => entry.withScope(entry.scope.withAttributes(Attributes.of(scope))))
}

const asBytes = (batch: MetricBatch): MetricBatch => MetricBatch.fromOtlp(batch.toOtlp())
const FORMS: readonly (readonly [string, (batch: MetricBatch) => MetricBatch])[] = [
  ['bytes', asBytes],
  ['objects', (batch) => batch],
]

/** An engine that may remember so many bytes, at a time that is set in seconds. */
function bounded(limit: number) {
  const remembered = new RememberedBytes()
  remembered.limit = limit
  let now = 0
  const clock = { ...systemClock, monotonic: () => now * 1000 }
  const engine = new CumulativeToDelta({ initialValue: 'drop', remembered, clock })
  const { account, counted } = counting()
  return {
    engine,
    remembered,
    counted,
    /** What comes out of a counter. */
    send: (seconds: number, value: number, sent?: Sent, form = asBytes): number | undefined => {
      now = seconds
      const [one] = engine.apply(form(counter(seconds, value, sent)), account).metrics()
      return (one?.metric.points[0] as NumberPoint | undefined)?.value as number | undefined
    },
    take: (seconds: number, batch: MetricBatch) => {
      now = seconds
      return engine.apply(batch, account)
    },
  }
}

const series = (number: number, padding = 100): Sent => ({ attributes: { number, pad: 'x'.repeat(padding) } })

describe.each(FORMS)('what is remembered of series that come as %s', (_form, form) => {
  it('is bounded in bytes: further series are refused, and those that are known go on', () => {
    const { send, remembered, counted } = bounded(30_000)
    for (let number = 0; number < 1000; number++) send(0, 1, series(number), form)
    const { first_value: taken, too_many_series: refused } = counted.dropped
    expect(taken + refused).toBe(1000)
    expect(taken).toBeGreaterThan(80)
    expect(remembered.used).toBeLessThanOrEqual(30_000)
    expect([send(10, 4, series(0), form), send(10, 4, series(999), form)]).toEqual([3, undefined])
  })

  it('is bounded where each series has a metric, a resource or a scope of its own', () => {
    for (const own of ['name', 'resource', 'scope'] as const) {
      const { send, remembered, counted } = bounded(30_000)
      for (let number = 0; number < 1000; number++) {
        const name = `${own} ${number}`
        send(0, 1, own === 'name' ? { name } : { [own]: { name } }, form)
      }
      expect(counted.dropped.too_many_series).toBeGreaterThan(900)
      expect(remembered.used).toBeLessThanOrEqual(30_000)
    }
  })

  it.each<[string, Sent]>([
    ['attributes', series(1, 17_000)],
    ['a resource', { resource: { pad: 'x'.repeat(17_000) } }],
    ['a scope', { scope: { pad: 'x'.repeat(17_000) } }],
    ['a name', { name: 'x'.repeat(17_000) }],
  ])('leaves out those with %s beyond 16 KiB, whose points are dropped as such', (_what, sent) => {
    const { send, remembered, counted } = bounded(Infinity)
    for (const seconds of [0, 10]) expect(send(seconds, seconds, sent, form)).toBeUndefined()
    expect(counted.dropped).toEqual({ attributes_too_large: 2 })
    expect(remembered.used).toBeLessThan(18_000)
    for (const seconds of [0, 10]) send(seconds, seconds, series(1, 16_000), form)
    expect(counted.dropped).toEqual({ attributes_too_large: 2, first_value: 1 })
  })
})

describe('a series', () => {
  it('makes room for another only when it has missed three of its own intervals', () => {
    const { send, counted } = bounded(12_000)
    const known = Array.from({ length: 100 }, (_, number) => number)
    // Every tenth is sent each minute, the others each ten seconds, for five minutes.
    const intervalOf = (number: number): number => (number % 10 === 0 ? 60 : 10)
    for (let seconds = 0; seconds <= 300; seconds += 10) {
      for (const number of known) if (seconds % intervalOf(number) === 0) send(seconds, seconds, series(number, 20))
    }
    const { first_value: taken } = counted.dropped
    expect(taken).toBeLessThan(100)
    // The last that was sent was the last that found room.
    expect(send(330, 1, series(1000, 20))).toBeUndefined()
    expect(counted.dropped.first_value).toBe(taken)
    // Those of ten seconds have missed three by now, those of a minute none.
    send(336, 1, series(1000, 20))
    expect(send(346, 3, series(1000, 20))).toBe(2)
    expect(send(360, 360, series(0, 20))).toBe(60)
    expect(send(360, 360, series(1, 20))).toBeUndefined()
  })

  it('that came only once stays for a quarter of an hour', () => {
    const { send, counted } = bounded(3000)
    for (let number = 0; number < 20; number++) send(0, 1, series(number))
    expect(send(1000, 2, series(0))).toBe(1)
    // By now, but who asks for room finds it only the next time.
    expect(counted.dropped.too_many_series).toBeGreaterThan(0)
    for (const seconds of [2100, 2101]) send(seconds, 1, series(20))
    expect(send(2110, 2, series(20))).toBe(1)
  })

  it('stays where much that was held back comes at once, and then in its own time', () => {
    const { engine, take, send } = bounded(3000)
    const heldBack = Array.from({ length: 100 }, (_, index) => asBytes(counter(60 * index, index, series(0))))
    for (const batch of heldBack) take(6000, batch)
    for (let number = 1; number < 20; number++) send(6001, 1, series(number))
    expect(engine.size).toBeLessThan(20)
    send(6120, 1, series(100))
    expect(send(6150, 101, series(0))).toBe(2)
  })

  it('is refused when it has so many buckets that there is no room for them', () => {
    const { take, remembered, counted } = bounded(20_000)
    const explicit = (value: number, buckets: number) => {
      const bounds = Array.from({ length: buckets - 1 }, (_, index) => index)
      const counts = [value, ...bounds.map(() => 0)]
      const time = LONG_AGO + BigInt(value) * SECOND
      return new HistogramPoint({
        ...{ timeUnixNano: time, startTimeUnixNano: LONG_AGO },
        ...{ count: value, bucketCounts: counts, explicitBounds: bounds },
      })
    }
    const exponential = (value: number, buckets: number) => {
      const counts = [value, ...Array.from({ length: buckets - 1 }, () => 0)]
      const time = LONG_AGO + BigInt(value) * SECOND
      return new ExponentialHistogramPoint({
        ...{ timeUnixNano: time, startTimeUnixNano: LONG_AGO, scale: 0, zeroThreshold: 0, zeroCount: 0 },
        ...{ count: value, positive: { offset: 0, bucketCounts: counts } },
      })
    }
    const batches = (value: number, buckets: number) =>
      [
        { name: 'e', type: 'histogram', temporality: 'cumulative', points: [explicit(value, buckets)] } as const,
        {
          name: 'x',
          type: 'exponential_histogram',
          temporality: 'cumulative',
          points: [exponential(value, buckets)],
        } as const,
      ].map((metric) => MetricBatch.of({ metrics: [metric] }))
    for (const form of [asBytes, (batch: MetricBatch) => batch]) {
      for (const batch of batches(1, 10_000)) take(1, form(batch))
    }
    expect(counted.dropped).toEqual({ too_many_series: 4 })
    for (const batch of batches(2, 10)) take(2, asBytes(batch))
    expect(counted.dropped).toEqual({ too_many_series: 4, first_value: 2 })
    // One that is known may grow beyond the limit in its batch, not after it.
    take(3, asBytes(batches(3, 10_000)[1]))
    expect(remembered.used).toBeLessThan(20_000)
  })
})

describe('over any schedule', () => {
  const schedule = fc.record({
    limit: fc.integer({ min: 2000, max: 20_000 }),
    intervals: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 60 }),
    gone: fc.array(fc.nat(600), { minLength: 60, maxLength: 60 }),
    paddings: fc.array(fc.nat(400), { minLength: 60, maxLength: 60 }),
    names: fc.integer({ min: 1, max: 5 }),
    seconds: fc.integer({ min: 10, max: 600 }),
  })

  it('no more is remembered than may be, every point is accounted for, and none is missed of a series that keeps its time', () => {
    fc.assert(
      fc.property(schedule, ({ limit, intervals, gone, paddings, names, seconds }) => {
        const { engine, send, remembered, counted } = bounded(limit)
        const known = new Set<number>()
        let [sent, got] = [0, 0]
        for (let second = 0; second <= seconds; second++) {
          intervals.forEach((interval, number) => {
            if (second % interval !== 0 || second > gone[number]) return
            const before = { ...counted.dropped }
            const difference = send(second, second, { name: `n${number % names}`, ...series(number, paddings[number]) })
            sent++
            if (difference === undefined) expect(known).not.toContain(number)
            else expect([known.has(number), difference]).toEqual([true, interval])
            if (counted.dropped.first_value !== before.first_value) known.add(number)
            if (difference !== undefined) got++
            expect(remembered.used).toBeLessThanOrEqual(limit)
          })
        }
        expect(Object.values(counted.dropped).reduce((left, right) => left + right, got)).toBe(sent)
        engine.close()
        expect([remembered.used, remembered.memories.size]).toEqual([0, 0])
      }),
      runs(40),
    )
  })
})

describe('where memory is short', () => {
  it('what came longest ago is forgotten, as much as is asked for', () => {
    const { engine, send, remembered } = bounded(Infinity)
    for (let number = 0; number < 100; number++) send(number, 1, series(number))
    for (let number = 0; number < 100; number++) send(100 + number, 2, series(number))
    const { used } = remembered
    remembered.shrink(0.4)
    expect(engine.size).toBe(60)
    expect(remembered.used).toBeLessThan(used * 0.7)
    expect([send(200, 3, series(39)), send(200, 3, series(40))]).toEqual([undefined, 1])
  })

  it('caches are cleared', () => {
    const remembered = new RememberedBytes()
    let cleared = 0
    const cache = { clear: () => void cleared++ }
    remembered.addCache(cache)
    remembered.shrink(0)
    expect([cleared, Object.keys(cache)]).toEqual([1, ['clear']])
  })
})

describe('a memory that was told and is taken over', () => {
  it('keeps the bound of the one that takes it over', () => {
    const before = bounded(Infinity)
    before.engine.state.beginCheckpoint()
    for (let number = 0; number < 200; number++) before.send(0, 5, series(number))
    const told: { bytes: Uint8Array; age: number }[] = []
    for (let all = false; !all;) {
      const part = before.engine.state.changes()
      all = part.all
      told.push({ bytes: part.bytes, age: 0 })
    }
    const after = bounded(20_000)
    after.engine.state.restore([told])
    expect(after.remembered.used).toBeLessThanOrEqual(18_000)
    const differences = Array.from({ length: 200 }, (_, number) => after.send(10, 7, series(number)))
    const kept = differences.filter((difference) => difference === 2).length
    expect(kept).toBeGreaterThan(50)
    const { first_value: anew, too_many_series: refused } = after.counted.dropped
    expect([kept + anew + refused, differences.filter((difference) => difference === undefined).length]).toEqual([
      200,
      200 - kept,
    ])
  })
})

describe('an index of bytes', () => {
  it('finds what was added and not forgotten, in whatever order that happens, and counts its bytes', () => {
    const operation = fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.nat(40) }) },
      { weight: 3, arbitrary: fc.record({ forgetOne: fc.nat(40) }) },
      { weight: 1, arbitrary: fc.record({ forget: fc.nat(3) }) },
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const remembered = new RememberedBytes()
        const index = new BytesIndex(remembered, 10)
        const numbers = new Map<number, number>()
        const textOf = (key: number) => Buffer.from(`${key} `.repeat(key))
        const find = (key: number): number => {
          const text = textOf(key)
          return index.find(key % 3, viewOf(text), 0, text.length)
        }
        for (const one of operations) {
          if ('add' in one && find(one.add) < 0) {
            const text = textOf(one.add)
            numbers.set(one.add, index.add(one.add % 3, viewOf(text), 0, text.length))
          } else if ('forgetOne' in one && numbers.has(one.forgetOne)) {
            index.forgetOne(numbers.get(one.forgetOne) as number)
            numbers.delete(one.forgetOne)
          } else if ('forget' in one) {
            const gone = new Set([...numbers].filter(([key]) => key % 4 === one.forget).map(([, number]) => number))
            index.forget((number) => gone.has(number))
            for (const [key, number] of numbers) if (gone.has(number)) numbers.delete(key)
          }
          for (let key = 0; key <= 40; key++) expect(find(key)).toBe(numbers.get(key) ?? -1)
          for (const [key, number] of numbers) expect(Buffer.from(index.bytes(number))).toEqual(textOf(key))
          const bytes = [...numbers.keys()].reduce((sum, key) => sum + index.bytesFor(textOf(key).length), 0)
          expect([index.size, remembered.used]).toEqual([numbers.size, bytes])
        }
      }),
      runs(30),
    )
  })
})

describe('the oldest part', () => {
  it('is as large as it is asked for, and nothing in it is younger than what is not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -1, max: 20 })),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (ages, part) => {
          const isOld = oldestOf(Int32Array.from(ages), part)
          const old = ages.filter((_, index) => isOld[index] === 1)
          const rest = ages.filter((_, index) => isOld[index] === 0)
          expect(old).toHaveLength(Math.ceil(ages.filter((age) => age >= 0).length * part))
          if (old.length > 0) expect(Math.min(...old)).toBeGreaterThanOrEqual(Math.max(-1, ...rest))
        },
      ),
    )
  })
})
