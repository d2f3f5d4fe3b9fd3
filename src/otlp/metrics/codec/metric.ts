import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../../common/attributes.ts'
import type { KeyValue } from '../../common/attributes.ts'
import { Encoded, readerAt } from '../../wire/lazy_message.ts'
import type { ReadFields, EncodedRequest } from '../../wire/lazy_message.ts'
import { temporalities } from '../metric_type.ts'
import type { MetricType } from '../metric_type.ts'
import type { Metric, MetricFields } from '../metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../points.ts'
import type { DataPoint } from '../points.ts'
import { readKeyValue, writeKeyValue } from '../../common/attributes_codec.ts'
import type { BackwardsWriter } from '../../wire/backwards_writer.ts'
import { tags } from '../../schema.ts'
import { messageEnd, readFields, view, writeMessage, writeString, writeUnknown, writeView } from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { fieldEnd } from '../../wire/wire_format.ts'
import { exponentialHistogramPoint, histogramPoint, numberPoint, readNumberPoint, summaryPoint } from './points.ts'

type DataType = Exclude<MetricType, 'none'>

/** The name of each member of `oneof data` here, and the fields that the messages of all have in common: points, and their type. */
const inMetric = tags.Metric
const dataTags: Readonly<Record<DataType, number>> = {
  gauge: inMetric.gauge,
  sum: inMetric.sum,
  histogram: inMetric.histogram,
  exponential_histogram: inMetric.exponentialHistogram,
  summary: inMetric.summary,
}
const dataTypes = new Map(Object.entries(dataTags).map(([type, tag]) => [tag, type as DataType]))
const inData = tags.Sum

export function readMetric(source: EncodedRequest, start: number, end: number): MetricFields {
  const reader = readerAt(source.bytes, start)
  const metadata: KeyValue[] = []
  const metric: Mutable<MetricFields> = { type: 'none' }
  metric.unknown = readFields(reader, end, (tag) => {
    switch (tag) {
      case inMetric.name:
        metric.name = reader.string()
        return true
      case inMetric.description:
        metric.description = reader.string()
        return true
      case inMetric.unit:
        metric.unit = reader.string()
        return true
      case inMetric.metadata:
        metadata.push(readKeyValue(reader, messageEnd(reader)))
        return true
      default: {
        const type = dataTypes.get(tag)
        if (type === undefined) return false
        readData(reader, messageEnd(reader), source, type, metric)
        return true
      }
    }
  })
  metric.metadata = Attributes.from(metadata)
  return metric
}

/** Gauge, Sum, Histogram, ExponentialHistogram or Summary. */
function readData(
  reader: Reader,
  end: number,
  source: EncodedRequest,
  type: DataType,
  metric: Mutable<MetricFields>,
): void {
  const points = new Encoded(source, reader.pos, end, readPoints[type])
  const before = metric.type === type ? metric.points : undefined
  if (metric.type !== type) metric.temporality = metric.monotonic = undefined
  metric.points = before === undefined ? points : [...pointsOf(before), ...points.decode()]
  metric.type = type
  metric.unknownData = readFields(reader, end, (tag) => {
    if (tag === inData.dataPoints) {
      reader.skipType(tag & 7)
    } else if (tag === inData.aggregationTemporality && type !== 'gauge' && type !== 'summary') {
      metric.temporality = temporalities[reader.uint32()] ?? 'unspecified'
    } else if (tag === inData.isMonotonic && type === 'sum') {
      metric.monotonic = reader.bool()
    } else return false
    return true
  })
}

function pointsOf(points: NonNullable<MetricFields['points']>): readonly DataPoint[] {
  return points instanceof Encoded ? points.decode() : points
}

/** Reads the points of a metric's data, field 1 of each kind, as views. */
const readPoints = {
  gauge: pointsReader((reader, source) => new NumberPoint(view(reader, source, readNumberPoint))),
  sum: pointsReader((reader, source) => new NumberPoint(view(reader, source, readNumberPoint))),
  histogram: pointsReader((reader, source) => new HistogramPoint(view(reader, source, histogramPoint.read))),
  exponential_histogram: pointsReader(
    (reader, source) => new ExponentialHistogramPoint(view(reader, source, exponentialHistogramPoint.read)),
  ),
  summary: pointsReader((reader, source) => new SummaryPoint(view(reader, source, summaryPoint.read))),
}

