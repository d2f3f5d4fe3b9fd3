import { LazyMessage } from '../wire/lazy_message.ts'
import type { MessageFields } from '../wire/lazy_message.ts'
import { Resource, Scope } from './resource.ts'

interface EntryFields extends MessageFields {
  readonly schemaUrl?: string
}

abstract class Entry<Fields extends EntryFields> extends LazyMessage<Fields> {
  get schemaUrl(): string {
    return this.fields.schemaUrl ?? ''
  }

  /** One of the same class. */
  protected like(fields: Fields): this {
    return new (this.constructor as new (fields: Fields) => this)(fields)
  }
}

export interface ScopeEntryFields extends EntryFields {
  readonly scope?: Scope
}

/** The items of one scope: metrics, log records or spans. Immutable. */
export abstract class ScopeEntry<
  Item = unknown,
  Fields extends ScopeEntryFields = ScopeEntryFields,
> extends Entry<Fields> {
  /** Its items, by the name that they have for every signal. */
  abstract readonly items: readonly Item[]

  get scope(): Scope {
    return this.fields.scope ?? Scope.empty
  }

  withScope(scope: Scope): this {
    return scope === this.scope ? this : this.like({ ...this.fields, scope })
  }

  abstract withItems(items: readonly Item[]): this
}

export interface ResourceEntryFields<S extends ScopeEntry> extends EntryFields {
  readonly resource?: Resource
  readonly scopes?: readonly S[]
}

/** What one resource has sent, by scope. Immutable. */
export abstract class ResourceEntry<S extends ScopeEntry = ScopeEntry> extends Entry<ResourceEntryFields<S>> {
  get resource(): Resource {
    return this.fields.resource ?? Resource.empty
  }

  get scopes(): readonly S[] {
    return this.fields.scopes ?? []
  }

  withResource(resource: Resource): this {
    return resource === this.resource ? this : this.like({ ...this.fields, resource })
  }

  withScopes(scopes: readonly S[]): this {
    return scopes === this.scopes ? this : this.like({ ...this.fields, scopes })
  }
}
