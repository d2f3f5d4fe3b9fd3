import protobuf from 'protobufjs/minimal.js'
import type { Writer } from 'protobufjs/minimal.js'
import { FIXED64, LENGTH_DELIMITED, VARINT, writeVarint } from '../../otlp/wire/wire_format.ts'
import { momentOf, writeMoment } from './series_format.ts'
import type { SeriesFormat, SeriesWriter } from './series_format.ts'

const HOST = 'host'
/** repeated MetricSeries series = 1; */
const SERIES = (1 << 3) | LENGTH_DELIMITED

/** Source: agent-payload, proto/metrics/agent_payload.proto, `MetricPayload`; limits: the API reference and the Agent. */
export const v2: SeriesFormat = {
  path: '/api/v2/series',
  contentType: 'application/x-protobuf',
  limits: { wire: 512_000, raw: 5_242_880 },
  maxPoints: 10_000,
  open: '',
  close: '',
  // The tag and length of a series, its interval and its point.
  rest: 64,
  frame({ metric, type, host, unit }) {
    const head = protobuf.Writer.create()
    if (host !== undefined) {
      // repeated Resource resources = 1;
      head.uint32((1 << 3) | LENGTH_DELIMITED).fork()
      writeString(head, 1, HOST) // string type = 1;
      writeString(head, 2, host) // string name = 2;
      head.ldelim()
    }
    writeString(head, 2, metric) // string metric = 2;
    const tail = protobuf.Writer.create()
    tail.uint32((5 << 3) | VARINT).int32(V2_TYPES[type]) // MetricType type = 5;
    if (unit !== undefined) writeString(tail, 6, unit) // string unit = 6;
    return { head: head.finish(), tail: tail.finish() }
  },
  tags: tagFields(3), // repeated string tags = 3;
  moment(timestamp, interval) {
    const point = protobuf.Writer.create()
    point.uint32((2 << 3) | VARINT).int64(timestamp) // int64 timestamp = 2;
    point.uint32((1 << 3) | FIXED64) // double value = 1; which follows
    const start = point.finish()
    const writer = protobuf.Writer.create()
    if (interval > 0) writer.uint32((8 << 3) | VARINT).int64(interval) // int64 interval = 8;
    writer.uint32((4 << 3) | LENGTH_DELIMITED).uint32(start.length + 8) // repeated MetricPoint points = 4;
    return momentOf(Buffer.concat([writer.finish(), start]))
  },
  write(room, at, _first, known, series, moment, value) {
    room.bytes[at] = SERIES
    const start = writeVarint(room.bytes, at + 1, known.length(series) + moment.length + 8)
    const end = writeMoment(room, known.copy(series, start), moment)
    room.view.setFloat64(end, value, true)
    return end + 8
  },
  divide: divideMessages,
}

/** Writes tags as a repeated field of protobuf. */
export function tagFields(field: number): SeriesWriter['tags'] {
  const tag = (field << 3) | LENGTH_DELIMITED
  return (out, at, { count, bytes, starts, ends }) => {
    let end = at
    for (let index = 0; index < count; index++) {
      out[end++] = tag
      end = writeVarint(out, end, ends[index] - starts[index])
      for (let from = starts[index]; from < ends[index]; from++) out[end++] = bytes[from]
    }
    return end
  }
}

/** A body that consists of one repeated field. */
export function divideMessages(body: Buffer, count: number): readonly [Buffer, Buffer] {
  const reader = protobuf.Reader.create(body)
  for (let index = 0; index < count; index++) reader.skipType(reader.uint32() & 7)
  return [body.subarray(0, reader.pos), body.subarray(reader.pos)]
}

/** enum MetricType { UNSPECIFIED = 0; COUNT = 1; RATE = 2; GAUGE = 3; } */
const V2_TYPES = { count: 1, gauge: 3 } as const

function writeString(writer: Writer, field: number, value: string): void {
  writer.uint32((field << 3) | LENGTH_DELIMITED).string(value)
}
