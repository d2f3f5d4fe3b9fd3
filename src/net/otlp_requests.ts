import type { Account, ExportRequest } from '../component/exporter.ts'
import type { Logger } from '../component/logger.ts'
import { errorMessage, partial } from '../errors.ts'
import { writeOtlpJsonBytes } from '../otlp/json/write.ts'
import { services } from '../otlp/services.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import { signals } from '../otlp/signals.ts'
import { LONG } from '../time/turns.ts'
import type { Divided } from '../time/turns.ts'
import { compress } from './compression.ts'
import type { Compression } from './compression.ts'

/*
 * The parts that OTLP over HTTP and OTLP over gRPC share: the bytes of a request, and the meaning of its answer.
 */

/** One OTLP request. */
export interface OtlpRequest extends ExportRequest {
  readonly signal: Signal
  readonly body: Uint8Array
}

export type Encoding = 'proto' | 'json'

export interface OtlpRequestOptions {
  readonly encoding: Encoding
  readonly compression: Compression
  /** The most bytes of a body before compression, and on the wire; default: no limit. */
  readonly limits: { readonly raw?: number; readonly wire?: number }
}

/**
 * Divides a batch into requests within the limits; an item that is too large for any is reported to `account` as
 * `too_large`. A batch that was not changed and that fits is sent as the bytes it was made from.
 */
export function* toOtlpRequests(batch: Batch, options: OtlpRequestOptions, account: Account): Generator<OtlpRequest> {
  const items = batch.itemCount
  if (items === 0) return
  const { raw: maxRaw = Infinity, wire: maxWire = Infinity } = options.limits
  const raw = encodeBatch(batch, options.encoding)
  let parts = Math.ceil(raw.length / (options.compression === 'none' ? Math.min(maxRaw, maxWire) : maxRaw))
  if (parts <= 1) {
    const body = compress(raw, options.compression)
    if (body.length <= maxWire) {
      yield toOtlpRequest(batch, body, options)
      return
    }
    parts = Math.ceil(body.length / maxWire)
  }
  if (items === 1) account.dropped('too_large', 1)
  else yield* toRequestsOf(split(batch, Math.ceil(items / parts)), options, account)
}

/** The most items of one request of a large batch, few enough to write and compress quickly. */
const MAX_ITEMS: Readonly<Record<Encoding, number>> = { proto: 20_000, json: LONG }

/** `toOtlpRequests` for large batches, in requests that are each quick to make. */
export function* toOtlpRequestsInTurns(
  batch: Batch,
  options: OtlpRequestOptions,
  account: Account,
): Divided<Iterable<OtlpRequest>> {
  yield* signals[batch.signal].writeInTurns(batch)
  return toRequestsOf(split(batch, MAX_ITEMS[options.encoding]), options, account)
}

function* toRequestsOf(
  batches: readonly Batch[],
  options: OtlpRequestOptions,
  account: Account,
): Iterable<OtlpRequest> {
  for (const batch of batches) yield* toOtlpRequests(batch, options, account)
}

function toOtlpRequest(batch: Batch, body: Uint8Array, options: OtlpRequestOptions): OtlpRequest {
  const { signal, itemCount: items } = batch
  return {
    signal,
    items,
    bytes: body.length,
    body,
    divide: () =>
      items === 1
        ? undefined
        : split(batch, Math.ceil(items / 2)).map((half) =>
            toOtlpRequest(half, compress(encodeBatch(half, options.encoding), options.compression), options),
          ),
  }
}

function split(batch: Batch, maxItems: number): readonly Batch[] {
  return signals[batch.signal].split(batch, maxItems)
}

function encodeBatch(batch: Batch, encoding: Encoding): Uint8Array {
  return encoding === 'json' ? writeOtlpJsonBytes(batch.toOtlp(), services[batch.signal].request) : batch.toOtlp()
}

/**
 * Reads the answer to an accepted request, an `ExportMetricsServiceResponse` or the like, and logs its warning if it
 * has one. Resolves with the reason why it cannot be read, if it cannot. `encoding`: `undefined` if it is neither of
 * the two.
 * @throws DeliveryError `partial` if the destination refused some of the items
 */
export async function readAnswer(
  body: Uint8Array,
  encoding: 'protobuf' | 'json' | undefined,
  { signal, items }: Pick<OtlpRequest, 'signal' | 'items'>,
  log: Logger,
): Promise<string | undefined> {
  if (body.length === 0) return undefined
  if (encoding === undefined) return 'It is neither protobuf nor JSON.'
  // Loaded for the first answer that is not empty; most are.
  const { readExportResponse } = await import('../otlp/export_response.ts')
  let outcome
  try {
    outcome = readExportResponse(body, encoding, services[signal])
  } catch (error) {
    return errorMessage(error)
  }
  const { rejected, message } = outcome
  if (!Number.isSafeInteger(rejected) || rejected < 0) {
    return `Its number of rejected ${signals[signal].items} is below 0, or no whole number.`
  }
  if (rejected > 0)
    throw partial(Math.min(rejected, items), `${rejected} ${signals[signal].items} were rejected: ${message}`)
  if (message !== '') log.warn('The destination accepted a request with a warning.', { warning: message })
  return undefined
}
