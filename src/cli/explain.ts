import { readFile } from 'node:fs/promises'
import type { Logger } from '../component/logger.ts'
import { errorMessage } from '../errors.ts'
import { jsonMessage } from '../otlp/json/messages.ts'
import { readOtlpJson } from '../otlp/json/read.ts'
import { toOtlpJson } from '../otlp/json/write.ts'
import { services } from '../otlp/services.ts'
import type { Batch } from '../otlp/signal.ts'
import { SIGNALS, signals } from '../otlp/signals.ts'
import { matchesWildcards } from '../text/match.ts'
import { loadConfig } from '../pipeline/config/config.ts'
import { closest } from '../pipeline/config/suggest.ts'
import { createLogger } from '../pipeline/log.ts'
import { rehearse } from '../pipeline/rehearsal.ts'
import { hidingSecrets } from '../text/secrets.ts'
import { visible, visibleJson } from '../text/terminal.ts'
import { ExitCode } from './exit.ts'
import { filtered, namesOf, report } from './explain_report.ts'
import type { ExporterReport } from './explain_report.ts'
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
  let batches: readonly Batch[] | undefined
  if (from !== undefined) {
    try {
      batches = readRequests(await readFile(from))
    } catch (error) {
      process.stderr.write(`error: --from ${from}: ${visible(errorMessage(error))}\n`)
      return ExitCode.usage
    }
  }
  const log: Logger = createLogger({ level: 'warn', encoding: 'console' }, config.secrets)
  const piped = new Set(Array.from(config.pipelines.values(), ({ signal }) => signal))
  for (const signal of new Set(batches?.map((batch) => batch.signal))) {
    if (!piped.has(signal))
      process.stderr.write(`${from} has ${signals[signal].items}, and no pipeline takes ${signal}.\n`)
  }
  const { pipelines, exporters, failed } = await rehearse(config, { log, batches })
  if (exporters.every(({ balance }) => balance.handed_in === 0)) {
    process.stderr.write(
      `Nothing came to the exporters. ${from === undefined ? 'Data of a file may: --from FILE.' : `Is there a data point, log record or span in ${from}?`}\n`,
    )
  }
  const aged = exporters.filter(({ balance }) => (balance.dropped.too_old ?? 0) > 0)
  if (from !== undefined && aged.length > 0) {
    const ids = new Set(aged.map(({ exporter }) => exporter))
    const younger = Array.from(ids, (id) => `--set exporters.${id}.max_age=0s`).join(' ')
    process.stderr.write(`Data of ${from} is older than max_age; what would be sent if it were not: ${younger}\n`)
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
      ? visibleJson(redact(`${JSON.stringify({ pipelines, exporters: shown.map(toJson) }, null, 2)}\n`))
      : redact(explanationText(pipelines, shown, process.stdout.columns ?? DEFAULT_WIDTH))
  process.stdout.write(text)
  return failed ? ExitCode.failure : ExitCode.ok
}

/** Columns if standard output is no terminal. */
const DEFAULT_WIDTH = 120

/** The log records and spans of a report as OTLP/JSON. */
function toJson(shown: ExporterReport): object {
  return { ...shown, sent: shown.sent && (JSON.parse(toOtlpJson(shown.sent)) as object) }
}

/** OTLP/JSON: a request a line, or one document. Throws an Error that says where it is wrong. */
function readRequests(file: Buffer): readonly Batch[] {
  const lines = file.toString('utf8').split('\n')
  const first = lines.find((line) => line.trim() !== '')
  if (first === undefined) throw new Error('is empty')
  if (!isComplete(first)) return readRequest(file.toString('utf8'))
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return readRequest(line)
    } catch (error) {
      throw new Error(`line ${index + 1}: ${errorMessage(error)}`, { cause: error })
    }
  })
}

/** The request of whichever signal. Other JSON would be one without any items, since what is not known is passed over. */
function readRequest(json: string): readonly Batch[] {
  const batches = SIGNALS.map((signal) => signals[signal].fromOtlp(readOtlpJson(json, services[signal].request)))
  const keys = Object.keys(JSON.parse(json) as object)
  if (!keys.some((key) => TOPS.some((top) => top.has(key)))) {
    const found = keys.length === 0 ? 'nothing' : keys.slice(0, 5).join(', ')
    const wanted = TOPS.map((top) => [...top.keys()][0]).join(', ')
    throw new Error(`is not OTLP/JSON: that has one of ${wanted} at its top, and this has ${found}`)
  }
  return batches.filter(({ itemCount }) => itemCount > 0)
}

/** What requests hold, by its key in JSON; of each signal. */
const TOPS = SIGNALS.map((signal) => jsonMessage(services[signal].request).byKey)

function isComplete(json: string): boolean {
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}
