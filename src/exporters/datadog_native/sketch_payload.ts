import protobuf from 'protobufjs/minimal.js'
import type { Writer } from 'protobufjs/minimal.js'
import type { Account, ExportRequest } from '../../component.ts'
import { compress } from '../../http/compression.ts'
import type { Compression } from '../../http/compression.ts'
import { MAX_BIN_COUNT } from './sketch.ts'
import type { Sketch } from './sketch.ts'

/*
 * The protobuf body of `POST /api/beta/sketches`. Source: agent-payload, proto/metrics/agent_payload.proto, `SketchPayload`.
 * The address is not in Datadog's API reference: it is the Agent's.
 */

export const SKETCHES_PATH = '/api/beta/sketches'

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2

// message SketchPayload
const SKETCHES = (1 << 3) | LENGTH_DELIMITED // repeated Sketch sketches = 1;

// message Sketch
const METRIC = (1 << 3) | LENGTH_DELIMITED // string metric = 1;
const HOST = (2 << 3) | LENGTH_DELIMITED // string host = 2;
const TAGS = (4 << 3) | LENGTH_DELIMITED // repeated string tags = 4;
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

/** What Datadog knows a distribution by, once for all its samples. */
export function encodeSketchSeries(series: {
  readonly metric: string
  readonly host: string | undefined
  readonly tags: readonly string[]
}): Uint8Array {
  const writer = protobuf.Writer.create()
  writeString(writer, METRIC, series.metric)
  if (series.host !== undefined) writeString(writer, HOST, series.host)
  for (const tag of series.tags) writeString(writer, TAGS, tag)
  return writer.finish()
}

function writeString(writer: Writer, tag: number, text: string): void {
  writer.uint32(tag).string(text)
}

/** The distribution of one series in one second. */
export interface SketchSample {
  /** `encoded` by `encodeSketchSeries`. */
  readonly series: { readonly encoded: Uint8Array }
  /** Seconds since 1970. */
  readonly timestamp: number
  readonly sketch: Sketch
}

/** Bytes of a request on the wire, and before compression. */
export interface SketchLimits {
  readonly wire: number
  readonly raw: number
}

/** Not documented; the Agent's. Source: datadog-agent, `serializer_max_payload_size` and its uncompressed fellow. */
export const SKETCH_LIMITS: SketchLimits = { wire: 2_621_440, raw: 4_194_304 }

/** One body for `POST /api/beta/sketches`. */
export interface SketchRequest extends ExportRequest {
  readonly body: Uint8Array
  /** How often it was halved. */
  readonly depth: number
}

/** How much smaller compression makes a body, at the least; only a guess, since every body is measured. */
const COMPRESSION_RATIO = 2

/** Packs samples into requests within the limits; one too large for any is told to `account`. */
export function* toSketchRequests(
  samples: readonly SketchSample[],
  limits: SketchLimits,
  compression: Compression,
  account: Pick<Account, 'dropped'>,
): Generator<SketchRequest> {
  const { bytes, ends } = writeSketches(samples)
  const maxLength = Math.min(limits.raw, compression === 'none' ? limits.wire : limits.wire * COMPRESSION_RATIO)
  let first = 0
  for (let index = 1; index < samples.length; index++) {
    if (ends[index] - startOf(first) <= maxLength) continue
    yield* measured(first, index)
    first = index
  }
  if (samples.length > 0) yield* measured(first, samples.length)

  function startOf(index: number): number {
    return index === 0 ? 0 : ends[index - 1]
  }

  /** The samples from `from` until before `to` as one request, or as several when it turns out too large. */
  function* measured(from: number, to: number): Generator<SketchRequest> {
    const request = toRequest(from, to, 0)
    if (request.bytes <= limits.wire && ends[to - 1] - startOf(from) <= limits.raw) yield request
    else if (to - from === 1) account.dropped('too_large', 1)
    else for (const [start, end] of halves(from, to)) yield* measured(start, end)
  }

  function toRequest(from: number, to: number, depth: number): SketchRequest {
    const body = compress(bytes.subarray(startOf(from), ends[to - 1]), compression)
    return {
      points: to - from,
      bytes: body.length,
      body,
      depth,
      divide: () =>
        to - from === 1 ? undefined : halves(from, to).map(([start, end]) => toRequest(start, end, depth + 1)),
    }
  }
}

