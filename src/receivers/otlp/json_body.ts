import { isUtf8 } from 'node:buffer'
import { readOtlpJson } from '../../otlp/json/read.ts'
import { services } from '../../otlp/services.ts'
import type { Signal } from '../../otlp/signal.ts'
import { MalformedError } from '../../otlp/wire/check.ts'

/** The protobuf of a body in OTLP/JSON. Names and attributes would change in a body that is not UTF-8. @throws MalformedError */
export function readJson(signal: Signal, body: Uint8Array, maxMessages: number): Buffer {
  if (!isUtf8(body)) throw new MalformedError('the body is not UTF-8, as JSON must be (RFC 8259, 8.1)')
  return readOtlpJson(body, services[signal].request, maxMessages)
}
