import { describe, expect, it } from '@jest/globals'
import { mapSummary } from '../../../src/exporters/datadog_native/mapping/summaries.ts'
import type { SummaryMode } from '../../../src/exporters/datadog_native/mapping/summaries.ts'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { InitialValue } from '../../../src/otlp/delta/first_values.ts'
import { NO_RECORDED_VALUE, SummaryPoint } from '../../../src/otlp/metrics/points.ts'
import type { SummaryPointFields } from '../../../src/otlp/metrics/points.ts'
import { gauge } from '../../../src/testing.ts'

const SECOND = 1_000_000_000n
const BOOT = 1_700_000_000n * SECOND

interface Reading extends Omit<SummaryPointFields, 'attributes' | 'timeUnixNano'> {
  /** After the boot. */
  readonly seconds: number
  readonly route?: string
}

function batchOf(...readings: readonly Reading[]): MetricBatch {
  const points = readings.map(
    ({ seconds, route, ...fields }) =>
      new SummaryPoint({
        startTimeUnixNano: BOOT,
        timeUnixNano: BOOT + BigInt(seconds) * SECOND,
        attributes: Attributes.of(route === undefined ? {} : { route }),
        ...fields,
      }),
  )
  return MetricBatch.of({ metrics: [{ name: 'latency', type: 'summary', points }] })
}

/** What arrives of one batch after the other, as lines, and what is dropped. */
function exporting(initialValue: InitialValue = 'drop', mode: SummaryMode = 'gauges', options = {}) {
  const differences = new CumulativeToDelta({ initialValue, summaries: true, ...options })
  const dropped: string[] = []
  const account = {
    dropped: (reason: string, points: number) => void dropped.push(`${reason} ${points}`),
    merged: () => undefined,
    created: () => undefined,
  }
  return {
    differences,
    account,
    dropped,
    send(batch: MetricBatch): string[] {
      // As from a queue on disk: the differences have to survive it.
      const queued = MetricBatch.fromOtlp(Uint8Array.from(differences.apply(batch, account).toOtlp()))
      return [...queued.metrics()].flatMap(({ metric }) =>
        metric.points.flatMap((point) => {
          if (point.kind !== 'summary') return [`${metric.name} as it was`]
          const samples = mapSummary(point, mode)
          if (typeof samples === 'string') {
            dropped.push(`${samples} 1`)
            return []
          }
          const elapsed =
            point.startTimeUnixNano === 0n ? '?' : Number(point.timeUnixNano - point.startTimeUnixNano) / 1e9
          return samples.map(({ suffix, type, value, tags, inUnit }) =>
            [suffix, type, value, inUnit ? 'in unit' : 'observations', `${elapsed}s`, ...tags].join(' '),
          )
        }),
      )
    },
  }
}

const QUANTILES = [
  { quantile: 0, value: 1 },
  { quantile: 0.5, value: 4 },
  { quantile: 0.99, value: NaN },
  { quantile: 1, value: 9 },
]

