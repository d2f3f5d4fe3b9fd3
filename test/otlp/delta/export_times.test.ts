import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaOptions } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'
import { counting, differences, LONG_AGO } from '../../kit/differences.ts'

/** The values of some series of one counter that is older than this process, at a time. */
type Export = readonly [seconds: number, values: Readonly<Record<string, number>>]

const ERRORS = { name: 'errors', type: 'sum', temporality: 'cumulative', monotonic: true } as const

function pointsOf([seconds, values]: Export): NumberPoint[] {
  return Object.entries(values).map(([type, value]) => {
    const timeUnixNano = LONG_AGO + BigInt(Math.round(seconds * 1000)) * 1_000_000n
    const attributes = Attributes.of({ type })
    return new NumberPoint({ attributes, value, isInt: true, startTimeUnixNano: LONG_AGO, timeUnixNano })
  })
}

const batchOf = (one: Export): MetricBatch => MetricBatch.of({ metrics: [{ ...ERRORS, points: pointsOf(one) }] })

/** What arrives of one series. */
function arrived(type: string, exports: readonly Export[], options: Partial<DeltaOptions> = {}): unknown[] {
  const { points } = differences({ initialValue: 'auto', ...options }, ...exports.map(batchOf))
  return points.flatMap((point) => {
    if (point.kind !== 'number' || point.attributes.get('type') !== type) return []
    return [
      [point.value, Number(point.startTimeUnixNano - LONG_AGO) / 1e9, Number(point.timeUnixNano - LONG_AGO) / 1e9],
    ]
  })
}

