import protobuf from 'protobufjs/minimal.js'
import type { Account } from '../../../component/exporter.ts'
import type { Compression } from '../../../net/compression.ts'
import { BackwardsWriter } from '../../../otlp/wire/backwards_writer.ts'
import { FIXED64, LENGTH_DELIMITED, VARINT, writeVarintBefore } from '../../../otlp/wire/wire_format.ts'
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

/** The tags and lengths of the messages of a sample, its times and its numbers, about. */
const REST = 64
/** A key and its count, about; and each of them at most. */
const BIN = 3

/** All samples as one payload, and the end of each in it: any run of them is a payload, too. */
export function writeSketches(samples: readonly SketchSample[]): {
  readonly bytes: Buffer
  readonly ends: Uint32Array
} {
  let size = 0
  let most = 0
  for (const { encoded, sketch } of samples) {
    size += encoded.length + REST + BIN * binsOf(sketch)
    most = Math.max(most, binsOf(sketch))
  }
  const writer = new BackwardsWriter(size + BIN * most)
  const ends = new Uint32Array(samples.length)
  for (let index = samples.length - 1; index >= 0; index--) {
    ends[index] = writer.length
    writeSketch(writer, samples[index])
  }
  const { length } = writer
  for (let index = 0; index < ends.length; index++) ends[index] = length - ends[index]
  return { bytes: writer.finish(), ends }
}

/** The bins of a payload, where what one cannot hold is several. */
function binsOf({ start, end, count }: Sketch): number {
  return end - start + Math.floor(count / MAX_BIN_COUNT)
}

function writeSketch(writer: BackwardsWriter, { encoded, timestamp, sketch }: SketchSample): void {
  const most = BIN * binsOf(sketch)
  const behind = writer.length
  let out = writer.reserve(most)
  writer.at = writeCounts(out, writer.at, sketch)
  writer.head(N, writer.length - behind)
  const behindKeys = writer.length
  out = writer.reserve(most)
  writer.at = writeKeys(out, writer.at, sketch)
  writer.head(K, writer.length - behindKeys)
  writer.double(SUM, sketch.sum)
  writer.double(AVG, sketch.average)
  writer.double(MAX, sketch.max)
  writer.double(MIN, sketch.min)
  writer.varint(CNT, sketch.count)
  writer.varint(TS, timestamp)
  writer.head(DOGSKETCHES, writer.length - behind)
  writer.copy(encoded)
  writer.head(SKETCHES, writer.length - behind)
}

/** Writes what the bins count in front of `behind`; returns where it begins. The benchmark row of sketches needs the loops apart. */
function writeCounts(out: Buffer, behind: number, { counts, start, end }: Sketch): number {
  let at = behind
  for (let index = end - 1; index >= start; index--) {
    // In front of the full bins stands the rest, as the Agent writes them.
    let count = counts[index]
    for (; count > MAX_BIN_COUNT; count -= MAX_BIN_COUNT) at = writeVarintBefore(out, at, MAX_BIN_COUNT)
    at = writeVarintBefore(out, at, count)
  }
  return at
}

/** `writeCounts` for the keys of the bins. */
function writeKeys(out: Buffer, behind: number, { keys, counts, start, end }: Sketch): number {
  let at = behind
  for (let index = end - 1; index >= start; index--) {
    const key = keys[index]
    // sint32: small numbers of either sign in few bytes.
    const zigzag = (key << 1) ^ (key >> 31)
    at = writeVarintBefore(out, at, zigzag)
    for (let more = counts[index] - MAX_BIN_COUNT; more > 0; more -= MAX_BIN_COUNT)
      at = writeVarintBefore(out, at, zigzag)
  }
  return at
}
