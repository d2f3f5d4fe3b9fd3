import protobuf from 'protobufjs/minimal.js'
import type { Account } from '../../../component/exporter.ts'
import type { Compression } from '../../../net/compression.ts'
import { FIXED64, LENGTH_DELIMITED, VARINT } from '../../../otlp/wire/fields.ts'
import { divideMessages, tagFields } from '../series_v2.ts'
import type { Series, SeriesWriter } from '../series_format.ts'
import { likelyLength, requestMaker } from '../body.ts'
import type { BodyFormat, NativeRequest } from '../body.ts'
import { MAX_BIN_COUNT } from './sketch.ts'
import type { Sketch } from './sketch.ts'

/*
 * The protobuf body of `POST /api/beta/sketches`. Source: agent-payload, proto/metrics/agent_payload.proto, `SketchPayload`.
 * The address is not in Datadog's API reference: it is the Agent's.
 */

// message SketchPayload
const SKETCHES = (1 << 3) | LENGTH_DELIMITED // repeated Sketch sketches = 1;

// message Sketch
const METRIC = (1 << 3) | LENGTH_DELIMITED // string metric = 1;
const HOST = (2 << 3) | LENGTH_DELIMITED // string host = 2;
const DOGSKETCHES = (7 << 3) | LENGTH_DELIMITED // repeated Dogsketch dogsketches = 7;

// message Dogsketch
const TS = (1 << 3) | VARINT // int64 ts = 1;
const CNT = (2 << 3) | VARINT // int64 cnt = 2;
const MIN = (3 << 3) | FIXED64 // double min = 3;
const MAX = (4 << 3) | FIXED64 // double max = 4;
const AVG = (5 << 3) | FIXED64 // double avg = 5;
const SUM = (6 << 3) | FIXED64 // double sum = 6;
const K = (7 << 3) | LENGTH_DELIMITED // repeated sint32 k = 7;
const N = (8 << 3) | LENGTH_DELIMITED // repeated uint32 n = 8;

/** The identity of a distribution at Datadog, once for all its samples. */
export const sketchSeries: SeriesWriter<Pick<Series, 'metric' | 'host'>> = {
  frame({ metric, host }) {
    const head = protobuf.Writer.create()
    head.uint32(METRIC).string(metric)
    if (host !== undefined) head.uint32(HOST).string(host)
    return { head: head.finish(), tail: new Uint8Array() }
  },
  tags: tagFields(4), // repeated string tags = 4;
}

/** The distribution of one series in one second. */
export interface SketchSample {
  /** The series, as written by `sketchSeries`. */
  readonly encoded: Uint8Array
  /** Seconds since 1970. */
  readonly timestamp: number
  readonly sketch: Sketch
}

export const SKETCHES_PATH = '/api/beta/sketches'

/** The intake of distributions. Its address and limits are the Agent's, because Datadog does not document it. */
export function sketchFormat(limits: BodyFormat['limits']): BodyFormat {
  return { path: SKETCHES_PATH, contentType: 'application/x-protobuf', limits, divide: divideMessages }
}

/** The number of samples that are written together, few enough to be quick. */
const TOGETHER = 10_000

/** `packer` for distributions. One that is too large for any request is reported to `account`. */
export function sketchPacker(
  samples: readonly SketchSample[],
  format: BodyFormat,
  compression: Compression,
  account: Pick<Account, 'dropped'>,
): () => readonly NativeRequest[] | undefined {
  // As in most batches.
  if (samples.length === 0) return () => undefined
  const maxLength = likelyLength(format, compression)
  const make = requestMaker(format, compression, account)
  let written = 0
  let { bytes, ends } = writeSketches([])
  /** Of those that are written. */
  let first = 0
  let start = 0
  return () => {
    if (first === ends.length) {
      if (written === samples.length) return undefined
      ;({ bytes, ends } = writeSketches(samples.slice(written, written + TOGETHER)))
      written += ends.length
      first = start = 0
    }
    let last = first
    while (last + 1 < ends.length && ends[last + 1] - start <= maxLength) last++
    const requests = make(bytes.subarray(start, ends[last]), last + 1 - first)
    start = ends[last]
    first = last + 1
    return requests
  }
}