function halves(from: number, to: number): [number, number][] {
  const middle = Math.ceil((from + to) / 2)
  return [
    [from, middle],
    [middle, to],
  ]
}

/** Two bytes of tag and length each at most, and the times and numbers of a Dogsketch. */
const REST = 100
/** A key and its count at most. */
const BIN = 6

/** All samples as one payload, and where each ends in it: any run of them is a payload, too. */
export function writeSketches(samples: readonly SketchSample[]): {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
} {
  let most = 0
  for (const { series, sketch } of samples) {
    most += series.encoded.length + REST + BIN * (sketch.keys.length + Math.floor(sketch.count / MAX_BIN_COUNT))
  }
  const out = Buffer.allocUnsafe(most)
  const view = new DataView(out.buffer, out.byteOffset, out.length)
  const ends = new Uint32Array(samples.length)
  let at = 0
  for (let index = 0; index < samples.length; index++) {
    at = writeSketch(out, view, at, samples[index])
    ends[index] = at
  }
  return { bytes: out.subarray(0, at), ends }
}

function writeSketch(out: Uint8Array, view: DataView, start: number, sample: SketchSample): number {
  const { series, timestamp, sketch } = sample
  const { keys, counts } = sketch
  let keysLength = 0
  let countsLength = 0
  for (let index = 0; index < keys.length; index++) {
    const keyLength = varintLength(zigzag(keys[index]))
    let full = 0
    let rest = counts[index]
    if (rest > MAX_BIN_COUNT) {
      full = Math.floor(rest / MAX_BIN_COUNT)
      rest -= full * MAX_BIN_COUNT
    }
    keysLength += keyLength * (full + (rest > 0 ? 1 : 0))
    countsLength += FULL_BIN * full + (rest > 0 ? varintLength(rest) : 0)
  }
  const numbersLength = 1 + varintLength(timestamp) + 1 + varintLength(sketch.count) + 4 * 9
  const binsLength = 1 + varintLength(keysLength) + keysLength + 1 + varintLength(countsLength) + countsLength
  const dogsketchLength = numbersLength + binsLength
  let at = start
  out[at++] = SKETCHES
  at = writeVarint(out, at, series.encoded.length + 1 + varintLength(dogsketchLength) + dogsketchLength)
  out.set(series.encoded, at)
  at += series.encoded.length
  out[at++] = DOGSKETCHES
  at = writeVarint(out, at, dogsketchLength)
  out[at++] = TS
  at = writeVarint(out, at, timestamp)
  out[at++] = CNT
  at = writeVarint(out, at, sketch.count)
  at = writeDouble(out, view, at, MIN, sketch.min)
  at = writeDouble(out, view, at, MAX, sketch.max)
  at = writeDouble(out, view, at, AVG, sketch.average)
  at = writeDouble(out, view, at, SUM, sketch.sum)
  out[at++] = K
  at = writeVarint(out, at, keysLength)
  for (let index = 0; index < keys.length; index++) {
    const key = zigzag(keys[index])
    for (let left = counts[index]; left > 0; left -= MAX_BIN_COUNT) at = writeVarint(out, at, key)
  }
  out[at++] = N
  at = writeVarint(out, at, countsLength)
  for (let index = 0; index < counts.length; index++) {
    // The rest comes first, as the Agent writes it.
    let left = counts[index]
    const rest = left % MAX_BIN_COUNT
    if (rest > 0) at = writeVarint(out, at, rest)
    for (left -= rest; left > 0; left -= MAX_BIN_COUNT) at = writeVarint(out, at, MAX_BIN_COUNT)
  }
  return at
}

/** Bytes of `MAX_BIN_COUNT`. */
const FULL_BIN = 3

function writeDouble(out: Uint8Array, view: DataView, at: number, tag: number, value: number): number {
  out[at] = tag
  view.setFloat64(at + 1, value, true)
  return at + 9
}

/** sint32: small numbers of either sign in few bytes. */
function zigzag(value: number): number {
  return (value << 1) ^ (value >> 31)
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
