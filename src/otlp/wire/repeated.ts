import type { Reader, Writer } from 'protobufjs/minimal.js'
import type { BackwardsWriter } from './backwards_writer.ts'
import { LENGTH_DELIMITED, messageEnd, writeMessage } from './fields.ts'
import { Encoded, readerAt } from './lazy_message.ts'
import type { ReadFields, Source } from './lazy_message.ts'

/** The messages of a repeated field: as they stand in their request, or what they hold. */
export type Repeated<T> = Encoded<readonly T[]> | readonly T[]

/** Reads the messages of a field that stand side by side. */
export function readerOfRun<T>(
  read: (reader: Reader, end: number) => T,
): (source: Pick<Source, 'bytes'>, start: number, end: number) => readonly T[] {
  return ({ bytes }, start, end) => {
    const reader = readerAt(bytes, start)
    const messages: T[] = []
    while (reader.pos < end) {
      reader.uint32()
      messages.push(read(reader, messageEnd(reader)))
    }
    return messages
  }
}

/** The messages of a repeated field, as they are met: one run of bytes where they stand side by side, else what they hold. */
export class Run<T> {
  #start = -1
  #end = -1
  #read: T[] | undefined

  constructor(
    private readonly source: Source,
    private readonly read: ReadFields<readonly T[]>,
  ) {}

  /** Takes the message behind whose tag, of one byte, the reader stands. */
  add(reader: Reader): void {
    const start = reader.pos - 1
    const end = messageEnd(reader)
    if (this.#start < 0) this.#start = start
    else if (this.#end !== start) this.#read ??= [...this.read(this.source, this.#start, this.#end)]
    if (this.#read !== undefined) this.#read.push(...this.read(this.source, start, end))
    this.#end = reader.pos = end
  }

  /** `undefined` when there are none. */
  all(): Repeated<T> | undefined {
    if (this.#read !== undefined) return this.#read
    return this.#start < 0 ? undefined : new Encoded(this.source, this.#start, this.#end, this.read)
  }
}

/** Whether messages came under a number of a field, where they may be written again as they stand. */
export function isRunOf<T>(messages: Encoded<readonly T[]>, field: number, read: ReadFields<readonly T[]>): boolean {
  const tag = (field << 3) | LENGTH_DELIMITED
  return messages.reads(read) && messages.source.bytes[messages.start] === tag
}

/** Writes the messages of a field: as they came where they came under its number, else each by `write`. */
export function writeRepeated<T>(
  writer: Writer,
  field: number,
  messages: Encoded<readonly T[]> | Iterable<T>,
  read: ReadFields<readonly T[]>,
  write: (writer: Writer, message: T) => void,
): void {
  if (messages instanceof Encoded && isRunOf(messages, field, read)) writer.raw(messages.bytes())
  else for (const message of listOf(messages)) writeMessage(writer, field, message, write)
}

/** `writeRepeated` in front of what is written. */
export function prependRepeated<T>(
  writer: BackwardsWriter,
  field: number,
  messages: Repeated<T>,
  read: ReadFields<readonly T[]>,
  write: (writer: Writer, message: T) => void,
): void {
  if (messages instanceof Encoded && isRunOf(messages, field, read)) writer.copyOf(messages)
  else for (const message of [...listOf(messages)].reverse()) writer.fields(field, message, write)
}

function listOf<T>(messages: Encoded<readonly T[]> | Iterable<T>): Iterable<T> {
  return messages instanceof Encoded ? messages.decode() : messages
}
