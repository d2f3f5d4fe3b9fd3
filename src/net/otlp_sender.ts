import type { Context } from '../component/context.ts'
import type { Account, ExportRequest } from '../component/exporter.ts'
import { divisible, permanent, retryable, unauthorized } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { services } from '../otlp/services.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import { throttled } from '../throttled.ts'
import type { Divided } from '../time/turns.ts'
import { answerMessage, retryAfter, saysTaken, UNREADABLE } from './answer.ts'
import type { HttpResponse } from './answer.ts'
import { httpClient } from './http_client.ts'
import type { HttpConfig } from './http_client.ts'
import { contentEncoding } from './compression.ts'
import { readAnswer, toOtlpRequests, toOtlpRequestsInTurns } from './otlp_requests.ts'
import type { Encoding, OtlpRequest, OtlpRequestOptions } from './otlp_requests.ts'

/** The addresses and rules of an OTLP/HTTP exporter. */
export interface OtlpDestination extends OtlpRequestOptions {
  /** The whole URL, such as `https://host/v1/metrics`, for each signal that can be sent. */
  readonly urls: Readonly<Partial<Record<Signal, string>>>
  /** Sent in addition to the user's headers and those that OTLP needs. */
  readonly headers?: Readonly<Record<string, string>>
  /** The items that an answer to an accepted request reports as refused in a way beyond OTLP. */
  readonly refusal?: (response: HttpResponse, items: number) => DeliveryError | undefined
  /** The meaning of 404, by signal, if it has another than a wrong address. */
  readonly notFound?: Readonly<Partial<Record<Signal, string>>>
  /** The wait that an answer asks for, in milliseconds; default: that of `Retry-After`. */
  readonly waitOf?: (response: HttpResponse) => number | undefined
}

/** 4 MiB, as the specification requires; answers are tiny. */
const MAX_RESPONSE = 4 * 1024 * 1024

const CONTENT_TYPES = { proto: 'application/x-protobuf', json: 'application/json' }

/**
 * Makes the exporter that sends batches unchanged over OTLP/HTTP. Only 429, 502, 503, 504 and a lost connection are
 * retried, 413 divides, and items rejected by a partial success are thrown as `partial`. An answer that cannot be read
 * is logged. Source: opentelemetry-proto, docs/specification.md, OTLP/HTTP. In addition, 401 and 403 are retried.
 * docs/specification.md, OTLP/HTTP. Beyond it, 401 and 403 are retried, too.
 */
export function otlpHttpExporter(
  context: Pick<Context<HttpConfig>, 'clock' | 'config' | 'log' | 'network' | 'onStop' | 'signal'>,
  destination: OtlpDestination,
) {
  const { urls, encoding, compression, refusal } = destination
  const { waitOf = ({ headers }) => retryAfter(headers, context.clock.now()) } = destination
  const post = httpClient(context)
  const log = throttled(context.log, context.clock)
  const headers = {
    ...destination.headers,
    'content-type': CONTENT_TYPES[encoding],
    ...contentEncoding(compression),
  }
  return {
    encode(batch: Batch, account: Account): Iterable<OtlpRequest> {
      return toOtlpRequests(batch, destination, account)
    },
    encodeInTurns(batch: Batch, account: Account): Divided<Iterable<OtlpRequest>> {
      return toOtlpRequestsInTurns(batch, destination, account)
    },
    async send(request: ExportRequest, signal: AbortSignal): Promise<void> {
      const { signal: of, body, items } = request as OtlpRequest
      const response = await post(urls[of] as string, { headers, body, signal, maxResponse: MAX_RESPONSE })
      if (response.status >= 200 && response.status < 300) {
        const refused = refusal?.(response, items)
        if (refused !== undefined) throw refused
        const problem = await readAnswer(response.body, encodingOf(response, encoding), request as OtlpRequest, log)
        if (problem !== undefined && !saysTaken(response)) {
          log.warn(UNREADABLE, { event: 'response_unreadable', error: problem, answer: answerMessage(response) })
        }
        return
      }
      const message = answerMessage(response)
      switch (response.status) {
        case 401:
        case 403:
          throw unauthorized(message, waitOf(response))
        case 404:
          throw permanent([destination.notFound?.[of], message].filter(Boolean).join(': '), { reason: 'refused' })
        case 413:
          throw divisible(message, { reason: 'too_large' })
        case 429:
        case 502:
        case 503:
        case 504:
          throw retryable(message, waitOf(response), { reason: `http_${response.status}` })
        default:
          throw permanent(message, { reason: 'refused' })
      }
    },
  }
}

/** The encoding of the body of an answer, if its media type is known; without a media type, that of the request. */
function encodingOf({ headers }: HttpResponse, sent: Encoding): 'protobuf' | 'json' | undefined {
  const type = String(headers['content-type'] ?? '')
  if (type === '') return sent === 'json' ? 'json' : 'protobuf'
  if (/^(application|text)\/([\w.-]+\+)?json\b/i.test(type)) return 'json'
  return /^application\/(x-)?protobuf\b/i.test(type) ? 'protobuf' : undefined
}

/** The URLs of an OTLP/HTTP receiver below its base URL. */
export function urlsBelow(endpoint: string): Readonly<Record<Signal, string>> {
  const base = endpoint.replace(/\/+$/, '')
  return {
    metrics: base + services.metrics.path,
    logs: base + services.logs.path,
    traces: base + services.traces.path,
  }
}

/** The paths that `urlsBelow` adds. */
export const PATHS = Object.values(services).map(({ path }) => path)
