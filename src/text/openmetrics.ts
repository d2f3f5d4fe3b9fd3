import type { Attributes } from '../otlp/common/attributes.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { completeBuckets } from '../otlp/metrics/explicit_buckets.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import { PART } from '../otlp/common/parts.ts'
import type { DataPoint } from '../otlp/metrics/points.ts'
import type { Resource } from '../otlp/common/resource.ts'
import type { Divided } from '../time/turns.ts'

/*
 * OpenMetrics 1.0 text. Sources: https://prometheus.io/docs/specs/om/open_metrics_spec/ (the grammar and the rules per
 * type) and https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ (names and units). Also
 * the older text format of Prometheus:
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details.
 */

/** Where points that the format cannot hold are counted. */
interface Losses {
  dropped(reason: string, points: number): void
}

type FamilyType = 'gauge' | 'counter' | 'unknown' | 'histogram' | 'gaugehistogram' | 'summary'

/** The samples that a family of each type may hold, by the suffix of the name. */
const SUFFIXES: Record<FamilyType, readonly string[]> = {
  gauge: [''],
  unknown: [''],
  counter: ['_total', '_created'],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  gaugehistogram: ['_bucket', '_gcount', '_gsum'],
  summary: ['', '_count', '_sum', '_created'],
}

interface Family {
  readonly name: string
  readonly type: FamilyType
  readonly unit: string
  readonly help: string
  /** By labels, then by time: the samples of one point. */
  readonly series: Map<string, Map<bigint, readonly string[]>>
}

/** The lines of one complete exposition. Points that OpenMetrics cannot hold are reported to `account`. */
export function* toOpenMetrics(batch: MetricBatch, account: Losses): Divided<readonly string[]> {
  const families = new Map<string, Family>()
  const sampleNames = new Map<string, string>()
  for (const { metric, resource } of batch.metrics()) {
    const type = familyType(metric)
    if (type === undefined) {
      account.dropped('unsupported_type', metric.pointCount)
      continue
    }
    const unit = unitWords(metric.unit)
    const name = familyName(metric.name, unit, type)
    const taken = [name, ...SUFFIXES[type].map((suffix) => name + suffix)]
    let family = families.get(name)
    if (family === undefined && taken.every((sample) => !sampleNames.has(sample))) {
      family = { name, type, unit, help: metric.description, series: new Map() }
      families.set(name, family)
      for (const sample of taken) sampleNames.set(sample, name)
    }
    if (family === undefined || family.type !== type || family.unit !== unit) {
      account.dropped('conflicting_name', metric.pointCount)
      continue
    }
    for (const [index, point] of metric.points.entries()) {
      addPoint(family, point, resource, account)
      if (index % PART === PART - 1) yield
    }
    yield
  }
  const lines: string[] = []
  for (const { name, type, unit, help, series } of families.values()) {
    if (series.size === 0) continue
    lines.push(`# TYPE ${name} ${type}`)
    if (unit !== '') lines.push(`# UNIT ${name} ${unit}`)
    if (help !== '') lines.push(`# HELP ${name} ${escapeText(help)}`)
    let written = 0
    for (const points of series.values()) {
      if (++written % PART === 0) yield
      for (const time of [...points.keys()].sort((a, b) => (a < b ? -1 : 1))) lines.push(...(points.get(time) ?? []))
    }
  }
  lines.push('# EOF')
  return lines
}

/**
 * The metrics of one process in the text format of Prometheus, version 0.0.4: one batch of gauges and cumulative sums,
 * without two points of the same labels. Names are used unchanged, without suffixes for units and counters; samples
 * have no time; the attributes of the resources become `target_info`.
 */
export function toPrometheus(batch: MetricBatch): string {
  const lines: string[] = []
  for (const { metric } of batch.metrics()) {
    const name = sanitize(metric.name)
    if (metric.description !== '') lines.push(`# HELP ${name} ${escapeHelp(metric.description)}`)
    lines.push(`# TYPE ${name} ${metric.monotonic ? 'counter' : 'gauge'}`)
    for (const point of metric.points) {
      if (point.kind === 'number')
        lines.push(`${name}${labelText(labelsOf(point.attributes))} ${numberText(point.value ?? NaN)}`)
    }
  }
  for (const { resource } of batch.resources) {
    lines.push('# HELP target_info Target metadata', '# TYPE target_info gauge')
    lines.push(`target_info${labelText(labelsOf(resource.attributes))} 1`)
  }
  return `${lines.join('\n')}\n`
}

