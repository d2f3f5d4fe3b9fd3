import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaOptions } from '../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaAccount } from '../../src/otlp/delta/work.ts'
import { HistogramPoint, NumberPoint } from '../../src/otlp/metrics/points.ts'
import type { HistogramPointFields, NumberPointFields } from '../../src/otlp/metrics/points.ts'

export const SECOND = 1_000_000_000n
/** Long before this process started. */
export const LONG_AGO = 1_500_000_000n * SECOND
/** After this process started. */
export const LATER = 4_000_000_000n * SECOND

interface Counted {
  readonly merged: number
  readonly created: number
  readonly dropped: Readonly<Record<string, number>>
}

export function counting(): {
  account: DeltaAccount
  counted: Counted
} {
  const counted = { merged: 0, created: 0, dropped: {} as Record<string, number> }
  const account = {
    merged: (points: number) => void (counted.merged += points),
    created: (points: number) => void (counted.created += points),
    dropped: (reason: string, points: number) =>
      void (counted.dropped[reason] = (counted.dropped[reason] ?? 0) + points),
  }
  return { account, counted }
}

export function counter(...points: readonly NumberPointFields[]): MetricBatch {
  const metric = { name: 'requests', type: 'sum', temporality: 'cumulative', monotonic: true } as const
  return MetricBatch.of({ metrics: [{ ...metric, points: points.map((point) => new NumberPoint(point)) }] })
}

export function histogram(...points: readonly HistogramPointFields[]): MetricBatch {
  const metric = { name: 'latency', type: 'histogram', temporality: 'cumulative' } as const
  return MetricBatch.of({ metrics: [{ ...metric, points: points.map((point) => new HistogramPoint(point)) }] })
}

/** Feeds the batches in order; returns every point that came out, and what was counted. */
export function differences(options: DeltaOptions, ...batches: readonly MetricBatch[]) {
  const engine = new CumulativeToDelta(options)
  const { account, counted } = counting()
  const out = batches.map((batch) => engine.apply(batch, account))
  const metrics = out.flatMap((batch) => [...batch.metrics()].map(({ metric }) => metric))
  return { metrics, points: metrics.flatMap(({ points }) => points), engine, ...counted }
}

export function values(points: readonly unknown[]): unknown[] {
  return (points as NumberPoint[]).map(({ value, startTimeUnixNano, timeUnixNano }) => [
    value,
    (startTimeUnixNano - LONG_AGO) / SECOND,
    (timeUnixNano - LONG_AGO) / SECOND,
  ])
}

/** A point `at` seconds after LONG_AGO of a counter that began then. */
export function at(seconds: number, value: number | bigint, more: Partial<NumberPointFields> = {}): NumberPointFields {
  const timeUnixNano = LONG_AGO + BigInt(seconds) * SECOND
  return { value, isInt: true, timeUnixNano, startTimeUnixNano: LONG_AGO, ...more }
}
