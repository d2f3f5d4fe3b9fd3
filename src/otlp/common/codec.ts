import type { Reader } from 'protobufjs/minimal.js'
import { BackwardsWriter } from '../wire/backwards_writer.ts'
import { schema, tags } from '../schema.ts'
import { messageEnd, readFields, view } from '../wire/fields.ts'
import { Interned } from '../wire/interned.ts'
import { Encoded, readerAt } from '../wire/lazy_message.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { MessageCodec } from '../wire/message_codec.ts'
import { attributes } from './attributes_codec.ts'
import type { ResourceEntry, ResourceEntryFields, ScopeEntry, ScopeEntryFields } from './entry.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { Resource, Scope } from './resource.ts'
import type { ResourceFields, ScopeFields } from './resource.ts'

/* The protobuf form that all signals share: requests down to their items, with the scopes and resources around them. */

// The same for all signals: messages of the schema under other names.
const RESOURCES = tags.ExportMetricsServiceRequest.resourceMetrics
const inResource = tags.ResourceMetrics
const inScope = tags.ScopeMetrics

const resourceCodec = new MessageCodec<ResourceFields>(schema.Resource, { attributes })
const scopeCodec = new MessageCodec<ScopeFields>(schema.InstrumentationScope, { attributes })

const resourcesBefore = new Interned(
  (source, start, end) => new Resource(new Encoded(source, start, end, resourceCodec.read)),
)
const scopesBefore = new Interned((source, start, end) => new Scope(new Encoded(source, start, end, scopeCodec.read)))

/** Reads and writes the requests of one signal. */
export interface Codec<R extends ResourceEntry> {
  /** Reads a checked request. The messages in it are views that are read on first access. */
  decode(source: EncodedRequest): readonly R[]
  encode(resources: readonly R[]): Uint8Array
}

export function codecOf<I extends Item, S extends ScopeEntry<I>, R extends ResourceEntry<S>>(
  kind: ItemKind<I, S, R>,
): Codec<R> {
  function decode(source: EncodedRequest): readonly R[] {
    const resources: R[] = []
    const reader = readerAt(source.bytes, 0)
    readFields(reader, reader.len, (tag) => {
      if (tag !== RESOURCES) return false
      resources.push(kind.resourceEntry(view(reader, source, readResourceEntry)))
      return true
    })
    return resources
  }

  function encode(resources: readonly R[]): Uint8Array {
    const writer = new BackwardsWriter(expectedSize(resources))
    for (let index = resources.length - 1; index >= 0; index--) writeResourceEntry(writer, resources[index])
    return writer.finish()
  }

  function readResourceEntry(source: EncodedRequest, start: number, end: number): ResourceEntryFields<S> {
    const reader = readerAt(source.bytes, start)
    let resource: Resource | undefined
    const scopes: S[] = []
    let schemaUrl = ''
    const unknown = readFields(reader, end, (tag) => {
      switch (tag) {
        case inResource.resource:
          resource = repeated(reader, source, resourcesBefore)
          return true
        case inResource.scopeMetrics:
          scopes.push(kind.scopeEntry(view(reader, source, readScopeEntry)))
          return true
        case inResource.schemaUrl:
          schemaUrl = reader.string()
          return true
        default:
          return false
      }
    })
    return { resource, scopes, schemaUrl, unknown }
  }

  /** repeated ResourceMetrics resource_metrics = 1; of the request. */
  function writeResourceEntry(writer: BackwardsWriter, entry: R): void {
    const { length } = writer
    if (entry.encoded === undefined) {
      if (entry.unknown !== undefined) writer.copy(entry.unknown)
      writer.text(inResource.schemaUrl, entry.schemaUrl)
      const { scopes } = entry
      for (let index = scopes.length - 1; index >= 0; index--) writeScopeEntry(writer, scopes[index])
      if (entry.resource !== Resource.empty)
        writer.repeated(inResource.resource, entry.resource, resourceCodec.writeMade)
    } else writer.copyOf(entry.encoded)
    writer.head(RESOURCES, writer.length - length)
  }

  function readScopeEntry(source: EncodedRequest, start: number, end: number): ScopeEntryFields {
    const reader = readerAt(source.bytes, start)
    let scope: Scope | undefined
    const items: I[] = []
    let schemaUrl = ''
    const unknown = readFields(reader, end, (tag) => {
      switch (tag) {
        case inScope.scope:
          scope = repeated(reader, source, scopesBefore)
          return true
        case inScope.metrics:
          items.push(kind.read(reader, source))
          return true
        case inScope.schemaUrl:
          schemaUrl = reader.string()
          return true
        default:
          return false
      }
    })
    return kind.scopeFields(scope, items, schemaUrl, unknown)
  }

  /** repeated ScopeMetrics scope_metrics = 2; of ResourceMetrics. */
  function writeScopeEntry(writer: BackwardsWriter, entry: S): void {
    const { length } = writer
    if (entry.encoded === undefined) {
      if (entry.unknown !== undefined) writer.copy(entry.unknown)
      writer.text(inScope.schemaUrl, entry.schemaUrl)
      const { items } = entry
      for (let index = items.length - 1; index >= 0; index--) kind.write(writer, items[index])
      if (entry.scope !== Scope.empty) writer.repeated(inScope.scope, entry.scope, scopeCodec.writeMade)
    } else writer.copyOf(entry.encoded)
    writer.head(inResource.scopeMetrics, writer.length - length)
  }

  return { decode, encode }
}

/** The approximate number of bytes of the resources. */
function expectedSize(resources: readonly ResourceEntry<ScopeEntry<Item>>[]): number {
  let size = 0
  for (const entry of resources) {
    size += OWNER + entry.expectedSize
    if (entry.encoded !== undefined) continue
    for (const scope of entry.scopes) {
      size += OWNER + scope.expectedSize
      if (scope.encoded !== undefined) continue
      for (const item of scope.items) size += HEAD + item.expectedSize
    }
  }
  return size
}

/** Bytes of a tag and a length, and those of a resource or a scope with the messages around it. */
const HEAD = 8
const OWNER = 128

/** Joins encoded requests: a protobuf message that has only repeated fields is the concatenation of its parts. */
export function mergeEncoded(requests: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(requests)
}

/** The message at the reader's position; if the same bytes occurred before, the same object. */
function repeated<Kind>(reader: Reader, source: EncodedRequest, before: Interned<Kind>): Kind {
  const end = messageEnd(reader)
  const message = before.of(source, reader.pos, end)
  reader.pos = end
  return message
}
