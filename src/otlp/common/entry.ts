import { LazyMessage } from '../wire/lazy_message.ts'
import { Resource, Scope } from './resource.ts'

export interface ScopeEntryFields {
  readonly scope?: Scope
  readonly schemaUrl?: string
  readonly unknown?: Uint8Array
}

/** The items of one scope: metrics, log records or spans. Immutable. */
export abstract class ScopeEntry<
  Item = unknown,
  Fields extends ScopeEntryFields = ScopeEntryFields,
> extends LazyMessage<Fields> {
  /** Its items, by the field name that all signals share. */
  abstract readonly items: readonly Item[]

  get scope(): Scope {
    return this.fields.scope ?? Scope.empty
  }

  get schemaUrl(): string {
    return this.fields.schemaUrl ?? ''
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  withScope(scope: Scope): this {
    return scope === this.scope ? this : this.like({ ...this.fields, scope })
  }

  abstract withItems(items: readonly Item[]): this

  /** One of the same class. */
  protected abstract like(fields: Fields): this
}

export interface ResourceEntryFields<S extends ScopeEntry> {
  readonly resource?: Resource
  readonly scopes?: readonly S[]
  readonly schemaUrl?: string
  readonly unknown?: Uint8Array
}

/** The data of one resource, by scope. Immutable. */
export abstract class ResourceEntry<S extends ScopeEntry = ScopeEntry> extends LazyMessage<ResourceEntryFields<S>> {
  get resource(): Resource {
    return this.fields.resource ?? Resource.empty
  }

  get scopes(): readonly S[] {
    return this.fields.scopes ?? []
  }

  get schemaUrl(): string {
    return this.fields.schemaUrl ?? ''
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  withResource(resource: Resource): this {
    return resource === this.resource ? this : this.like({ ...this.fields, resource })
  }

  withScopes(scopes: readonly S[]): this {
    return scopes === this.scopes ? this : this.like({ ...this.fields, scopes })
  }

  /** One of the same class. */
  protected abstract like(fields: ResourceEntryFields<S>): this
}
