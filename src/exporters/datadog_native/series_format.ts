import type { BytesIndex, Room } from '../../otlp/wire/bytes_index.ts'
import type { BodyFormat } from './body.ts'
import type { TagList } from './mapping/tag_list.ts'

/** The identity of a series at Datadog, without its tags, and its unit. */
export interface Series {
  readonly metric: string
  readonly type: 'count' | 'gauge'
  readonly host: string | undefined
  /** By Datadog's name. */
  readonly unit: string | undefined
}

/** The written form of a series: the bytes before its tags, the tags, and the bytes behind them. */
export interface SeriesWriter<Known = Series> {
  frame(series: Known): SeriesFrame
  /** Writes tags to `out` at `at`, each with at most `MAX_AROUND_TAG` additional bytes; returns the end. */
  tags(out: Buffer, at: number, tags: TagList): number
}

export interface SeriesFrame {
  readonly head: Uint8Array
  readonly tail: Uint8Array
}

export const MAX_AROUND_TAG = 6

/**
 * A version of Datadog's API for series: the way samples are written, and the limits of a request. A sample consists of
 * bytes that are the same for its series, then of bytes that are the same for its moment, then of its value: only the
 * value is written for each sample.
 */
export interface SeriesFormat extends BodyFormat, SeriesWriter {
  /** The most points of one body. */
  readonly maxPoints: number
  readonly open: string
  readonly close: string
  /** The most bytes that a sample adds to those of its series. */
  readonly rest: number
  /** `timestamp`: seconds since 1970; `interval`: seconds that a count covers, 0 if that is not known. */
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

/** The bytes that are the same for all samples of a moment, in words of four bytes; the last word may have excess bytes. */
interface Moment {
  readonly words: Int32Array
  readonly length: number
}

/** The moment with these bytes. */
export function momentOf(bytes: Uint8Array): Moment {
  const words = new Int32Array(Math.ceil(bytes.length / 4))
  new Uint8Array(words.buffer).set(bytes)
  return { words, length: bytes.length }
}

/** Writes it word by word, because this is done for every sample. Pays for the benchmark rows "OTLP to Datadog". */
export function writeMoment({ view }: Room, at: number, { words, length }: Moment): number {
  for (let index = 0, to = at; index < words.length; index++, to += 4) view.setInt32(to, words[index], IS_LITTLE_ENDIAN)
  return at + length
}

/** The byte order of this machine. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Int32Array([1]).buffer)[0] === 1
