import { hidingSecrets, secretParts, urlCredentials } from '../text/secrets.ts'
import { visible } from '../text/terminal.ts'

export interface HttpResponse {
  /** The answer; after redirects, that to the last request. */
  readonly request: AnsweredRequest
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

interface AnsweredRequest {
  readonly method: string
  readonly url: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
}

/** Whether a header may carry credentials; headers that describe the body do not. */
export function mayBeCredential(header: string): boolean {
  return !/^(accept|content-|host$|user-agent$|dd-otel-)/.test(header)
}

/** A URL for messages: without user, password and query. */
export function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}

/** The beginning of a message about an answer: `POST https://api.datadoghq.com/api/v1/series: 403`. */
function subject({ request, status }: HttpResponse): string {
  return `${request.method} ${withoutSecrets(request.url)}: ${status}`
}

/** An answer as a message: `POST https://api.datadoghq.com/api/v1/series: 403 {"errors":["Forbidden"]}`. */
export function answerMessage(response: HttpResponse): string {
  return `${subject(response)} ${excerpt(response, 300)}`.trim()
}

/** The most bytes of an answer that an excerpt is made from. */
const EXCERPT_BYTES = 16_384

/** The beginning of the body as one printable line, without the secrets of the request. */
function excerpt({ request, body }: HttpResponse, length: number): string {
  const { url, headers } = request
  const credentials = Object.entries(headers).flatMap(([name, value]) =>
    mayBeCredential(name) ? secretParts(value) : [],
  )
  const hide = hidingSecrets([...credentials, ...urlCredentials(url)])
  const text = hide(body.subarray(0, EXCERPT_BYTES).toString('utf8'))
  return visible(text.replace(/\s+/g, ' ').trim()).slice(0, length)
}

/** The warning about an answer that accepted a request but cannot be understood. */
export const UNREADABLE = 'The destination accepted a request, but its response cannot be read.'

/** Whether an answer accepts the request and has nothing to read: by its status, or because it is empty. */
export function saysTaken({ status, body }: HttpResponse): boolean {
  return status === 202 || status === 204 || body.length === 0
}

/** The wait that a `Retry-After` header asks for, in milliseconds: it holds seconds or a date. Source: RFC 9110, 10.2.3. */
export function retryAfter(headers: HttpResponse['headers'], now: number): number | undefined {
  const header = headers['retry-after']
  const text = (Array.isArray(header) ? header[0] : header)?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/**
 * Why an answer that accepted the request does not come from the API that the request is for, if it does not: no API
 * answers data with a web page, but a sign-in page, a proxy, a firewall or a wrong address does. With 202, only the
 * page itself is proof: frameworks give every short text the content type of a page.
 */
export function webPage(response: HttpResponse): string | undefined {
  const { status, headers, body } = response
  if (status < 200 || status > 299 || body.length === 0) return undefined
  const isHtml = /^\s*(text\/html|application\/xhtml\+xml)\b/i.test(String(headers['content-type'] ?? ''))
  if (!(isHtml && status !== 202) && !PAGE.test(body.toString('latin1', 0, 1024))) return undefined
  return `${subject(response)} with a web page instead of an answer; perhaps a proxy asks for a login, or the endpoint is wrong: ${excerpt(response, 200)}`
}

/** The beginning of a page; a byte order mark, comments and the declaration of XML may come before it. */
const PAGE =
  /^(?:\xef\xbb\xbf)?\s*(?:<!--[^]*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body|title|meta|script)\b/i

/**
 * The URL of a redirect that may be followed with the same request: 307 and 308 keep method and body, and with the same
 * host and scheme the data stays where it was meant to go. Otherwise a sentence that says why it may not.
 */
export function redirection(response: HttpResponse): { readonly to: string } | { readonly problem: string } {
  const { status, headers, request } = response
  const { location } = headers
  if (typeof location !== 'string' || !URL.canParse(location, request.url)) {
    return { problem: `${subject(response)} without saying where to send instead` }
  }
  const from = new URL(request.url)
  const to = new URL(location, request.url)
  const stays = to.hostname === from.hostname && to.protocol === from.protocol
  if (stays && (status === 307 || status === 308)) return { to: to.href }
  const pointed = `${subject(response)} redirects to ${withoutSecrets(to.href)}, which is not followed`
  if (from.protocol === 'https:' && to.protocol !== 'https:') return { problem: `${pointed} because it gives up TLS` }
  return { problem: `${pointed}; if data should go there, set the endpoint to it` }
}
