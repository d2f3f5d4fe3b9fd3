import { Encoded, viewOf } from '../wire/lazy_message.ts'

/** A value as OTLP holds it: exactly one kind, so that an int stays an int. Source: `opentelemetry/proto/common/v1/common.proto`. */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: number | bigint }
  | { readonly doubleValue: number }
  | { readonly arrayValue: readonly AnyValue[] }
  | { readonly kvlistValue: readonly KeyValue[] }
  | { readonly bytesValue: Uint8Array }
  | { readonly [kind: string]: never }

export interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

/** A value in plain JavaScript. Whole numbers become OTLP ints; every value read from OTLP fits. */
export type AttributeValue =
  | string
  | boolean
  | number
  | bigint
  | Uint8Array
  | undefined
  | readonly AttributeValue[]
  | { readonly [key: string]: AttributeValue }

/** An immutable, ordered list of attributes. Keys are unique in well-formed data; if a key is repeated, the first one counts. */
export class Attributes implements Iterable<KeyValue> {
  static readonly empty = new Attributes([])

  /** The bytes that they were made from, if any. */
  readonly encoded: Encoded<readonly KeyValue[]> | undefined
  private read: readonly KeyValue[] | undefined
  private knownIdentity: string | undefined

  private constructor(source: readonly KeyValue[] | Encoded<readonly KeyValue[]>) {
    const encoded = source instanceof Encoded
    this.encoded = encoded ? source : undefined
    this.read = encoded ? undefined : source
    this.knownIdentity = undefined
  }

  private get entries(): readonly KeyValue[] {
    return (this.read ??= (this.encoded as Encoded<readonly KeyValue[]>).decode())
  }

  static of(values: Readonly<Record<string, AttributeValue>>): Attributes {
    return Attributes.from(Object.entries(values).map(([key, value]) => ({ key, value: toAnyValue(value, key) })))
  }

  static from(entries: readonly KeyValue[]): Attributes {
    return entries.length === 0 ? Attributes.empty : new Attributes(entries)
  }

  /** Attributes that are read on first access. */
  static fromWire(encoded: Encoded<readonly KeyValue[]>): Attributes {
    return new Attributes(encoded)
  }

  get size(): number {
    return this.entries.length
  }

  [Symbol.iterator](): Iterator<KeyValue> {
    return this.entries[Symbol.iterator]()
  }

  has(key: string): boolean {
    return this.entries.some((entry) => entry.key === key)
  }

  get(key: string): AttributeValue {
    const found = this.entries.find((entry) => entry.key === key)
    return found === undefined ? undefined : fromAnyValue(found.value)
  }

  /** The value as people read it, or `undefined` if there is none. */
  text(key: string): string | undefined {
    const found = this.entries.find((entry) => entry.key === key)
    return found === undefined ? undefined : anyValueText(found.value)
  }

  keys(): string[] {
    return this.entries.map((entry) => entry.key)
  }

  /** Sets the given attributes: existing keys are replaced in place, new ones appended. Returns the same object if nothing changes. */
  with(values: Readonly<Record<string, AttributeValue>>): Attributes {
    let entries: KeyValue[] | undefined
    for (const key of Object.keys(values)) {
      const value = toAnyValue(values[key], key)
      const index = this.entries.findIndex((entry) => entry.key === key)
      if (index >= 0 && anyValueEqual(value, this.entries[index].value)) continue
      entries ??= this.entries.slice()
      if (index < 0) entries.push({ key, value })
      else entries[index] = { key, value }
    }
    return entries === undefined ? this : new Attributes(entries)
  }

  /** Without the given keys. Returns the same object if none is there. */
  without(keys: { has(key: string): boolean }): Attributes {
    const kept = this.entries.filter((entry) => !keys.has(entry.key))
    return kept.length === this.entries.length ? this : Attributes.from(kept)
  }

  /** A text that two sets of attributes share exactly if they hold the same keys and values, in any order. */
  get identity(): string {
    return (this.knownIdentity ??= identityOf(this.entries))
  }

  /**
   * A text that only equal sets of attributes share. Equal sets in another order or encoding may have several, so it
   * serves to find data again that comes in the same form, which costs far less than `identity`.
   */
  get bytesIdentity(): string {
    if (this.encoded === undefined) return this.identity
    const { source, start, end } = this.encoded
    return source.bytes.toString('latin1', start, end)
  }

  /** The bytes whose text is `bytesIdentity`, or equivalent ones. */
  get identityBytes(): { readonly view: DataView; readonly start: number; readonly end: number } {
    if (this.encoded !== undefined) {
      const { source, start, end } = this.encoded
      return { view: source.view, start, end }
    }
    const bytes = Buffer.from(this.identity)
    return { view: viewOf(bytes), start: 0, end: bytes.length }
  }

  /** Every attribute as plain JavaScript. */
  toObject(): Record<string, AttributeValue> {
    const object: Record<string, AttributeValue> = Object.create(null) as Record<string, AttributeValue>
    for (const { key, value } of this.entries) if (!(key in object)) object[key] = fromAnyValue(value)
    return object
  }
}