describe('a series that appears in a metric that was exported before', () => {
  it('counts from zero where two exports came without it, from the time of the last of them', () => {
    const exports: Export[] = [
      [10, { timeout: 50 }],
      [20, { timeout: 51 }],
      [30, { timeout: 52, full: 1 }],
      [40, { timeout: 53, full: 1 }],
    ]
    expect(arrived('full', exports)).toEqual([
      [1, 20, 30],
      [0, 30, 40],
    ])
    expect(arrived('timeout', exports)).toHaveLength(3)
  })

  it('does not where its process started earlier and is not known: that may have exported it elsewhere', () => {
    const of = (seconds: number, type: string, value: number, start: bigint): MetricBatch => {
      const timeUnixNano = LONG_AGO + BigInt(seconds) * 1_000_000_000n
      const points = [
        new NumberPoint({
          attributes: Attributes.of({ type }),
          value,
          isInt: true,
          startTimeUnixNano: start,
          timeUnixNano,
        }),
      ]
      return MetricBatch.of({ metrics: [{ ...ERRORS, points }] })
    }
    const known = [10, 20, 30, 40].map((seconds) => of(seconds, 'timeout', seconds, LONG_AGO))
    const { dropped } = differences({ initialValue: 'auto' }, ...known, of(40, 'full', 1_000_005, LONG_AGO - 9n))
    expect(dropped).toEqual({ first_value: 2 })
    // One that started since the last export, as each series does with some SDKs, is new.
    const young = of(40, 'full', 1, LONG_AGO + 35_000_000_000n)
    expect(differences({ initialValue: 'auto' }, ...known, young).dropped).toEqual({ first_value: 1 })
  })

  it('is judged by the starts of all series of its request, in whatever order they stand', () => {
    const at = (seconds: number, start: bigint, values: readonly (readonly [string, number])[]): MetricBatch => {
      const timeUnixNano = LONG_AGO + BigInt(seconds) * 1_000_000_000n
      const points = values.map(
        ([type, value]) =>
          new NumberPoint({
            attributes: Attributes.of({ type }),
            value,
            isInt: true,
            startTimeUnixNano: start,
            timeUnixNano,
          }),
      )
      return MetricBatch.of({ metrics: [{ ...ERRORS, points }] })
    }
    const before = [at(10, LONG_AGO, [['timeout', 50]]), at(20, LONG_AGO, [['timeout', 51]])]
    const values = [
      ['timeout', 52],
      ['full', 1],
    ] as const
    const results = [values, [...values].reverse()].map((order) => {
      const { points } = differences({ initialValue: 'auto' }, ...before, at(30, LONG_AGO + 1n, order))
      return points.map((point) => [point.attributes.get('type'), point.kind === 'number' && point.value]).sort()
    })
    expect(results[1]).toEqual(results[0])
    expect(results[0]).toContainEqual(['full', 1])
  })

  it('does not where only one export came without it', () => {
    expect(
      arrived('full', [
        [10, { timeout: 50 }],
        [20, { timeout: 51, full: 7 }],
        [30, { timeout: 52, full: 8 }],
      ]),
    ).toEqual([[1, 20, 30]])
  })

  it('does under `auto` only', () => {
    const exports: Export[] = [
      [10, { timeout: 50 }],
      [20, { timeout: 51 }],
      [30, { timeout: 52, full: 1 }],
    ]
    expect(arrived('full', exports, { initialValue: 'drop' })).toEqual([])
  })

  it('does not where the exports before were parts of one', () => {
    expect(
      arrived('full', [
        [10, { timeout: 50 }],
        [10.02, { refused: 3 }],
        [10.04, { full: 7 }],
        [20, { full: 8 }],
      ]),
    ).toEqual([[1, 10.04, 20]])
  })

  it('counts from zero in a request behind others of the same export', () => {
    const exports: Export[] = [
      [10, { timeout: 50 }],
      [20, { timeout: 51 }],
      [30, { timeout: 52 }],
      [30.3, { full: 2 }],
    ]
    expect(arrived('full', exports)).toEqual([[2, 20, 30.3]])
  })

  it('does not where its point is late, and of an export that came before', () => {
    const exports: Export[] = [
      [10, { timeout: 50 }],
      [20, { timeout: 51 }],
      [30, { timeout: 52 }],
      [22, { full: 2 }],
    ]
    expect(arrived('full', exports)).toEqual([])
  })

  it('does not where exports do not come at an interval', () => {
    expect(
      arrived('full', [
        [10, { timeout: 50 }],
        [20, { timeout: 51 }],
        [300, { timeout: 52, full: 2 }],
      ]),
    ).toEqual([])
  })

  it('does not where a series of the metric is not remembered, because there were too many', () => {
    const exports: Export[] = [
      [10, { timeout: 50, refused: 3 }],
      [20, { timeout: 51 }],
      [30, { timeout: 51 }],
      [40, { timeout: 52, full: 2 }],
    ]
    expect(arrived('full', exports)).toEqual([[2, 30, 40]])
    expect(arrived('full', exports, { maxSeries: 1 })).toEqual([])
  })

  it('does not where a series of the metric was forgotten', async () => {
    const clock = new VirtualClock(Date.now())
    const engine = new CumulativeToDelta({ initialValue: 'auto', ttl: 40, clock })
    const { account, counted } = counting()
    engine.apply(batchOf([10, { timeout: 50, refused: 3 }]), account)
    for (let seconds = 20; seconds < 60; seconds += 10) {
      await clock.advance(15)
      engine.apply(batchOf([seconds, { timeout: 50 }]), account)
    }
    const { first_value: before } = counted.dropped
    engine.apply(batchOf([60, { timeout: 50, refused: 4 }]), account)
    expect(counted.dropped).toEqual({ first_value: before + 1 })
  })

  it('says nothing of other metrics, scopes and resources', () => {
    const metric = (seconds: number, type: string) => ({ ...ERRORS, points: pointsOf([seconds, { [type]: 5 }]) })
    const batches = [10, 20, 30].map((seconds) =>
      MetricBatch.of(
        { metrics: [metric(seconds, 'timeout')] },
        ...(seconds < 30
          ? []
          : [
              { metrics: [{ ...metric(seconds, 'full'), name: 'warnings' }] },
              { scope: { name: 'other' }, metrics: [metric(seconds, 'full')] },
              { resource: { 'service.name': 'other' }, metrics: [metric(seconds, 'full')] },
            ]),
      ),
    )
    const { dropped } = differences({ initialValue: 'auto' }, ...batches)
    expect(dropped).toEqual({ first_value: 4 })
  })
})
