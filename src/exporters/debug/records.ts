import { anyValueText, toAnyValue } from '../../otlp/common/attributes.ts'
import type { LogBatch } from '../../otlp/logs/batch.ts'
import type { LogRecord } from '../../otlp/logs/log_record.ts'
import { visible } from '../../text/terminal.ts'
import type { Divided } from '../../time/turns.ts'
import { attributeText, attributeTexts, idTexts, rowsInTurns, rowTable, timeText, wordsOf } from './rows.ts'
import type { Row } from './rows.ts'

/** Four numbers each, from 1. Source: logs.proto, `SeverityNumber`. */
const SEVERITIES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL']

/**
 * One table per resource, at most `width` columns wide: the resource's attributes once, then each record with its time, severity
 * and body, and below that its attributes, event name and ids.
 */
export function* recordTable(batch: LogBatch, width: number): Divided<string> {
  const tables: string[] = []
  for (const { resource, scopes } of batch.resources) {
    const rows = yield* rowsInTurns(
      scopes.flatMap(({ records }) => records),
      rowOf,
    )
    tables.push(yield* rowTable(resource.attributes, ['TIME', 'SEVERITY', 'BODY'], rows, width))
  }
  return tables.join('')
}

function rowOf(record: LogRecord): Row {
  const { timeUnixNano, observedTimeUnixNano, body, eventName, traceId, spanId } = record
  const details = [
    ...(eventName === '' ? [] : [attributeText('event', eventName)]),
    ...attributeTexts(record.attributes),
    ...idTexts({ trace: traceId, span: spanId }),
  ]
  return {
    cells: [timeText(timeUnixNano === 0n ? observedTimeUnixNano : timeUnixNano), severityText(record)],
    texts: [...(body === undefined ? [] : wordsOf(anyValueText(toAnyValue(body)))), details],
  }
}

function severityText({ severityText, severityNumber }: LogRecord): string {
  return severityText === '' ? (SEVERITIES[(severityNumber - 1) >> 2] ?? '-') : visible(severityText)
}
