import type { TimeWindow } from '../common/time_window.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { fieldEnd } from '../wire/wire_format.ts'
import type { MetricLayout } from './layout.ts'
import type { Metric } from './metric.ts'

/** The tags of `fixed64 start_time_unix_nano = 2;` and `fixed64 time_unix_nano = 3;`, the same in every kind of point. */
const START = 0x11
const TIME = 0x19

/** Where the points of the metric lie; they are only read if their bytes do not show it. 0 if it has none. */
export function placesOf(metric: Metric, window: TimeWindow): number {
  const { encoded, layout } = metric
  const places = encoded === undefined || layout === undefined ? 0 : walk(encoded.source, layout, window)
  return places !== 0 ? places : metric.points.reduce((found, point) => found | window.place(point.timeUnixNano), 0)
}

/** 0 if a time is not found. Its cost: the benchmark row "check, count, look for old points". */
function walk({ bytes, view }: EncodedRequest, { dataStart, dataEnd }: MetricLayout, window: TimeWindow): number {
  let places = 0
  let at = dataStart
  while (at < dataEnd) {
    if (bytes[at] !== 0x0a) {
      // Temporality and monotonicity, in one byte each.
      at += 2
      continue
    }
    // `fieldEnd`.
    let length = bytes[++at] & 127
    for (let shift = 7; bytes[at++] > 127; shift += 7) length |= (bytes[at] & 127) << shift
    // Almost every point begins with its start and its time, or with its time.
    const first = bytes[at] === START ? at + 9 : at
    const timeAt = bytes[first] === TIME && length > 17 ? first + 1 : timeOf(bytes, at, at + length)
    if (timeAt < 0) return 0
    places |= window.placeAt(view, timeAt)
    at += length
  }
  return places
}

/** The position of the time of the point from `start` to `end`, of any kind; -1 if it is not near the beginning. */
function timeOf(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at + 9 <= end) {
    switch (bytes[at]) {
      case 0x0a: // repeated KeyValue attributes = 1; of an exponential histogram
      case 0x3a: // repeated KeyValue attributes = 7; of a number or a summary
        at = fieldEnd(bytes, at + 1)
        break
      case START:
        at += 9
        break
      case TIME:
        return at + 1
      default:
        return -1
    }
  }
  return -1
}
