import { listedErrors, waitOf } from '../../datadog/answers.ts'
import { divisible, permanent, retryable, unauthorized } from '../../errors.ts'
import type { DeliveryError } from '../../errors.ts'
import { answerMessage } from '../../net/answer.ts'
import type { HttpResponse } from '../../net/answer.ts'

/** How often a refused request is halved to save the good series: it becomes at most 31 requests. */
const MAX_ISOLATION = 4

/**
 * The meaning of Datadog's answer to a request of this many items; `undefined` if it was accepted. A wrong key is
 * retried, so that rotating a key loses no data. Source: Datadog documentation, agent/guide/agent-retry.md; Vector,
 * sinks/datadog, `is_retriable`.
 */
export function responseError(
  response: HttpResponse,
  { depth, items, now }: { readonly depth: number; readonly items: number; readonly now: number },
): DeliveryError | undefined {
  const { status } = response
  if (status >= 200 && status < 300) return listedErrors(response, items)
  const message = answerMessage(response)
  switch (status) {
    case 400: {
      const options = { reason: 'bad_request' }
      return depth < MAX_ISOLATION ? divisible(message, options) : permanent(message, options)
    }
    case 413:
      return divisible(message, { reason: 'too_large' })
    case 401:
    case 403:
      return unauthorized(`${message} (a wrong API key, or the site of another account)`, waitOf(response, now))
    case 404:
    case 408:
    case 429:
      return retryable(message, waitOf(response, now), { reason: `http_${status}` })
    default:
      return status >= 400 && status < 500
        ? permanent(message, { reason: 'refused' })
        : retryable(message, waitOf(response, now), { reason: `http_${status}` })
  }
}
