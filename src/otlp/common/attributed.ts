import { LazyMessage } from '../wire/lazy_message.ts'
import type { MessageFields } from '../wire/lazy_message.ts'
import { Attributes } from './attributes.ts'
import { idBytes, idText } from './id.ts'
import type { Id } from './id.ts'

export interface AttributedFields extends MessageFields {
  readonly attributes?: Attributes
}

/** A message that has attributes. Immutable; `with...` returns the same message when nothing changes. */
export abstract class Attributed<Fields extends AttributedFields> extends LazyMessage<Fields> {
  get attributes(): Attributes {
    return this.fields.attributes ?? Attributes.empty
  }

  /** A copy in which the given fields are replaced. */
  abstract with(fields: Partial<Fields>): this

  withAttributes(attributes: Attributes): this {
    return attributes === this.attributes ? this : this.with({ attributes } as Partial<Fields>)
  }
}

export interface TracedFields extends AttributedFields {
  readonly droppedAttributesCount?: number
  /** W3C trace flags in the lowest 8 bits; source: trace.proto, `SpanFlags`. */
  readonly flags?: number
  /** 32 hexadecimal digits. */
  readonly traceId?: Id
  /** 16 hexadecimal digits. */
  readonly spanId?: Id
}

/** What log records and spans have in common: they belong to a span of a trace, or are one. */
export abstract class Traced<Fields extends TracedFields> extends Attributed<Fields> {
  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  get flags(): number {
    return this.fields.flags ?? 0
  }

  /** Hexadecimal digits; '' when it is not there. */
  get traceId(): string {
    return idText(this.fields.traceId)
  }

  get traceIdBytes(): Uint8Array {
    return idBytes(this.fields.traceId)
  }

  /** Hexadecimal digits; '' when it is not there. */
  get spanId(): string {
    return idText(this.fields.spanId)
  }

  get spanIdBytes(): Uint8Array {
    return idBytes(this.fields.spanId)
  }
}
