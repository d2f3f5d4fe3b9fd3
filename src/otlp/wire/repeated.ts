import type { Reader, Writer } from 'protobufjs/minimal.js'
import { messageEnd, writeMessage } from './fields.ts'
import { Encoded, readerAt } from './lazy_message.ts'
import type { ReadFields, EncodedRequest } from './lazy_message.ts'

/** The messages of a repeated field: bytes in their request, or objects. */
export type Repeated<T> = Encoded<readonly T[]> | readonly T[]

/** Reads the messages of a field that are next to each other. */
export function readerOfRun<T, From extends Pick<EncodedRequest, 'bytes'>>(
  read: (reader: Reader, end: number, source: From) => T,
): (source: From, start: number, end: number) => readonly T[] {
  return (source, start, end) => {
    const reader = readerAt(source.bytes, start)
    const messages: T[] = []
    while (reader.pos < end) {
      reader.uint32()
      messages.push(read(reader, messageEnd(reader), source))
    }
    return messages
  }
}

/** Collects the messages of a repeated field: as one run of bytes if they are next to each other, otherwise as objects. */
export class Run<T> {
  #start = -1
  #end = -1
  #read: T[] | undefined

  constructor(
    private readonly source: EncodedRequest,
    private readonly read: ReadFields<readonly T[]>,
  ) {}

  /** Takes the message behind whose tag, of one byte, the reader is. */
  add(reader: Reader): void {
    const start = reader.pos - 1
    const end = messageEnd(reader)
    if (this.#start < 0) this.#start = start
    else if (this.#end !== start) this.#read ??= [...this.read(this.source, this.#start, this.#end)]
    if (this.#read !== undefined) this.#read.push(...this.read(this.source, start, end))
    this.#end = reader.pos = end
  }

  /** `undefined` if there are none. */
  all(): Repeated<T> | undefined {
    if (this.#read !== undefined) return this.#read
    return this.#start < 0 ? undefined : new Encoded(this.source, this.#start, this.#end, this.read)
  }
}

/** Writes the messages of a field: unchanged if they came under its tag, otherwise each with `write`. */
export function writeRepeated<T>(
  writer: Writer,
  tag: number,
  messages: Encoded<readonly T[]> | Iterable<T>,
  read: ReadFields<readonly T[]>,
  write: (writer: Writer, message: T) => void,
): void {
  if (messages instanceof Encoded) {
    if (messages.reads(read) && messages.source.bytes[messages.start] === tag) writer.raw(messages.bytes())
    else writeRepeated(writer, tag, messages.decode(), read, write)
  } else for (const message of messages) writeMessage(writer, tag, message, write)
}
