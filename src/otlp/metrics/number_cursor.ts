import { fieldEnd } from '../wire/wire_format.ts'
import type { MetricType } from './metric_type.ts'
import { PointCursor } from './point_cursor.ts'

const NUMBERS: readonly MetricType[] = ['gauge', 'sum']

/**
 * Walks the points of gauges and sums that hold only attributes, times and a finite value. Its twin with objects is
 * `numberPoint` in codec/points.ts; it pays for the benchmark rows "cumulative to delta" and "OTLP to Datadog".
 */
export class NumberPointCursor extends PointCursor {
  /** The position of the value behind its tag. */
  valueAt = -1
  isInt = false

  constructor() {
    super(NUMBERS)
  }

  /** The value as a number; an approximation for an int beyond 2^53. */
  value(): number {
    return this.isInt ? Number(this.view.getBigInt64(this.valueAt, true)) : this.view.getFloat64(this.valueAt, true)
  }

  /** The value as a data point holds it. */
  exactValue(): number | bigint {
    const value = this.value()
    return this.isInt && !Number.isSafeInteger(value) ? this.view.getBigInt64(this.valueAt, true) : value
  }

  protected point(end: number): boolean {
    const { bytes } = this
    // Local, because the benchmark rows "cumulative to delta" and "OTLP to Datadog" spend most of their time here.
    let at = this.at
    let attributesStart = 0
    let attributesEnd = 0
    let startAt = -1
    let timeAt = -1
    let valueAt = -1
    while (at < end) {
      switch (bytes[at]) {
        case 0x3a: // repeated KeyValue attributes = 7; one behind the other.
          if (attributesEnd === 0) attributesStart = at
          else if (attributesEnd !== at) return false
          at = attributesEnd = this.attributesLast ? end : fieldEnd(bytes, at + 1)
          continue
        case 0x11: // fixed64 start_time_unix_nano = 2;
          if (startAt >= 0) return false
          startAt = at + 1
          break
        case 0x19: // fixed64 time_unix_nano = 3;
          if (timeAt >= 0) return false
          timeAt = at + 1
          break
        case 0x21: // double as_double = 4;
        case 0x31: // sfixed64 as_int = 6;
          if (valueAt >= 0) return false
          valueAt = at + 1
          break
        default:
          return false
      }
      at += 9
    }
    if (valueAt < 0 || timeAt < 0) return false
    this.at = at
    this.attributesStart = attributesStart
    this.attributesEnd = attributesEnd
    this.startAt = startAt
    this.timeAt = timeAt
    this.valueAt = valueAt
    this.isInt = bytes[valueAt - 1] === 0x31
    return this.isInt || Number.isFinite(this.view.getFloat64(valueAt, true))
  }
}
