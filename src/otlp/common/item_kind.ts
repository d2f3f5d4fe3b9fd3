import type { Reader } from 'protobufjs/minimal.js'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import type { CheckResult } from '../wire/check.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { LazyMessage, EncodedRequest } from '../wire/lazy_message.ts'
import { Attributes } from './attributes.ts'
import type { ResourceEntry, ResourceEntryFields, ScopeEntry, ScopeEntryFields } from './entry.ts'
import type { Scope } from './resource.ts'
import type { TimeWindow } from './time_window.ts'

/** A metric, a log record or a span. */
export type Item = LazyMessage<object>

/** All that a signal says of its items. Above them all signals are alike, and share the code. */
export interface ItemKind<
  I extends Item = Item,
  S extends ScopeEntry<I> = ScopeEntry<I>,
  R extends ResourceEntry<S> = ResourceEntry<S>,
> {
  /** Of the classes, for people. */
  readonly names: { readonly batch: string; readonly resource: string; readonly scope: string; readonly item: string }
  resourceEntry(source: ResourceEntryFields<S> | Encoded<ResourceEntryFields<S>>): R
  scopeEntry(source: ScopeEntryFields | Encoded<ScopeEntryFields>): S
  scopeFields(scope: Scope | undefined, items: readonly I[], schemaUrl: string, unknown?: Uint8Array): ScopeEntryFields

  /**
   * Proves that the bytes are a request of the signal of no more than `limit` messages.
   * @throws MalformedError
   */
  check(bytes: Uint8Array, limit?: number): CheckResult
  /** The item that stands at the reader's position, to be read later. */
  read(reader: Reader, source: EncodedRequest): I
  /** Writes an item with its tag. */
  write(writer: BackwardsWriter, item: I): void

  /** How much there is of what the signal counts: a metric has data points, a log record or a span is one. */
  countOf(item: I): number
  /** The item with so much of it only. Nobody asks for a part of an item that counts as one. */
  cut(item: I, start: number, end: number): I
  /** Items of a limited size that together are this one, and the item that such pieces are together. */
  piecesOf(item: I): Iterable<I>
  joined(pieces: readonly I[]): I

  /** What an item that is not as it came still uses of the requests it came in. */
  used(item: I): Iterable<Encoded<unknown> | undefined>
  /** The item, whose bytes were copied to `encoded`. */
  moved(item: I, encoded: Encoded<object>): I

  /** Whether what it counts is objects, rather than bytes that are read when somebody looks at them. */
  holdsObjects(item: I): boolean

  /** Where what it counts lies: `BEFORE`, `WITHIN`, `AFTER`, or several of them; 0 when there is nothing. */
  placesOf(item: I, window: TimeWindow): number
  /** What is left of an item that lies in several places. */
  timely(item: I, keep: (time: bigint) => boolean): I
}

/** What is the same for items that count as one. */
export const single = {
  countOf: () => 1,
  cut: <I>(item: I): I => item,
  piecesOf: <I>(item: I): readonly I[] => [item],
  joined: <I>([item]: readonly I[]): I => item,
  holdsObjects: (item: Item): boolean => item.encoded === undefined,
  timely: <I>(item: I): I => item,
}

/** What of the fields of a message stands in requests. */
export function encodedIn(fields: object = {}): (Encoded<unknown> | undefined)[] {
  return Object.values(fields).map((value: unknown) =>
    value instanceof Encoded ? value : value instanceof Attributes ? value.encoded : undefined,
  )
}
