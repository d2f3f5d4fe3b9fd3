import type { Reader, Writer } from 'protobufjs/minimal.js'
import { BackwardsWriter } from '../wire/backwards_writer.ts'
import {
  LENGTH_DELIMITED,
  messageEnd,
  readFields,
  VARINT,
  view,
  writeMessage,
  writeString,
  writeUint32,
  writeUnknown,
} from '../wire/fields.ts'
import { Interned } from '../wire/interned.ts'
import { Encoded, readerAt } from '../wire/lazy_message.ts'
import type { Source } from '../wire/lazy_message.ts'
import { Attributes } from './attributes.ts'
import type { KeyValue } from './attributes.ts'
import { readKeyValue, writeKeyValue } from './attributes_codec.ts'
import type { ResourceEntry, ResourceEntryFields, ScopeEntry, ScopeEntryFields } from './entry.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { Resource, Scope } from './resource.ts'
import type { ResourceFields, ScopeFields } from './resource.ts'

/*
 * The protobuf form of what all signals share: requests down to their items, read and written field by field with
 * protobufjs's Reader and Writer. Field numbers are those of opentelemetry-proto 1.x, the same in
 * collector/{metrics,logs,trace}/v1/*_service.proto, {metrics,logs,trace}/v1/*.proto; and those of common/v1/common.proto and
 * resource/v1/resource.proto. Unknown fields of the larger messages are kept as they came.
 */

const resourcesBefore = new Interned(
  (source, start, end) => new Resource(new Encoded(source, start, end, readResource)),
)
const scopesBefore = new Interned((source, start, end) => new Scope(new Encoded(source, start, end, readScope)))

/** Reads and writes the requests of one signal. */
export interface Codec<R extends ResourceEntry> {
  /** Reads a request that has been checked. The messages in it are views that are read when somebody looks inside. */
  decode(source: Source): readonly R[]
  encode(resources: readonly R[]): Uint8Array
}

export function codecOf<I extends Item, S extends ScopeEntry<I>, R extends ResourceEntry<S>>(
  kind: ItemKind<I, S, R>,
): Codec<R> {
  function decode(source: Source): readonly R[] {
    const resources: R[] = []
    const reader = readerAt(source.bytes, 0)
    readFields(reader, reader.len, (field, wire) => {
      // repeated ResourceMetrics resource_metrics = 1; or ResourceLogs, ResourceSpans
      if (field !== 1 || wire !== LENGTH_DELIMITED) return false
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

  function readResourceEntry(source: Source, start: number, end: number): ResourceEntryFields<S> {
    const reader = readerAt(source.bytes, start)
    let resource: Resource | undefined
    const scopes: S[] = []
    let schemaUrl = ''
    const unknown = readFields(reader, end, (field, wire) => {
      if (wire !== LENGTH_DELIMITED) return false
      switch (field) {
        case 1: // Resource resource = 1;
          resource = repeated(reader, source, resourcesBefore)
          return true
        case 2: // repeated ScopeMetrics scope_metrics = 2; or ScopeLogs, ScopeSpans
          scopes.push(kind.scopeEntry(view(reader, source, readScopeEntry)))
          return true
        case 3: // string schema_url = 3;
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
      writer.text(3, entry.schemaUrl)
      const { scopes } = entry
      for (let index = scopes.length - 1; index >= 0; index--) writeScopeEntry(writer, scopes[index])
      if (entry.resource !== Resource.empty) writer.repeated(1, entry.resource, writeResource)
    } else writer.copyOf(entry.encoded)
    writer.head(1, writer.length - length)
  }

  function readScopeEntry(source: Source, start: number, end: number): ScopeEntryFields {
    const reader = readerAt(source.bytes, start)
    let scope: Scope | undefined
    const items: I[] = []
    let schemaUrl = ''
    const unknown = readFields(reader, end, (field, wire) => {
      if (wire !== LENGTH_DELIMITED) return false
      switch (field) {
        case 1: // InstrumentationScope scope = 1;
          scope = repeated(reader, source, scopesBefore)
          return true
        case 2: // repeated Metric metrics = 2; or LogRecord, Span
          items.push(kind.read(reader, source))
          return true
        case 3: // string schema_url = 3;
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
      writer.text(3, entry.schemaUrl)
      const { items } = entry
      for (let index = items.length - 1; index >= 0; index--) kind.write(writer, items[index])
      if (entry.scope !== Scope.empty) writer.repeated(1, entry.scope, writeScope)
    } else writer.copyOf(entry.encoded)
    writer.head(2, writer.length - length)
  }

  return { decode, encode }
}

/** About as many bytes as the resources take. */
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

/** Bytes of a tag and a length, and of a resource or a scope with those around it. */
const HEAD = 8
const OWNER = 128

/** Joins encoded requests: a protobuf message with repeated fields only is the concatenation of its parts. */
export function mergeEncoded(requests: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(requests)
}

/** The message at the reader's position, the same as before where one of its bytes came before. */
function repeated<Kind>(reader: Reader, source: Source, before: Interned<Kind>): Kind {
  const end = messageEnd(reader)
  const message = before.of(source, reader.pos, end)
  reader.pos = end
  return message
}

function readResource(source: Source, start: number, end: number): ResourceFields {
  const reader = readerAt(source.bytes, start)
  const attributes: KeyValue[] = []
  let droppedAttributesCount = 0
  const unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 1;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 2 && wire === VARINT) {
      // uint32 dropped_attributes_count = 2;
      droppedAttributesCount = reader.uint32()
    } else return false
    return true
  })
  return { attributes: Attributes.from(attributes), droppedAttributesCount, unknown }
}

function writeResource(writer: Writer, resource: Resource): void {
  for (const attribute of resource.attributes) writeMessage(writer, 1, attribute, writeKeyValue)
  writeUint32(writer, 2, resource.droppedAttributesCount)
  writeUnknown(writer, resource.unknown)
}

function readScope(source: Source, start: number, end: number): ScopeFields {
  const reader = readerAt(source.bytes, start)
  let name = ''
  let version = ''
  let droppedAttributesCount = 0
  const attributes: KeyValue[] = []
  const unknown = readFields(reader, end, (field, wire) => {
    if (field === 1 && wire === LENGTH_DELIMITED) {
      // string name = 1;
      name = reader.string()
    } else if (field === 2 && wire === LENGTH_DELIMITED) {
      // string version = 2;
      version = reader.string()
    } else if (field === 3 && wire === LENGTH_DELIMITED) {
      // repeated KeyValue attributes = 3;
      attributes.push(readKeyValue(reader, messageEnd(reader)))
    } else if (field === 4 && wire === VARINT) {
      // uint32 dropped_attributes_count = 4;
      droppedAttributesCount = reader.uint32()
    } else return false
    return true
  })
  return { name, version, attributes: Attributes.from(attributes), droppedAttributesCount, unknown }
}

function writeScope(writer: Writer, scope: Scope): void {
  writeString(writer, 1, scope.name)
  writeString(writer, 2, scope.version)
  for (const attribute of scope.attributes) writeMessage(writer, 3, attribute, writeKeyValue)
  writeUint32(writer, 4, scope.droppedAttributesCount)
  writeUnknown(writer, scope.unknown)
}
