import { toAnyValue } from '../common/attributes.ts'
import type { AttributeValue } from '../common/attributes.ts'
import {
  attributes,
  batchHandedOver,
  bytes,
  entryOf,
  fields,
  id,
  int32,
  message,
  nanoseconds,
  text,
  uint32,
} from '../common/handed_over.ts'
import type { Check, Checks } from '../common/handed_over.ts'
import { Mistake } from '../json/text.ts'
import { Encoded } from '../wire/lazy_message.ts'
import { LogBatch } from './batch.ts'
import { LogRecord, ResourceLogs, ScopeLogs } from './log_record.ts'

const body: Check = (given) => {
  if (given instanceof Encoded) return given
  try {
    toAnyValue(given as AttributeValue)
  } catch (error) {
    throw error instanceof TypeError ? new Mistake(error.message.replace(/^the body /, '')) : error
  }
  return given
}

const recordFields: Checks = {
  timeUnixNano: nanoseconds,
  observedTimeUnixNano: nanoseconds,
  severityNumber: int32,
  severityText: text,
  body,
  attributes,
  droppedAttributesCount: uint32,
  flags: uint32,
  traceId: id,
  spanId: id,
  eventName: text,
  unknown: bytes,
}
const record: Check = (given) => message(given, LogRecord, 'LogRecord', (made) => fields(made, recordFields))

const entry = entryOf(
  ResourceLogs,
  ScopeLogs,
  { resource: 'ResourceLogs', scope: 'ScopeLogs', items: 'records' },
  record,
)

/** The batch that a component hands over, once everything in it is valid. @throws TypeError that names the mistake */
export function handedOver(given: unknown): LogBatch {
  return batchHandedOver(given, LogBatch.empty, entry)
}
