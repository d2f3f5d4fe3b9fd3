import type { Batch, Signal } from '../signal.ts'
import type { CheckResult } from '../wire/check.ts'
import { Attributes } from './attributes.ts'
import type { AttributeValue } from './attributes.ts'
import { mergeEncoded } from './codec.ts'
import type { Codec } from './codec.ts'
import { compactedResources } from './compaction.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { Resource, Scope } from './resource.ts'
import type { ScopeFields } from './resource.ts'
import { filterShared, mapShared, mapSome } from './shared_lists.ts'

/** Of an entry that is written out in plain objects, all but its items. */
export interface EntryInit {
  readonly resource?: Readonly<Record<string, AttributeValue>>
  readonly scope?: Omit<ScopeFields, 'attributes'>
}

/**
 * An immutable view of an OTLP export request, made from wire bytes or from objects; hands out either. Every operation returns
 * a new batch that shares what did not change, and the same batch when nothing did, so a batch may go to several places
 * without a copy.
 */
export abstract class ItemBatch<
  I extends Item = Item,
  S extends ScopeEntry<I> = ScopeEntry<I>,
  R extends ResourceEntry<S> = ResourceEntry<S>,
> implements Batch {
  abstract readonly signal: Signal
  abstract get kind(): ItemKind<I, S, R> & Codec<R>

  /** Its bytes, once they are checked. */
  #source: CheckResult | undefined
  #bytes: Uint8Array | undefined
  #resources: readonly R[] | undefined
  #itemCount: number | undefined

  protected constructor(resources?: readonly R[], bytes?: Uint8Array, source?: CheckResult, itemCount?: number) {
    this.#source = source
    this.#bytes = bytes
    this.#resources = resources
    // Data that stands twice was counted twice, but only the last counts.
    this.#itemCount = itemCount ?? (source?.canonical === true ? source.items : undefined)
  }

  /** A batch of the same class. The parameters are those of the constructor. */
  protected abstract like(resources?: readonly R[], bytes?: Uint8Array, source?: CheckResult, itemCount?: number): this

  /** One resource and scope, with items that are right. */
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

  /** All items of the given batches, of which there is one at least, in order. */
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

  /** The batch with other resources. `itemCount`: theirs, where it is known. */
  withResources(resources: readonly R[], itemCount?: number): this {
    return resources === this.#resources ? this : this.like(resources, undefined, undefined, itemCount)
  }

  /** A batch of the same signal, made from its bytes. `pointsChanged`: as of `EncodedRequest`. */
  withBytes(bytes: Uint8Array, pointsChanged = false): this {
    return this.like(undefined, bytes, { ...this.kind.check(bytes), pointsChanged })
  }

  /** The number of data points, log records or spans. */
  get itemCount(): number {
    return (this.#itemCount ??= this.#count())
  }

  #count(): number {
    const { kind } = this
    let count = 0
    for (const { scopes } of this.resources) {
      for (const { items } of scopes) for (const item of items) count += kind.countOf(item)
    }
    return count
  }

  /** The protobuf request of OTLP. The bytes that a batch was made from come back as they were. */
  toOtlp(): Uint8Array {
    return (this.#bytes ??= this.kind.encode(this.resources))
  }

  /** Whether `toOtlp` has nothing left to do. */
  get isWritten(): boolean {
    return this.#bytes !== undefined
  }

  /** Takes over the bytes of a batch that holds the same. */
  writtenAs(same: Batch): void {
    this.#bytes ??= same.toOtlp()
  }

  /** The same data without the requests of which it uses less than half, which must not live on while it waits in a queue. */
  compacted(): this {
    if (this.#isItsBytes) return this
    const resources = compactedResources(this.kind, this.resources)
    if (resources !== undefined) return this.withResources(resources, this.#itemCount)
    return this.withBytes(Uint8Array.from(this.toOtlp()))
  }

  /** Whether `compacted` needs what `toOtlp` returns. */
  get mustBeWritten(): boolean {
    return !this.#isItsBytes && compactedResources(this.kind, this.resources) === undefined
  }

  /** A batch that is its bytes uses all of them. */
  get #isItsBytes(): boolean {
    return this.#resources === undefined || this.#source !== undefined
  }

  everyItem(test: (item: I) => boolean): boolean {
    return this.resources.every(({ scopes }) => scopes.every(({ items }) => items.every(test)))
  }

  /** Changes the entries together, unless they are bytes that nobody has looked into. */
  mapMade(change: (entries: readonly R[]) => readonly R[]): this {
    return this.#resources === undefined ? this : this.withResources(change(this.#resources))
  }

  mapResources(change: (resource: Resource) => Resource): this {
    return this.withResources(
      mapShared(this.resources, (entry) => entry.withResource(change(entry.resource))),
      this.#itemCount,
    )
  }

  /** Changes the items of each scope together. Scopes and resources that this leaves without an item go with them. */
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
   * @param method the name under which it is called, for the error when `change` returns nothing
   * @param isAsMany whether a changed item certainly counts as many as it did
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

  /** Keeps the items that `keep` accepts; scopes and resources left without an item go with them. */
  protected filterItems(keep: (item: I, resource: Resource, scope: Scope) => boolean): this {
    return this.mapScopes((owner, { resource }) =>
      owner.withItems(filterShared(owner.items, (item) => keep(item, resource, owner.scope))),
    )
  }
}

/** JavaScript may forget to return anything. What else is wrong is found where the batch is handed over. */
function mustReturn(method: string, what: string, changed: unknown): void {
  if (changed !== undefined && changed !== null) return
  const given = changed === null ? 'null' : 'nothing'
  throw new TypeError(`the function given to \`${method}\` must return a ${what}, not ${given}`)
}
