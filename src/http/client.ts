import { Agent, EnvHttpProxyAgent, ProxyAgent } from 'undici'
import type { Dispatcher } from 'undici'
import type { ConfigOf, Context, Finding, Settings } from '../component.ts'
import { DeliveryError, errorMessage, permanent, retryable } from '../errors.ts'
import { checkHeaders } from './headers.ts'
import { watchPem } from './pem.ts'
import type { Pem } from './pem.ts'
import { checkTls, readTls, tlsSettings } from './tls.ts'

/** The settings of every component that sends HTTP requests. */
export const httpSettings = {
  proxy_url: {
    doc: 'The proxy every request goes through, with a user and password if it wants them. When it is unset, the environment decides: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.',
    format: 'url',
    default: undefined,
    secret: true,
  },
  tls: tlsSettings,
  headers: {
    doc: 'Sent with every request, beside the headers the exporter needs.',
    format: { map: 'string' },
    default: {},
    secret: true,
  },
} as const satisfies Settings

export type HttpConfig = ConfigOf<typeof httpSettings>

/** The rules of the HTTP settings that their formats cannot say. */
export function* checkHttp({ tls, headers }: HttpConfig): Generator<Finding> {
  yield* checkTls(tls)
  yield* checkHeaders(headers)
}

/**
 * The rules of a setting that names the URL to send to: nothing in it may be lost on the way.
 * @param whole the URL is used as it stands, with its query; otherwise the path of the API is put behind it
 */
export function* checkEndpoint(path: string, url: string | undefined, { whole = false } = {}): Generator<Finding> {
  if (url === undefined) return
  const { username, password, href } = new URL(url)
  if (username !== '' || password !== '') {
    const message = 'holds a user or password, which would not be sent; put them into headers, as `authorization`'
    yield { path, message }
  }
  const [address, fragment] = href.split('#')
  if (fragment !== undefined)
    yield { path, message: 'holds a fragment (behind the #), which is never sent; leave it out' }
  if (!whole && address.includes('?')) {
    yield { path, message: 'holds a query (behind the ?), which cannot be sent; put what it says into headers' }
  }
}

export interface HttpRequest {
  /** Default: `POST`. */
  readonly method?: 'GET' | 'POST'
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly signal: AbortSignal
  /** Bytes of the response body that are read; the rest is given up. */
  readonly maxResponse: number
}

export interface HttpResponse {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/**
 * Posts to a URL and resolves with whatever the server answers. Throws `retryable` when there is no answer, or when the
 * files of the TLS settings cannot be read; `permanent` when the request cannot be put on the wire at all, or the proxy of
 * the environment is no URL.
 */
export type Post = (url: string, request: HttpRequest) => Promise<HttpResponse>

/**
 * Makes the client of one component: kept-alive connections by its settings, opened at the first request. When its TLS files
 * change, new connections take the place of the old ones, on which the requests in hand still end.
 */
export function httpClient(context: Pick<Context<HttpConfig>, 'clock' | 'config' | 'log' | 'onStop' | 'signal'>): Post {
  const { config, onStop } = context
  let opened: Promise<Connections> | undefined
  onStop(async () => {
    await (await opened?.catch(() => undefined))?.dispatcher.destroy()
  })
  const ownHeaders = { 'user-agent': 'heka-pipeline', ...lowerCased(config.headers) }
  const headersOf = remembered((headers: HttpRequest['headers']) => ({ ...ownHeaders, ...headers }))
  const targetOf = remembered(readTarget)

  return async (url, request) => {
    opened ??= open(context)
    let connections: Connections
    try {
      connections = await opened
    } catch (error) {
      opened = undefined
      if (error instanceof DeliveryError) throw error
      throw retryable(errorMessage(error), undefined, { reason: 'tls_files', cause: error })
    }
    try {
      return await exchange(connections.dispatcher, targetOf(url), headersOf(request.headers), request)
    } catch (error) {
      const message = `${request.method ?? 'POST'} ${withoutSecrets(url)}: ${failure(error)}`
      if ((error as { code?: unknown }).code === 'UND_ERR_INVALID_ARG') throw permanent(message, { cause: error })
      throw retryable(message, undefined, { reason: 'network', cause: error })
    }
  }
}

/** Those to all servers; replaced as a whole. */
interface Connections {
  dispatcher: Dispatcher
}

async function open({
  clock,
  config,
  log,
  signal,
}: Pick<Context<HttpConfig>, 'clock' | 'config' | 'log' | 'signal'>): Promise<Connections> {
  const read = (): Promise<Pem> => readTls(config.tls)
  const pem = await read()
  const connections = { dispatcher: makeDispatcher(config, pem) }
  watchPem(pem, { read, interval: config.tls.reload_interval, clock, log, signal }, (changed) => {
    const before = connections.dispatcher
    connections.dispatcher = makeDispatcher(config, changed)
    void before.close()
  })
  return connections
}

function makeDispatcher({ proxy_url: proxyUrl, tls }: HttpConfig, { ca, cert, key }: Pem): Dispatcher {
  const secure = { ca, cert, key, rejectUnauthorized: !tls.insecure_skip_verify }
  // The pipeline's timeout aborts a request; undici's own would only blur it.
  const options = { connect: secure, headersTimeout: 0, bodyTimeout: 0 }
  const proxied = { ...options, requestTls: secure, proxyTls: { ca, rejectUnauthorized: !tls.insecure_skip_verify } }
  if (proxyUrl !== undefined) return new ProxyAgent({ ...proxied, uri: proxyUrl })
  return proxiedByEnvironment() ? new EnvHttpProxyAgent(proxied) : new Agent(options)
}

/**
 * One request and its answer. Handed to the dispatcher without undici's `request()` and its stream around every body, which would
 * take a third of the time of a small request (docs/decisions/0171-small-requests.md).
 */
function exchange(
  dispatcher: Dispatcher,
  { origin, path }: ReturnType<typeof readTarget>,
  headers: HttpRequest['headers'],
  { method = 'POST', body, signal, maxResponse }: HttpRequest,
): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    let controller: Dispatcher.DispatchController | undefined
    let status = 0
    let received: HttpResponse['headers'] = {}
    const chunks: Buffer[] = []
    let length = 0
    const abort = (): void => {
      const reason = signal.reason as Error
      controller?.abort(reason)
      reject(reason)
    }
    const answered = (): void => {
      signal.removeEventListener('abort', abort)
      const answer = chunks.length === 0 ? EMPTY : Buffer.concat(chunks).subarray(0, maxResponse)
      resolve({ status, headers: received, body: answer })
    }
    signal.addEventListener('abort', abort)
    dispatcher.dispatch(
      { origin, path, method, headers, body },
      {
        onRequestStart(started) {
          controller = started
          // While it waited for a connection.
          if (signal.aborted) abort()
        },
        onResponseStart(_controller, code, responseHeaders) {
          status = code
          received = responseHeaders
        },
        onResponseData(_controller, chunk) {
          chunks.push(chunk)
          length += chunk.length
          if (length < maxResponse) return
          answered()
          controller?.abort(new Error('The rest of the answer is not read.'))
        },
        onResponseEnd: answered,
        onResponseError(_controller, error) {
          signal.removeEventListener('abort', abort)
          reject(error)
        },
      },
    )
  })
}

