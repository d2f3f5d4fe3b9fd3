import type { Divided } from '../../time/turns.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { EncodedRequest } from '../wire/lazy_message.ts'
import type { ItemBatch } from './batch.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { PART, writeInParts } from './parts.ts'
import { Resource, Scope } from './resource.ts'

/**
 * The same data without the requests of which less than half is used: the rest of their data is copied, so that they
 * can be released. It is written where that takes more than copying whole messages.
 */
export function* compacted<B extends ItemBatch>(batch: B): Divided<B> {
  if (batch.isItsBytes) return batch
  const resources = yield* compactedResources(batch.kind, batch.resources)
  if (resources !== undefined) return batch.withResources(resources, batch.itemCount)
  yield* writeInParts(batch)
  return batch.withBytes(Uint8Array.from(batch.toOtlp()))
}

/** `undefined` if that takes more than copying whole messages. */
function* compactedResources<I extends Item, S extends ScopeEntry<I>, R extends ResourceEntry<S>>(
  kind: ItemKind<I, S, R>,
  resources: readonly R[],
): Divided<readonly R[] | undefined> {
  const uses = yield* usesOf(kind, resources)
  const wasteful = new Map<EncodedRequest, Remains>()
  for (const [source, { messages, parts }] of uses) {
    if ((messages + parts) * 2 >= source.bytes.length) continue
    if (parts > 0) return undefined
    wasteful.set(source, new Remains(source, messages))
  }
  if (wasteful.size === 0) return resources
  const moved = <Fields>(encoded: Encoded<Fields> | undefined): Encoded<Fields> | undefined =>
    encoded && wasteful.get(encoded.source)?.move(encoded)
  const movedItem = (item: I): I => {
    const encoded = moved(item.encoded)
    return encoded === undefined ? item : kind.moved(item, encoded)
  }
  const movedScope = (owner: S): S => {
    if (owner.encoded !== undefined) {
      const encoded = moved(owner.encoded)
      return encoded === undefined ? owner : kind.scopeEntry(encoded)
    }
    const encoded = moved(owner.scope.encoded)
    const scope = encoded === undefined ? owner.scope : new Scope(encoded)
    return kind.scopeEntry(kind.scopeFields(scope, owner.items.map(movedItem), owner.schemaUrl, owner.unknown?.slice()))
  }
  const compacted: R[] = []
  for (const entry of resources) {
    if (compacted.length % PART === PART - 1) yield
    if (entry.encoded !== undefined) {
      const encoded = moved(entry.encoded)
      compacted.push(encoded === undefined ? entry : kind.resourceEntry(encoded))
      continue
    }
    const encoded = moved(entry.resource.encoded)
    compacted.push(
      kind.resourceEntry({
        resource: encoded === undefined ? entry.resource : new Resource(encoded),
        scopes: entry.scopes.map(movedScope),
        schemaUrl: entry.schemaUrl,
        unknown: entry.unknown?.slice(),
      }),
    )
  }
  return compacted
}

/** Bytes of a request that whole messages, and the parts of items that are objects, use. */
interface Use {
  messages: number
  parts: number
}

function* usesOf<I extends Item, S extends ScopeEntry<I>>(
  kind: Pick<ItemKind<I, S>, 'used'>,
  resources: readonly ResourceEntry<S>[],
): Divided<ReadonlyMap<EncodedRequest, Use>> {
  const uses = new Map<EncodedRequest, Use>()
  // Most messages are in the same request as the one before.
  let last: EncodedRequest | undefined
  let use: Use = { messages: 0, parts: 0 }
  const note = (encoded: Encoded<unknown> | undefined, as: keyof Use): void => {
    if (encoded === undefined) return
    const { source, start, end } = encoded
    if (source !== last) {
      last = source
      use = uses.get(source) ?? { messages: 0, parts: 0 }
      uses.set(source, use)
    }
    use[as] += end - start
  }
  for (const [index, entry] of resources.entries()) {
    if (index % PART === PART - 1) yield
    // One that is as it came uses all of its bytes, and need not be read.
    note(entry.encoded, 'messages')
    if (entry.encoded !== undefined) continue
    note(entry.resource.encoded, 'messages')
    for (const owner of entry.scopes) {
      note(owner.encoded, 'messages')
      if (owner.encoded !== undefined) continue
      note(owner.scope.encoded, 'messages')
      for (const item of owner.items) {
        note(item.encoded, 'messages')
        if (item.encoded === undefined) for (const encoded of kind.used(item)) note(encoded, 'parts')
      }
    }
  }
  return uses
}

/** A copy of the used parts of a request. */
class Remains {
  readonly #source: EncodedRequest
  #at = 0

  constructor(source: EncodedRequest, length: number) {
    const bytes = Buffer.allocUnsafeSlow(length)
    this.#source = new EncodedRequest(bytes, source)
  }

  move<Fields>(encoded: Encoded<Fields>): Encoded<Fields> {
    const start = this.#at
    this.#at += encoded.source.bytes.copy(this.#source.bytes, start, encoded.start, encoded.end)
    return encoded.movedTo(this.#source, start, this.#at)
  }
}
