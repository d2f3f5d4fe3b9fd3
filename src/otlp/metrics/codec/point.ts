import type { Reader } from 'protobufjs/minimal.js'
import { Attributes } from '../../common/attributes.ts'
import type { KeyValue } from '../../common/attributes.ts'
import { Encoded, readerAt } from '../../wire/lazy_message.ts'
import type { Source } from '../../wire/lazy_message.ts'
import type { NumberPointFields } from '../points.ts'
import { readKeyValue } from '../../common/attributes_codec.ts'
import { FIXED64, messageEnd, readBigFixed64 } from '../../wire/fields.ts'
import type { Mutable } from '../../wire/fields.ts'

type PointFields = Mutable<NumberPointFields>

/** Fields 2 and 3, the same in every kind of point: fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; */
export function readTimes(reader: Reader, field: number, wire: number, point: PointFields): boolean {
  if (wire !== FIXED64) return false
  if (field === 2) point.startTimeUnixNano = readBigFixed64(reader, false)
  else if (field === 3) point.timeUnixNano = readBigFixed64(reader, false)
  else return false
  return true
}

/** The attributes of a point, as they are met: one run of bytes where they stand side by side, else what they hold. */
export class AttributeRun {
  readonly #source: Source
  #start = -1
  #end = -1
  #read: KeyValue[] | undefined

  constructor(source: Source) {
    this.#source = source
  }

  /** Takes the attribute behind whose tag, of one byte, the reader stands. */
  add(reader: Reader): void {
    const start = reader.pos - 1
    const end = messageEnd(reader)
    if (this.#start < 0) this.#start = start
    else if (this.#end !== start) this.#read ??= [...readAttributeFields(this.#source, this.#start, this.#end)]
    if (this.#read !== undefined) this.#read.push(readKeyValue(reader, end))
    this.#end = reader.pos = end
  }

  all(): Attributes {
    if (this.#read !== undefined) return Attributes.from(this.#read)
    if (this.#start < 0) return Attributes.empty
    return Attributes.fromWire(new Encoded(this.#source, this.#start, this.#end, readAttributeFields))
  }
}

/** A run of field 7 of number points. */
export function readAttributeFields({ bytes }: Pick<Source, 'bytes'>, start: number, end: number): readonly KeyValue[] {
  const reader = readerAt(bytes, start)
  const attributes: KeyValue[] = []
  while (reader.pos < end) {
    reader.uint32()
    attributes.push(readKeyValue(reader, messageEnd(reader)))
  }
  return attributes
}
