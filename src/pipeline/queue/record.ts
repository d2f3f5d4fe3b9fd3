import { crc32 } from 'node:zlib'

/*
 * A record of the queue on disk: a header of 36 bytes, all numbers little endian, and the OTLP bytes of one batch.
 *
 *    0  magic          4   `HEKQ`
 *    4  index          4   its place in the segment, from 0
 *    8  items          4   data points, log records or spans of the batch
 *   12  length         4   bytes behind the header
 *   16  before         4   items of the records before it in the segment, so that those of a lost one are known
 *   20  time           8   milliseconds since 1970 as a double, when it was taken
 *   28  payload CRC    4
 *   32  header CRC     4   of the 32 bytes before, started with the salt of the segment
 *
 * The salt stands in the name of the file and is random, so nothing that a client sends can pass for a header: after
 * damage the next record is found by looking for one.
 */

export const HEADER_SIZE = 36

const MAGIC = Buffer.from('HEKQ')
const PAYLOAD_CRC = 28
const CHECKED = 32

export interface RecordHeader {
  readonly index: number
  readonly items: number
  /** Items of the records before it in the segment. */
  readonly before: number
  /** Milliseconds since 1970. */
  readonly time: number
  /** Bytes of the payload. */
  readonly length: number
}

export interface StoredRecord extends RecordHeader {
  /** Shares the memory that it was read into. */
  readonly payload: Buffer
}

/** Bytes that hold no record; `end` is excluded. */
export interface Damage {
  readonly start: number
  readonly end: number
  /** A record, or the beginning of one, that was not written completely before the process or the host died. */
  readonly torn: boolean
  /** The record that was there, if its header can still be read. */
  readonly header?: RecordHeader
}

/** The header to write before `payload`. */
export function encodeHeader(
  salt: number,
  { index, items, before, time }: Omit<RecordHeader, 'length'>,
  payload: Uint8Array,
): Buffer {
  const header = Buffer.allocUnsafe(HEADER_SIZE)
  MAGIC.copy(header)
  header.writeUInt32LE(index, 4)
  header.writeUInt32LE(items, 8)
  header.writeUInt32LE(payload.length, 12)
  header.writeUInt32LE(before, 16)
  header.writeDoubleLE(time, 20)
  header.writeUInt32LE(crc32(payload), PAYLOAD_CRC)
  header.writeUInt32LE(crc32(header.subarray(0, CHECKED), salt), CHECKED)
  return header
}

/** Every whole record in `bytes`, in order, and the bytes between them. Never throws, whatever the bytes are. */
export function readRecords(bytes: Buffer, salt: number): { records: StoredRecord[]; damages: Damage[] } {
  const records: StoredRecord[] = []
  const damages: Damage[] = []
  let next = 0
  let offset = 0
  while (offset < bytes.length) {
    const header = headerAt(bytes, offset, salt)
    if (header === undefined || header.index < next) {
      const start = offset
      offset = findHeader(bytes, offset + 1, salt)
      damages.push({ start, end: offset, torn: offset === bytes.length && isTail(bytes.subarray(start)) })
      continue
    }
    const payload = bytes.subarray(offset + HEADER_SIZE, offset + HEADER_SIZE + header.length)
    const end = offset + HEADER_SIZE + payload.length
    const torn = payload.length < header.length
    if (torn || crc32(payload) !== bytes.readUInt32LE(offset + PAYLOAD_CRC))
      damages.push({ start: offset, end, torn, header })
    else records.push({ ...header, payload })
    next = header.index + 1
    offset = end
  }
  return { records, damages }
}

function headerAt(bytes: Buffer, offset: number, salt: number): RecordHeader | undefined {
  if (offset + HEADER_SIZE > bytes.length || !MAGIC.equals(bytes.subarray(offset, offset + MAGIC.length))) {
    return undefined
  }
  const checksum = crc32(bytes.subarray(offset, offset + CHECKED), salt)
  if (checksum !== bytes.readUInt32LE(offset + CHECKED)) return undefined
  return {
    index: bytes.readUInt32LE(offset + 4),
    items: bytes.readUInt32LE(offset + 8),
    length: bytes.readUInt32LE(offset + 12),
    before: bytes.readUInt32LE(offset + 16),
    time: bytes.readDoubleLE(offset + 20),
  }
}

/** Where the next header begins, or where the bytes end. */
function findHeader(bytes: Buffer, from: number, salt: number): number {
  let offset = bytes.indexOf(MAGIC, from)
  while (offset !== -1 && headerAt(bytes, offset, salt) === undefined) offset = bytes.indexOf(MAGIC, offset + 1)
  return offset === -1 ? bytes.length : offset
}

/**
 * Whether `bytes` may be a file of records, or of another kind that begins with `magic`: each byte of the magic was
 * written, or was lost.
 */
export function beginsLike(bytes: Buffer, magic = MAGIC): boolean {
  return magic.every((byte, index) => index >= bytes.length || bytes[index] === byte || bytes[index] === 0)
}

/** The beginning of a header, or the zeros that a file system may leave if a write was lost with the power. */
function isTail(bytes: Buffer): boolean {
  return bytes.length < HEADER_SIZE || bytes.every((byte) => byte === 0)
}
