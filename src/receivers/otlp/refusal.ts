import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import protobuf from 'protobufjs/minimal.js'
import type { ReceiverContext } from '../../component/context.ts'
import { asDeliveryError, errorMessage } from '../../errors.ts'
import type { OtlpService } from '../../otlp/services.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { MalformedError } from '../../otlp/wire/check.ts'
import { LENGTH_DELIMITED, VARINT } from '../../otlp/wire/wire_format.ts'
import { LONG, ownTurn } from '../../time/turns.ts'

/**
 * Why a request is refused, with the status of OTLP/HTTP and the code of gRPC (and of `google.rpc.Status`). Sources:
 * the OTLP specification, "OTLP/HTTP Response" and "OTLP/gRPC Response"; google/rpc/code.proto.
 */
export const reasons = {
  malformed: { http: 400, code: 3 },
  incomplete: { http: 400, code: 1 },
  not_found: { http: 404, code: 5 },
  no_pipeline: { http: 404, code: 12 },
  wrong_method: { http: 405, code: 12 },
  too_slow: { http: 408, code: 4 },
  too_large: { http: 413, code: 8 },
  wrong_type: { http: 415, code: 3 },
  unsupported_coding: { http: 415, code: 12 },
  headers_too_large: { http: 431, code: 8 },
  wrong_compressed_flag: { http: 400, code: 13 },
  wrong_protocol: { http: 400, code: 3 },
  tls: { http: 400, code: 3 },
  failed: { http: 500, code: 13 },
  busy: { http: 503, code: 14 },
} as const

export type Reason = keyof typeof reasons

/** The most characters of a message: some repeat text that the client sent. */
const MAX_MESSAGE = 500