/** A delta sum or histogram is not a counter here: it goes back to zero with every point. */
function familyType({ type, temporality, monotonic }: Metric): FamilyType | undefined {
  switch (type) {
    case 'gauge':
      return 'gauge'
    case 'sum':
      if (temporality !== 'cumulative') return 'unknown'
      return monotonic ? 'counter' : 'gauge'
    case 'histogram':
      return temporality === 'cumulative' ? 'histogram' : 'gaugehistogram'
    case 'summary':
      return 'summary'
    default:
      return undefined
  }
}

function addPoint(family: Family, point: DataPoint, resource: Resource, account: Losses): void {
  if (!point.hasValue || (point.kind === 'number' && point.value === undefined)) return account.dropped('no_value', 1)
  const values = pointValues(family.type, point)
  if (values === undefined) return account.dropped('invalid_value', 1)
  const labels = pointLabels(point, resource)
  const key = labels.join(',')
  const points = family.series.get(key) ?? new Map<bigint, readonly string[]>()
  if (points.has(point.timeUnixNano)) return account.dropped('duplicate_point', 1)
  family.series.set(key, points)
  points.set(
    point.timeUnixNano,
    values.map(({ suffix, label, value }) => {
      const all = label === undefined ? labels : [...labels, label]
      return `${family.name}${suffix}${labelText(all)} ${value} ${secondsText(point.timeUnixNano)}`
    }),
  )
}

interface Value {
  readonly suffix: string
  readonly label?: string
  readonly value: string
}

/** The samples of one point; `undefined` if its values are not those of its type. */
function pointValues(type: FamilyType, point: DataPoint): Value[] | undefined {
  const created =
    point.startTimeUnixNano === 0n ? [] : [{ suffix: '_created', value: secondsText(point.startTimeUnixNano) }]
  switch (point.kind) {
    case 'number': {
      const value = point.value ?? 0
      if (type !== 'counter') return [{ suffix: '', value: numberText(value) }]
      return value >= 0 ? [{ suffix: '_total', value: numberText(value) }, ...created] : undefined
    }
    case 'summary': {
      const { count, sum, quantileValues } = point
      if (!(sum >= 0) || quantileValues.some(({ quantile, value }) => value < 0 || !(quantile >= 0 && quantile <= 1))) {
        return undefined
      }
      return [
        ...quantileValues.map(({ quantile, value }) => ({
          suffix: '',
          label: `quantile="${canonicalText(quantile)}"`,
          value: numberText(value),
        })),
        { suffix: '_count', value: String(count) },
        { suffix: '_sum', value: numberText(sum) },
        ...created,
      ]
    }
    case 'histogram': {
      const cumulative = type === 'histogram'
      const { bucketCounts, explicitBounds } = completeBuckets(point)
      const bounds = [...explicitBounds, Infinity]
      const counts = bucketCounts.length === 0 ? [point.count] : bucketCounts
      if (bucketCounts.length > 0 && counts.length !== bounds.length) return undefined
      if (bounds.some((bound, index) => index > 0 && !(bound > bounds[index - 1]))) return undefined
      const values: Value[] = []
      let total = 0n
      counts.forEach((count, index) => {
        total += BigInt(count)
        const bound = counts.length === 1 ? Infinity : bounds[index]
        values.push({ suffix: '_bucket', label: `le="${canonicalText(bound)}"`, value: String(total) })
      })
      // A sum is only meaningful if it grows with every observation.
      if (point.sum !== undefined && point.sum >= 0 && !(cumulative && bounds[0] < 0)) {
        values.push({ suffix: cumulative ? '_count' : '_gcount', value: String(total) })
        values.push({ suffix: cumulative ? '_sum' : '_gsum', value: numberText(point.sum) })
      }
      return cumulative ? [...values, ...created] : values
    }
    default:
      return undefined
  }
}

