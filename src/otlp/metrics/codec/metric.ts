import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Attributes } from '../../common/attributes.ts'
import type { KeyValue } from '../../common/attributes.ts'
import { behind, Encoded, readerAt } from '../../wire/lazy_message.ts'
import type { ReadFields, Source } from '../../wire/lazy_message.ts'
import { temporalities } from '../layout.ts'
import type { MetricType } from '../metric_type.ts'
import type { Metric, MetricFields } from '../metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../points.ts'
import type { DataPoint } from '../points.ts'
import { readKeyValue, writeKeyValue } from '../../common/attributes_codec.ts'
import type { BackwardsWriter } from '../../wire/backwards_writer.ts'
import {
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  VARINT,
  view,
  writeMessage,
  writeString,
  writeUint32,
  writeUnknown,
  writeView,
} from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'
import { exponentialHistogramPoint, histogramPoint, numberPoint, readNumberPoint, summaryPoint } from './points.ts'

/** `oneof data` of `Metric`, by field number. */
const metricTypes: Readonly<Record<number, Exclude<MetricType, 'none'>>> = {
  5: 'gauge',
  7: 'sum',
  9: 'histogram',
  10: 'exponential_histogram',
  11: 'summary',
}
const metricFields = Object.fromEntries(Object.entries(metricTypes).map(([field, type]) => [type, Number(field)]))

export function readMetric(source: Source, start: number, end: number): MetricFields {
  const reader = readerAt(source.bytes, start)
  const metadata: KeyValue[] = []
  const metric: Mutable<MetricFields> = { type: 'none' }
  metric.unknown = readFields(reader, end, (field, wire) => {
    if (wire !== LENGTH_DELIMITED) return false
    switch (field) {
      case 1: // string name = 1;
        metric.name = reader.string()
        return true
      case 2: // string description = 2;
        metric.description = reader.string()
        return true
      case 3: // string unit = 3;
        metric.unit = reader.string()
        return true
      case 12: // repeated KeyValue metadata = 12;
        metadata.push(readKeyValue(reader, messageEnd(reader)))
        return true
      default: {
        const type = metricTypes[field]
        if (type === undefined) return false
        readData(reader, messageEnd(reader), source, type, metric)
        return true
      }
    }
  })
  metric.metadata = Attributes.from(metadata)
  return metric
}

/** Gauge, Sum, Histogram, ExponentialHistogram and Summary: points in 1, temporality in 2, monotonicity in 3. */
function readData(
  reader: Reader,
  end: number,
  source: Source,
  type: Exclude<MetricType, 'none'>,
  metric: Mutable<MetricFields>,
): void {
  const points = new Encoded(source, reader.pos, end, readPoints[type])
  const before = metric.type === type ? metric.points : undefined
  if (metric.type !== type) metric.temporality = metric.monotonic = undefined
  metric.points = before === undefined ? points : [...pointsOf(before), ...points.decode()]
  metric.type = type
  metric.unknownData = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      reader.skipType(wire)
    } else if (field === 2 && wire === VARINT && type !== 'gauge' && type !== 'summary') {
      metric.temporality = temporalities[reader.uint32()] ?? 'unspecified'
    } else if (field === 3 && wire === VARINT && type === 'sum') {
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

/** Whether points that are not read yet are those of a metric of this type. */
export function holdsPointsOf(points: Encoded<readonly DataPoint[]>, type: MetricType): boolean {
  const types: readonly MetricType[] = type === 'gauge' || type === 'sum' ? ['gauge', 'sum'] : [type]
  return types.some((each) => each !== 'none' && points.reads(readPoints[each]))
}

function pointsReader(makePoint: (reader: Reader, source: Source) => DataPoint): ReadFields<readonly DataPoint[]> {
  return (source, start, end) => {
    const reader = readerAt(source.bytes, start)
    const points: DataPoint[] = []
    readFields(reader, end, (field, wire) => {
      if (field !== 1 || wire !== LENGTH_DELIMITED) return false
      points.push(makePoint(reader, source))
      return true
    })
    return points
  }
}

/** Metric metrics = 2; of ScopeMetrics. */
export function writeMetric(writer: BackwardsWriter, metric: Metric): void {
  const { encoded, renamed } = metric
  if (encoded === undefined || renamed === undefined) writer.view(2, metric, writeMetricFields)
  else if (encoded.source.regular) writeRenamed(writer, encoded, renamed)
  else writer.fields(2, metric, writeMetricFields)
}

function writeMetricFields(writer: Writer, metric: Metric): void {
  writeString(writer, 1, metric.name)
  writeString(writer, 2, metric.description)
  writeString(writer, 3, metric.unit)
  if (metric.type !== 'none') writeMessage(writer, metricFields[metric.type], metric, writeData)
  for (const attribute of metric.metadata) writeMessage(writer, 12, attribute, writeKeyValue)
  writeUnknown(writer, metric.unknown)
}

/** The new name, and everything else as it came. */
function writeRenamed(writer: BackwardsWriter, { source, start, end }: Encoded<MetricFields>, renamed: string): void {
  const { length } = writer
  const name = nameIn(source, start, end)
  writer.copyOf({ source, start: name.end, end })
  writer.copyOf({ source, start, end: name.start })
  writer.text(1, renamed)
  writer.head(2, writer.length - length)
}

/** The tag of `string name = 1`, with which encoders begin. */
const NAME = (1 << 3) | LENGTH_DELIMITED

/** Where the name of a metric that is written as encoders do stands, if it has one. */
function nameIn(source: Source, start: number, end: number): { start: number; end: number } {
  if (source.bytes[start] === NAME && start < end) return { start, end: behind(source.bytes, start + 1) }
  const reader = readerAt(source.bytes, start)
  while (reader.pos < end) {
    const { pos } = reader
    const tag = reader.uint32()
    reader.skipType(tag & 7)
    if (tag >>> 3 === 1) return { start: pos, end: reader.pos }
  }
  return { start, end: start }
}

function writeData(writer: Writer, metric: Metric): void {
  for (const point of metric.points) writeView(writer, 1, point, writePoint)
  if (metric.type !== 'gauge' && metric.type !== 'summary') {
    writeUint32(writer, 2, temporalities.indexOf(metric.temporality))
  }
  if (metric.type === 'sum' && metric.monotonic) writer.uint32((3 << 3) | VARINT).bool(true)
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