/** The most bytes of the tags and lengths of the messages of a sample, its times and its numbers. */
const REST = 100
/** The most bytes of a key and its count. */
const BIN = 6

/** All samples as one payload, and the end of each in it: any run of them is a payload, too. */
export function writeSketches(samples: readonly SketchSample[]): {
  readonly bytes: Buffer
  readonly ends: Uint32Array
} {
  let most = 0
  for (const { encoded, sketch } of samples) {
    most += encoded.length + REST + BIN * (sketch.end - sketch.start + Math.floor(sketch.count / MAX_BIN_COUNT))
  }
  const ends = new Uint32Array(samples.length)
  const writer = new BackwardWriter(most)
  for (let index = samples.length - 1; index >= 0; index--) {
    ends[index] = writer.at
    writeSketch(writer, samples[index])
  }
  const start = writer.at
  for (let index = 0; index < ends.length; index++) ends[index] -= start
  return { bytes: writer.out.subarray(start), ends }
}

/** Writes from the end to the front, so that the length of a message is known when it has to be written. */
class BackwardWriter {
  readonly out: Buffer
  at: number
  private readonly view: DataView

  constructor(length: number) {
    this.out = Buffer.allocUnsafe(length)
    this.view = new DataView(this.out.buffer, this.out.byteOffset, length)
    this.at = length
  }

  byte(value: number): void {
    this.out[--this.at] = value
  }

  bytes(value: Uint8Array): void {
    this.at -= value.length
    this.out.set(value, this.at)
  }

  double(tag: number, value: number): void {
    this.at -= 8
    this.view.setFloat64(this.at, value, true)
    this.byte(tag)
  }

  varint(value: number): void {
    this.at = writeVarint(this.out, this.at, value)
  }

  /** Writes the tag and length of the content from here to `end`. */
  wrap(tag: number, end: number): void {
    this.varint(end - this.at)
    this.byte(tag)
  }
}

/** Writes a whole number from 0 that ends at `end`; returns its start. */
function writeVarint(out: Buffer, end: number, value: number): number {
  if (value < 128) {
    out[end - 1] = value
    return end - 1
  }
  if (value < 16_384) {
    out[end - 1] = value >> 7
    out[end - 2] = (value & 127) | 128
    return end - 2
  }
  let length = 2
  for (let rest = Math.floor(value / 16_384); rest > 0; rest = Math.floor(rest / 128)) length++
  const start = end - length
  let rest = value
  for (let at = start; at < end - 1; at++, rest = Math.floor(rest / 128)) out[at] = (rest % 128) | 128
  out[end - 1] = rest
  return start
}

function writeSketch(writer: BackwardWriter, { encoded, timestamp, sketch }: SketchSample): void {
  const { keys, counts, start, end } = sketch
  const { out } = writer
  const last = writer.at
  let at = last
  for (let index = end - 1; index >= start; index--) {
    // The remainder comes before the full bins, as the Agent writes them.
    let count = counts[index]
    for (; count > MAX_BIN_COUNT; count -= MAX_BIN_COUNT) at = writeVarint(out, at, MAX_BIN_COUNT)
    at = writeVarint(out, at, count)
  }
  writer.at = at
  writer.wrap(N, last)
  const endOfKeys = writer.at
  at = endOfKeys
  for (let index = end - 1; index >= start; index--) {
    const key = keys[index]
    // sint32: small numbers of either sign in few bytes.
    const zigzag = (key << 1) ^ (key >> 31)
    at = writeVarint(out, at, zigzag)
    for (let more = counts[index] - MAX_BIN_COUNT; more > 0; more -= MAX_BIN_COUNT) at = writeVarint(out, at, zigzag)
  }
  writer.at = at
  writer.wrap(K, endOfKeys)
  writer.double(SUM, sketch.sum)
  writer.double(AVG, sketch.average)
  writer.double(MAX, sketch.max)
  writer.double(MIN, sketch.min)
  writer.varint(sketch.count)
  writer.byte(CNT)
  writer.varint(timestamp)
  writer.byte(TS)
  writer.wrap(DOGSKETCHES, last)
  writer.bytes(encoded)
  writer.wrap(SKETCHES, last)
}
