import { Traced } from '../common/attributed.ts'
import type { TracedFields } from '../common/attributed.ts'
import type { Attributes } from '../common/attributes.ts'
import { ResourceEntry, ScopeEntry } from '../common/entry.ts'
import type { ScopeEntryFields } from '../common/entry.ts'
import { idBytes, idText } from '../common/id.ts'
import type { Id } from '../common/id.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { Repeated } from '../wire/repeated.ts'

/** `enum SpanKind`, by number. */
export const spanKinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const
export type SpanKind = (typeof spanKinds)[number]

/** `enum StatusCode`, by number. */
export const statusCodes = ['unset', 'ok', 'error'] as const
export type StatusCode = (typeof statusCodes)[number]

export interface SpanEvent {
  readonly timeUnixNano: bigint
  readonly name: string
  readonly attributes: Attributes
  readonly droppedAttributesCount?: number
  readonly unknown?: Uint8Array
}

/** A span of this trace or another that caused this one. */
export interface SpanLink {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  readonly traceState?: string
  readonly attributes: Attributes
  readonly droppedAttributesCount?: number
  readonly flags?: number
  readonly unknown?: Uint8Array
}

export interface SpanStatus {
  /** A number if this version has no name for it. */
  readonly code: StatusCode | number
  readonly message: string
  readonly unknown?: Uint8Array
}

export interface SpanFields extends TracedFields {
  /** 16 hexadecimal digits; none for the root of a trace. */
  readonly parentSpanId?: Id
  /** As in the W3C header `tracestate`. */
  readonly traceState?: string
  readonly name?: string
  /** A number if this version has no name for it. */
  readonly kind?: SpanKind | number
  /** Nanoseconds since 1970. */
  readonly startTimeUnixNano?: bigint
  /** Nanoseconds since 1970. */
  readonly endTimeUnixNano?: bigint
  readonly events?: Repeated<SpanEvent>
  readonly droppedEventsCount?: number
  readonly links?: Repeated<SpanLink>
  readonly droppedLinksCount?: number
  readonly status?: SpanStatus
}

const UNSET: SpanStatus = { code: 'unset', message: '' }

/** One span. Immutable. */
export class Span extends Traced<SpanFields> {
  private knownEvents: readonly SpanEvent[] | undefined
  private knownLinks: readonly SpanLink[] | undefined

  constructor(source: SpanFields | Encoded<SpanFields>) {
    super(source)
    this.knownEvents = undefined
    this.knownLinks = undefined
  }

  /** Hexadecimal digits; '' for the root of a trace. */
  get parentSpanId(): string {
    return idText(this.fields.parentSpanId)
  }

  get parentSpanIdBytes(): Uint8Array {
    return idBytes(this.fields.parentSpanId)
  }

  get traceState(): string {
    return this.fields.traceState ?? ''
  }

  get name(): string {
    return this.fields.name ?? ''
  }

  get kind(): SpanKind {
    const { kind = 0 } = this.fields
    return typeof kind === 'number' ? (spanKinds[kind] ?? 'unspecified') : kind
  }

  /** `enum SpanKind`. */
  get kindNumber(): number {
    return numberIn(spanKinds, this.fields.kind ?? 0)
  }

  get startTimeUnixNano(): bigint {
    return this.fields.startTimeUnixNano ?? 0n
  }

  get endTimeUnixNano(): bigint {
    return this.fields.endTimeUnixNano ?? 0n
  }

  get events(): readonly SpanEvent[] {
    return (this.knownEvents ??= listOf(this.fields.events))
  }

  get droppedEventsCount(): number {
    return this.fields.droppedEventsCount ?? 0
  }

  get links(): readonly SpanLink[] {
    return (this.knownLinks ??= listOf(this.fields.links))
  }

  get droppedLinksCount(): number {
    return this.fields.droppedLinksCount ?? 0
  }

  get status(): SpanStatus {
    return this.fields.status ?? UNSET
  }

  override with(fields: Partial<SpanFields>): this {
    return new Span({ ...this.fields, ...fields }) as this
  }
}

/** The number of a name, or the number itself if it has no name. */
export function numberIn(words: readonly string[], value: string | number): number {
  return typeof value === 'number' ? value : words.indexOf(value)
}

function listOf<T>(repeated: Repeated<T> = []): readonly T[] {
  return repeated instanceof Encoded ? repeated.decode() : repeated
}

interface ScopeSpansFields extends ScopeEntryFields {
  readonly spans?: readonly Span[]
}

/** The spans of one scope. Immutable. */
export class ScopeSpans extends ScopeEntry<Span, ScopeSpansFields> {
  get spans(): readonly Span[] {
    return this.fields.spans ?? []
  }

  get items(): readonly Span[] {
    return this.spans
  }

  withSpans(spans: readonly Span[]): this {
    return spans === this.spans ? this : this.like({ ...this.fields, spans })
  }

  override withItems(spans: readonly Span[]): this {
    return this.withSpans(spans)
  }
}

/** The spans of one resource. Immutable. */
export class ResourceSpans extends ResourceEntry<ScopeSpans> {}
