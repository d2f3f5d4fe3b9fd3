import { attributeRun, attributes } from '../../common/attributes_codec.ts'
import { Attributes } from '../../common/attributes.ts'
import { schema } from '../../schema.ts'
import { readFixed64, toLong } from '../../wire/fields.ts'
import type { EncodedRequest } from '../../wire/lazy_message.ts'
import { MessageCodec, message, messages, nanoseconds } from '../../wire/message_codec.ts'
import type { MemberOf } from '../../wire/message_codec.ts'
import { NumberPointCursor } from '../number_cursor.ts'
import type {
  Buckets,
  Exemplar,
  ExponentialHistogramPointFields,
  HistogramPointFields,
  NumberPointFields,
  Quantile,
  SummaryPointFields,
} from '../points.ts'

/** One of the two members of `oneof value`, which objects hold as `value` and `isInt`. */
const number =
  (int: boolean): MemberOf =>
  ({ tag }) => ({
    read(into, reader) {
      into.value = int ? readFixed64(reader, true) : reader.double()
      into.isInt = int
    },
    write(writer, values) {
      const { value, isInt = typeof value === 'bigint' } = values as NumberPointFields
      if (value === undefined || isInt !== int) return
      if (int) writer.uint32(tag).sfixed64(toLong(value))
      else writer.uint32(tag).double(Number(value))
    },
  })
const value = { asDouble: number(false), asInt: number(true) }

const NO_ID = new Uint8Array()

const exemplar = new MessageCodec<Exemplar>(
  schema.Exemplar,
  { filteredAttributes: attributes, timeUnixNano: nanoseconds, ...value },
  { filteredAttributes: Attributes.empty, timeUnixNano: 0n, value: 0, isInt: false, spanId: NO_ID, traceId: NO_ID },
)
const buckets = new MessageCodec<Buckets>(schema.Buckets, {}, { offset: 0, bucketCounts: [] })
const quantile = new MessageCodec<Quantile>(schema.ValueAtQuantile, {}, { quantile: 0, value: 0 })

const point = {
  attributes: attributeRun,
  startTimeUnixNano: nanoseconds,
  timeUnixNano: nanoseconds,
  exemplars: messages(exemplar),
}

export const numberPoint = new MessageCodec<NumberPointFields>(
  schema.NumberDataPoint,
  { ...point, ...value },
  { value: undefined, isInt: undefined },
)
export const histogramPoint = new MessageCodec<HistogramPointFields>(schema.HistogramDataPoint, point)
export const exponentialHistogramPoint = new MessageCodec<ExponentialHistogramPointFields>(
  schema.ExponentialHistogramDataPoint,
  { ...point, positive: message(buckets), negative: message(buckets) },
)
export const summaryPoint = new MessageCodec<SummaryPointFields>(schema.SummaryDataPoint, {
  ...point,
  quantileValues: messages(quantile),
})

/** `numberPoint.read`, by bytes where those are as encoders write them, since most points of most requests are numbers. */
export function readNumberPoint(source: EncodedRequest, start: number, end: number): NumberPointFields {
  const cursor = new NumberPointCursor()
  return cursor.openPoint(source, start, end)
    ? {
        attributes: cursor.attributes(),
        startTimeUnixNano: cursor.start(),
        timeUnixNano: cursor.time(),
        flags: undefined,
        exemplars: undefined,
        unknown: undefined,
        value: cursor.exactValue(),
        isInt: cursor.isInt,
      }
    : numberPoint.read(source, start, end)
}
