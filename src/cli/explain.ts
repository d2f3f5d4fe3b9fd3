import { readFile } from 'node:fs/promises'
import type { Explanation, ExplainedValue, Logger } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { MetricBatch } from '../otlp/batch.ts'
import { fromOtlpJson } from '../otlp/json_reader.ts'
import { matchesWildcards } from '../otlp/match.ts'
import { loadConfig } from '../pipeline/config.ts'
import { closest } from '../pipeline/config/suggest.ts'
import { createLogger, redaction } from '../pipeline/log.ts'
import { rehearse } from '../pipeline/rehearsal.ts'
import type { RehearsedExporter } from '../pipeline/rehearsal.ts'
import { ExitCode } from './exit.ts'
import { explanationText } from './explain_text.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'

export interface ExplainOptions {
  /** A file of OTLP/JSON to take instead of what the receivers collect. */
  readonly from?: string
  /** The metric that is asked about, by the name it is sent under or made from. */
  readonly only?: string
  readonly format: 'text' | 'json'
}

/** A series as the destination would store it, with all its values in the order in which they would be sent. */
export interface ExplainedSeries extends Omit<ExplainedValue, 'time' | 'value' | 'interval'> {
  readonly values: readonly Pick<ExplainedValue, 'time' | 'value' | 'interval'>[]
}

/** What is shown of an exporter. */
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
  /** Data points by reason, and of which metrics. */
  readonly dropped: readonly {
    readonly reason: string
    readonly points: number
    readonly metrics: Readonly<Record<string, number>>
  }[]
  readonly not_sent: Explanation['notSent']
  readonly billed_metrics: number | undefined
  /** `undefined` where the exporter explains nothing. */
  readonly series: readonly ExplainedSeries[] | undefined
}

/**
 * Shows what each exporter would send, without sending anything. Returns the exit code.
 * @throws ConfigError
 */
export async function explain(options: ConfigOptions & ExplainOptions): Promise<number> {
  const { from, only, format } = options
  const config = await loadConfig(await configInput(options))
  let batches: readonly MetricBatch[] | undefined
  if (from !== undefined) {
    try {
      batches = readRequests(await readFile(from))
    } catch (error) {
      process.stderr.write(`error: --from ${from}: ${errorMessage(error)}\n`)
      return ExitCode.usage
    }
  }
  const log: Logger = await createLogger({ level: 'warn', encoding: 'console' }, config.secrets)
  const { pipelines, exporters, failed } = await rehearse(config, { log, batches })
  if (exporters.every(({ balance }) => balance.handed_in === 0)) {
    process.stderr.write(
      `Nothing came to the exporters. ${from === undefined ? 'Data of a file may: --from FILE.' : `Is there a data point in ${from}?`}\n`,
    )
  }
  const aged = exporters.filter(({ balance }) => (balance.dropped.too_old ?? 0) > 0)
  if (from !== undefined && aged.length > 0) {
    const younger = aged.map(({ id }) => `--set exporters.${id}.max_age=0s`).join(' ')
    process.stderr.write(`Points of ${from} are older than max_age; what would be sent if they were not: ${younger}\n`)
  }
  const reports = exporters.map(report)
  const shown =
    only === undefined ? reports : reports.map((one) => filtered(one, (name) => matchesWildcards(only, name)))
  if (only !== undefined && shown.every(({ series = [], dropped }) => series.length === 0 && dropped.length === 0)) {
    const meant = closest(only, [...new Set(reports.flatMap(namesOf))])
    const suggestion = meant === undefined ? '' : ` (did you mean "${meant}"?)`
    process.stderr.write(`No metric is called "${only}", neither when it comes nor when it is sent${suggestion}.\n`)
    return ExitCode.failure
  }
  const redact = redaction(config.secrets)
  const text =
    format === 'json'
      ? `${JSON.stringify({ pipelines, exporters: shown }, null, 2)}\n`
      : explanationText(pipelines, shown, process.stdout.columns ?? DEFAULT_WIDTH)
  process.stdout.write(redact(text))
  return failed ? ExitCode.failure : ExitCode.ok
}

/** Columns where standard output is no terminal. */
const DEFAULT_WIDTH = 120

/** OTLP/JSON: a request a line, or one document. Throws an Error that says where it is wrong. */
function readRequests(file: Buffer): readonly MetricBatch[] {
  const lines = file.toString('utf8').split('\n')
  const first = lines.find((line) => line.trim() !== '')
  if (first === undefined) throw new Error('is empty')
  if (!isComplete(first)) return [readRequest(file.toString('utf8'))]
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [readRequest(line)]
    } catch (error) {
      throw new Error(`line ${index + 1}: ${errorMessage(error)}`, { cause: error })
    }
  })
}

/** Other JSON would be a request without any metrics, since what is not known is passed over. */
function readRequest(json: string): MetricBatch {
  const batch = fromOtlpJson(json)
  const keys = Object.keys(JSON.parse(json) as object)
  if (!keys.some((key) => key === 'resourceMetrics' || key === 'resource_metrics')) {
    const found = keys.length === 0 ? 'nothing' : keys.slice(0, 5).join(', ')
    throw new Error(`is no OTLP/JSON of metrics: its top has resourceMetrics, and this has ${found}`)
  }
  return batch
}

function isComplete(json: string): boolean {
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

function report(exporter: RehearsedExporter): ExporterReport {
  const { id, equation, balance, requests, explanation, droppedMetrics } = exporter
  return {
    id,
    equation,
    balance,
    requests: requests.map(({ points, bytes }, index) => {
      const { to, rawBytes } = explanation?.requests[index] ?? {}
      return { to, points, bytes, raw_bytes: rawBytes }
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

function filtered(whole: ExporterReport, only: (name: string) => boolean): ExporterReport {
  const series = whole.series?.filter(({ name, from }) => [name, ...from].some(only))
  const dropped = whole.dropped.flatMap((drop) => {
    const metrics = Object.entries(drop.metrics).filter(([name]) => only(name))
    const points = metrics.reduce((sum, [, count]) => sum + count, 0)
    return metrics.length === 0 ? [] : [{ ...drop, points, metrics: Object.fromEntries(metrics) }]
  })
  return { ...whole, series, dropped }
}

function namesOf({ series = [], dropped }: ExporterReport): readonly string[] {
  return [
    ...series.flatMap(({ name, from }) => [name, ...from]),
    ...dropped.flatMap(({ metrics }) => Object.keys(metrics)),
  ]
}
