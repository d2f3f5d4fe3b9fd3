import type { HistogramCursor } from './histogram_cursor.ts'
import type { HistogramMemory } from './histogram_memory.ts'
import { viewOf } from './message.ts'
import type { Encoded, Source } from './message.ts'
import type { MetricShape } from './metric_shape.ts'
import type { MetricFields } from './metrics.ts'
import type { PointMemory } from './point_memory.ts'

/** AGGREGATION_TEMPORALITY_DELTA, as field 2. */
const DELTA_FIELD = [0x10, 0x01]
/** A tag and eight bytes. */
const EXTREME = 9

/** Bytes of the cursor's point without its extremes, which are those of all time and not of a difference. */
export function lengthWithoutExtremes({ pointStart, pointEnd, minAt, maxAt }: HistogramCursor): number {
  return pointEnd - pointStart - (minAt < 0 ? 0 : EXTREME) - (maxAt < 0 ? 0 : EXTREME)
}

/** Bytes of a field of one byte's tag that holds `length` bytes. */
export function fieldLength(length: number): number {
  return 1 + varintLength(length) + length
}

/** Where metrics go whose points became shorter: all of one request find room in as many bytes as that has. */
export class HistogramDeltaWriter {
  readonly #source: Source
  #at = 0

  constructor({ bytes, pointKeys }: Source) {
    const room = Buffer.allocUnsafe(bytes.length)
    this.#source = { bytes: room, view: viewOf(room), regular: true, pointKeys, plainNumbers: false }
  }

  /**
   * Writes a metric whose every point the cursor reads as differences to what is remembered, and remembers the points.
   * `series`: the number of each; `points`: the length of all fields that hold one.
   */
  write(
    metric: Encoded<MetricFields>,
    { headerEnd }: MetricShape,
    cursor: HistogramCursor,
    points: number,
    series: (index: number) => number,
    times: PointMemory,
    values: HistogramMemory,
  ): Encoded<MetricFields> {
    const { bytes: out, view: outView } = this.#source
    const start = this.#at
    let at = start + metric.source.bytes.copy(out, start, metric.start, headerEnd)
    at = writeVarint(out, at, points + DELTA_FIELD.length)
    for (let index = 0; cursor.next(); index++) {
      out[at++] = 0x0a
      at = writeVarint(out, at, lengthWithoutExtremes(cursor))
      const to = at
      at = copyWithoutExtremes(metric.source.bytes, cursor, out, to)
      const number = series(index)
      const { minAt, maxAt } = cursor
      const moved = (place: number): number =>
        place -
        cursor.pointStart +
        to -
        (minAt >= 0 && minAt < place ? EXTREME : 0) -
        (maxAt >= 0 && maxAt < place ? EXTREME : 0)
      if (times.knows(number)) {
        values.replace(number, cursor, outView, moved)
        times.replaceTimes(number, cursor.view, cursor.timeAt, outView, moved(cursor.startAt))
      } else {
        values.begin(number, cursor)
        times.beginTimes(number, cursor)
      }
    }
    for (const byte of DELTA_FIELD) out[at++] = byte
    this.#at = at
    return metric.in(this.#source, start, at)
  }
}

function copyWithoutExtremes(
  bytes: Buffer,
  { pointStart, pointEnd, minAt, maxAt }: HistogramCursor,
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

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest > 127; rest >>>= 7) length++
  return length
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value
  let end = at
  for (; rest > 127; rest >>>= 7) out[end++] = (rest & 127) | 128
  out[end++] = rest
  return end
}
