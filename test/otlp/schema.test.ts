import { expect, it } from '@jest/globals'
import { Enum, Type } from 'protobufjs'
import type { NamespaceBase } from 'protobufjs'
import { protoName, schema } from '../../src/otlp/schema.ts'
import { root } from '../kit/otlp_proto.ts'

const proto: Record<string, object> = {}
const collect = (namespace: NamespaceBase): void => {
  for (const nested of namespace.nestedArray) {
    if (nested instanceof Type) proto[nested.name] = fieldsOf(nested)
    if ('nestedArray' in nested) collect(nested)
  }
}

/** The fields of a message of the `.proto`, as the schema has them. */
function fieldsOf(type: Type): object {
  return type.fieldsArray.map((field) => {
    const { name, id, repeated, partOf, options } = field.resolve()
    const label = repeated ? 'repeated' : options?.proto3_optional ? 'optional' : partOf ? 'oneof' : 'singular'
    const { resolvedType } = field
    const names = resolvedType instanceof Enum ? Object.keys(resolvedType.values) : undefined
    const scalar = field.type === 'bytes' && /Id$/.test(name) ? 'id' : field.type
    const type = resolvedType instanceof Type ? resolvedType.name : names === undefined ? scalar : 'enum'
    return { name, number: id, label, type, names }
  })
}

it('has every message of the .proto with its fields in their order, and no other', () => {
  collect(root)
  const ours = Object.entries(schema).map(([key, { fields }]) => [
    key,
    fields.map(({ name, number, label, type, names, message }) => ({
      name,
      number,
      label,
      type: message?.name ?? type,
      names,
    })),
  ])
  expect(Object.fromEntries(ours)).toEqual(proto)
})

it('has the wire type of each field as encoders write it', () => {
  for (const type of Object.values(schema)) {
    const reference = root.lookupType(type.name)
    for (const { name, number, label, type: kind, tag, itemTag } of type.fields) {
      const value = kind === 'message' ? {} : kind === 'string' || kind === 'id' || kind === 'bytes' ? 'aaaa' : 1
      const bytes = reference.encode(reference.fromObject({ [name]: label === 'repeated' ? [value] : value })).finish()
      const written = bytes[0] > 127 ? (bytes[0] & 127) | (bytes[1] << 7) : bytes[0]
      expect([type.name, protoName(name), tag]).toEqual([type.name, protoName(name), written])
      expect(itemTag >> 3).toBe(number)
    }
  }
})
