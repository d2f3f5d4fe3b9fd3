import { Attributes, fromAnyValue } from '../common/attributes.ts'
import type { AnyValue, AttributeValue } from '../common/attributes.ts'
import { ResourceEntry, ScopeEntry } from '../common/entry.ts'
import type { ResourceEntryFields, ScopeEntryFields } from '../common/entry.ts'
import { idBytes, idText } from '../common/id.ts'
import type { Id } from '../common/id.ts'
import { Encoded, LazyMessage } from '../wire/lazy_message.ts'

export interface LogRecordFields {
  /** When it happened, in nanoseconds since 1970; 0 if not known. */
  readonly timeUnixNano?: bigint
  /** When it was first observed by a collection system, in nanoseconds since 1970. */
  readonly observedTimeUnixNano?: bigint
  /** From 1, the finest trace, to 24, the most fatal; 0 if not known. Source: logs.proto, `SeverityNumber`. */
  readonly severityNumber?: number
  /** The source's own name for it. */
  readonly severityText?: string
  readonly body?: AttributeValue | Encoded<AnyValue>
  readonly attributes?: Attributes
  readonly droppedAttributesCount?: number
  /** W3C trace flags in the lowest 8 bits. */
  readonly flags?: number
  /** 32 hexadecimal digits. */
  readonly traceId?: Id
  /** 16 hexadecimal digits. */
  readonly spanId?: Id
  /** The name of the event, which makes the record an event. */
  readonly eventName?: string
  /** Fields that this version does not know, as they came. */
  readonly unknown?: Uint8Array
}

/** One log record. Immutable. */
export class LogRecord extends LazyMessage<LogRecordFields> {
  /** In a list, because it may be `undefined`. */
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

  get attributes(): Attributes {
    return this.fields.attributes ?? Attributes.empty
  }

  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  get flags(): number {
    return this.fields.flags ?? 0
  }

  /** Hexadecimal digits; '' if it is absent. */
  get traceId(): string {
    return idText(this.fields.traceId)
  }

  get traceIdBytes(): Uint8Array {
    return idBytes(this.fields.traceId)
  }

  /** Hexadecimal digits; '' if it is absent. */
  get spanId(): string {
    return idText(this.fields.spanId)
  }

  get spanIdBytes(): Uint8Array {
    return idBytes(this.fields.spanId)
  }

  get eventName(): string {
    return this.fields.eventName ?? ''
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  /** A copy in which the given fields are replaced. */
  with(fields: Partial<LogRecordFields>): LogRecord {
    return new LogRecord({ ...this.fields, ...fields })
  }

  withAttributes(attributes: Attributes): LogRecord {
    return attributes === this.attributes ? this : this.with({ attributes })
  }
}

export interface ScopeLogsFields extends ScopeEntryFields {
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

  protected override like(fields: ScopeLogsFields): this {
    return new ScopeLogs(fields) as this
  }
}

/** The log records of one resource. Immutable. */
export class ResourceLogs extends ResourceEntry<ScopeLogs> {
  protected override like(fields: ResourceEntryFields<ScopeLogs>): this {
    return new ResourceLogs(fields) as this
  }
}