const EMPTY = Buffer.alloc(0)

/** A URL as undici takes it. */
function readTarget(url: string): { readonly origin: string; readonly path: string } {
  const { origin, pathname, search } = new URL(url)
  return { origin, path: pathname + search }
}

/** A function that knows its last answer: most requests go where the one before went. */
function remembered<Question, Answer>(answer: (question: Question) => Answer): (question: Question) => Answer {
  let last: { readonly question: Question; readonly answer: Answer } | undefined
  return (question) => {
    if (last === undefined || last.question !== question) last = { question, answer: answer(question) }
    return last.answer
  }
}

/** @throws DeliveryError `permanent`, without the value, which may hold a password */
function proxiedByEnvironment(): boolean {
  // Where both spellings are set, undici takes the lower case.
  const names = [
    ['https_proxy', 'HTTPS_PROXY'],
    ['http_proxy', 'HTTP_PROXY'],
  ].flatMap((spellings) => spellings.find((name) => process.env[name] !== undefined) ?? [])
  const set = names.filter((name) => process.env[name] !== '')
  for (const name of set) {
    const value = process.env[name] as string
    if (/^(https?|socks5?):\/\/[^/]/i.test(value) && URL.canParse(value)) continue
    const message = `The environment variable ${name} must be the URL of a proxy, like http://proxy.example.org:3128.`
    throw permanent(message, { reason: 'proxy' })
  }
  return set.length > 0
}

/** A failure in the words of its deepest cause, which names the host, the certificate or the timeout. */
function failure(error: unknown): string {
  const { cause, errors, code } = error as { cause?: unknown; errors?: unknown; code?: unknown }
  if (typeof cause === 'object' && cause !== null) return failure(cause)
  // One attempt for each address of a name.
  if (Array.isArray(errors) && errors.length > 0) return failure(errors[0])
  if (UNTRUSTED.includes(String(code))) return `${errorMessage(error)} (tls.ca_file names the authority to trust)`
  const [, openssl] = /:error:[\dA-F]*:[^:]*:[^:]*:([^:]+)/.exec(errorMessage(error)) ?? []
  if (openssl === 'wrong version number') return 'The server does not speak TLS, as https:// wants it to.'
  return openssl === undefined ? errorMessage(error) : `TLS: ${openssl}`
}

const UNTRUSTED: readonly string[] = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]

/** A URL for messages: without user, password and query. */
export function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

/** An answer as a message: `POST https://api.datadoghq.com/api/v1/series: 403 {"errors":["Forbidden"]}`, without `secrets`. */
export function answerMessage(
  url: string,
  { status, headers, body }: HttpResponse,
  secrets: readonly string[],
): string {
  const { location } = headers
  const elsewhere = status >= 300 && status < 400 && typeof location === 'string' && URL.canParse(location, url)
  const answer = elsewhere
    ? `moved to ${withoutSecrets(new URL(location, url).href)}; set \`endpoint\` so that requests go there`
    : body.toString('utf8')
  const text = secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), answer)
  const line = text.replace(/\s+/g, ' ').trim().slice(0, 300)
  return `POST ${withoutSecrets(url)}: ${status}${line === '' ? '' : ` ${line}`}`
}

/** The wait a `Retry-After` header asks for, in milliseconds: it holds seconds or a date. Source: RFC 9110, 10.2.3. */
export function retryAfter(headers: HttpResponse['headers'], now: number): number | undefined {
  const header = headers['retry-after']
  const text = (Array.isArray(header) ? header[0] : header)?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
