import type { Reader } from 'protobufjs/minimal.js'
import type { MessageType } from '../schema.ts'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import { countItems } from '../wire/check.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { LazyMessage, EncodedRequest } from '../wire/lazy_message.ts'
import { Attributes } from './attributes.ts'
import type { ResourceEntry, ResourceEntryFields, ScopeEntry, ScopeEntryFields } from './entry.ts'
import type { Scope } from './resource.ts'
import type { TimeWindow } from './time_window.ts'

/** A metric, a log record or a span. */
export type Item = LazyMessage<object>

/** Everything that is specific to a signal's items. The code above them is the same for all signals. */
export interface ItemKind<
  I extends Item = Item,
  S extends ScopeEntry<I> = ScopeEntry<I>,
  R extends ResourceEntry<S> = ResourceEntry<S>,
> {
  /** The names of the classes, for people. */
  readonly names: { readonly batch: string; readonly resource: string; readonly scope: string; readonly item: string }
  resourceEntry(source: ResourceEntryFields<S> | Encoded<ResourceEntryFields<S>>): R
  scopeEntry(source: ScopeEntryFields | Encoded<ScopeEntryFields>): S
  scopeFields(scope: Scope | undefined, items: readonly I[], schemaUrl: string, unknown?: Uint8Array): ScopeEntryFields

  /**
   * Proves that the bytes are a request of the signal with no more than `limit` messages.
   * @throws MalformedError
   */
  check(bytes: Uint8Array, limit?: number): EncodedRequest
  /** The item at the reader's position, to be read later. */
  read(reader: Reader, source: EncodedRequest): I
  /** Writes an item with its tag. */
  write(writer: BackwardsWriter, item: I): void

  /** The message that a resource with its items is. */
  readonly resourceType: MessageType

  /** The number of things that the signal counts: a metric has data points, a log record or a span counts as one. */
  countOf(item: I): number
  /** The item with only that many of them. Never called for an item that counts as one. */
  cut(item: I, start: number, end: number): I
  /** Items of a limited size that together are this one, and the item that such pieces make up. */
  piecesOf(item: I): Iterable<I>
  joined(pieces: readonly I[]): I

  /** The parts of the requests that an item which was changed still uses. */
  used(item: I): Iterable<Encoded<unknown> | undefined>
  /** The item, whose bytes were copied to `encoded`. */
  moved(item: I, encoded: Encoded<object>): I

  /** Whether what it counts is objects, rather than bytes that are read when somebody looks at them. */
  holdsObjects(item: I): boolean

  /** Where what it counts lies: `BEFORE`, `WITHIN`, `AFTER`, or several of them; 0 when there is nothing. */
  placesOf(item: I, window: TimeWindow): number
  /** The rest of an item that lies in several places. */
  timely(item: I, keep: (time: bigint) => boolean): I
}

/** The part that is the same for all items that count as one. */
export const single = {
  countOf: () => 1,
  cut: <I>(item: I): I => item,
  piecesOf: <I>(item: I): readonly I[] => [item],
  joined: <I>([item]: readonly I[]): I => item,
  holdsObjects: (item: Item): boolean => item.encoded === undefined,
  timely: <I>(item: I): I => item,
}

/** The number of items in a resource. One that came as bytes is not read, for there may be many. */
export function itemsIn<I extends Item>(resource: ResourceEntry<ScopeEntry<I>>, kind: ItemKind<I>): number {
  const { encoded } = resource
  if (encoded?.source.canonical) return countItems(encoded, kind.resourceType)
  let count = 0
  for (const { items } of resource.scopes) for (const item of items) count += kind.countOf(item)
  return count
}

/** The part of a message's fields that lies in requests. */
export function encodedIn(fields: object = {}): (Encoded<unknown> | undefined)[] {
  return Object.values(fields).map((value: unknown) =>
    value instanceof Encoded ? value : value instanceof Attributes ? value.encoded : undefined,
  )
}
