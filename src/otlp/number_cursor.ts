import { PointCursor } from './point_cursor.ts'

/** Walks the points of gauges and sums: those that hold attributes, times and a finite value only. */
export class NumberPointCursor extends PointCursor {
  /** Where the value begins behind its tag. */
  valueAt = -1
  isInt = false

  constructor() {
    super(['gauge', 'sum'])
  }

  /** The value as a number, which an int beyond 2^53 only comes close to. */
  value(): number {
    return this.isInt ? Number(this.view.getBigInt64(this.valueAt, true)) : this.view.getFloat64(this.valueAt, true)
  }

  /** The value as a data point holds it. */
  exactValue(): number | bigint {
    const value = this.value()
    return this.isInt && !Number.isSafeInteger(value) ? this.view.getBigInt64(this.valueAt, true) : value
  }

  protected point(end: number): boolean {
    const { bytes, view } = this
    let at = this.at
    this.attributesStart = this.attributesEnd = 0
    this.startAt = this.timeAt = this.valueAt = -1
    while (at < end) {
      switch (bytes[at]) {
        case 0x3a: // repeated KeyValue attributes = 7;
          at = this.attribute(at)
          if (at < 0) return false
          continue
        case 0x11: // fixed64 start_time_unix_nano = 2;
          if (this.startAt >= 0) return false
          this.startAt = at + 1
          break
        case 0x19: // fixed64 time_unix_nano = 3;
          if (this.timeAt >= 0) return false
          this.timeAt = at + 1
          break
        case 0x21: // double as_double = 4;
        case 0x31: // sfixed64 as_int = 6;
          if (this.valueAt >= 0) return false
          this.valueAt = at + 1
          this.isInt = bytes[at] === 0x31
          break
        default:
          return false
      }
      at += 9
    }
    this.at = at
    if (this.valueAt < 0 || this.timeAt < 0) return false
    return this.isInt || Number.isFinite(view.getFloat64(this.valueAt, true))
  }
}