/**
 * Levels of messages that lists and maps of a value may nest: with the messages around the value, `checkMetrics`
 * accepts no more. A list takes two, a map three.
 */
const MAX_NESTED = 92

export const NESTED_TOO_DEEP = 'contains itself, or nests lists and maps deeper than OTLP allows'

/** Whether lists and maps nest deeper than a request may, as in a value that contains itself. */
export function isNestedTooDeep(value: AnyValue, left = MAX_NESTED): boolean {
  if (left < 0) return true
  if ('arrayValue' in value) return value.arrayValue.some((item) => isNestedTooDeep(item, left - 2))
  return 'kvlistValue' in value && value.kvlistValue.some((entry) => isNestedTooDeep(entry.value, left - 3))
}

/**
 * The value in the form of OTLP.
 * @param key the attribute's key, for the error; a value without a key is the body of a log record
 * @param left as in `isNestedTooDeep`
 */
export function toAnyValue(value: AttributeValue, key?: string, left = MAX_NESTED): AnyValue {
  if (left < 0) throw new TypeError(`${nameOf(key)} ${NESTED_TOO_DEEP}`)
  switch (typeof value) {
    case 'string':
      return { stringValue: value }
    case 'boolean':
      return { boolValue: value }
    case 'bigint':
      return { intValue: value }
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? { intValue: value } : { doubleValue: value }
    case 'undefined':
      return {}
    default:
      if (value instanceof Uint8Array) return { bytesValue: value }
      if (isArray(value)) return { arrayValue: value.map((item) => toAnyValue(item, key, left - 2)) }
      // JavaScript can pass values that TypeScript refuses, such as a date, which would be lost.
      if (Object.prototype.toString.call(value) === '[object Object]') {
        return {
          kvlistValue: Object.entries(value).map(([name, item]) => ({
            key: name,
            value: toAnyValue(item, key, left - 3),
          })),
        }
      }
      throw new TypeError(
        `${nameOf(key)} must be a text, a boolean, a number, bytes, a list or a plain object, not ${Object.prototype.toString.call(value).slice(8, -1)}`,
      )
  }
}

function nameOf(key: string | undefined): string {
  return key === undefined ? 'the body' : `the attribute ${JSON.stringify(key)}`
}

/** The value in plain JavaScript. */
export function fromAnyValue(value: AnyValue): AttributeValue {
  if ('stringValue' in value) return value.stringValue
  if ('boolValue' in value) return value.boolValue
  if ('intValue' in value) return value.intValue
  if ('doubleValue' in value) return value.doubleValue
  if ('bytesValue' in value) return value.bytesValue
  if ('arrayValue' in value) return value.arrayValue.map(fromAnyValue)
  if ('kvlistValue' in value) {
    return Object.fromEntries(value.kvlistValue.map((entry) => [entry.key, fromAnyValue(entry.value)]))
  }
  return undefined
}

/** The text of a value: scalars as they read, bytes as base64, arrays and maps as JSON, an empty value as ''. */
export function anyValueText(value: AnyValue): string {
  if ('stringValue' in value) return value.stringValue
  const plain = fromAnyValue(value)
  if (plain === undefined) return ''
  if (plain instanceof Uint8Array) return Buffer.from(plain).toString('base64')
  if (typeof plain === 'object') return JSON.stringify(plain, jsonReplacer)
  return String(plain)
}

function jsonReplacer(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}

function identityOf(entries: readonly KeyValue[]): string {
  // Sorting is stable, so the first value of a repeated key stays first. Lengths distinguish "a" + "bc" from "ab" + "c".
  const sorted = entries.toSorted((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0))
  let text = ''
  sorted.forEach(({ key, value }, index) => {
    if (index === 0 || sorted[index - 1].key !== key) text += `${key.length}:${key}${valueIdentity(value)}`
  })
  return text
}

function valueIdentity(value: AnyValue): string {
  if ('stringValue' in value) return `s${value.stringValue.length}:${value.stringValue}`
  if ('kvlistValue' in value) return `m${value.kvlistValue.length}:${identityOf(value.kvlistValue)};`
  if ('arrayValue' in value) return `a${value.arrayValue.length}:${value.arrayValue.map(valueIdentity).join('')}`
  const [kind = 'empty'] = Object.keys(value)
  const text = anyValueText(value)
  return `${kind.slice(0, 2)}${text.length}:${text}`
}

function anyValueEqual(left: AnyValue, right: AnyValue): boolean {
  if ('stringValue' in left && 'stringValue' in right) return left.stringValue === right.stringValue
  if ('intValue' in left && 'intValue' in right) return BigInt(left.intValue) === BigInt(right.intValue)
  if ('boolValue' in left && 'boolValue' in right) return left.boolValue === right.boolValue
  if ('doubleValue' in left && 'doubleValue' in right) return Object.is(left.doubleValue, right.doubleValue)
  return false
}

function isArray(value: object): value is readonly AttributeValue[] {
  return Array.isArray(value)
}
