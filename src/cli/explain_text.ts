import { recordTable } from '../exporters/debug/records.ts'
import { spanTable } from '../exporters/debug/spans.ts'
import { itemsText } from '../otlp/signals.ts'
import type { Signal } from '../otlp/signal.ts'
import type { AnyBatch } from '../otlp/signals.ts'
import { cut, numberText, visible, wrap } from '../text/terminal.ts'
import { atOnce } from '../time/turns.ts'
import type { ExplainedSeries, ExporterReport } from './explain_report.ts'

/** The most requests, and metrics of one reason, that are shown; of the rest only the number. */
const MAX_SHOWN = 20
/** The minimum width of the last column; a name that leaves less room is on a line of its own. */
const DETAILS_WIDTH = 30
const GAP = '  '

/** The explanation as text, at most `width` columns wide. */
export function explanationText(
  pipelines: readonly string[],
  exporters: readonly ExporterReport[],
  width: number,
): string {
  const lines = pipelines.flatMap((line) => indented('', line.split(' '), width))
  for (const exporter of exporters) lines.push('', ...exporterLines(exporter, width))
  return `${lines.join('\n')}\n`
}

function exporterLines(exporter: ExporterReport, width: number): string[] {
  const { id, signal, equation, requests, dropped, not_sent: notSent, billed_metrics: billed, series, sent } = exporter
  const lines = indented('', `exporter ${id}: ${equation}`.split(' '), width)
  const add = (title: string, words: readonly string[]): void => void lines.push(...indented(title, words, width))
  for (const request of requests.slice(0, MAX_SHOWN)) add('', requestText(request, signal).split(' '))
  if (requests.length > MAX_SHOWN) add('', [`and ${requests.length - MAX_SHOWN} more requests`])
  if (requests.length === 0) add('', ['nothing would be sent'])
  if (billed !== undefined) add('', [`billed as about ${numberText(billed)} custom metrics`])
  for (const { reason, points, metrics } of dropped) {
    const shown = Object.entries(metrics).slice(0, MAX_SHOWN)
    const more = Object.keys(metrics).length - shown.length
    const names = shown.map(([name, count]) => `${visible(name)} ${numberText(count)}`)
    add(`dropped ${reason} ${numberText(points)}${names.length === 0 ? '' : ': '}`, [
      ...withCommas(names),
      ...(more > 0 ? [`and ${more} more`] : []),
    ])
  }
  for (const { attribute, value, reason } of notSent) {
    add('', ['no tag:', `${visible(attribute)}=${visible(cut(value, 40))}`, `(${visible(reason)})`])
  }
  const made = sent === undefined || sent.itemCount === 0 ? '' : ', which are made of this:'
  if (series === undefined) add('', [`it does not explain its requests${made}`])
  for (const group of groups(series ?? [])) lines.push('', ...groupLines(group, width))
  if (sent !== undefined && sent.itemCount > 0) lines.push('', ...itemTable(sent as AnyBatch, width))
  return lines
}

/** As the exporter `debug` shows them. */
function itemTable(batch: AnyBatch, width: number): string[] {
  if (batch.signal === 'metrics') return []
  const table = atOnce(batch.signal === 'logs' ? recordTable(batch, width) : spanTable(batch, width))
  return table.trimEnd().split('\n')
}

function requestText(
  { to, points, bytes, raw_bytes: raw }: ExporterReport['requests'][number],
  signal: Signal,
): string {
  const size = `${itemsText(signal, points, numberText(points))} in ${numberText(bytes)} bytes`
  const compressed = raw === undefined || raw === bytes ? '' : ` (${numberText(raw)} before compression)`
  return to === undefined ? `request of ${size}` : `POST ${to}: ${size}${compressed}`
}

function withCommas(texts: readonly string[]): string[] {
  return texts.map((text, index) => (index < texts.length - 1 ? `${text},` : text))
}

/** Words after a title, in lines that are indented below it. */
function indented(title: string, words: readonly string[], width: number): string[] {
  const [first = '', ...rest] = title === '' ? words : [title + (words[0] ?? ''), ...words.slice(1)]
  return wrap([first, ...rest], width - GAP.length).map((line, index) => (index === 0 ? line : GAP + line))
}

/** Series of one host with the same tags of their resource. */
interface Group {
  readonly host: ExplainedSeries['host']
  readonly tags: ExplainedSeries['tags']
  readonly series: ExplainedSeries[]
}

