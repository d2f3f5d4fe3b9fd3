import type { Reader, Writer } from 'protobufjs/minimal.js'
import type { Field, MessageType } from '../schema.ts'
import { messageEnd, readBigFixed64, readFixed64, readVarint64, toLong, writeMessage } from './fields.ts'
import { Encoded, readerAt } from './lazy_message.ts'
import type { EncodedRequest } from './lazy_message.ts'
import { readerOfRun, Run, writeRepeated } from './repeated.ts'

/*
 * Messages as objects, by the schema: a property for each field, under the name that the field has in JSON, and
 * `unknown` for fields that this version does not know. A codec is given the fields that its objects hold in another
 * form.
 */

type Values = Record<string, unknown>

/** A field, between bytes and the properties of an object. */
interface Member {
  /** Reads the content behind the tag. */
  read(into: Values, reader: Reader, source: EncodedRequest, tag: number): void
  /** Called after the last field of the message. */
  finish?(into: Values): void
  write(writer: Writer, values: Readonly<Values>): void
}

/** Makes the member for a field of the schema. */
export type MemberOf = (field: Field) => Member

/** The encoding of a value behind its tag. */
export interface Form<T> {
  read(reader: Reader, source: EncodedRequest): T
  write(writer: Writer, value: T): unknown
  /** Whether proto3 omits the value; by default, it omits the zero of its type. */
  isDefault?(value: T): boolean
}

function form<T>(read: (reader: Reader) => T, write: (writer: Writer, value: T) => unknown): Form<unknown> {
  return { read, write }
}

const bytes = form(
  (reader) => reader.bytes().slice(),
  (writer, value) => writer.bytes(value),
)

/** The scalars. 64-bit integers are numbers if those are exact, otherwise bigints. */
const forms: Readonly<Record<Exclude<Field['type'], 'message'>, Form<unknown>>> = {
  string: form(
    (reader) => reader.string(),
    (writer, value) => writer.string(value),
  ),
  bytes,
  id: bytes,
  bool: form(
    (reader) => reader.bool(),
    (writer, value) => writer.bool(value),
  ),
  uint32: form(
    (reader) => reader.uint32(),
    (writer, value) => writer.uint32(value),
  ),
  sint32: form(
    (reader) => reader.sint32(),
    (writer, value) => writer.sint32(value),
  ),
  enum: form(
    (reader) => reader.int32(),
    (writer, value) => writer.int32(value),
  ),
  int64: form(
    (reader) => readVarint64(reader, true),
    (writer, value) => writer.int64(toLong(value)),
  ),
  uint64: form(
    (reader) => readVarint64(reader, false),
    (writer, value) => writer.uint64(toLong(value)),
  ),
  fixed32: form(
    (reader) => reader.fixed32(),
    (writer, value) => writer.fixed32(value),
  ),
  fixed64: form(
    (reader) => readFixed64(reader),
    (writer, value) => writer.fixed64(toLong(value)),
  ),
  sfixed64: form(
    (reader) => readFixed64(reader, true),
    (writer, value) => writer.sfixed64(toLong(value)),
  ),
  double: form(
    (reader) => reader.double(),
    (writer, value) => writer.double(value),
  ),
}

/** Nanoseconds since 1970, as a bigint. */
export const nanoseconds: MemberOf = (field) =>
  held({
    read: (reader) => readBigFixed64(reader, false),
    write: (writer, value: bigint) => writer.fixed64(toLong(value)),
  })(field)

/** Whether proto3 omits the value. */
function isDefault(value: unknown): boolean {
  if (typeof value !== 'object') return value === '' || value === 0n || value === false || Object.is(value, 0)
  return value instanceof Uint8Array ? value.length === 0 : value instanceof Encoded && value.start === value.end
}

/** One value in a form of its own. */
export const held =
  <T>(form: Form<T>): MemberOf =>
  ({ name, label, tag }) => ({
    read(into, reader, source) {
      into[name] = form.read(reader, source)
    },
    write(writer, values) {
      const value = values[name]
      if (value === undefined) return
      const isLeftOut = label === 'singular' && (form.isDefault?.(value as T) ?? isDefault(value))
      if (!isLeftOut) form.write(writer.uint32(tag), value as T)
    },
  })

/** A list of values in a form of their own. */
const heldList =
  <T>(form: Form<T>): MemberOf =>
  ({ name, tag, itemTag }) => ({
    read(into, reader, source, met) {
      let list = into[name] as T[] | undefined
      // All objects share the default.
      if (list === undefined || list.length === 0) into[name] = list = []
      if (met === itemTag) list.push(form.read(reader, source))
      else for (const end = messageEnd(reader); reader.pos < end;) list.push(form.read(reader, source))
    },
    write(writer, values) {
      const list = (values[name] ?? []) as readonly T[]
      if (list.length === 0) return
      writer.uint32(tag).fork()
      for (const value of list) form.write(writer, value)
      writer.ldelim()
    },
  })

