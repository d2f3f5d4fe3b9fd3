import { ItemBatch } from '../common/batch.ts'
import type { EntryInit } from '../common/batch.ts'
import type { Resource, Scope } from '../common/resource.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { logKind } from './kind.ts'
import { LogRecord } from './log_record.ts'
import type { LogRecordFields, ResourceLogs, ScopeLogs } from './log_record.ts'

/** A batch as plain objects, for components that make log records. */
export interface ResourceLogsInit extends EntryInit {
  readonly records: readonly (LogRecord | LogRecordFields)[]
}

/** An immutable view of an OTLP `ExportLogsServiceRequest`. */
export class LogBatch extends ItemBatch<LogRecord, ScopeLogs, ResourceLogs> {
  static readonly empty = LogBatch.fromResources([])

  get signal(): 'logs' {
    return 'logs'
  }

  get kind(): typeof logKind {
    return logKind
  }

  protected override like(
    resources?: readonly ResourceLogs[],
    bytes?: Uint8Array,
    source?: EncodedRequest,
    itemCount?: number,
  ): this {
    return new LogBatch(resources, bytes, source, itemCount) as this
  }

  /**
   * Makes a batch from a protobuf `ExportLogsServiceRequest`. The bytes must not be changed afterwards.
   * @param maxMessages the most messages that it may hold, at all levels together
   * @throws MalformedError if the bytes are not one
   */
  static fromOtlp(bytes: Uint8Array, maxMessages = Infinity): LogBatch {
    return new LogBatch(undefined, bytes, logKind.check(bytes, maxMessages))
  }

  static fromResources(resources: readonly ResourceLogs[]): LogBatch {
    return new LogBatch(resources)
  }

  /** Makes a batch of one resource and scope per entry. */
  static of(...entries: readonly ResourceLogsInit[]): LogBatch {
    return LogBatch.fromResources(
      entries.map(({ records, ...entry }) =>
        ItemBatch.entry(
          logKind,
          entry,
          records.map((record) => (record instanceof LogRecord ? record : new LogRecord(record))),
        ),
      ),
    )
  }

  /** All records of the given batches, in order, as one batch. */
  static merge(batches: readonly LogBatch[]): LogBatch {
    return batches.length === 0 ? LogBatch.empty : ItemBatch.joined(batches)
  }

  /** Every record with its resource and scope; `schemaUrl` is that of the scope. */
  *records(): Generator<{ record: LogRecord; resource: Resource; scope: Scope; schemaUrl: string }> {
    for (const { resource, scopes } of this.resources) {
      for (const { scope, schemaUrl, records } of scopes) {
        for (const record of records) yield { record, resource, scope, schemaUrl }
      }
    }
  }

  /** `schemaUrl` is that of the scope. */
  mapRecords(change: (record: LogRecord, resource: Resource, scope: Scope, schemaUrl: string) => LogRecord): LogBatch {
    return this.mapItems('mapRecords', change, () => true)
  }

  /** Keeps the records that `keep` accepts; scopes and resources left without a record are removed. */
  filterRecords(keep: (record: LogRecord, resource: Resource, scope: Scope) => boolean): LogBatch {
    return this.filterItems(keep)
  }
}
