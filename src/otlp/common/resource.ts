import { Attributed } from './attributed.ts'
import type { AttributedFields } from './attributed.ts'

export interface ResourceFields extends AttributedFields {
  readonly droppedAttributesCount?: number
}

/** What the telemetry is about: a host, a container, a service. Immutable. */
export class Resource extends Attributed<ResourceFields> {
  /** Stands for a resource that was not given, and is not written. */
  static readonly empty = new Resource({})

  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  override with(fields: Partial<ResourceFields>): this {
    return new Resource({ ...this.fields, ...fields }) as this
  }
}

/** A change to resources that is computed once for each resource that occurs again. */
export function perResource(change: (resource: Resource) => Resource): (resource: Resource) => Resource {
  const changes = new WeakMap<Resource, Resource>()
  return (resource) => {
    const before = changes.get(resource)
    if (before !== undefined) return before
    const changed = change(resource)
    changes.set(resource, changed)
    return changed
  }
}

export interface ScopeFields extends AttributedFields {
  readonly name?: string
  readonly version?: string
  readonly droppedAttributesCount?: number
}

/** The instrumentation that made the telemetry. Immutable. */
export class Scope extends Attributed<ScopeFields> {
  /** Stands for a scope that was not given, and is not written. */
  static readonly empty = new Scope({})

  get name(): string {
    return this.fields.name ?? ''
  }

  get version(): string {
    return this.fields.version ?? ''
  }

  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  override with(fields: Partial<ScopeFields>): this {
    return new Scope({ ...this.fields, ...fields }) as this
  }
}

/**
 * A text that two scopes share exactly if they are the same by name, version, schema URL and attributes, in any order.
 * Source: OpenTelemetry specification, metrics/data-model.md, "the instrumentation scope".
 */
export function scopeIdentity({ name, version, attributes }: Scope, schemaUrl: string): string {
  return [name, version, schemaUrl].map((part) => `${part.length}:${part}`).join('') + attributes.identity
}
