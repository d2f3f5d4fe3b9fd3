import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'
import { Mortal } from '../../kit/mortal.ts'

const SECOND = 1_000_000_000n

/** A point of one of a few series; `lead` is how far it is ahead of, or behind, its round. */
const sample = fc.record({
  kind: fc.constantFrom('int', 'int', 'double', 'histogram', 'exponential'),
  metric: fc.nat(1),
  series: fc.nat(3),
  lead: fc.constantFrom(0, 0, 0, 0, -1, 1),
  value: fc.nat(50),
  goesOn: fc.constantFrom(true, true, true, false),
  start: fc.constantFrom(1, 1, 1, 5, 0),
})
type Sample = typeof sample extends fc.Arbitrary<infer T> ? T : never

/** What happens after a round: the process goes on, tells anew, or dies. */
const round = fc.record({
  samples: fc.uniqueArray(sample, {
    maxLength: 8,
    selector: ({ kind, metric, series, lead }) => `${kind} ${metric} ${series} ${lead}`,
  }),
  then: fc.constantFrom('goes on', 'goes on', 'tells anew', 'dies'),
  objects: fc.boolean(),
})

function batchOf(samples: readonly Sample[], number: number, objects: boolean): MetricBatch {
  const metrics = samples.map(({ kind, metric, series, lead, value, goesOn, start }) => {
    const common = {
      attributes: Attributes.of({ series: 'x'.repeat(series), kind }),
      startTimeUnixNano: BigInt(start) * SECOND,
      timeUnixNano: BigInt(1000 + number * 10 + lead) * SECOND,
    }
    const count = (goesOn ? number * 100 : 0) + value
    const cumulative = { name: `m${metric}`, temporality: 'cumulative' } as const
    switch (kind) {
      case 'histogram': {
        const histogram = {
          ...common,
          count: count + 7,
          sum: count / 3,
          bucketCounts: [count, 7],
          explicitBounds: [1],
          min: 50 - value,
          max: value,
        }
        return { ...cumulative, type: 'histogram', points: [new HistogramPoint(histogram)] } as const
      }
      case 'exponential': {
        const positive = { offset: 1, bucketCounts: [count] }
        const histogram = { ...common, count: count + 1, zeroCount: 1, scale: 2, positive, max: value }
        return {
          ...cumulative,
          type: 'exponential_histogram',
          points: [new ExponentialHistogramPoint(histogram)],
        } as const
      }
      default: {
        const isInt = kind === 'int'
        const points = [new NumberPoint({ ...common, isInt, value: isInt ? count : count / 3 })]
        return { ...cumulative, type: 'sum', monotonic: true, points } as const
      }
    }
  })
  const batch = MetricBatch.of({ resource: { 'service.name': 'shop' }, metrics })
  return objects ? batch : MetricBatch.fromOtlp(batch.toOtlp())
}

function counting() {
  const counts: Record<string, number> = {}
  const dropped = (reason: string, points: number): void => void (counts[reason] = (counts[reason] ?? 0) + points)
  const [merged, created] = ['merged', 'created'].map((reason) => (points: number) => dropped(reason, points))
  return { counts, dropped, merged, created }
}

const one = (value: number, second: number, series = 0): MetricBatch =>
  batchOf([{ kind: 'int', metric: 0, series, lead: 0, value, goesOn: false, start: 1 }], second, false)