describe('a summary', () => {
  it('is the counts of what came since the point before, and its quantiles as gauges', () => {
    const exporter = exporting()
    expect(exporter.send(batchOf({ seconds: 10, count: 5, sum: 20, quantileValues: QUANTILES }))).toEqual([
      '.quantile gauge 1 in unit 0s quantile:0',
      '.quantile gauge 4 in unit 0s quantile:0.5',
      '.quantile gauge 9 in unit 0s quantile:1.0',
    ])
    expect(exporter.send(batchOf({ seconds: 20, count: 8, sum: 29.5, quantileValues: QUANTILES }))).toEqual([
      '.count count 3 observations 10s',
      '.sum count 9.5 in unit 10s',
      '.quantile gauge 1 in unit 10s quantile:0',
      '.quantile gauge 4 in unit 10s quantile:0.5',
      '.quantile gauge 9 in unit 10s quantile:1.0',
    ])
    expect(exporter.dropped).toEqual([])
  })

  it('goes without quantiles when they are not wanted', () => {
    const exporter = exporting('drop', 'noquantiles')
    expect(exporter.send(batchOf({ seconds: 10, count: 5, sum: 20, quantileValues: QUANTILES }))).toEqual([])
    expect(exporter.dropped).toEqual(['first_value 1'])
    expect(exporter.send(batchOf({ seconds: 20, count: 5, sum: 20, quantileValues: QUANTILES }))).toEqual([
      '.count count 0 observations 10s',
      '.sum count 0 in unit 10s',
    ])
  })

  it('begins with its whole count when first values are kept, also one that says no start, or its own time as that', () => {
    const whole = ['.count count 5 observations', '.sum count 20 in unit']
    const first = (fields: Partial<Reading>): string[] =>
      exporting('keep').send(batchOf({ seconds: 10, count: 5, sum: 20, ...fields }))
    expect(first({})).toEqual(whole.map((line) => `${line} 10s`))
    expect(first({ startTimeUnixNano: 0n })).toEqual(whole.map((line) => `${line} ?s`))
    expect(first({ startTimeUnixNano: BOOT + 10n * SECOND })).toEqual(whole.map((line) => `${line} ?s`))
  })

  it('begins with its whole count, by itself, when it began after this process', () => {
    const now = BigInt(Date.now() + 60_000) * 1_000_000n
    const point = (start: bigint): MetricBatch =>
      MetricBatch.of({
        metrics: [
          {
            ...{ name: 'latency', type: 'summary' },
            points: [new SummaryPoint({ startTimeUnixNano: start, timeUnixNano: now + SECOND, count: 2, sum: 3 })],
          },
        ],
      })
    expect(exporting('auto').send(point(now))).toEqual(['.count count 2 observations 1s', '.sum count 3 in unit 1s'])
    expect(exporting('auto').send(point(BOOT))).toEqual([])
  })

  it('begins anew when its count goes back or its start changes', () => {
    const exporter = exporting('keep', 'noquantiles')
    exporter.send(batchOf({ seconds: 10, count: 5, sum: 20 }))
    expect(exporter.send(batchOf({ seconds: 20, count: 2, sum: 30 }))).toEqual([])
    expect(exporter.send(batchOf({ seconds: 22, count: 2, sum: 30 }))).toEqual([
      '.count count 2 observations 12s',
      '.sum count 30 in unit 12s',
    ])
    const restarted = { startTimeUnixNano: BOOT + 25n * SECOND }
    expect(exporter.send(batchOf({ seconds: 30, count: 7, sum: 40, ...restarted }))).toEqual([
      '.count count 7 observations 5s',
      '.sum count 40 in unit 5s',
    ])
  })

  it('goes on when it no longer says its start', () => {
    const exporter = exporting('drop', 'noquantiles')
    exporter.send(batchOf({ seconds: 10, count: 5, sum: 20 }))
    expect(exporter.send(batchOf({ seconds: 20, count: 6, sum: 21, startTimeUnixNano: 0n }))).toEqual([
      '.count count 1 observations 10s',
      '.sum count 1 in unit 10s',
    ])
  })

  it('of negative values has a sum that goes back', () => {
    const exporter = exporting()
    exporter.send(batchOf({ seconds: 10, count: 5, sum: -20 }))
    expect(exporter.send(batchOf({ seconds: 20, count: 6, sum: -23 }))).toContain('.sum count -3 in unit 10s')
  })

  it('sends no sum that is no number', () => {
    const exporter = exporting()
    exporter.send(batchOf({ seconds: 10, count: 5, sum: NaN }))
    expect(exporter.send(batchOf({ seconds: 20, count: 6, sum: 1 }))).toEqual(['.count count 1 observations 10s'])
  })

  it('has exact differences beyond 2^53', () => {
    const exporter = exporting()
    exporter.send(batchOf({ seconds: 10, count: 2n ** 60n, sum: 0 }))
    expect(exporter.send(batchOf({ seconds: 20, count: 2n ** 60n + 3n, sum: 0 }))[0]).toBe(
      '.count count 3 observations 10s',
    )
  })

  it('leaves out what comes late, twice or without a value, and goes on from the last', () => {
    const exporter = exporting()
    const late = [
      { seconds: 20, count: 5, sum: 20 },
      { seconds: 20, count: 6, sum: 20 },
      { seconds: 10, count: 6, sum: 20 },
      { seconds: 30, count: 0, sum: 0, flags: NO_RECORDED_VALUE },
    ]
    expect(late.flatMap((reading) => exporter.send(batchOf(reading)))).toEqual([])
    expect(exporter.dropped).toEqual([
      'first_value 1',
      ...['duplicate_timestamp 1', 'out_of_order 1', 'no_recorded_value 1'],
    ])
    expect(exporter.send(batchOf({ seconds: 40, count: 7, sum: 20 }))[0]).toBe('.count count 2 observations 20s')
    exporter.send(batchOf({ seconds: 40, count: 7, sum: 20 }))
    expect(exporter.dropped.at(-1)).toBe('duplicate_timestamp 1')
  })

  it('of each attributes is a series of its own, of which no more are remembered than allowed', () => {
    const exporter = exporting('drop', 'gauges', { maxSeries: 1 })
    exporter.send(
      batchOf({ seconds: 10, count: 5, sum: 1, route: '/a' }, { seconds: 10, count: 5, sum: 1, route: '/b' }),
    )
    expect(exporter.dropped).toEqual(['too_many_series 1', 'first_value 1'])
    expect(exporter.differences.size).toBe(1)
    expect(exporter.send(batchOf({ seconds: 20, count: 9, sum: 1, route: '/a' }))[0]).toBe(
      '.count count 4 observations 10s',
    )
  })

  it('is forgotten after a time', () => {
    const exporter = exporting('drop', 'gauges', { ttl: -1 })
    exporter.send(batchOf({ seconds: 10, count: 5, sum: 1 }))
    expect(exporter.send(batchOf({ seconds: 20, count: 9, sum: 1 }))).toEqual([])
    expect(exporter.dropped).toEqual(['first_value 1', 'first_value 1'])
    expect(exporter.differences.size).toBe(1)
    exporter.send(MetricBatch.empty)
    expect(exporter.differences.size).toBe(0)
  })

  it('leaves metrics of other types alone', () => {
    const batch = MetricBatch.of({ metrics: [gauge('level', 1)] })
    expect(new CumulativeToDelta({ initialValue: 'drop', summaries: true }).apply(batch, exporting().account)).toBe(
      batch,
    )
  })
})