function groups(series: readonly ExplainedSeries[]): readonly Group[] {
  const found = new Map<string, Group>()
  for (const one of series) {
    const tags = one.tags.filter((tag) => !isOwn(tag))
    const key = JSON.stringify([one.host, tags])
    const group = found.get(key) ?? { host: one.host, tags, series: [] }
    found.set(key, group)
    group.series.push(one)
  }
  return [...found.values()]
}

/** Whether a tag comes from a data point rather than from its resource. */
function isOwn({ from }: ExplainedSeries['tags'][number]): boolean {
  return from.startsWith(POINT_ATTRIBUTE) || !/attribute|exporter/.test(from)
}

const POINT_ATTRIBUTE = 'data point attribute '

function groupLines({ host, tags, series }: Group, width: number): string[] {
  const lines = [cut(`HOST ${visible(host.name ?? 'none')} (${visible(host.rule)})`, width)]
  const texts = tags.map(({ tag, from }) => `${visible(tag)} (${visible(from)})`)
  lines.push(...indented('TAGS ', texts.length === 0 ? ['none'] : withCommas(texts), width))
  const rows = series.map((one, index) => toRow(one, { isAgain: series[index - 1]?.name === one.name }))
  const widthOf = (column: 'name' | 'type' | 'value' | 'unit' | 'interval', title: string): number =>
    Math.max(title.length, ...rows.map((row) => row[column].length))
  const [typeWidth, valueWidth] = [widthOf('type', 'TYPE'), widthOf('value', 'LAST VALUE')]
  const [unitWidth, intervalWidth] = [widthOf('unit', 'UNIT'), widthOf('interval', 'OVER')]
  const left = width - typeWidth - valueWidth - unitWidth - intervalWidth - 5 * GAP.length
  const nameWidth = Math.min(widthOf('name', 'NAME'), Math.max(left - DETAILS_WIDTH, 'NAME'.length))
  const detailsWidth = Math.max(left - nameWidth, DETAILS_WIDTH)
  const line = (name: string, row: Omit<Row, 'name' | 'details'>, details: string): string =>
    [
      name.padEnd(nameWidth),
      row.type.padEnd(typeWidth),
      row.value.padStart(valueWidth),
      row.unit.padEnd(unitWidth),
      row.interval.padStart(intervalWidth),
      details,
    ]
      .join(GAP)
      .trimEnd()
  const titles = { type: 'TYPE', value: 'LAST VALUE', unit: 'UNIT', interval: 'OVER' }
  const empty = { type: '', value: '', unit: '', interval: '' }
  lines.push(line('NAME', titles, 'TAGS, <- MADE FROM'))
  for (const row of rows) {
    const fits = row.name.length <= nameWidth
    if (!fits) lines.push(cut(row.name, width))
    const [first = '', ...rest] = wrap(row.details, detailsWidth)
    lines.push(line(fits ? row.name : '', row, first), ...rest.map((more) => line('', empty, more)))
  }
  return lines
}

interface Row {
  readonly name: string
  readonly type: string
  readonly value: string
  readonly unit: string
  readonly interval: string
  readonly details: readonly string[]
}

/** `isAgain`: the series before it has the same name, which stands once. */
function toRow(
  { name, type, unit = '', tags, from, values }: ExplainedSeries,
  { isAgain }: { readonly isAgain: boolean },
): Row {
  const { value, interval } = values[values.length - 1]
  const { count = NaN, ...figures } = typeof value === 'number' ? { count: value } : value
  return {
    name: isAgain ? '' : visible(name),
    type,
    value: numberText(count),
    unit: visible(unit),
    interval: interval === undefined ? '' : `${interval}s`,
    details: [
      ...Object.entries(figures).map(([figure, number]) => `${figure} ${numberText(number)}`),
      ...tags.filter(isOwn).map(tagText),
      ...(isAgain ? [] : sourceWords(from.length === 1 && from[0] === name ? undefined : from)),
    ],
  }
}

/** `undefined`: a metric that is sent as it came. */
function sourceWords(from: readonly string[] | undefined): readonly string[] {
  if (from === undefined) return []
  const [first = 'not known', ...more] = from.map(visible)
  return [`<- ${first}`, ...more]
}

/** With the attribute that it comes from, if its name differs. */
function tagText({ tag, from }: ExplainedSeries['tags'][number]): string {
  const attribute = from.startsWith(POINT_ATTRIBUTE) ? from.slice(POINT_ATTRIBUTE.length) : undefined
  const named = attribute === undefined || tag.startsWith(`${attribute}:`)
  return visible(named ? tag : `${tag} (${attribute})`)
}