/** A refused request; the message goes to the client. */
export class Refusal extends Error {
  constructor(
    readonly reason: Reason,
    message: string,
    options: ErrorOptions = {},
    /** Milliseconds after which the client may try again; only for `busy`. */
    readonly after?: number,
  ) {
    super(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)} ...` : message, options)
  }
}

/** How long a client waits if nothing else says so. */
const AFTER = 1000

/** A temporary refusal: the client keeps its data and sends it again. */
export function busy(message: string, after = AFTER, options?: ErrorOptions): Refusal {
  return new Refusal('busy', message, options, after)
}

/** The items that were lost from a request that is not to be sent again, and the reason: `ExportMetricsPartialSuccess` and the like. */
export interface PartialSuccess {
  readonly rejected: number
  readonly errorMessage: string
}

/** A request that has arrived. Both steps may throw a `Refusal`, and take turns where it is large. */
export interface Arrived {
  readonly connection: object
  readonly decompress: () => Buffer | Promise<Buffer>
  /** @throws MalformedError */
  readonly read: (body: Buffer) => Batch | Promise<Batch>
}

/** By connection: the end of the work on the latest of its requests that take turns. */
const works = new WeakMap<object, Promise<void>>()

/** Does the work behind that for the requests of the connection that came before, so that their data stays in order. */
function inOrder<T>(connection: object, work: () => T | Promise<T>): T | Promise<T> {
  const before = works.get(connection)
  const result = before === undefined ? work() : before.then(work)
  if (!(result instanceof Promise)) return result
  const end = (): void => {
    if (works.get(connection) === ended) works.delete(connection)
  }
  const ended = result.then(end, end)
  works.set(connection, ended)
  return result
}

/**
 * Hands on what a request carries. Resolves when it is taken, with what was lost of it, if anything.
 * @throws Refusal when it is malformed, or when no exporter takes it
 */
export async function deliverRequest(
  { connection, decompress, read }: Arrived,
  deliver: ReceiverContext['deliver'],
  transport: 'http' | 'grpc',
): Promise<PartialSuccess | undefined> {
  const handOn = (batch: Batch) => ({ taken: deliver(batch, transport) })
  const work = () => {
    // A small request is not to pay for a turn of its own.
    const body = decompress()
    const batch = body instanceof Promise ? body.then(read) : read(body)
    if (!(batch instanceof Promise) && batch.itemCount < LONG) return handOn(batch)
    return Promise.resolve(batch).then(async (large) => {
      // What reads a large request and what processes it take their turns.
      if (large.itemCount >= LONG) await ownTurn()
      return handOn(large)
    })
  }
  let handedOn: { readonly taken: Promise<void> }
  try {
    const working = inOrder(connection, work)
    handedOn = working instanceof Promise ? await working : working
  } catch (error) {
    if (error instanceof MalformedError) throw new Refusal('malformed', error.message, { cause: error })
    throw error
  }
  try {
    await handedOn.taken
    return undefined
  } catch (error) {
    const known = asDeliveryError(error)
    if (known?.kind === 'partial') return { rejected: known.rejected, errorMessage: known.message }
    throw busy(errorMessage(error), known?.after, { cause: error })
  }
}

/** A request of a signal without a pipeline that names this receiver. */
export function noPipeline(signal: Signal): Refusal {
  const message = `No pipeline takes ${signal} from this receiver; service.pipelines.${signal} would have to name it.`
  return new Refusal('no_pipeline', message)
}

/** The protobuf response of each of the services, whose fields have the same numbers. Source: as of `services`. */
export function encodeResponse(partialSuccess: PartialSuccess | undefined): Uint8Array {
  if (partialSuccess === undefined) return COMPLETE
  const response = protobuf.Writer.create()
  response.uint32((1 << 3) | LENGTH_DELIMITED).fork() // Export*PartialSuccess partial_success = 1;
  response.uint32((1 << 3) | VARINT).int64(partialSuccess.rejected) // int64 rejected_* = 1;
  response.uint32((2 << 3) | LENGTH_DELIMITED).string(partialSuccess.errorMessage) // string error_message = 2;
  return response.ldelim().finish()
}

/** The answer to a request that was accepted completely. */
const COMPLETE = new Uint8Array()

/** The same in the JSON mapping of protobuf. */
export function responseJson(partialSuccess: PartialSuccess | undefined, service: OtlpService): string {
  if (partialSuccess === undefined) return '{}'
  const { rejected, errorMessage } = partialSuccess
  return JSON.stringify({ partialSuccess: { [service.rejected]: String(rejected), errorMessage } })
}

/** The protobuf `google.rpc.Status` of a refusal, with a `RetryInfo` if it may be tried again. Source: google/rpc/*.proto. */
export function encodeStatus({ reason, message, after }: Refusal): Uint8Array {
  const status = protobuf.Writer.create()
  status.uint32((1 << 3) | VARINT).int32(reasons[reason].code) // int32 code = 1;
  status.uint32((2 << 3) | LENGTH_DELIMITED).string(message) // string message = 2;
  if (after !== undefined) {
    status.uint32((3 << 3) | LENGTH_DELIMITED).fork() // repeated google.protobuf.Any details = 3;
    status.uint32((1 << 3) | LENGTH_DELIMITED).string(RETRY_INFO) // string type_url = 1;
    status.uint32((2 << 3) | LENGTH_DELIMITED).fork() // bytes value = 2; of RetryInfo:
    status.uint32((1 << 3) | LENGTH_DELIMITED).fork() // google.protobuf.Duration retry_delay = 1;
    status.uint32((1 << 3) | VARINT).int64(Math.floor(after / 1000)) // int64 seconds = 1;
    status.uint32((2 << 3) | VARINT).int32(Math.round((after % 1000) * 1e6)) // int32 nanos = 2;
    status.ldelim().ldelim().ldelim()
  }
  return status.finish()
}

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

/** Answers a client that has not sent a request, in HTTP/1.1, and closes the connection. */
export function refuseConnection(socket: Socket, refusal: Refusal): void {
  const { http } = reasons[refusal.reason]
  const body = statusJson(refusal)
  const head = [
    `HTTP/1.1 ${http} ${STATUS_CODES[http]}`,
    ...(refusal.reason === 'wrong_method' ? ['Allow: POST'] : []),
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}

/** The same in the JSON mapping of protobuf. */
export function statusJson({ reason, message, after }: Refusal): string {
  const details = after === undefined ? undefined : [{ '@type': RETRY_INFO, retryDelay: `${after / 1000}s` }]
  return JSON.stringify({ code: reasons[reason].code, message, details })
}