/** `key="value"` of every attribute; a data point's wins over its resource's. Values of keys that become the same are joined by `;`. */
function pointLabels(point: DataPoint, resource: Resource): string[] {
  const reserved = point.kind === 'histogram' ? 'le' : point.kind === 'summary' ? 'quantile' : undefined
  return labelsOf(point.attributes, resource.attributes, reserved)
}

function labelsOf(own: Attributes, others?: Attributes, reserved?: string): string[] {
  const texts = new Map<string, string>()
  for (const attributes of [others, own]) for (const key of attributes?.keys() ?? []) texts.set(key, '')
  for (const key of texts.keys()) texts.set(key, own.text(key) ?? others?.text(key) ?? '')
  const labels = new Map<string, string>()
  for (const [key, text] of [...texts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const sanitized = sanitize(key).replace(/^__+/, '_')
    const name = sanitized === reserved ? `exported_${sanitized}` : sanitized
    const earlier = labels.get(name)
    labels.set(name, earlier === undefined ? text : `${earlier};${text}`)
  }
  return Array.from(labels, ([name, text]) => `${name}="${escapeText(text)}"`)
}

function labelText(labels: readonly string[]): string {
  return labels.length === 0 ? '' : `{${labels.join(',')}}`
}

function familyName(name: string, unit: string, type: FamilyType): string {
  const base = sanitize(name).replace(type === 'counter' ? /_total$/ : /$^/, '')
  return unit === '' || base.endsWith(`_${unit}`) ? base : `${base}_${unit}`
}

/** UCUM units and their names in Prometheus. */
const UNITS = new Map(
  Object.entries({
    d: 'days',
    h: 'hours',
    min: 'minutes',
    s: 'seconds',
    ms: 'milliseconds',
    us: 'microseconds',
    ns: 'nanoseconds',
    By: 'bytes',
    KiBy: 'kibibytes',
    MiBy: 'mebibytes',
    GiBy: 'gibibytes',
    TiBy: 'tebibytes',
    kBy: 'kilobytes',
    MBy: 'megabytes',
    GBy: 'gigabytes',
    TBy: 'terabytes',
    m: 'meters',
    V: 'volts',
    A: 'amperes',
    J: 'joules',
    W: 'watts',
    g: 'grams',
    Cel: 'celsius',
    Hz: 'hertz',
    '%': 'percent',
    '1': '',
  }),
)

/** The name of a unit after `per`, if that differs. */
const UNITS_PER = new Map(Object.entries({ s: 'second', min: 'minute', h: 'hour', d: 'day' }))

/** The unit as words: annotations in braces are ignored, `/` reads `per`. */
function unitWords(unit: string): string {
  const [numerator, ...denominators] = unit.replace(/\{[^{}]*\}/g, '').split('/')
  const words = [UNITS.get(numerator) ?? numerator]
  for (const part of denominators) if (part !== '') words.push('per', UNITS_PER.get(part) ?? UNITS.get(part) ?? part)
  return words
    .join('_')
    .replace(/[^a-zA-Z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
}

function sanitize(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d|$)/, '_')
}

function escapeText(text: string): string {
  return escapeHelp(text).replace(/"/g, '\\"')
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

function numberText(value: number | bigint): string {
  if (typeof value === 'bigint' || Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : canonicalText(value)
}

/** A number for `le` and `quantile`, always spelled the same: `0.5`, `1.0`, `1e+06`, `+Inf`. */
function canonicalText(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  const [mantissa, exponent] = value.toExponential().split('e')
  if (value !== 0 && (Number(exponent) < -4 || Number(exponent) >= 6)) {
    return `${mantissa}e${exponent.replace(/^([+-])(\d)$/, '$10$2')}`
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

/** Seconds since 1970, with all non-zero digits of the nine-digit fraction. */
function secondsText(nanoseconds: bigint): string {
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  const seconds = String(nanoseconds / 1_000_000_000n)
  return fraction === '' ? seconds : `${seconds}.${fraction}`
}
