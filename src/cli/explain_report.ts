import type { Explanation, ExplainedValue } from '../component/explain.ts'
import type { RehearsedExporter } from '../pipeline/rehearsal.ts'

/** A series as the destination would store it, with all its values in the order of sending. */
export interface ExplainedSeries extends Omit<ExplainedValue, 'time' | 'value' | 'interval'> {
  readonly values: readonly Pick<ExplainedValue, 'time' | 'value' | 'interval'>[]
}

/** The report on an exporter. */
export interface ExporterReport {
  readonly id: string
  readonly equation: string
  readonly balance: RehearsedExporter['balance']
  readonly requests: readonly {
    readonly to?: string
    readonly points: number
    readonly bytes: number
    readonly raw_bytes?: number
  }[]
  /** Data points by reason, with their metrics. */
  readonly dropped: readonly {
    readonly reason: string
    readonly points: number
    readonly metrics: Readonly<Record<string, number>>
  }[]
  readonly not_sent: Explanation['notSent']
  readonly billed_metrics: number | undefined
  /** `undefined` if the exporter explains nothing. */
  readonly series: readonly ExplainedSeries[] | undefined
}

/** The report on an exporter after a rehearsal. */
export function report(exporter: RehearsedExporter): ExporterReport {
  const { id, equation, balance, requests, explanation, droppedMetrics } = exporter
  return {
    id,
    equation,
    balance,
    requests: requests.map(({ items, bytes }, index) => {
      const { to, rawBytes } = explanation?.requests[index] ?? {}
      return { to, points: items, bytes, raw_bytes: rawBytes }
    }),
    dropped: Object.entries(balance.dropped).map(([reason, points]) => {
      const metrics = [...(droppedMetrics.get(reason) ?? [])].sort(([, left], [, right]) => right - left)
      return { reason, points, metrics: Object.fromEntries(metrics) }
    }),
    not_sent: explanation?.notSent ?? [],
    billed_metrics: explanation?.billedMetrics,
    series: explanation && seriesOf(explanation.values),
  }
}

function seriesOf(values: readonly ExplainedValue[]): readonly ExplainedSeries[] {
  const series = new Map<string, ExplainedSeries & { values: ExplainedSeries['values'][number][] }>()
  for (const { time, value, interval, ...rest } of values) {
    const key = [rest.name, rest.type, rest.host.name, ...rest.tags.map(({ tag }) => tag)].join('\n')
    const known = series.get(key) ?? { ...rest, values: [] }
    series.set(key, known)
    known.values.push({ time, value, interval })
  }
  return [...series.values()].sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0))
}

/** The report reduced to the names for which `only` returns true. */
export function filtered(whole: ExporterReport, only: (name: string) => boolean): ExporterReport {
  const series = whole.series?.filter(({ name, from }) => [name, ...from].some(only))
  const dropped = whole.dropped.flatMap((drop) => {
    const metrics = Object.entries(drop.metrics).filter(([name]) => only(name))
    const points = metrics.reduce((sum, [, count]) => sum + count, 0)
    return metrics.length === 0 ? [] : [{ ...drop, points, metrics: Object.fromEntries(metrics) }]
  })
  return { ...whole, series, dropped }
}

/** All names in a report: those that are sent, and those that they were made from. */
export function namesOf({ series = [], dropped }: ExporterReport): readonly string[] {
  return [
    ...series.flatMap(({ name, from }) => [name, ...from]),
    ...dropped.flatMap(({ metrics }) => Object.keys(metrics)),
  ]
}
