import protobuf from 'protobufjs/minimal.js'
import type { Writer } from 'protobufjs/minimal.js'
import type { Sample, Series } from './series.ts'

/** A version of Datadog's API for series: how samples are written, and what one request may hold. */
export interface SeriesFormat {
  readonly path: string
  readonly contentType: string
  /** Bytes of the body on the wire, bytes before compression, and points. */
  readonly limits: { readonly wire: number; readonly raw: number; readonly points: number }
  /** What all samples of a series have in common. */
  readonly encode: (series: Pick<Series, 'metric' | 'type' | 'host' | 'tags'>) => Uint8Array
  /** The body of a request; `length`: at least what its samples add up to by `maxLength`. */
  write(samples: readonly Sample[], length: number): Uint8Array
  /** Bytes that a sample adds to a body at most. */
  maxLength(sample: Sample): number
}

const OPEN = '{"series":['
const CLOSE = ']}'
/** `,"interval":<int>,"points":[[<int>,<double>]]},` */
const V1_REST = 96

/** Source: datadog-api-client-typescript, v1/openapi.yaml, `MetricsPayload`; 62,914,560 bytes raw are allowed. */
export const v1: SeriesFormat = {
  path: '/api/v1/series',
  contentType: 'application/json',
  // Raw as the Datadog Agent, which keeps each compression short.
  limits: { wire: 3_200_000, raw: 4_194_304, points: Infinity },
  encode({ metric, type, host, tags }) {
    return Buffer.from(JSON.stringify({ metric, type, host, tags }).slice(0, -1))
  },
  write(samples, length) {
    const out = Buffer.allocUnsafe(OPEN.length + CLOSE.length + length)
    let at = out.write(OPEN, 'latin1')
    for (const { series, timestamp, value, interval } of samples) {
      if (at > OPEN.length) out[at++] = COMMA
      out.set(series.encoded, at)
      at += series.encoded.length
      const covered = interval === undefined ? '' : `,"interval":${interval}`
      at += out.write(`${covered},"points":[[${timestamp},${value}]]}`, at, 'latin1')
    }
    at += out.write(CLOSE, at, 'latin1')
    return out.subarray(0, at)
  },
  maxLength: ({ series }) => series.encoded.length + V1_REST,
}

const COMMA = ','.charCodeAt(0)

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const HOST = 'host'
/** The tag and length of a series, its point and its interval. */
const V2_REST = 64

/** Source: agent-payload, proto/metrics/agent_payload.proto, `MetricPayload`; limits: the API reference and the Agent. */
export const v2: SeriesFormat = {
  path: '/api/v2/series',
  contentType: 'application/x-protobuf',
  limits: { wire: 512_000, raw: 5_242_880, points: 10_000 },
  encode({ metric, type, host, tags }) {
    const writer = protobuf.Writer.create()
    if (host !== undefined) {
      // repeated Resource resources = 1;
      writer.uint32((1 << 3) | LENGTH_DELIMITED).fork()
      writeString(writer, 1, HOST) // string type = 1;
      writeString(writer, 2, host) // string name = 2;
      writer.ldelim()
    }
    writeString(writer, 2, metric) // string metric = 2;
    for (const tag of tags) writeString(writer, 3, tag) // repeated string tags = 3;
    writer.uint32((5 << 3) | VARINT).int32(V2_TYPES[type]) // MetricType type = 5;
    return writer.finish()
  },
  write(samples, length) {
    const out = Buffer.allocUnsafe(length)
    const view = new DataView(out.buffer, out.byteOffset, out.length)
    let at = 0
    for (const { series, timestamp, value, interval } of samples) {
      const pointLength = 9 + 1 + varintLength(timestamp)
      const intervalLength = interval === undefined ? 0 : 1 + varintLength(interval)
      out[at++] = (1 << 3) | LENGTH_DELIMITED // repeated MetricSeries series = 1;
      at = writeVarint(out, at, series.encoded.length + 2 + pointLength + intervalLength)
      out.set(series.encoded, at)
      at += series.encoded.length
      out[at++] = (4 << 3) | LENGTH_DELIMITED // repeated MetricPoint points = 4;
      out[at++] = pointLength
      out[at++] = (1 << 3) | FIXED64 // double value = 1;
      view.setFloat64(at, value, true)
      at += 8
      out[at++] = (2 << 3) | VARINT // int64 timestamp = 2;
      at = writeVarint(out, at, timestamp)
      if (interval !== undefined) {
        out[at++] = (8 << 3) | VARINT // int64 interval = 8;
        at = writeVarint(out, at, interval)
      }
    }
    return out.subarray(0, at)
  },
  maxLength: ({ series }) => series.encoded.length + V2_REST,
}

/** enum MetricType { UNSPECIFIED = 0; COUNT = 1; RATE = 2; GAUGE = 3; } */
const V2_TYPES = { count: 1, gauge: 3 } as const

function writeString(writer: Writer, field: number, value: string): void {
  writer.uint32((field << 3) | LENGTH_DELIMITED).string(value)
}

/** Of a whole number from 0. */
function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) length++
  return length
}

function writeVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value
  while (rest > 127) {
    out[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  out[at++] = rest
  return at
}
