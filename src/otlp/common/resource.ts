import { Attributes } from './attributes.ts'
import { LazyMessage } from '../wire/lazy_message.ts'

export interface ResourceFields {
  readonly attributes?: Attributes
  readonly droppedAttributesCount?: number
  /** Fields that this version does not know, as they came. */
  readonly unknown?: Uint8Array
}

/** The subject of the telemetry: a host, a container, a service. Immutable. */
export class Resource extends LazyMessage<ResourceFields> {
  /** Stands for an absent resource, which is not written. */
  static readonly empty = new Resource({})

  get attributes(): Attributes {
    return this.fields.attributes ?? Attributes.empty
  }

  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  withAttributes(attributes: Attributes): Resource {
    return attributes === this.attributes ? this : new Resource({ ...this.fields, attributes })
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

export interface ScopeFields {
  readonly name?: string
  readonly version?: string
  readonly attributes?: Attributes
  readonly droppedAttributesCount?: number
  readonly unknown?: Uint8Array
}

/** The instrumentation that made the telemetry. Immutable. */
export class Scope extends LazyMessage<ScopeFields> {
  /** Stands for an absent scope, which is not written. */
  static readonly empty = new Scope({})

  get name(): string {
    return this.fields.name ?? ''
  }

  get version(): string {
    return this.fields.version ?? ''
  }

  get attributes(): Attributes {
    return this.fields.attributes ?? Attributes.empty
  }

  get droppedAttributesCount(): number {
    return this.fields.droppedAttributesCount ?? 0
  }

  get unknown(): Uint8Array | undefined {
    return this.fields.unknown
  }

  withAttributes(attributes: Attributes): Scope {
    return attributes === this.attributes ? this : new Scope({ ...this.fields, attributes })
  }
}

/**
 * A text that two scopes share exactly if they are the same by name, version, schema URL and attributes, in any order.
 * Source: OpenTelemetry specification, metrics/data-model.md, "the instrumentation scope".
 */
export function scopeIdentity({ name, version, attributes }: Scope, schemaUrl: string): string {
  return [name, version, schemaUrl].map((part) => `${part.length}:${part}`).join('') + attributes.identity
}
