import { WITHIN } from '../common/time_window.ts'
import type { TimeWindow } from '../common/time_window.ts'
import type { LogRecord } from './log_record.ts'

/** The tag of `fixed64 time_unix_nano = 1;`, which encoders write first. */
const TIME = 0x09

/** Where the record lies: by its time, or otherwise by the time at which it was observed. One without both counts as within. */
export function placesOf(record: LogRecord, window: TimeWindow): number {
  const { encoded } = record
  if (encoded?.source.canonical === true && encoded.start < encoded.end) {
    const { source, start } = encoded
    // The upper half of a time since 1970 is not 0.
    if (source.bytes[start] === TIME && source.view.getUint32(start + 5, true) !== 0) {
      return window.placeAt(source.view, start + 1)
    }
  }
  const time = record.timeUnixNano === 0n ? record.observedTimeUnixNano : record.timeUnixNano
  return time === 0n ? WITHIN : window.place(time)
}
