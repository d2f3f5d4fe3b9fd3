import { defineComponent } from '../component/define.ts'
import type { Account, ExportRequest } from '../component/exporter.ts'
import { permanent } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { writeOtlpJson } from '../otlp/json/write.ts'
import { services } from '../otlp/services.ts'
import type { AnyBatch } from '../otlp/signals.ts'
import { toOpenMetrics } from '../text/openmetrics.ts'
import { PART } from '../otlp/common/parts.ts'
import { splitBatch } from '../otlp/common/split.ts'
import { visible, visibleJson } from '../text/terminal.ts'
import { atOnce, LONG } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'
import { recordTable } from './debug/records.ts'
import { spanTable } from './debug/spans.ts'
import { toTable } from './debug/table.ts'

interface TextRequest extends ExportRequest {
  readonly text: string
  /** The single write, from the first attempt on. */
  written?: Promise<void>
}

/** Columns if standard output is not a terminal and so has no width of its own. */
const DEFAULT_WIDTH = 120

const formats: Record<string, (batch: AnyBatch, account: Account) => Divided<string>> = {
  table(batch) {
    const width = process.stdout.columns ?? DEFAULT_WIDTH
    if (batch.signal === 'metrics') return toTable(batch, width)
    return batch.signal === 'logs' ? recordTable(batch, width) : spanTable(batch, width)
  },
  otlp_json: toJsonLines,
  *openmetrics(batch, account) {
    if (batch.signal !== 'metrics') return yield* toJsonLines(batch)
    const lines: string[] = []
    for (const line of yield* toOpenMetrics(batch, account)) {
      if (lines.push(`${visible(line)}\n`) % PART === 0) yield
    }
    return lines.join('')
  },
}

function* toJsonLines(batch: AnyBatch): Divided<string> {
  const lines: string[] = []
  for (const part of splitBatch(batch, LONG)) {
    lines.push(`${visibleJson(writeOtlpJson(part.toOtlp(), services[part.signal].request))}\n`)
    yield
  }
  return lines.join('')
}

export default defineComponent({
  kind: 'exporter',
  type: 'debug',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Writes the data that arrives to standard output, for people and for pipes.',
  description: `
- \`table\`: one table per resource, as wide as the terminal, with the attributes of the resource above it. Numbers are rounded to
  six digits. A log record or a span is a row.
- \`otlp_json\`: each batch as one line of OTLP JSON, and a large one as several lines of at most 5,000 data points, log records or
  spans; nothing is left out or rounded.
- \`openmetrics\`: each batch as one OpenMetrics 1.0 text, ended by \`# EOF\`. Names and units are rewritten as OpenMetrics requires
  (\`system.memory.usage\` in \`By\` becomes \`system_memory_usage_bytes\`), resource attributes become labels, delta sums have the type
  \`unknown\`, and delta histograms \`gaugehistogram\`. Data that OpenMetrics cannot represent is dropped and counted: exponential
  histograms and metrics without data (\`unsupported_type\`), points without a value (\`no_value\`), counters, histograms and
  summaries with negative or undefined values (\`invalid_value\`), metrics that get the name of another one with a different type
  (\`conflicting_name\`), and points that get the labels and time of another (\`duplicate_point\`). Exemplars are not shown. Log
  records and spans have no OpenMetrics form; they are written as \`otlp_json\`.

Characters that control a terminal are escaped: as \`\\u001b\` in JSON, and as \`\\u{1b}\` elsewhere.
`,
  config: {
    format: {
      doc: 'What is written: a `table`, `otlp_json` lines or `openmetrics` text.',
      format: ['table', 'otlp_json', 'openmetrics'],
      default: 'table',
    },
  },
  examples: [
    { title: 'A table', yaml: 'debug:' },
    { title: 'Lines for jq', yaml: 'debug: { format: otlp_json }' },
  ],
  create({ config, signal: stopped }) {
    const write = formats[config.format]
    function* encodeInTurns(batch: AnyBatch, account: Account): Divided<readonly TextRequest[]> {
      let dropped = 0
      const text = yield* write(batch, {
        created: (points) => account.created(points),
        merged: (points) => account.merged(points),
        dropped(reason, points) {
          dropped += points
          account.dropped(reason, points)
        },
      })
      yield
      return [{ items: batch.itemCount - dropped, bytes: Buffer.byteLength(text), text }]
    }
    return {
      encode: (batch, account) => atOnce(encodeInTurns(batch, account)),
      encodeInTurns,
      // Every attempt waits for a slow reader: text on its way must not be written again.
      send: (request: TextRequest) => (request.written ??= writeOut(request.text, stopped)),
    }
  },
})

/** When the previous text has been taken, or refused. All exporters of this type share standard output. */
let before: Promise<unknown> = Promise.resolve()
let listening = false

/**
 * Writes one text after the other; resolves when the terminal, file or pipe has taken this one. A text that has not
 * been begun when `stopped` is aborted is not written.
 */
function writeOut(text: string, stopped: AbortSignal): Promise<void> {
  if (!listening) {
    // The stream reports each error once more as an event, which would end the process without a listener.
    process.stdout.on('error', () => undefined)
    listening = true
  }
  const written = before.then(() => {
    if (stopped.aborted) throw permanent('The exporter has stopped.', { reason: 'shutdown' })
    return new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error ? reject(refusal(error)) : resolve()))
    })
  })
  before = written.catch(() => undefined)
  return written
}

function refusal(cause: Error): DeliveryError {
  const gone = (cause as NodeJS.ErrnoException).code === 'EPIPE'
  const message = gone ? 'Standard output is closed.' : `Standard output: ${cause.message}`
  return permanent(message, { reason: 'closed', cause })
}