/** Whether points that were not read yet belong to a metric of this type. */
export function holdsPointsOf(points: Encoded<readonly DataPoint[]>, type: MetricType): boolean {
  const types: readonly MetricType[] = type === 'gauge' || type === 'sum' ? ['gauge', 'sum'] : [type]
  return types.some((each) => each !== 'none' && points.reads(readPoints[each]))
}

function pointsReader(
  makePoint: (reader: Reader, source: EncodedRequest) => DataPoint,
): ReadFields<readonly DataPoint[]> {
  return (source, start, end) => {
    const reader = readerAt(source.bytes, start)
    const points: DataPoint[] = []
    readFields(reader, end, (tag) => {
      if (tag !== inData.dataPoints) return false
      points.push(makePoint(reader, source))
      return true
    })
    return points
  }
}

/** Metric metrics = 2; of ScopeMetrics. */
export function writeMetric(writer: BackwardsWriter, metric: Metric): void {
  const { encoded, renamed } = metric
  if (encoded === undefined || renamed === undefined) writer.view(tags.ScopeMetrics.metrics, metric, writeMetricFields)
  else if (encoded.source.canonical) writeRenamed(writer, encoded, renamed)
  else writer.fields(tags.ScopeMetrics.metrics, metric, writeMetricFields)
}

function writeMetricFields(writer: Writer, metric: Metric): void {
  writeString(writer, inMetric.name, metric.name)
  writeString(writer, inMetric.description, metric.description)
  writeString(writer, inMetric.unit, metric.unit)
  if (metric.type !== 'none') {
    writeData(writer.uint32(dataTags[metric.type]).fork(), metric)
    writer.ldelim()
  }
  for (const attribute of metric.metadata) writeMessage(writer, inMetric.metadata, attribute, writeKeyValue)
  writeUnknown(writer, metric.unknown)
}

/** The new name, with everything else as it came. */
function writeRenamed(writer: BackwardsWriter, { source, start, end }: Encoded<MetricFields>, renamed: string): void {
  const { length } = writer
  const name = nameIn(source, start, end)
  writer.copyOf({ source, start: name.end, end })
  writer.copyOf({ source, start, end: name.start })
  writer.text(inMetric.name, renamed)
  writer.head(tags.ScopeMetrics.metrics, writer.length - length)
}

/** The position of the name, if it has one, in a metric that is written in the usual way. */
function nameIn(source: EncodedRequest, start: number, end: number): { start: number; end: number } {
  if (source.bytes[start] === inMetric.name && start < end) return { start, end: fieldEnd(source.bytes, start + 1) }
  const reader = readerAt(source.bytes, start)
  while (reader.pos < end) {
    const { pos } = reader
    const tag = reader.uint32()
    reader.skipType(tag & 7)
    if (tag === inMetric.name) return { start: pos, end: reader.pos }
  }
  return { start, end: start }
}

function writeData(writer: Writer, metric: Metric): void {
  for (const point of metric.points) writeView(writer, inData.dataPoints, point, writePoint)
  const temporality = temporalities.indexOf(metric.temporality)
  if (metric.type !== 'gauge' && metric.type !== 'summary' && temporality !== 0) {
    writer.uint32(inData.aggregationTemporality).uint32(temporality)
  }
  if (metric.type === 'sum' && metric.monotonic) writer.uint32(inData.isMonotonic).bool(true)
  writeUnknown(writer, metric.unknownData)
}

function writePoint(writer: Writer, point: DataPoint): void {
  pointCodecs[point.kind].writeMade(writer, point)
}

const pointCodecs = {
  number: numberPoint,
  histogram: histogramPoint,
  exponential_histogram: exponentialHistogramPoint,
  summary: summaryPoint,
}
