import type { Reader, Writer } from 'protobufjs/minimal.js'
import { Encoded } from './lazy_message.ts'
import type { ReadFields, EncodedRequest } from './lazy_message.ts'
import { lastVarint, readVarint } from './wire_format.ts'

/*
 * The base for reading and writing all messages: fields, one by one, with protobufjs's Reader and Writer.
 */

export type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Calls `read` for each field up to `end`; a field that it does not take (it returns `false`) is skipped. Returns the
 * skipped fields as they came, or `undefined` if there were none.
 */
export function readFields(reader: Reader, end: number, read: (tag: number) => boolean): Uint8Array | undefined {
  let unknown: Uint8Array[] | undefined
  while (reader.pos < end) {
    const start = reader.pos
    const tag = reader.uint32()
    if (tag >>> 3 === 0) throw new RangeError(`field number 0 at byte ${start}`)
    if (read(tag)) continue
    reader.skipType(tag & 7)
    ;(unknown ??= []).push(reader.buf.slice(start, reader.pos))
  }
  if (reader.pos !== end) throw new RangeError(`a field runs past its parent, which ends at byte ${end}`)
  return unknown === undefined ? undefined : Buffer.concat(unknown)
}

export function messageEnd(reader: Reader): number {
  const length = reader.uint32()
  const end = reader.pos + length
  if (end > reader.len) throw new RangeError(`length ${length} at byte ${reader.pos} runs past the end of the data`)
  return end
}

/** The message at the reader's position, to be read later. */
export function view<Fields>(reader: Reader, source: EncodedRequest, read: ReadFields<Fields>): Encoded<Fields> {
  const end = messageEnd(reader)
  const encoded = new Encoded(source, reader.pos, end, read)
  reader.pos = end
  return encoded
}

/** Eight bytes between the halves of a number and a bigint. */
const eight = new DataView(new ArrayBuffer(8))

function bigOf(low: number, high: number, signed: boolean): bigint {
  eight.setUint32(0, low, true)
  eight.setUint32(4, high, true)
  return signed ? eight.getBigInt64(0, true) : eight.getBigUint64(0, true)
}

export function readBigFixed64(reader: Reader, signed: boolean): bigint {
  return bigOf(reader.fixed32(), reader.fixed32(), signed)
}

/** A 64-bit number: a JavaScript number where it is safe, else a bigint. */
export function readFixed64(reader: Reader, signed = false): number | bigint {
  return numberOf(reader.fixed32(), reader.fixed32(), signed)
}

function numberOf(low: number, high: number, signed: boolean): number | bigint {
  // Up to 2^53 it takes no bigint, which would cost most of reading a histogram.
  return high < 0x200000 ? high * 4294967296 + low : narrow(bigOf(low, high, signed))
}

export function readVarint64(reader: Reader, signed: boolean): number | bigint {
  reader.pos = readVarint(reader.buf, reader.pos)
  if (reader.pos > reader.len) throw new RangeError('a varint runs past the end of the data')
  return numberOf(lastVarint.low, lastVarint.high, signed)
}

export function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

export function writeMessage<T>(
  writer: Writer,
  tag: number,
  value: T,
  write: (writer: Writer, value: T) => void,
): void {
  write(writer.uint32(tag).fork(), value)
  writer.ldelim()
}

/** Writes a message as it came if it is unchanged, otherwise from its fields. */
export function writeView<T extends { readonly encoded: Encoded<object> | undefined }>(
  writer: Writer,
  tag: number,
  value: T,
  write: (writer: Writer, value: T) => void,
): void {
  if (value.encoded === undefined) writeMessage(writer, tag, value, write)
  else writer.uint32(tag).bytes(value.encoded.bytes())
}

export function writeString(writer: Writer, tag: number, value: string): void {
  if (value !== '') writer.uint32(tag).string(value)
}

/** The two halves of a 64-bit number, the form that protobufjs takes without a loss. */
export function toLong(value: number | bigint): { low: number; high: number; unsigned: boolean } {
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    return { low: value | 0, high: Math.floor(value / 2 ** 32) | 0, unsigned: false }
  }
  eight.setBigInt64(0, BigInt(value), true)
  return { low: eight.getInt32(0, true), high: eight.getInt32(4, true), unsigned: false }
}

export function writeUnknown(writer: Writer, unknown: Uint8Array | undefined): void {
  if (unknown !== undefined) writer.raw(unknown)
}
