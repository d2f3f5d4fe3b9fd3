import { view } from '../wire/fields.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import type { Form } from '../wire/message_codec.ts'

/** The id of a trace or a span: hexadecimal digits, or bytes of a request. */
export type Id = string | Encoded<string>

/** The id of an item, which stays encoded until it is first accessed. */
export const id: Form<Id> = {
  read: (reader, source) => view(reader, source, hexOf),
  write: (writer, value) => writer.bytes(idBytes(value)),
}

function hexOf({ bytes }: EncodedRequest, start: number, end: number): string {
  return bytes.toString('hex', start, end)
}

/** The id in a message that is read together with the one around it. */
export const hex: Form<string> = {
  read: (reader) => Buffer.from(reader.bytes()).toString('hex'),
  write: (writer, value) => writer.bytes(idBytes(value)),
}

/** Hexadecimal digits; none if there is no id. */
export function idText(id: Id = ''): string {
  return id instanceof Encoded ? id.decode() : id
}

export function idBytes(id: Id = ''): Uint8Array {
  return id instanceof Encoded ? id.bytes() : Buffer.from(id, 'hex')
}
