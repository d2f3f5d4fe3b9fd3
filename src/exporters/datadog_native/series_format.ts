import protobuf from 'protobufjs/minimal.js'
import type { Writer } from 'protobufjs/minimal.js'
import type { BytesIndex, Room } from '../../otlp/wire/bytes_index.ts'
import type { BodyFormat } from './body.ts'
import type { TagList } from './mapping/tag_list.ts'

/** What Datadog knows a series by, beside its tags, and its unit. */
export interface Series {
  readonly metric: string
  readonly type: 'count' | 'gauge'
  readonly host: string | undefined
  /** By Datadog's name. */
  readonly unit: string | undefined
}

/** How a series is written: what stands before its tags, the tags, and what stands behind them. */
export interface SeriesWriter<Known = Series> {
  frame(series: Known): SeriesFrame
  /** Writes tags to `out` at `at`, each with `MAX_AROUND_TAG` bytes beside its own at most; returns where they end. */
  tags(out: Buffer, at: number, tags: TagList): number
}

export interface SeriesFrame {
  readonly head: Uint8Array
  readonly tail: Uint8Array
}

export const MAX_AROUND_TAG = 6

/**
 * A version of Datadog's API for series: how samples are written, and what one request may hold. A sample is what all of its
 * series have in common, then what all of its moment have in common, then its value: only the last is made for each anew.
 */
export interface SeriesFormat extends BodyFormat, SeriesWriter {
  /** Points of one body. */
  readonly maxPoints: number
  readonly open: string
  readonly close: string
  /** Bytes that a sample adds to those of its series at most. */
  readonly rest: number
  /** `timestamp`: seconds since 1970; `interval`: seconds that a count covers, 0 when that is not known. */
  moment(timestamp: number, interval: number): Moment
  /** Writes a sample to `room` at `at`; returns where it ends. Up to three bytes behind that may be written, too. */
  write(
    room: Room,
    at: number,
    first: boolean,
    known: BytesIndex,
    series: number,
    moment: Moment,
    value: number,
  ): number
}

/** What all samples of a moment have in common, in words of four bytes, of which the last may be more than is meant. */
export interface Moment {
  readonly words: Int32Array
  readonly length: number
}

function momentOf(bytes: Uint8Array): Moment {
  const words = new Int32Array(Math.ceil(bytes.length / 4))
  new Uint8Array(words.buffer).set(bytes)
  return { words, length: bytes.length }
}

/** Word by word, since this is done for every sample. Pays for the benchmark rows "OTLP to Datadog". */
function writeMoment({ view }: Room, at: number, { words, length }: Moment): number {
  for (let index = 0, to = at; index < words.length; index++, to += 4) view.setInt32(to, words[index], IS_LITTLE_ENDIAN)
  return at + length
}

/** The order of bytes in words of this machine. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Int32Array([1]).buffer)[0] === 1

const OPEN = '{"series":['
const CLOSE = ']}'

/** Source: datadog-api-client-typescript, v1/openapi.yaml, `MetricsPayload`; 62,914,560 bytes raw are allowed. */
export const v1: SeriesFormat = {
  path: '/api/v1/series',
  contentType: 'application/json',
  // Raw as the Datadog Agent, which keeps each compression short.
  limits: { wire: 3_200_000, raw: 4_194_304 },
  maxPoints: Infinity,
  open: OPEN,
  close: CLOSE,
  // `,` and `,"interval":<int>,"points":[[<int>,<double>]]}`
  rest: 96,
  frame({ metric, type, host }) {
    const head = JSON.stringify({ metric, type, host }).slice(0, -1)
    return { head: Buffer.from(`${head},"tags":[`), tail: Buffer.from(']') }
  },
  tags(out, at, { count, bytes, starts, ends }) {
    let end = at
    for (let index = 0; index < count; index++) {
      if (index > 0) out[end++] = COMMA
      out[end++] = QUOTE
      // Nothing that JSON has another form for is in a normalised tag.
      for (let from = starts[index]; from < ends[index]; from++) out[end++] = bytes[from]
      out[end++] = QUOTE
    }
    return end
  },
  moment(timestamp, interval) {
    return momentOf(Buffer.from(`${interval === 0 ? '' : `,"interval":${interval}`},"points":[[${timestamp},`))
  },
  write(room, at, first, known, series, moment, value) {
    const out = room.bytes
    let end = at
    if (!first) out[end++] = COMMA
    end = writeMoment(room, known.copy(series, end), moment)
    end = writeNumber(out, end, value)
    out[end++] = BRACKET
    out[end++] = BRACKET
    out[end++] = BRACE
    return end
  },
  divide(body, count) {
    const { series } = JSON.parse(body.toString()) as { series: unknown[] }
    return [
      Buffer.from(JSON.stringify({ series: series.slice(0, count) })),
      Buffer.from(JSON.stringify({ series: series.slice(count) })),
    ]
  },
}

const COMMA = ','.charCodeAt(0)
const MINUS = '-'.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)
const QUOTE = '"'.charCodeAt(0)
const BRACKET = ']'.charCodeAt(0)
const BRACE = '}'.charCodeAt(0)

/** As `JSON.stringify`; whole numbers, which most are, without making a text. */
function writeNumber(out: Buffer, at: number, value: number): number {
  let rest = Math.abs(value)
  if (rest > 999_999_999 || rest !== Math.floor(rest)) {
    return at + out.write(JSON.stringify(value), at, 'latin1')
  }
  let end = at
  if (value < 0) out[end++] = MINUS
  let digits = 1
  for (let limit = 10; limit <= rest; limit *= 10) digits++
  end += digits
  for (let place = end - 1; digits > 0; place--, digits--) {
    const tenth = Math.floor(rest / 10)
    out[place] = ZERO + rest - tenth * 10
    rest = tenth
  }
  return end
}

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
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

/** A body that holds nothing but one repeated field. */
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

/** `value`: less than 2^31. */
function writeVarint(out: Uint8Array, at: number, value: number): number {
  let end = at
  let rest = value
  for (; rest > 127; rest >>= 7) out[end++] = (rest & 127) | 128
  out[end++] = rest
  return end
}
