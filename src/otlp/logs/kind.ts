import { codecOf } from '../common/codec.ts'
import { encodedIn, single } from '../common/item_kind.ts'
import type { ItemKind } from '../common/item_kind.ts'
import { placesOf } from './time_window.ts'
import { schema, tags } from '../schema.ts'
import { checkLogs } from '../wire/check.ts'
import { view } from '../wire/fields.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { logRecord } from './codec.ts'
import { LogRecord, ResourceLogs, ScopeLogs } from './log_record.ts'
import type { LogRecordFields } from './log_record.ts'

const kind: ItemKind<LogRecord, ScopeLogs, ResourceLogs> = {
  ...single,
  names: { batch: 'LogBatch', resource: 'ResourceLogs', scope: 'ScopeLogs', item: 'LogRecord' },
  resourceEntry: (source) => new ResourceLogs(source),
  scopeEntry: (source) => new ScopeLogs(source),
  scopeFields: (scope, records, schemaUrl, unknown) => ({ scope, records, schemaUrl, unknown }),
  resourceType: schema.ResourceLogs,
  check: checkLogs,
  read: (reader, source) => new LogRecord(view(reader, source, logRecord.read)),
  write: (writer, record) => writer.view(tags.ScopeLogs.logRecords, record, logRecord.writeMade),
  used: ({ made }) => encodedIn(made),
  moved: (_record, encoded: Encoded<LogRecordFields>) => new LogRecord(encoded),
  placesOf,
}

/** The specifics of log records, for the code that all signals share. */
export const logKind = { ...kind, ...codecOf(kind) }
