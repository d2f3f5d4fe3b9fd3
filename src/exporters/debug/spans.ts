import type { TraceBatch } from '../../otlp/traces/batch.ts'
import type { Span } from '../../otlp/traces/span.ts'
import { numberText, visible } from '../../text/terminal.ts'
import type { Divided } from '../../time/turns.ts'
import { attributeTexts, idTexts, rowsInTurns, rowTable, timeText, wordsOf } from './rows.ts'
import type { Row } from './rows.ts'

/**
 * One table per resource, at most `width` columns wide: the resource's attributes once, then each span with its start,
 * duration, kind, status and name, and below that the message of its status, its attributes and ids, and a line for
 * each event and link.
 */
export function* spanTable(batch: TraceBatch, width: number): Divided<string> {
  const tables: string[] = []
  for (const { resource, scopes } of batch.resources) {
    const rows = yield* rowsInTurns(
      scopes.flatMap(({ spans }) => spans),
      rowOf,
    )
    const head = ['TIME', 'DURATION', 'KIND', 'STATUS', 'NAME']
    tables.push(yield* rowTable(resource.attributes, head, rows, width))
  }
  return tables.join('')
}

function rowOf(span: Span): Row {
  const { startTimeUnixNano, endTimeUnixNano, kind, status, events, links } = span
  const { traceId, spanId, parentSpanId } = span
  const duration = endTimeUnixNano < startTimeUnixNano ? '-' : durationText(endTimeUnixNano - startTimeUnixNano)
  return {
    cells: [timeText(startTimeUnixNano), duration, kind === 'unspecified' ? '-' : kind, String(status.code)],
    texts: [
      ...wordsOf(span.name),
      ...(status.message === '' ? [] : wordsOf(status.message)),
      [...attributeTexts(span.attributes), ...idTexts({ trace: traceId, span: spanId, parent: parentSpanId })],
      ...events.map(({ timeUnixNano, name, attributes }) => [
        'event',
        ...(timeUnixNano < startTimeUnixNano ? [] : [`+${durationText(timeUnixNano - startTimeUnixNano)}`]),
        visible(name),
        ...attributeTexts(attributes),
      ]),
      ...links.map(({ attributes, ...link }) => [
        'link',
        ...idTexts({ trace: link.traceId, span: link.spanId }),
        ...attributeTexts(attributes),
      ]),
    ],
  }
}

function durationText(nanoseconds: bigint): string {
  const milliseconds = Number(nanoseconds) / 1e6
  return milliseconds < 1000 ? `${numberText(milliseconds)} ms` : `${numberText(milliseconds / 1000)} s`
}