/** A message that is read together with the one around it. */
export const message = <T extends object>(codec: MessageCodec<T>): MemberOf =>
  held({
    read: (reader, source) => codec.readAt(reader, messageEnd(reader), source),
    write: (writer, value: T) => {
      writer.fork()
      codec.write(writer, value)
      writer.ldelim()
    },
  })

/** Messages that are read together with the one around them. */
export const messages =
  <T extends object>(codec: MessageCodec<T>): MemberOf =>
  ({ name, tag }) => ({
    read(into, reader, source) {
      const list = (into[name] ??= []) as T[]
      list.push(codec.readAt(reader, messageEnd(reader), source))
    },
    write(writer, values) {
      for (const value of (values[name] ?? []) as Iterable<T>) writeMessage(writer, tag, value, codec.write)
    },
  })

/** Messages that stay encoded until they are first accessed. */
export const messageRun = <T extends object>(codec: MessageCodec<T>): MemberOf => {
  const read = readerOfRun((reader, end, source: EncodedRequest) => codec.readAt(reader, end, source))
  return ({ name, tag }) => ({
    read(into, reader, source) {
      const run = (into[name] ??= new Run(source, read)) as Run<T>
      run.add(reader)
    },
    finish(into) {
      if (into[name] instanceof Run) into[name] = into[name].all()
    },
    write(writer, values) {
      const list = (values[name] ?? []) as Encoded<readonly T[]> | Iterable<T>
      writeRepeated(writer, tag, list, read, codec.write)
    },
  })
}

/** A field as the schema has it; a message without a codec stays among the unknown fields. */
const plain = (field: Field): Member | undefined => {
  if (field.type === 'message') return undefined
  const list = field.label === 'repeated' ? heldList : held
  return list(forms[field.type])(field)
}

/** Reads and writes the objects of one message. */
export class MessageCodec<Fields extends object> {
  readonly #members: readonly Member[]
  readonly #byTag: (Member | undefined)[] = []
  readonly #finishing: readonly Member[]
  /** An object with every property, because V8 is many times faster at copying one that is not extended later. */
  readonly #unset: Readonly<Values>

  /**
   * @param members the fields that the objects hold in another form than the schema
   * @param defaults the properties that are not fields of the schema, or not `undefined` if their field is absent
   */
  constructor(
    type: MessageType,
    members: Readonly<Record<string, MemberOf>>,
    defaults: { readonly [Name in keyof Fields]?: Fields[Name] | undefined } = {},
  ) {
    const all: Member[] = []
    const properties: string[] = []
    // In the order of their numbers, as other encoders write.
    for (const field of type.fields.toSorted((left, right) => left.number - right.number)) {
      const member = (members[field.name] ?? plain)(field)
      if (member === undefined) continue
      all.push(member)
      if (field.label !== 'oneof') properties.push(field.name)
      this.#byTag[field.tag] = this.#byTag[field.itemTag] = member
    }
    this.#members = all
    this.#finishing = all.filter((member) => 'finish' in member)
    const unset = Object.fromEntries([...properties, 'unknown'].map((name) => [name, undefined]))
    this.#unset = { ...unset, ...defaults }
  }

  /** Reads the message from `start` to `end`. */
  readonly read = (source: EncodedRequest, start: number, end: number): Fields =>
    this.readAt(readerAt(source.bytes, start), end, source)

  /** Reads the message from the reader's position to `end`. */
  readAt(reader: Reader, end: number, source: EncodedRequest): Fields {
    const fields: Values = { ...this.#unset }
    const byTag = this.#byTag
    let unknown: Uint8Array[] | undefined
    while (reader.pos < end) {
      const start = reader.pos
      const tag = reader.uint32()
      const member = tag < byTag.length ? byTag[tag] : undefined
      if (member !== undefined) {
        member.read(fields, reader, source, tag)
        continue
      }
      if (tag >>> 3 === 0) throw new RangeError(`field number 0 at byte ${start}`)
      reader.skipType(tag & 7)
      ;(unknown ??= []).push(reader.buf.slice(start, reader.pos))
    }
    if (reader.pos !== end) throw new RangeError(`a field runs past its parent, which ends at byte ${end}`)
    for (const member of this.#finishing) member.finish?.(fields)
    if (unknown !== undefined) fields.unknown = Buffer.concat(unknown)
    return fields as Fields
  }

  /** Writes the fields of an object, without those that proto3 omits. */
  readonly write = (writer: Writer, fields: Fields): void => {
    const values = fields as Readonly<Values>
    for (const member of this.#members) member.write(writer, values)
    if (values.unknown !== undefined) writer.raw(values.unknown as Uint8Array)
  }
  /** Writes a message that was changed. */
  readonly writeMade = (writer: Writer, { made }: { readonly made: Fields | undefined }): void => {
    if (made !== undefined) this.write(writer, made)
  }
}
