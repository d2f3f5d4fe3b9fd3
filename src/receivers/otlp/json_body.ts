import { isUtf8 } from 'node:buffer'
import { readOtlpJson } from '../../otlp/json/read.ts'
import { schema } from '../../otlp/schema.ts'
import { MalformedError } from '../../otlp/wire/check.ts'

/** The protobuf of a body in OTLP/JSON. What is not UTF-8 would come out as other names and attributes. @throws MalformedError */
export function readJson(body: Uint8Array, maxMessages: number): Uint8Array {
  if (!isUtf8(body)) throw new MalformedError('the body is not UTF-8, as JSON must be (RFC 8259, 8.1)')
  return readOtlpJson(body, schema.ExportMetricsServiceRequest, maxMessages)
}
