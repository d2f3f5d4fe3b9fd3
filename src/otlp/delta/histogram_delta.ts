import type { HistogramCursor } from '../metrics/histogram_cursor.ts'
import { KEEPS_MAX, KEEPS_MIN } from './histogram_memory.ts'
import type { HistogramMemory } from './histogram_memory.ts'
import { EncodedRequest } from '../wire/lazy_message.ts'
import { varintLength, writeVarint } from '../wire/wire_format.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import type { MetricLayout } from '../metrics/layout.ts'
import type { MetricFields } from '../metrics/metric.ts'
import type { PointMemory } from './point_memory.ts'

/** AGGREGATION_TEMPORALITY_DELTA, as field 2. */
const DELTA_FIELD = [0x10, 0x01]
/** A tag and eight bytes. */
const EXTREME = 9
/** The position of an absent extreme. */
const NOT_DROPPED = -1

/** Bytes of the cursor's point without the extremes that do not belong to its difference: `kept` names those that do. */
export function lengthOfDifference({ pointStart, pointEnd, minAt, maxAt }: HistogramCursor, kept: number): number {
  const dropsMin = minAt >= 0 && (kept & KEEPS_MIN) === 0
  const dropsMax = maxAt >= 0 && (kept & KEEPS_MAX) === 0
  return pointEnd - pointStart - (dropsMin ? EXTREME : 0) - (dropsMax ? EXTREME : 0)
}

/** Bytes of a field with a one-byte tag that holds `length` bytes. */
export function fieldLength(length: number): number {
  return 1 + varintLength(length) + length
}

/** The destination of metrics whose points became shorter: those of one request fit into as many bytes as the request has. */
export class HistogramDeltaWriter {
  readonly #source: EncodedRequest
  readonly #bounded: boolean
  #at = 0

  /** `bounded`: extremes are no wider than the buckets that counted something. */
  constructor(source: EncodedRequest, { bounded }: { readonly bounded: boolean }) {
    this.#bounded = bounded
    const bytes = Buffer.allocUnsafe(source.bytes.length)
    this.#source = new EncodedRequest(bytes, { ...source, canonical: true, plainNumbers: false })
  }

  /**
   * Writes a metric, if the cursor can read its every point, as differences from the memory, and remembers the points.
   * `series`: the number of each; `kept`: its extremes, see `lengthOfDifference`; `points`: the length of all fields
   * that hold one.
   */
  write(
    metric: Encoded<MetricFields>,
    { headerEnd }: MetricLayout,
    cursor: HistogramCursor,
    points: number,
    series: (index: number) => number,
    kept: (index: number) => number,
    times: PointMemory,
    values: HistogramMemory,
  ): Encoded<MetricFields> {
    const { bytes: out, view: outView } = this.#source
    const start = this.#at
    let at = start + metric.source.bytes.copy(out, start, metric.start, headerEnd)
    at = writeVarint(out, at, points + DELTA_FIELD.length)
    for (let index = 0; cursor.next(); index++) {
      out[at++] = 0x0a
      at = writeVarint(out, at, lengthOfDifference(cursor, kept(index)))
      const to = at
      const minAt = (kept(index) & KEEPS_MIN) === 0 ? cursor.minAt : NOT_DROPPED
      const maxAt = (kept(index) & KEEPS_MAX) === 0 ? cursor.maxAt : NOT_DROPPED
      at = copyWithout(metric.source.bytes, cursor, minAt, maxAt, out, to)
      const number = series(index)
      const moved = (place: number): number =>
        place -
        cursor.pointStart +
        to -
        (minAt >= 0 && minAt < place ? EXTREME : 0) -
        (maxAt >= 0 && maxAt < place ? EXTREME : 0)
      if (times.knows(number)) {
        values.replace(number, cursor, outView, moved, this.#bounded && kept(index) !== 0)
        times.replaceTimes(number, cursor.view, cursor.timeAt, outView, moved(cursor.startAt))
      } else {
        values.begin(number, cursor)
        times.beginTimes(number, cursor)
      }
    }
    for (const byte of DELTA_FIELD) out[at++] = byte
    this.#at = at
    return metric.movedTo(this.#source, start, at)
  }
}

/** Copies the cursor's point without the fields whose values are at these positions, if any. */
function copyWithout(
  bytes: Buffer,
  { pointStart, pointEnd }: HistogramCursor,
  minAt: number,
  maxAt: number,
  out: Buffer,
  to: number,
): number {
  const first = minAt < 0 || (maxAt >= 0 && maxAt < minAt) ? maxAt : minAt
  const second = first === minAt ? maxAt : minAt
  let from = pointStart
  let at = to
  for (const extreme of [first, second]) {
    if (extreme < 0) continue
    at += bytes.copy(out, at, from, extreme - 1)
    from = extreme + EXTREME - 1
  }
  return at + bytes.copy(out, at, from, pointEnd)
}
