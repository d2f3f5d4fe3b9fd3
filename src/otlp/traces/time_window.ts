import { WITHIN } from '../common/time_window.ts'
import type { TimeWindow } from '../common/time_window.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { fieldEnd } from '../wire/wire_format.ts'
import type { Span } from './span.ts'

/** Where the span lies: by its end. One without an end counts as within. */
export function placesOf(span: Span, window: TimeWindow): number {
  const { encoded } = span
  const at = encoded?.source.canonical === true ? endTimeOf(encoded) : -1
  if (encoded !== undefined && at >= 0) return window.placeAt(encoded.source.view, at)
  return span.endTimeUnixNano === 0n ? WITHIN : window.place(span.endTimeUnixNano)
}

/** The position of the end of a span that is written in the usual way; -1 if finding it takes more. */
function endTimeOf({ source: { bytes, view }, start, end }: Encoded<object>): number {
  let at = start
  while (at + 9 <= end) {
    switch (bytes[at]) {
      case 0x0a: // bytes trace_id = 1;
      case 0x12: // bytes span_id = 2;
      case 0x1a: // string trace_state = 3;
      case 0x22: // bytes parent_span_id = 4;
      case 0x2a: // string name = 5;
        at = fieldEnd(bytes, at + 1)
        break
      case 0x30: // SpanKind kind = 6;
        if (bytes[at + 1] > 127) return -1
        at += 2
        break
      case 0x39: // fixed64 start_time_unix_nano = 7;
        at += 9
        break
      case 0x41: // fixed64 end_time_unix_nano = 8; its upper half is not 0 since 1970
        return view.getUint32(at + 5, true) === 0 ? -1 : at + 1
      default:
        return -1
    }
  }
  return -1
}
