import { toAnyValue } from '../common/attributes.ts'
import type { AnyValue } from '../common/attributes.ts'
import { attributeRun, readAnyValue, writeAnyValue } from '../common/attributes_codec.ts'
import { id } from '../common/id.ts'
import { schema } from '../schema.ts'
import { view } from '../wire/fields.ts'
import { Encoded, readerAt } from '../wire/lazy_message.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { held, MessageCodec, nanoseconds } from '../wire/message_codec.ts'
import type { MemberOf } from '../wire/message_codec.ts'
import type { LogRecordFields } from './log_record.ts'

/** A body, which is read on first access; an empty one is present. */
const body: MemberOf = ({ name, tag }) => ({
  read(into, reader, source) {
    into[name] = view(reader, source, readBody)
  },
  write(writer, values) {
    const value = values[name] as LogRecordFields['body']
    if (value === undefined) return
    writer.uint32(tag)
    if (value instanceof Encoded) return void writer.bytes(value.bytes())
    writeAnyValue(writer.fork(), toAnyValue(value))
    writer.ldelim()
  },
})

function readBody({ bytes }: EncodedRequest, start: number, end: number): AnyValue {
  return readAnyValue(readerAt(bytes, start), end)
}

export const logRecord = new MessageCodec<LogRecordFields>(schema.LogRecord, {
  timeUnixNano: nanoseconds,
  observedTimeUnixNano: nanoseconds,
  body,
  attributes: attributeRun,
  traceId: held(id),
  spanId: held(id),
})
