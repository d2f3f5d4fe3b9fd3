import type { Reader, Writer } from 'protobufjs/minimal.js'
import type { BackwardsWriter } from '../wire/backwards_writer.ts'
import { LENGTH_DELIMITED, view } from '../wire/fields.ts'
import { Encoded } from '../wire/lazy_message.ts'
import type { Source } from '../wire/lazy_message.ts'

/** The id of a trace or a span: hexadecimal digits, or bytes of a request. */
export type Id = string | Encoded<string>

/** The id at the reader's position, which is in a request. */
export function readId(reader: Reader, source: Source): Id {
  return view(reader, source, hexOf)
}

function hexOf({ bytes }: Source, start: number, end: number): string {
  return bytes.toString('hex', start, end)
}

/** `writeId` in front of what is written. */
export function prependId(writer: BackwardsWriter, field: number, id: Id | undefined): void {
  const { length } = writer
  if (id instanceof Encoded) writer.copyOf(id)
  else if (id !== undefined) writer.copy(idBytes(id))
  if (writer.length > length) writer.head(field, writer.length - length)
}

export function writeId(writer: Writer, field: number, id: Id | undefined): void {
  const bytes = idBytes(id)
  if (bytes.length > 0) writer.uint32((field << 3) | LENGTH_DELIMITED).bytes(bytes)
}

/** Hexadecimal digits; none for an id that is not there. */
export function idText(id: Id = ''): string {
  return id instanceof Encoded ? id.decode() : id
}

export function idBytes(id: Id = ''): Uint8Array {
  return id instanceof Encoded ? id.bytes() : Buffer.from(id, 'hex')
}
