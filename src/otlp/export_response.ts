import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { protoName } from './schema.ts'
import type { OtlpService } from './services.ts'

/** The answer of an OTLP destination to an accepted request. */
interface ExportOutcome {
  /** Items that it refused. */
  readonly rejected: number
  /** The reason, or a warning if none was refused; '' if there is none. */
  readonly message: string
}

/** Reads the answer of a service. Throws if the bytes are not one. */
export function readExportResponse(
  body: Uint8Array,
  encoding: 'protobuf' | 'json',
  service: OtlpService,
): ExportOutcome {
  if (encoding === 'json') return readJsonResponse(Buffer.from(body).toString('utf8'), service)
  // The responses of logs and traces have the same field numbers.
  const { partialSuccess } = ProtobufMetricsSerializer.deserializeResponse(body)
  return { rejected: Number(partialSuccess?.rejectedDataPoints ?? 0), message: partialSuccess?.errorMessage ?? '' }
}

/** The SDK's own reader takes any text for an empty answer. */
function readJsonResponse(text: string, { rejected: name }: OtlpService): ExportOutcome {
  const response: unknown = JSON.parse(text)
  if (!isObject(response)) throw new Error('It is not a JSON object.')
  // Protobuf's JSON has two names for a field.
  const partial = response.partialSuccess ?? response.partial_success ?? {}
  if (!isObject(partial)) throw new Error('Its partialSuccess is not a JSON object.')
  // JSON carries an int64 as text.
  const rejected = Number(partial[name] ?? partial[protoName(name)] ?? 0)
  if (!Number.isFinite(rejected)) throw new Error(`Its ${name} is not a number.`)
  const message = partial.errorMessage ?? partial.error_message
  return { rejected, message: typeof message === 'string' ? message : '' }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
