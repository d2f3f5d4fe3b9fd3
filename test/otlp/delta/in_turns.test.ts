import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaOptions } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { InitialValue } from '../../../src/otlp/delta/first_values.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import type { MetricFields } from '../../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'
import { atOnce } from '../../../src/time/turns.ts'
import { counting, SECOND } from '../../kit/differences.ts'
import { runs } from '../../kit/fuzzing.ts'
import { Random } from '../../kit/random.ts'

/** What a point of a series may be, where each has counted `value` at its time. */
const kinds: Readonly<
  Record<string, Omit<MetricFields, 'points'> & { point: (fields: Fields, value: number) => DataPoint }>
> = {
  double: {
    ...{ type: 'sum', temporality: 'cumulative', monotonic: true },
    point: (fields, value) => new NumberPoint({ ...fields, value: value / 2 }),
  },
  int: {
    ...{ type: 'sum', temporality: 'cumulative', monotonic: true },
    point: (fields, value) => new NumberPoint({ ...fields, value: BigInt(value) }),
  },
  histogram: {
    ...{ type: 'histogram', temporality: 'cumulative' },
    point: (fields, value) =>
      new HistogramPoint({
        ...{ ...fields, count: 2 * value, sum: value, min: -value, max: value },
        ...{ bucketCounts: [value, value], explicitBounds: [5] },
      }),
  },
  exponential: {
    ...{ type: 'exponential_histogram', temporality: 'cumulative' },
    point: (fields, value) =>
      new ExponentialHistogramPoint({
        ...{ ...fields, count: value, sum: value, scale: value % 3 },
        positive: { offset: 1, bucketCounts: [value] },
      }),
  },
  summary: {
    type: 'summary',
    point: (fields, value) =>
      new SummaryPoint({ ...fields, count: value, sum: value, quantileValues: [{ quantile: 0.5, value }] }),
  },
}

interface Fields {
  readonly attributes: Attributes
  readonly timeUnixNano: bigint
  readonly startTimeUnixNano: bigint
}

const BEGIN = 1_700_000_000n * SECOND

/**
 * Batches of more points than a part has, each with some new series. Series come twice, fall, begin again and stand out of order as often as
 * `wild` says. The second part of a metric is `apart` seconds after the first: another export, if the latest time of both were not known before.
 */
function batchesOf(
  kind: keyof typeof kinds,
  seed: number,
  wild: number,
  apart: bigint,
  asBytes: boolean,
): MetricBatch[] {
  const random = new Random(seed)
  const { point, ...metric } = kinds[kind]
  const counts = new Map<number, { value: number; start: bigint }>()
  const points = (turn: number, size: number): DataPoint[] =>
    Array.from({ length: size }, (_, index) => {
      const series = random.chance(wild) ? random.below(size) : index
      const late = random.chance(wild) ? BigInt(random.below(3) - 1) : 0n
      const time = BEGIN + (BigInt(turn * 10) + late * 7n + (index < 1000 ? 0n : apart)) * SECOND
      const count = counts.get(series) ?? { value: 0, start: turn === 1 ? BEGIN : time - 5n * SECOND }
      counts.set(series, count)
      if (random.chance(wild / 4)) count.value = 0
      if (random.chance(wild / 4)) count.start = BEGIN + BigInt(turn * 10 - 5) * SECOND
      count.value += random.below(10)
      return point(
        {
          attributes: Attributes.of({ series: String(series) }),
          timeUnixNano: time,
          startTimeUnixNano: count.start,
        },
        count.value,
      )
    })
  return Array.from({ length: 3 }, (_, turn) => {
    const batch = MetricBatch.of(
      { resource: { host: 'a' }, metrics: [{ ...metric, name: 'm', points: points(turn + 1, 1200 + turn * 50) }] },
      {
        resource: { host: 'b' },
        metrics: [
          { ...metric, name: 'm', points: points(turn + 1, 600) },
          { name: 'g', type: 'gauge', points: [new NumberPoint({ value: turn })] },
          { ...metric, name: 'm', points: points(turn + 1, 600) },
        ],
      },
    )
    return asBytes ? MetricBatch.fromOtlp(batch.toOtlp()) : batch
  })
}

/** What became of the batches, and how many points were left out for what reason. */
function resultsOf(batches: readonly MetricBatch[], options: DeltaOptions, inTurns: boolean) {
  const differences = new CumulativeToDelta({ ...options, clock: new VirtualClock() })
  try {
    return batches.map((batch) => {
      const { account, counted } = counting()
      const result = inTurns ? atOnce(differences.applyInTurns(batch, account)) : differences.apply(batch, account)
      return { json: toOtlpJson(result), counted }
    })
  } finally {
    differences.close()
  }
}

describe('differences that are taken in turns', () => {
  it.each(Object.keys(kinds))('are those that are taken at once, of points of kind %s', (kind) => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(0, 0.001, 0.05),
        fc.constantFrom(0n, 6n),
        fc.boolean(),
        fc.constantFrom<InitialValue>('auto', 'keep', 'drop'),
        fc.constantFrom<DeltaOptions['extremes']>('none', 'reached', 'bounded'),
        (seed, wild, apart, asBytes, initialValue, extremes) => {
          const options = { initialValue, extremes, summaries: true }
          const batches = batchesOf(kind, seed, wild, apart, asBytes)
          const [divided, whole] = [true, false].map((inTurns) => resultsOf(batches, options, inTurns))
          expect(divided.map(({ counted }) => counted)).toEqual(whole.map(({ counted }) => counted))
          // Not `toEqual`, which would look for the difference of texts of a megabyte.
          expect(divided.map(({ json }, turn) => json === whole[turn].json)).not.toContain(false)
        },
      ),
      {
        ...runs(3),
        // What few tries might not meet: times that are known only when all of a metric was seen, where they decide what is new.
        examples: [
          [1, 0, 6n, true, 'auto', 'none'],
          [1, 0, 6n, false, 'auto', 'none'],
        ],
      },
    )
  })
})
