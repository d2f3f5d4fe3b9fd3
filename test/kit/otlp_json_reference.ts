import { Enum, Type } from 'protobufjs'
import type { Field } from 'protobufjs'
import { ExportMetricsServiceRequest } from './otlp_proto.ts'

/*
 * The independent reference for OTLP/JSON: `JSON.parse`, then proto3's JSON mapping over the published definitions. Sources:
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding, https://protobuf.dev/programming-guides/json/.
 */

/** A text whose meaning the mapping leaves open: two members of a `oneof`, or one key in both spellings. */
export class Ambiguous extends Error {}

/** The protobuf of a message in JSON, by default an `ExportMetricsServiceRequest`. Throws when the text is none. */
export function jsonToProtobuf(json: string, type: Type = ExportMetricsServiceRequest): Uint8Array {
  JSON.parse(json)
  // Numbers that JSON.parse would round.
  const exact = json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/gs, (token) =>
    /^-?\d{16,}$/.test(token) ? `{"long":"${token}"}` : token,
  )
  const request = toMessage(JSON.parse(exact) as unknown, type)
  return type.encode(type.fromObject(request)).finish()
}

/** Whether a key stands twice in an object: then the text has more keys than what it means. */
export function repeatsKeys(json: string): boolean {
  const written = [...json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/gs)].filter(([, colon]) => colon !== undefined)
  return written.length !== countKeys(JSON.parse(json))
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const inside = Object.values(value).reduce<number>((count, item) => count + countKeys(item), 0)
  return Array.isArray(value) ? inside : inside + Object.keys(value).length
}

function toMessage(value: unknown, type: Type): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'long' in value) {
    throw new Error(`${type.name} must be an object`)
  }
  const message: Record<string, unknown> = {}
  const given = new Set<string>()
  for (const [key, item] of Object.entries(value)) {
    const field = type.fieldsArray.find(({ name }) => key === name || key === protoName(name))
    if (field === undefined || item === null) continue
    const slot = field.partOf && !field.options?.proto3_optional ? field.partOf.name : field.name
    if (given.has(slot)) throw new Ambiguous(slot)
    given.add(slot)
    message[field.name] = field.repeated ? toList(item, field) : toValue(item, field)
  }
  return message
}

const protoName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

function toList(value: unknown, field: Field): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${field.name} must be a list`)
  return value.map((item) => toValue(item, field))
}

function toValue(value: unknown, field: Field): unknown {
  const type = field.resolve().resolvedType
  if (type instanceof Type) return toMessage(value, type)
  if (type instanceof Enum) return typeof value === 'string' ? toEnum(value, type) : Number(toInteger(value, -31n, 31n))
  switch (field.type) {
    case 'string':
      // What is not Unicode becomes U+FFFD.
      return Buffer.from(toText(value)).toString()
    case 'bool':
      if (typeof value !== 'boolean') throw new Error('must be true or false')
      return value
    case 'bytes':
      return toBytes(toText(value), field.name.endsWith('Id'))
    case 'double':
      return toDouble(value)
    case 'uint32':
    case 'fixed32':
      return toInteger(value, 0n, 32n)
    case 'sint32':
      return toInteger(value, -31n, 31n)
    case 'fixed64':
    case 'uint64':
      return toInteger(value, 0n, 64n)
    case 'sfixed64':
    case 'int64':
      return toInteger(value, -63n, 63n)
    default:
      throw new TypeError(field.type)
  }
}

function toText(value: unknown): string {
  if (typeof value !== 'string') throw new Error('must be a text')
  return value
}

function toEnum(value: string, { values }: Enum): number {
  if (!Object.hasOwn(values, value)) throw new Error('must be a name of the enum')
  return values[value]
}

function toBytes(value: string, hex: boolean): Buffer {
  const pattern = hex ? /^([0-9a-f][0-9a-f])*$/i : /^[A-Za-z0-9_+/-]*={0,2}$/
  if (!pattern.test(value)) throw new Error('must be hex or base64')
  return Buffer.from(value, hex ? 'hex' : 'base64')
}

/** The digits of a number, as text or bare. */
function numberText(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value === 'object' && value !== null && 'long' in value) return value.long as string
  return toText(value)
}

function toDouble(value: unknown): number {
  const text = numberText(value)
  if (text === 'NaN' || text === 'Infinity' || text === '-Infinity') return Number(text)
  const number = /^-?[0-9][0-9.eE+-]*$/.test(text) ? Number(text) : NaN
  if (Number.isNaN(number)) throw new Error('must be a number')
  return number
}

/** A whole number from -(2^-low), or 0, to 2^high - 1, as text. */
function toInteger(value: unknown, low: bigint, high: bigint): string {
  const number = toDouble(value)
  const text = numberText(value)
  if (!Number.isInteger(number)) throw new Error('must be a whole number')
  const integer = BigInt(/^-?\d+$/.test(text) ? text : number)
  if (integer >= 2n ** high || integer < (low === 0n ? 0n : -(2n ** -low))) throw new Error('is out of range')
  return String(integer)
}
