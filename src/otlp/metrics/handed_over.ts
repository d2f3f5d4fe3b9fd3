import { Encoded } from '../wire/lazy_message.ts'
import { Mistake } from '../json/text.ts'
import {
  attributes,
  batchHandedOver,
  bytes,
  count,
  describe,
  double,
  entryOf,
  fields,
  flag,
  int32,
  int64,
  isList,
  listOf,
  message,
  named,
  nanoseconds,
  sound,
  structure,
  text,
  uint32,
  within,
  word,
} from '../common/handed_over.ts'
import type { Check, Checks } from '../common/handed_over.ts'
import { MetricBatch } from './batch.ts'
import { holdsPointsOf } from './codec/metric.ts'
import { temporalities } from './metric_type.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { MetricFields } from './metric.ts'
import type { MetricType } from './metric_type.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from './points.ts'
import type { DataPoint, NumberPointFields } from './points.ts'

const value: Check = (given) => {
  if (typeof given === 'bigint') return int64(given)
  if (typeof given === 'number') return given
  throw new Mistake(`must be a number or a bigint, not ${describe(given)}`)
}

const exemplar = structure(
  {
    filteredAttributes: attributes,
    timeUnixNano: nanoseconds,
    value,
    isInt: flag,
    spanId: bytes,
    traceId: bytes,
    unknown: bytes,
  },
  ['filteredAttributes', 'timeUnixNano', 'value', 'spanId', 'traceId'],
)
const buckets = structure({ offset: int32, bucketCounts: listOf(count), unknown: bytes }, ['offset', 'bucketCounts'])
const quantile = structure({ quantile: double, value: double, unknown: bytes }, ['quantile', 'value'])

const pointFields: Checks = {
  attributes,
  timeUnixNano: nanoseconds,
  startTimeUnixNano: nanoseconds,
  flags: uint32,
  exemplars: listOf(exemplar),
  unknown: bytes,
}
const numberFields: Checks = { ...pointFields, value, isInt: flag }
const sums: Checks = { ...pointFields, count, sum: double, min: double, max: double }
const histogramFields: Checks = { ...sums, bucketCounts: listOf(count), explicitBounds: listOf(double) }
const exponentialFields: Checks = {
  ...sums,
  scale: int32,
  zeroCount: count,
  zeroThreshold: double,
  positive: buckets,
  negative: buckets,
}
const summaryFields: Checks = { ...pointFields, count, sum: double, quantileValues: listOf(quantile) }

function wholeWhereInt(made: NumberPointFields): NumberPointFields {
  const checked = fields(made, numberFields)
  if (made.isInt === true && made.value !== undefined) {
    within('value', made.value, (given) => {
      if (typeof given === 'bigint' || Number.isInteger(given)) return int64(given)
      throw new Mistake(`is ${String(given)}, which is no int; give \`isInt: false\` with it`)
    })
  }
  return checked
}

const number: Check = (given) => message(given, NumberPoint, 'NumberPoint', wholeWhereInt)

/** The class of points for each type of metric. */
const points: Readonly<Record<MetricType, Check>> = {
  gauge: number,
  sum: number,
  histogram: (given) => message(given, HistogramPoint, 'HistogramPoint', (made) => fields(made, histogramFields)),
  exponential_histogram: (given) =>
    message(given, ExponentialHistogramPoint, 'ExponentialHistogramPoint', (made) => fields(made, exponentialFields)),
  summary: (given) => message(given, SummaryPoint, 'SummaryPoint', (made) => fields(made, summaryFields)),
  none: () => {
    throw new Mistake('cannot be there in a metric of type `none`')
  },
}

const metricFields: Checks = {
  name: text,
  description: text,
  unit: text,
  metadata: attributes,
  type: word(Object.keys(points)),
  temporality: word(temporalities),
  monotonic: flag,
  points: (given) => given,
  unknown: bytes,
  unknownData: bytes,
}

const metric: Check = (given) =>
  named('metric', Metric, given, () => {
    if (given instanceof Metric && given.renamed !== undefined) within('name', given.renamed, text)
    return message<MetricFields, Metric>(given, Metric, 'Metric', (made) => {
      const checked = fields(made, metricFields, ['type'])
      const all = within('points', checked.points, (list) => pointsOf(list, checked.type))
      return all === checked.points ? checked : { ...checked, points: all as DataPoint[] }
    })
  })

const entry = entryOf(
  ResourceMetrics,
  ScopeMetrics,
  { resource: 'ResourceMetrics', scope: 'ScopeMetrics', items: 'metrics' },
  metric,
)

/** The batch that a component hands over, once everything in it is valid. @throws TypeError that names the mistake */
export function handedOver(given: unknown): MetricBatch {
  return batchHandedOver(given, MetricBatch.empty, entry)
}

function pointsOf(given: unknown, type: MetricType): unknown {
  if (given === undefined) return given
  if (given instanceof Encoded) {
    if (holdsPointsOf(given as Encoded<readonly DataPoint[]>, type)) return given
    throw new Mistake(`are not those of a metric of type ${type}`)
  }
  if (isList(given) && sound.has(given)) {
    // Points that are valid for one type may not be for another.
    listOf(points[type])(given.slice(0, 1))
    return given
  }
  const checked = listOf(points[type])(given) as object
  sound.add(checked)
  return checked
}
