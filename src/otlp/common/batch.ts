import type { Batch, Signal } from '../signal.ts'
import { EncodedRequest } from '../wire/lazy_message.ts'
import { Attributes } from './attributes.ts'
import type { AttributeValue } from './attributes.ts'
import { mergeEncoded } from './codec.ts'
import type { Codec } from './codec.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import { itemsIn } from './item_kind.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { Resource, Scope } from './resource.ts'
import type { ScopeFields } from './resource.ts'
import { filterShared, mapShared, mapSome } from './shared_lists.ts'

/** The fields of an entry that is written as plain objects, without its items. */
export interface EntryInit {
  readonly resource?: Readonly<Record<string, AttributeValue>>
  readonly scope?: Omit<ScopeFields, 'attributes'>
}

/**
 * An immutable view of an OTLP export request, made from wire bytes or from objects; provides either. Every operation
 * returns a new batch that shares the unchanged parts, or the same batch if nothing changed, so a batch may go to
 * several places without a copy.
 */
export abstract class ItemBatch<
  I extends Item = Item,
  S extends ScopeEntry<I> = ScopeEntry<I>,
  R extends ResourceEntry<S> = ResourceEntry<S>,
> implements Batch {
  abstract readonly signal: Signal
  abstract get kind(): ItemKind<I, S, R> & Codec<R>

  /** Its bytes, once they are checked. */
  #source: EncodedRequest | undefined
  #bytes: Uint8Array | undefined
  #resources: readonly R[] | undefined
  #itemCount: number | undefined

  protected constructor(resources?: readonly R[], bytes?: Uint8Array, source?: EncodedRequest, itemCount?: number) {
    this.#source = source
    this.#bytes = bytes
    this.#resources = resources
    // A field that occurs twice was counted twice, but only the last one counts.
    this.#itemCount = itemCount ?? (source?.canonical === true ? source.items : undefined)
  }

  /** A batch of the same class. The parameters are those of the constructor. */
  protected abstract like(
    resources?: readonly R[],
    bytes?: Uint8Array,
    source?: EncodedRequest,
    itemCount?: number,
  ): this

  /** One resource and scope, with valid items. */
  protected static entry<I extends Item, S extends ScopeEntry<I>, R extends ResourceEntry<S>>(
    kind: ItemKind<I, S, R>,
    { resource = {}, scope }: EntryInit,
    items: readonly I[],
  ): R {
    return kind.resourceEntry({
      resource: new Resource({ attributes: Attributes.of(resource) }),
      scopes: [kind.scopeEntry(kind.scopeFields(scope === undefined ? Scope.empty : new Scope(scope), items, ''))],
    })
  }

  /** All items of the given batches, at least one, in order. */
  protected static joined<B extends ItemBatch>(batches: readonly B[]): B {
    const [first] = batches
    if (batches.length === 1) return first
    const unread = batches.every((batch) => batch.#resources === undefined)
    const written = batches.every((batch) => batch.#bytes !== undefined)
    return first.like(
      unread ? undefined : batches.flatMap((batch) => batch.resources),
      written ? mergeEncoded(batches.map((batch) => batch.toOtlp())) : undefined,
      undefined,
      batches.reduce((sum, batch) => sum + batch.itemCount, 0),
    )
  }

  get resources(): readonly R[] {
    return (this.#resources ??= this.kind.decode((this.#source ??= this.kind.check(this.#bytes as Uint8Array))))
  }

  /** The batch with other resources. `itemCount`: the count of their items, if it is known. */
  withResources(resources: readonly R[], itemCount?: number): this {
    return resources === this.#resources ? this : this.like(resources, undefined, undefined, itemCount)
  }

  /** A batch of the same signal, made from its bytes. `pointsChanged`: as of `EncodedRequest`. */
  withBytes(bytes: Uint8Array, pointsChanged = false): this {
    const source = this.kind.check(bytes)
    return this.like(undefined, bytes, new EncodedRequest(source.bytes, { ...source, pointsChanged }))
  }

  /** The number of data points, log records or spans. */
  get itemCount(): number {
    return (this.#itemCount ??= this.#count())
  }

  #count(): number {
    return this.resources.reduce((count, resource) => count + itemsIn(resource, this.kind), 0)
  }

  /** The protobuf request of OTLP. A batch that was made from bytes returns these bytes. */
  toOtlp(): Uint8Array {
    return (this.#bytes ??= this.kind.encode(this.resources))
  }

  /** Whether `toOtlp` has nothing left to do. */
  get isWritten(): boolean {
    return this.#bytes !== undefined
  }

  /** Takes over what `toOtlp` would make. */
  writtenAs(bytes: Uint8Array): void {
    this.#bytes ??= bytes
  }

  /** Whether it consists of its bytes, and therefore uses all of them. */
  get isItsBytes(): boolean {
    return this.#resources === undefined || this.#source !== undefined
  }

  everyItem(test: (item: I) => boolean): boolean {
    return this.resources.every(({ scopes }) => scopes.every(({ items }) => items.every(test)))
  }

  /** Changes the entries together, unless they are bytes that were never read. */
  mapMade(change: (entries: readonly R[]) => readonly R[]): this {
    return this.#resources === undefined ? this : this.withResources(change(this.#resources))
  }

  mapResources(change: (resource: Resource) => Resource): this {
    return this.withResources(
      mapShared(this.resources, (entry) => entry.withResource(change(entry.resource))),
      this.#itemCount,
    )
  }

  /** Changes the items of each scope together. Scopes and resources left without an item are removed. */
  mapScopes(change: (scope: S, resource: R) => S): this {
    return this.withResources(
      mapSome(this.resources, (entry) => {
        const scopes = mapSome(entry.scopes, (scope) => {
          const changed = change(scope, entry)
          mustReturn('mapScopes', this.kind.names.scope, changed)
          return changed === scope || changed.items.length > 0 ? changed : undefined
        })
        return scopes === entry.scopes || scopes.length > 0 ? entry.withScopes(scopes) : undefined
      }),
    )
  }

  /**
   * Changes every item; `schemaUrl` is that of the scope.
   * @param method the name under which it is called, for the error if `change` returns nothing
   * @param isAsMany whether a changed item certainly has the same count as before
   */
  protected mapItems(
    method: string,
    change: (item: I, resource: Resource, scope: Scope, schemaUrl: string) => I,
    isAsMany: (changed: I, item: I) => boolean,
  ): this {
    let itemCount = this.#itemCount
    const resources = mapShared(this.resources, (entry) =>
      entry.withScopes(
        mapShared(entry.scopes, (owner) =>
          owner.withItems(
            mapShared(owner.items, (item) => {
              const changed = change(item, entry.resource, owner.scope, owner.schemaUrl)
              if (changed !== item) {
                mustReturn(method, this.kind.names.item, changed)
                if (!isAsMany(changed, item)) itemCount = undefined
              }
              return changed
            }),
          ),
        ),
      ),
    )
    return this.withResources(resources, itemCount)
  }

  /** Keeps the items that `keep` accepts; scopes and resources left without an item are removed. */
  protected filterItems(keep: (item: I, resource: Resource, scope: Scope) => boolean): this {
    return this.mapScopes((owner, { resource }) =>
      owner.withItems(filterShared(owner.items, (item) => keep(item, resource, owner.scope))),
    )
  }
}

/** JavaScript may forget to return a value. Other mistakes are found when the batch is handed over. */
function mustReturn(method: string, what: string, changed: unknown): void {
  if (changed !== undefined && changed !== null) return
  const given = changed === null ? 'null' : 'nothing'
  throw new TypeError(`the function given to \`${method}\` must return a ${what}, not ${given}`)
}
