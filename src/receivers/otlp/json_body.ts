import { isUtf8 } from 'node:buffer'
import { fromOtlpJson } from '../../otlp/json/read.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import { MalformedError } from '../../otlp/wire/check.ts'

/** Reads a body in OTLP/JSON. What is not UTF-8 would come out as other names and attributes. @throws MalformedError */
export function readJson(body: Uint8Array, maxMessages: number): MetricBatch {
  if (!isUtf8(body)) throw new MalformedError('the body is not UTF-8, as JSON must be (RFC 8259, 8.1)')
  return fromOtlpJson(body, maxMessages)
}