describe('what is remembered of cumulative series', () => {
  it('is the same after it was told and taken over, whenever that is', () => {
    fc.assert(
      fc.property(fc.array(round, { maxLength: 12 }), fc.constantFrom('drop', 'keep'), (rounds, initialValue) => {
        const options = { initialValue, extremes: 'reached' } as const
        const [immortal, mortal] = [new CumulativeToDelta(options), new Mortal(options)]
        const [expected, actual] = [counting(), counting()]
        rounds.forEach(({ samples, then, objects }, number) => {
          const batch = batchOf(samples, number, objects)
          expect(toOtlpJson(mortal.apply(batch, actual))).toBe(toOtlpJson(immortal.apply(batch, expected)))
          if (then === 'tells anew') mortal.tellAnew()
          if (then === 'dies') mortal.die()
        })
        expect(actual.counts).toEqual(expected.counts)
      }),
      { numRuns: 150 },
    )
  })

  it('is told anew a part at a time, with what changes, and what is not told yet stays in what was told before', () => {
    const many = (value: number, second: number, from = 0, to = 5000): MetricBatch => {
      const points = Array.from({ length: to - from }, (_, index) => {
        const attributes = Attributes.of({ series: from + index })
        return new NumberPoint({ attributes, value, isInt: true, startTimeUnixNano: 1n, timeUnixNano: BigInt(second) })
      })
      const metric = { name: 'm', type: 'sum', temporality: 'cumulative', monotonic: true, points } as const
      return MetricBatch.fromOtlp(MetricBatch.of({ metrics: [metric] }).toOtlp())
    }
    const mortal = new Mortal({ initialValue: 'drop', extremes: 'reached' })
    const account = counting()
    mortal.apply(many(1, 2), account)
    const length = (): number => mortal.files.flat().reduce((sum, { bytes }) => sum + bytes.length, 0)
    const whole = length()
    mortal.apply(many(2, 3), account)
    expect(length() - whole).toBe(5000 * 20 + 4) // of what is known, value and time
    mortal.tellAnew()
    mortal.apply(many(3, 4, 0, 10), account)
    expect(mortal.files).toHaveLength(2)
    expect(mortal.files[1][0].bytes.length).toBeLessThan(whole / 4)
    mortal.die()
    const { points } = mortal.apply(many(7, 5), account).resources[0].scopes[0].metrics[0]
    expect(points.map((point) => (point as NumberPoint).value)).toEqual(
      Array.from({ length: 5000 }, (_, series) => (series < 10 ? 4 : 5)),
    )
    for (let second = 6; mortal.files.length > 1; second += 1) mortal.apply(many(second, second, 0, 10), account)
    mortal.die()
    expect(mortal.apply(many(100, 100), account).pointCount).toBe(5000)
    expect(account.counts).toEqual({ first_value: 5000 })
  })

  it('is gone on from after a restart although the start has moved by a second, as that of a host may', () => {
    const read = (value: number, second: number, start: bigint): MetricBatch => {
      const times = { timeUnixNano: BigInt(second) * SECOND, startTimeUnixNano: start * SECOND }
      const points = [new NumberPoint({ value, isInt: true, ...times })]
      return MetricBatch.of({
        metrics: [{ name: 'm', type: 'sum', temporality: 'cumulative', monotonic: true, points }],
      })
    }
    const before = new CumulativeToDelta({ initialValue: 'auto' })
    before.state.beginCheckpoint()
    before.apply(read(100, 1000, 500n), counting())
    const after = new CumulativeToDelta({ initialValue: 'auto' })
    after.state.restore([[{ bytes: before.state.changes().bytes, age: 0 }]])
    const account = counting()
    const [{ metric }] = after.apply(read(160, 1010, 501n), account).metrics()
    expect(metric.points).toMatchObject([{ value: 60 }])
    expect(account.counts).toEqual({})
  })

  it('grows older while nobody remembers it', () => {
    const told = (age: number): CumulativeToDelta => {
      const engine = new CumulativeToDelta({ initialValue: 'drop', ttl: 60_000 })
      engine.state.restore([[{ bytes, age }]])
      return engine
    }
    const engine = new CumulativeToDelta({ initialValue: 'drop' })
    engine.state.beginCheckpoint()
    engine.apply(one(1, 1), counting())
    const { bytes } = engine.state.changes()
    expect(told(50_000).apply(one(5, 2), counting()).pointCount).toBe(1)
    expect(told(70_000).apply(one(5, 2), counting()).pointCount).toBe(0)
    // Told anew, it is as old as it was.
    const older = told(50_000)
    older.state.beginCheckpoint()
    const again = new CumulativeToDelta({ initialValue: 'drop', ttl: 60_000 })
    again.state.restore([[{ bytes: older.state.changes().bytes, age: 20_000 }]])
    expect(again.apply(one(5, 2), counting()).pointCount).toBe(0)
  })

  it('is told whole of a series that begins anew after it was too old', () => {
    for (const kind of ['int', 'histogram'] as const) {
      const at = (value: number, second: number, start: 1 | 5): MetricBatch =>
        batchOf([{ kind, metric: 0, series: 0, lead: 0, value, goesOn: false, start }], second, false)
      const engine = new CumulativeToDelta({ initialValue: 'drop' })
      const told: Uint8Array[] = []
      const tell = (batch: MetricBatch, age = 0): void => {
        engine.apply(batch, counting())
        told.push(engine.state.changes().bytes)
        if (age > 0) engine.state.restore([[{ bytes: told[0], age }]])
      }
      engine.state.beginCheckpoint()
      tell(at(1, 1, 1), 2 * 3_600_000)
      tell(at(2, 2, 5))
      const next = new CumulativeToDelta({ initialValue: 'drop' })
      next.state.restore([told.map((bytes) => ({ bytes, age: 0 }))])
      expect(next.apply(at(5, 3, 5), counting()).pointCount).toBe(1)
    }
  })

  it('is nothing when it was told by another version', () => {
    const engine = new CumulativeToDelta({ initialValue: 'drop' })
    engine.state.beginCheckpoint()
    engine.apply(one(1, 1), counting())
    const { bytes } = engine.state.changes()
    const other = Uint8Array.from(bytes)
    other[0] += 1
    const next = new CumulativeToDelta({ initialValue: 'drop' })
    expect(() => next.state.restore([[bytes, other].map((bytes) => ({ bytes, age: 0 }))])).toThrow('version 3, not 2')
    expect(next.size).toBe(0)
    expect(next.apply(one(5, 2), counting()).pointCount).toBe(0)
  })

  it('names a series anew whose number another one had', async () => {
    const clock = new VirtualClock(Date.now())
    const engine = new CumulativeToDelta({ initialValue: 'drop', ttl: 20, clock })
    engine.state.beginCheckpoint()
    engine.apply(one(1, 1, 1), counting())
    const told = [engine.state.changes()]
    await clock.advance(40)
    engine.apply(one(10, 2, 2), counting())
    expect(engine.size).toBe(1)
    told.push(engine.state.changes())
    const next = new CumulativeToDelta({ initialValue: 'drop' })
    next.state.restore([told.map(({ bytes }) => ({ bytes, age: 0 }))])
    expect(next.apply(one(15, 3, 2), counting()).resources[0].scopes[0].metrics[0].points).toMatchObject([{ value: 5 }])
    expect(next.size).toBe(2)
  })
})
