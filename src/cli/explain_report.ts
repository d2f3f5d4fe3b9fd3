import type { Explanation, ExplainedValue } from '../component/explain.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import type { RehearsedExporter } from '../pipeline/rehearsal.ts'

/** A series as the destination would store it, with all its values in the order of sending. */
export interface ExplainedSeries extends Omit<ExplainedValue, 'time' | 'value' | 'interval'> {
  readonly values: readonly Pick<ExplainedValue, 'time' | 'value' | 'interval'>[]
}

/** The report on an exporter. */
export interface ExporterReport {
  readonly id: string
  readonly signal: Signal
  readonly equation: string
  readonly balance: RehearsedExporter['balance']
  readonly requests: readonly {
    readonly to?: string
    /** Data points, log records or spans. */
    readonly points: number
    readonly bytes: number
    readonly raw_bytes?: number
  }[]
  /** Items by reason, and of which metrics or spans. */
  readonly dropped: readonly {
    readonly reason: string
    readonly points: number
    readonly metrics: Readonly<Record<string, number>>
  }[]
  readonly not_sent: Explanation['notSent']
  readonly billed_metrics: number | undefined
  /** `undefined` if the exporter explains nothing. */
  readonly series: readonly ExplainedSeries[] | undefined
  /** Log records or spans that would be sent, or that the requests are made of where the exporter explains nothing. */
  readonly sent: Batch | undefined
}

/** The report on an exporter after a rehearsal. */
export function report(exporter: RehearsedExporter): ExporterReport {
  const { id, signal, equation, balance, requests, prepared, explanation, droppedNames } = exporter
  return {
    id,
    signal,
    equation,
    balance,
    requests: requests.map(({ items, bytes }, index) => {
      const { to, rawBytes } = explanation?.requests[index] ?? {}
      return { to, points: items, bytes, raw_bytes: rawBytes }
    }),
    dropped: Object.entries(balance.dropped).map(([reason, points]) => {
      const metrics = [...(droppedNames.get(reason) ?? [])].sort(([, left], [, right]) => right - left)
      return { reason, points, metrics: Object.fromEntries(metrics) }
    }),
    not_sent: explanation?.notSent ?? [],
    billed_metrics: explanation?.billedMetrics,
    series: explanation && seriesOf(explanation.values),
    sent: signal === 'metrics' ? undefined : (explanation?.sent ?? prepared),
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

/** The report with what concerns a name of metrics for which `only` says so. */
export function filtered(whole: ExporterReport, only: (name: string) => boolean): ExporterReport {
  const series = whole.series?.filter(({ name, from }) => [name, ...from].some(only))
  const dropped = whole.dropped.flatMap((drop) => {
    const metrics = Object.entries(drop.metrics).filter(([name]) => only(name))
    const points = metrics.reduce((sum, [, count]) => sum + count, 0)
    return metrics.length === 0 ? [] : [{ ...drop, points, metrics: Object.fromEntries(metrics) }]
  })
  return { ...whole, series, dropped, sent: undefined }
}

/** All names in a report: those that are sent, and those that they were made from. */
export function namesOf({ series = [], dropped }: ExporterReport): readonly string[] {
  return [
    ...series.flatMap(({ name, from }) => [name, ...from]),
    ...dropped.flatMap(({ metrics }) => Object.keys(metrics)),
  ]
}
