import { protoName } from '../schema.ts'
import type { Field, MessageType } from '../schema.ts'
import { JsonPiece } from './text.ts'

/** A field of the schema, prepared for JSON. */
export interface JsonField extends Omit<Field, 'label' | 'message'> {
  /** The key with its colon, in ASCII. */
  readonly key: Uint8Array
  readonly repeated: boolean
  /** Whether it is a list of numbers that are packed into one field. */
  readonly packed: boolean
  readonly oneOf: boolean
  /** Whether it is present even with the value that proto3 omits: an item, a member of a `oneof`, or `optional`. */
  readonly explicit: boolean
  /** Whether it is omitted if it is absent or has the value that proto3 omits. */
  readonly leftOut: boolean
  /** The message that it holds, if any. */
  readonly inner: JsonMessage | undefined
}

/** Fields that are written even where proto3 omits them, as the OpenTelemetry SDKs do. */
const WRITTEN = new Set(
  `resourceMetrics resource scopeMetrics scope metrics dataPoints aggregationTemporality isMonotonic timeUnixNano count sum
  bucketCounts explicitBounds scale zeroCount offset quantileValues quantile value key values
  resourceLogs scopeLogs logRecords resourceSpans scopeSpans spans`.split(/\s+/),
)

const messages = new Map<MessageType, JsonMessage>()

/** The one form of a message in JSON. */
export function jsonMessage(type: MessageType): JsonMessage {
  return messages.get(type) ?? new JsonMessage(type)
}

/** A message of the schema, prepared for JSON. */
export class JsonMessage {
  readonly fields: readonly JsonField[]
  readonly byNumber: readonly (JsonField | undefined)[]
  /** The keys, quoted: in lower camel case, in the order in which encoders write them, then as in the `.proto`. */
  readonly keys: readonly JsonPiece[]
  /** The field of each key. */
  readonly keyFields: readonly JsonField[]
  readonly byKey: ReadonlyMap<string, JsonField>
  /** Bytes of the last length, because the next one will mostly take as many. */
  width = 1

  constructor(type: MessageType) {
    // Before its fields, which may hold messages of its own kind.
    messages.set(type, this)
    this.fields = type.fields.map(toJsonField)
    const byNumber: (JsonField | undefined)[] = []
    for (const field of this.fields) byNumber[field.number] = field
    this.byNumber = byNumber
    this.byKey = new Map([
      ...this.fields.map((field) => [field.name, field] as const),
      ...this.fields.map((field) => [protoName(field.name), field] as const),
    ])
    this.keys = Array.from(this.byKey.keys(), (name) => new JsonPiece(`"${name}"`))
    this.keyFields = [...this.byKey.values()]
  }
}

function toJsonField(field: Field): JsonField {
  const { name, number, label, type, names, message, tag, itemTag } = field
  // Written out, because V8 is slow to read an object that was made by a spread.
  const explicit = label !== 'singular'
  return {
    name,
    number,
    type,
    names,
    tag,
    itemTag,
    key: Buffer.from(`"${name}":`),
    repeated: label === 'repeated',
    packed: tag !== itemTag,
    oneOf: label === 'oneof',
    explicit,
    leftOut: label === 'optional' || label === 'oneof' || !WRITTEN.has(name),
    inner: message === undefined ? undefined : jsonMessage(message),
  }
}
