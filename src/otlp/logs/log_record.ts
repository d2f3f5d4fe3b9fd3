import { Traced } from '../common/attributed.ts'
import type { TracedFields } from '../common/attributed.ts'
import { fromAnyValue } from '../common/attributes.ts'
import type { AnyValue, AttributeValue } from '../common/attributes.ts'
import { ResourceEntry, ScopeEntry } from '../common/entry.ts'
import type { ScopeEntryFields } from '../common/entry.ts'
import { Encoded } from '../wire/lazy_message.ts'

export interface LogRecordFields extends TracedFields {
  /** When it happened, in nanoseconds since 1970; 0 when not known. */
  readonly timeUnixNano?: bigint
  /** When it was first observed by a collection system, in nanoseconds since 1970. */
  readonly observedTimeUnixNano?: bigint
  /** From 1, the finest trace, to 24, the most fatal; 0 if not known. Source: logs.proto, `SeverityNumber`. */
  readonly severityNumber?: number
  /** The source's own name for it. */
  readonly severityText?: string
  readonly body?: AttributeValue | Encoded<AnyValue>
  /** What makes the record an event. */
  readonly eventName?: string
}

/** One log record. Immutable. */
export class LogRecord extends Traced<LogRecordFields> {
  /** In a list, since it may be `undefined`. */
  private knownBody: readonly [AttributeValue] | undefined

  constructor(source: LogRecordFields | Encoded<LogRecordFields>) {
    super(source)
    this.knownBody = undefined
  }

  get timeUnixNano(): bigint {
    return this.fields.timeUnixNano ?? 0n
  }

  get observedTimeUnixNano(): bigint {
    return this.fields.observedTimeUnixNano ?? 0n
  }

  get severityNumber(): number {
    return this.fields.severityNumber ?? 0
  }

  get severityText(): string {
    return this.fields.severityText ?? ''
  }

  /** Mostly a text; otherwise any value in plain JavaScript. */
  get body(): AttributeValue {
    if (this.knownBody === undefined) {
      const { body } = this.fields
      this.knownBody = [body instanceof Encoded ? fromAnyValue(body.decode()) : body]
    }
    return this.knownBody[0]
  }

  get eventName(): string {
    return this.fields.eventName ?? ''
  }

  override with(fields: Partial<LogRecordFields>): this {
    return new LogRecord({ ...this.fields, ...fields }) as this
  }
}

interface ScopeLogsFields extends ScopeEntryFields {
  readonly records?: readonly LogRecord[]
}

/** The log records of one scope. Immutable. */
export class ScopeLogs extends ScopeEntry<LogRecord, ScopeLogsFields> {
  get records(): readonly LogRecord[] {
    return this.fields.records ?? []
  }

  get items(): readonly LogRecord[] {
    return this.records
  }

  withRecords(records: readonly LogRecord[]): this {
    return records === this.records ? this : this.like({ ...this.fields, records })
  }

  override withItems(records: readonly LogRecord[]): this {
    return this.withRecords(records)
  }
}

/** The log records of one resource. Immutable. */
export class ResourceLogs extends ResourceEntry<ScopeLogs> {}
