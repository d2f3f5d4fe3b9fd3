import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Metric, ResourceMetrics } from '../../otlp/metrics/metric.ts'
import { PART } from '../../otlp/common/parts.ts'
import type { DataPoint } from '../../otlp/metrics/points.ts'
import { cut, numberText, visible, wrap } from '../../text/terminal.ts'
import type { Divided } from '../../time/turns.ts'
import { attributeTexts, GAP } from './rows.ts'

interface Row {
  readonly name: string
  readonly value: string
  readonly unit: string
  /** Further values of the point, then its attributes. */
  readonly details: readonly string[]
}

/** The minimum width of the last column; a name that leaves less room is on a line of its own. */
const DETAILS_WIDTH = 24

/**
 * One table per resource, at most `width` columns wide: the resource's time and attributes once, then a line per data
 * point with name, value, unit and attributes. A name is only written for its first point; attributes that do not fit
 * continue below.
 */
export function* toTable(batch: MetricBatch, width: number): Divided<string> {
  const tables: string[] = []
  for (const resource of batch.resources) {
    tables.push(yield* resourceTable(resource, width))
    yield
  }
  return tables.join('')
}

function* resourceTable({ resource, scopes }: ResourceMetrics, width: number): Divided<string> {
  const metrics = scopes.flatMap((scope) => scope.metrics).filter((metric) => metric.pointCount > 0)
  if (metrics.length === 0) return ''
  const rows: Row[] = []
  for (const metric of metrics) {
    for (const [index, point] of metric.points.entries()) {
      rows.push(rowOf(metric, point, { isFirst: index === 0 }))
      if (rows.length % PART === 0) yield
    }
  }
  const longest = (column: 'name' | 'value' | 'unit'): number =>
    rows.reduce((most, row) => Math.max(most, row[column].length), column.length)
  const [longestName, valueWidth, unitWidth] = [longest('name'), longest('value'), longest('unit')]
  const left = Math.max(width - valueWidth - unitWidth - 3 * GAP.length, 'NAME'.length + DETAILS_WIDTH)
  const nameWidth = Math.min(longestName, left - DETAILS_WIDTH)
  const line = (name: string, value: string, unit: string, details: string) =>
    [name.padEnd(nameWidth), value.padStart(valueWidth), unit.padEnd(unitWidth), details].join(GAP).trimEnd()

  const lines = wrap([resourceTime(metrics), ...attributeTexts(resource.attributes)], width)
  lines.push(line('NAME', 'VALUE', 'UNIT', 'ATTRIBUTES'))
  for (const [index, { name, value, unit, details }] of rows.entries()) {
    if (index % PART === PART - 1) yield
    const fits = name.length <= nameWidth
    if (!fits) lines.push(cut(name, width))
    const [first = '', ...rest] = wrap(details, left - nameWidth)
    lines.push(line(fits ? name : '', value, unit, first), ...rest.map((more) => line('', '', '', more)))
  }
  return `${lines.join('\n')}\n\n`
}

function rowOf(metric: Metric, point: DataPoint, { isFirst }: { readonly isFirst: boolean }): Row {
  const [value = '-', ...more] = valueTexts(point)
  return {
    name: isFirst ? visible(metric.name) : '',
    value,
    unit: visible(metric.unit),
    details: [...more, ...attributeTexts(point.attributes)],
  }
}

/** The time of the latest point, local, to the second. */
function resourceTime(metrics: readonly Metric[]): string {
  let latest = 0n
  for (const { points } of metrics)
    for (const { timeUnixNano } of points) if (timeUnixNano > latest) latest = timeUnixNano
  return latest === 0n ? '-' : new Date(Number(latest / 1_000_000n)).toTimeString().slice(0, 8)
}

/** The value, and the other figures of a histogram or summary; empty for a point without a value. */
function valueTexts(point: DataPoint): string[] {
  if (!point.hasValue) return []
  if (point.kind === 'number') return point.value === undefined ? [] : [numberText(point.value)]
  const texts = [`count ${numberText(point.count)}`]
  const add = (name: string, value: number | undefined) => {
    if (value !== undefined) texts.push(`${name} ${numberText(value)}`)
  }
  add('sum', point.sum)
  if (point.kind === 'summary') {
    for (const { quantile, value } of point.quantileValues) add(`p${numberText(quantile * 100)}`, value)
  } else {
    add('min', point.min)
    add('max', point.max)
  }
  return texts
}
