import type { Logger } from '../component/logger.ts'
import { partial } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { answerMessage, retryAfter, saysTaken, UNREADABLE } from '../net/answer.ts'
import type { HttpResponse } from '../net/answer.ts'

/** A number of seconds this large is not a wait but a time since 1970, as other vendors send it: one in 2001 or later. */
const TIME = 1e9

/**
 * The wait that an answer asks for, in milliseconds: from `Retry-After` or, after a 429, from `X-RateLimit-Reset`,
 * which holds the seconds until more is accepted. Source: Datadog documentation, API reference, rate limits.
 */
export function waitOf({ status, headers }: HttpResponse, now: number): number | undefined {
  const after = retryAfter(headers, now)
  const reset = String(headers['x-ratelimit-reset'] ?? '').trim()
  if (after !== undefined || status !== 429 || !/^\d+$/.test(reset)) return after
  const seconds = Number(reset)
  return seconds < TIME ? seconds * 1000 : Math.max(0, seconds * 1000 - now)
}

/**
 * The error in an answer that accepts a request of this many points but lists errors (`202 {"errors": ["..."]}`), if
 * there is one. It is not documented how many points they cost: as far as known, one each. Source: Datadog's OpenAPI
 * specification, `IntakePayloadAccepted`.
 */
export function listedErrors(response: HttpResponse, points: number): DeliveryError | undefined {
  const errors = countErrors(response.body)
  if (errors === 0) return undefined
  const message = answerMessage(response)
  return partial(Math.min(errors, points), `${message} (accepted with errors; each counts as one rejected point)`)
}

/** The number of errors that the body of an answer lists. */
export function countErrors(body: Buffer): number {
  const text = body.toString('utf8')
  if (!text.includes('"errors"')) return 0
  try {
    const { errors } = JSON.parse(text) as { errors?: unknown }
    return Array.isArray(errors) ? errors.length : Number(Boolean(errors))
  } catch {
    // A truncated answer lists at least one.
    return Number(/"errors"\s*:\s*(\[\s*[^\]\s]|"[^"])/.test(text))
  }
}

/**
 * Warns of an answer that accepted a request although it is not Datadog's, which answers in JSON: perhaps something in between answered.
 */
export function warnIfUnreadable(response: HttpResponse, log: Pick<Logger, 'warn'>): void {
  if (!saysTaken(response) && readJson(response.body) === undefined) {
    log.warn(UNREADABLE, { event: 'response_unreadable', answer: answerMessage(response) })
  }
}

/** The fields of an answer, unless it is not a JSON object. */
export function readJson(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
