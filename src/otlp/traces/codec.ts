import { attributeRun, attributes } from '../common/attributes_codec.ts'
import { Attributes } from '../common/attributes.ts'
import { hex, id } from '../common/id.ts'
import { schema } from '../schema.ts'
import { held, message, messageRun, MessageCodec, nanoseconds } from '../wire/message_codec.ts'
import type { Form } from '../wire/message_codec.ts'
import { numberIn, spanKinds, statusCodes } from './span.ts'
import type { SpanEvent, SpanFields, SpanLink, SpanStatus } from './span.ts'

/** The number of an enum, or its name here. */
const word = (words: readonly string[]): Form<string | number> => ({
  read: (reader) => reader.int32(),
  write: (writer, value) => writer.int32(numberIn(words, value)),
  isDefault: (value) => numberIn(words, value) === 0,
})

const event = new MessageCodec<SpanEvent>(
  schema.Event,
  { timeUnixNano: nanoseconds, attributes },
  { timeUnixNano: 0n, name: '', attributes: Attributes.empty },
)
const link = new MessageCodec<SpanLink>(
  schema.Link,
  { traceId: held(hex), spanId: held(hex), attributes },
  { traceId: '', spanId: '', attributes: Attributes.empty },
)
const status = new MessageCodec<SpanStatus>(
  schema.Status,
  {
    code: held({
      ...word(statusCodes),
      read: (reader) => {
        const code = reader.int32()
        return statusCodes[code] ?? code
      },
    }),
  },
  { code: 'unset', message: '' },
)

export const span = new MessageCodec<SpanFields>(schema.Span, {
  traceId: held(id),
  spanId: held(id),
  parentSpanId: held(id),
  kind: held(word(spanKinds)),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes: attributeRun,
  events: messageRun(event),
  links: messageRun(link),
  status: message(status),
})
