import {
  attributes,
  batchHandedOver,
  bytes,
  entryOf,
  fields,
  hexDigits,
  id,
  int32,
  listOf,
  message,
  named,
  nanoseconds,
  structure,
  text,
  uint32,
  word,
} from '../common/handed_over.ts'
import type { Check, Checks } from '../common/handed_over.ts'
import { Encoded } from '../wire/lazy_message.ts'
import { TraceBatch } from './batch.ts'
import { ResourceSpans, ScopeSpans, Span, spanKinds, statusCodes } from './span.ts'

/** A name, or a number that this version has no name for. */
const wordOf =
  (words: readonly string[]): Check =>
  (given) =>
    typeof given === 'number' ? int32(given) : word(words)(given)

/** As it came, or a list. */
const repeated =
  (check: Check): Check =>
  (given) =>
    given instanceof Encoded ? given : listOf(check)(given)

const event = structure(
  { timeUnixNano: nanoseconds, name: text, attributes, droppedAttributesCount: uint32, unknown: bytes },
  ['timeUnixNano', 'name', 'attributes'],
)
const link = structure(
  {
    traceId: hexDigits,
    spanId: hexDigits,
    traceState: text,
    attributes,
    droppedAttributesCount: uint32,
    flags: uint32,
    unknown: bytes,
  },
  ['traceId', 'spanId', 'attributes'],
)
const status = structure({ code: wordOf(statusCodes), message: text, unknown: bytes }, ['code', 'message'])

const spanFields: Checks = {
  traceId: id,
  spanId: id,
  parentSpanId: id,
  traceState: text,
  flags: uint32,
  name: text,
  kind: wordOf(spanKinds),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes,
  droppedAttributesCount: uint32,
  events: repeated(event),
  droppedEventsCount: uint32,
  links: repeated(link),
  droppedLinksCount: uint32,
  status,
  unknown: bytes,
}
const span: Check = (given) =>
  named('span', Span, given, () => message(given, Span, 'Span', (made) => fields(made, spanFields)))

const entry = entryOf(
  ResourceSpans,
  ScopeSpans,
  { resource: 'ResourceSpans', scope: 'ScopeSpans', items: 'spans' },
  span,
)

/** The batch that a component hands over, once everything in it is valid. @throws TypeError that names the mistake */
export function handedOver(given: unknown): TraceBatch {
  return batchHandedOver(given, TraceBatch.empty, entry)
}
