import type { Reader } from 'protobufjs/minimal.js'
import type { NumberPointFields } from '../points.ts'
import { FIXED64, readBigFixed64 } from '../../wire/fields.ts'
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
