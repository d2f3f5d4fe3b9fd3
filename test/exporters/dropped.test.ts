import { describe, expect, it } from '@jest/globals'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import { HistogramPoint, NumberPoint } from '../../src/otlp/metrics/points.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'

const at = (second: number): bigint => 1_767_225_600_000_000_000n + BigInt(second) * 1_000_000_000n
const timeUnixNano = at(0)

function batch(...metrics: MetricFields[]): MetricBatch {
  return MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'host.name': 'web-1' }, metrics }).toOtlp())
}

function histogram(name: string, fields: ConstructorParameters<typeof HistogramPoint>[0]): MetricFields {
  return { name, type: 'histogram', temporality: 'delta', points: [new HistogramPoint({ timeUnixNano, ...fields })] }
}

const gauge = (name: string, fields: ConstructorParameters<typeof NumberPoint>[0]): MetricFields => {
  return { name, type: 'gauge', points: [new NumberPoint({ timeUnixNano, ...fields })] }
}

function counted(second: number, value: number): MetricBatch {
  const points = [new NumberPoint({ timeUnixNano: at(second), startTimeUnixNano: at(-60), value, isInt: true })]
  return batch({ name: 'counted', type: 'sum', temporality: 'cumulative', monotonic: true, points })
}

/** Of each reason in the balance: the level and text of the line that says why. */
async function linesOf(
  { deliver, logs }: ExporterTest,
  ...batches: MetricBatch[]
): Promise<[string, string, string][]> {
  const { dropped } = await deliver(...batches)
  return Object.keys(dropped)
    .sort()
    .map((reason) => {
      const lines = logs.filter(({ fields }) => (fields as { reason?: string } | undefined)?.reason === reason)
      expect([reason, lines.length]).toEqual([reason, 1])
      return [reason, lines[0].level, lines[0].message]
    })
}

describe('every reason under which an exporter drops points', () => {
  it('has a line in the log that says what is wrong and what would be right', async () => {
    const intake = await startIntake()
    const exporter = await testExporter(
      datadogNative,
      `datadog_native: { api_key: 0123456789abcdef0123456789abcdef, endpoint: "${intake.url}", initial_value: drop }`,
    )
    const unspecified: MetricFields = {
      ...{ name: 'unspecified', type: 'sum', temporality: 'unspecified' },
      points: [new NumberPoint({ timeUnixNano, value: 1 })],
    }
    const wrong = [
      histogram('malformed', { count: 2, sum: 3, bucketCounts: [1, 1, 1], explicitBounds: [2, 1] }),
      histogram('huge', { count: 2 ** 40, sum: 1, bucketCounts: [2 ** 40, 0], explicitBounds: [1] }),
      histogram('bucketless', { count: 3 }),
      histogram('empty', { count: 0, bucketCounts: [0, 0], explicitBounds: [1] }),
      gauge('nan', { value: NaN }),
      gauge('timeless', { value: 1, timeUnixNano: 0n }),
      gauge('gone', { flags: 1 }),
      gauge('123', { value: 1 }),
      unspecified,
    ]
    const counts = [counted(0, 1), counted(10, 5), counted(10, 6), counted(5, 3), counted(20, 2)]
    const lines = await linesOf(exporter, batch(...wrong), ...counts)
    const usual = ['first_value', 'no_observations', 'no_recorded_value']
    expect(lines.map(([reason]) => reason)).toEqual([
      ...['bucket_count_too_high', 'counter_reset', 'duplicate_timestamp', 'first_value', 'invalid_name'],
      ...['malformed_histogram', 'no_buckets', 'no_observations', 'no_recorded_value', 'no_timestamp', 'not_finite'],
      ...['out_of_order', 'unspecified_temporality'],
    ])
    for (const [reason, level, message] of lines) {
      expect([reason, level]).toEqual([reason, usual.includes(reason) ? 'debug' : 'warn'])
      expect(message).not.toContain('are left out by the exporter')
    }
    expect(lines.find(([reason]) => reason === 'malformed_histogram')?.[2]).toMatch(/^Histograms that contradict them/)
  })
})
