import { readFile } from 'node:fs/promises'
import type { Logger } from '../component/logger.ts'
import { errorMessage } from '../errors.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import { fromOtlpJson } from '../otlp/json/read.ts'
import { matchesWildcards } from '../text/match.ts'
import { loadConfig } from '../pipeline/config/config.ts'
import { closest } from '../pipeline/config/suggest.ts'
import { createLogger } from '../pipeline/log.ts'
import { rehearse } from '../pipeline/rehearsal.ts'
import { hidingSecrets } from '../text/secrets.ts'
import { visible, visibleJson } from '../text/terminal.ts'
import { ExitCode } from './exit.ts'
import { filtered, namesOf, report } from './explain_report.ts'
import { explanationText } from './explain_text.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'

export interface ExplainOptions {
  /** A file of OTLP/JSON to use instead of the receivers' data. */
  readonly from?: string
  /** The name of the metric to explain: one that is sent, or one that such a metric is made from. */
  readonly only?: string
  readonly format: 'text' | 'json'
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
      process.stderr.write(`error: --from ${from}: ${visible(errorMessage(error))}\n`)
      return ExitCode.usage
    }
  }
  const log: Logger = createLogger({ level: 'warn', encoding: 'console' }, config.secrets)
  const { pipelines, exporters, failed } = await rehearse(config, { log, batches })
  if (exporters.every(({ balance }) => balance.handed_in === 0)) {
    process.stderr.write(
      `No data reached the exporters. ${from === undefined ? 'Take data from a file with --from FILE.' : `Is there a data point in ${from}?`}\n`,
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
    process.stderr.write(
      visible(`No metric is called "${only}", neither when it comes nor when it is sent${suggestion}.`) + '\n',
    )
    return ExitCode.failure
  }
  const redact = hidingSecrets(config.secrets)
  const text =
    format === 'json'
      ? visibleJson(redact(`${JSON.stringify({ pipelines, exporters: shown }, null, 2)}\n`))
      : redact(explanationText(pipelines, shown, process.stdout.columns ?? DEFAULT_WIDTH))
  process.stdout.write(text)
  return failed ? ExitCode.failure : ExitCode.ok
}

/** Columns if standard output is no terminal. */
const DEFAULT_WIDTH = 120

/** OTLP/JSON: a request a line, or one document. Throws an Error that says where the mistake is. */
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

/** Any other JSON would be a request without metrics, because unknown keys are ignored. */
function readRequest(json: string): MetricBatch {
  const batch = fromOtlpJson(json)
  const keys = Object.keys(JSON.parse(json) as object)
  if (!keys.some((key) => key === 'resourceMetrics' || key === 'resource_metrics')) {
    const found = keys.length === 0 ? 'nothing' : keys.slice(0, 5).join(', ')
    throw new Error(`is not OTLP/JSON of metrics: that has resourceMetrics at its top, and this has ${found}`)
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
