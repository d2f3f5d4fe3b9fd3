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
  /**
   * Writes a sample to `room` at `at`; returns where it ends. Up to three bytes behind that may be written, too. Runs for each sample of
   * the rows `OTLP to Datadog` of `npm run bench`, so its parameters have no names.
   */
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

/** The moment that is written as these bytes. */
export function momentOf(bytes: Uint8Array): Moment {
  const words = new Int32Array(Math.ceil(bytes.length / 4))
  new Uint8Array(words.buffer).set(bytes)
  return { words, length: bytes.length }
}

/** Writes it word by word, since this is done for every sample. Pays for the benchmark rows "OTLP to Datadog". */
export function writeMoment({ view }: Room, at: number, { words, length }: Moment): number {
  for (let index = 0, to = at; index < words.length; index++, to += 4) view.setInt32(to, words[index], IS_LITTLE_ENDIAN)
  return at + length
}

/** The order of bytes in words of this machine. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Int32Array([1]).buffer)[0] === 1
