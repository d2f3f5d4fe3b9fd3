import { Agent, buildConnector, Pool, ProxyAgent } from 'undici'
import type { Dispatcher } from 'undici'
import type { Context } from '../component/context.ts'
import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import { DeliveryError, errorMessage, permanent, retryable } from '../errors.ts'
import { mayBeCredential, redirection, webPage, withoutSecrets } from './answer.ts'
import type { HttpResponse } from './answer.ts'
import { checkHeaders } from './headers.ts'
import { skippingInformational } from './informational.ts'
import { watchPem } from './pem.ts'
import type { Connections, Network, Target } from './network.ts'
import type { Pem } from './pem.ts'
import { proxyFromEnvironment, readProxy } from './proxy.ts'
import { checkTls, readTls, tlsSettings } from './tls.ts'

/** The settings of every component that sends HTTP requests. */
export const httpSettings = {
  proxy_url: {
    doc: 'The proxy for every request, with a user and password if it needs them. If it is unset, the environment decides by the rules of Go: `HTTPS_PROXY` for https and `HTTP_PROXY` for http, except for this host and those that `NO_PROXY` names.',
    format: 'url',
    default: undefined,
    secret: true,
  },
  tls: tlsSettings,
  headers: {
    doc: 'Sent with every request, in addition to the headers that the exporter needs.',
    format: { map: 'string' },
    default: {},
    secret: true,
  },
} as const satisfies Settings

export type HttpConfig = ConfigOf<typeof httpSettings>

/** The rules of the HTTP settings that their formats cannot express. */
export function* checkHttp({ tls, headers }: HttpConfig): Generator<Finding> {
  yield* checkTls(tls)
  yield* checkHeaders(headers)
}

/** How the URL of a setting is used. */
interface EndpointUse {
  /** It is used as it is, with its query; otherwise a path is added. */
  readonly whole?: boolean
  /** The paths of the API; one of them is added. */
  readonly added?: readonly string[]
  /** The setting that takes a whole URL. */
  readonly wholeSetting?: string
}

/** The rules of a setting with the URL to send to: no part of it may be ignored, and no path may occur in it twice. */
export function* checkEndpoint(
  path: string,
  url: string | undefined,
  { whole = false, added = [], wholeSetting }: EndpointUse = {},
): Generator<Finding> {
  if (url === undefined) return
  const { username, password, href, pathname, search, hash } = new URL(url)
  if (username !== '' || password !== '') {
    const message = 'contains a user or password, which would not be sent; put them into headers, as `authorization`'
    yield { path, message }
  }
  const [address, fragment] = href.split('#')
  if (fragment !== undefined)
    yield { path, message: 'contains a fragment (after the #), which is never sent; leave it out' }
  if (!whole && address.includes('?')) {
    yield { path, message: 'contains a query (after the ?), which cannot be sent; put its contents into headers' }
  }
  const end = added.find((each) => pathname.replace(/\/+$/, '').endsWith(each))
  if (end === undefined) return
  const instead = wholeSetting === undefined ? '' : `, or put the whole URL into ${wholeSetting}`
  const base = href.replace(/\/+$/, '').slice(0, -end.length)
  const isPlain = username + password + search + hash === ''
  yield {
    path,
    message: `ends with ${end}, which the exporter adds itself; leave it out${instead}`,
    ...(isPlain && { suggestion: base }),
  }
}

interface HttpRequest {
  /** Default: `POST`. */
  readonly method?: 'GET' | 'POST'
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly signal: AbortSignal
  /** Bytes of the response body that are read; the rest is abandoned. */
  readonly maxResponse: number
}

/**
 * Posts to a URL and resolves with the server's answer, after any redirects that can be followed. Throws `retryable` if
 * there is no answer, if it is a web page or a redirect to elsewhere, if the proxy wants credentials or the environment
 * names an invalid one, or if the files of the TLS settings cannot be read; `permanent` if the request cannot be sent
 * at all.
 */
export type Post = (url: string, request: HttpRequest) => Promise<HttpResponse>

/** The most redirects of one request that are followed. */
const MAX_REDIRECTS = 5

/**
 * Makes the client of one component: kept-alive connections by its settings, opened at the first request. When its TLS
 * files change, new connections replace the old ones, on which the requests in progress still end.
 */
export function httpClient(
  context: Pick<Context<HttpConfig>, 'clock' | 'config' | 'log' | 'network' | 'onStop' | 'signal'>,
): Post {
  const { config, onStop } = context
  let opened: Promise<Opened> | undefined
  onStop(async () => {
    await (await opened?.catch(() => undefined))?.connections.destroy()
  })
  const ownHeaders = { 'user-agent': 'heka-pipeline', ...lowerCased(config.headers) }
  const headersOf = remembered((headers: HttpRequest['headers']) => ({ ...ownHeaders, ...headers }))
  const targetOf = remembered((url: string) => readTarget(url, config.proxy_url))

  const ask = async (url: string, headers: HttpRequest['headers'], request: HttpRequest): Promise<HttpResponse> => {
    opened ??= open(context)
    let connections: Connections
    try {
      connections = (await opened).connections
    } catch (error) {
      opened = undefined
      if (error instanceof DeliveryError) throw error
      throw retryable(errorMessage(error), undefined, { reason: 'tls_files', cause: error })
    }
    const { method = 'POST' } = request
    try {
      const target = targetOf(url)
      const response = await exchange(connections.to(target), target, { ...request, method, headers }, url)
      if (target.proxy === undefined || response.status !== 407) return response
      throw new Error('The proxy requires a user and password, or refuses the given ones (407).')
    } catch (error) {
      if (error instanceof DeliveryError) throw error
      const message = `${method} ${withoutSecrets(url)}: ${failure(error)}`
      if ((error as { code?: unknown }).code === 'UND_ERR_INVALID_ARG') throw permanent(message, { cause: error })
      throw retryable(message, undefined, { reason: 'network', cause: error })
    }
  }

  return async (url, request) => {
    const headers = headersOf(request.headers)
    let response = await ask(url, headers, request)
    for (let redirects = 0; response.status >= 300 && response.status < 400; redirects += 1) {
      const next = redirection(response)
      if ('problem' in next) throw retryable(next.problem, undefined, { reason: 'redirected' })
      if (redirects === MAX_REDIRECTS) {
        const message = `${withoutSecrets(url)} redirects more than ${MAX_REDIRECTS} times, at last to ${withoutSecrets(next.to)}.`
        throw retryable(message, undefined, { reason: 'redirected' })
      }
      const isAtHome = new URL(next.to).origin === new URL(url).origin
      response = await ask(next.to, isAtHome ? headers : withoutCredentials(headers), request)
    }
    const page = webPage(response)
    if (page !== undefined) throw retryable(page, undefined, { reason: 'web_page' })
    return response
  }
}

/** The network of the machine. */
export const systemNetwork: Network = { connect: (tls, pem) => new SystemConnections(tls, pem) }

/** Opened by the first request; the connections are replaced as a whole. */
interface Opened {
  connections: Connections
}

async function open({
  clock,
  config,
  log,
  network,
  signal,
}: Pick<Context<HttpConfig>, 'clock' | 'config' | 'log' | 'network' | 'signal'>): Promise<Opened> {
  const read = (): Promise<Pem> => readTls(config.tls)
  const pem = await read()
  const opened = { connections: await network.connect(config.tls, pem) }
  watchPem(pem, { read, interval: config.tls.reload_interval, clock, log, signal }, (changed) => {
    void (async () => {
      const next = await network.connect(config.tls, changed)
      opened.connections.close()
      opened.connections = next
    })()
  })
  return opened
}

/** The pipeline's timeout aborts a request; undici's own timeouts would hide the cause. */
const NO_TIMEOUTS = { headersTimeout: 0, bodyTimeout: 0 }

/** The connections through a tunnel, for which the agent gives its own `connect`. */
function pool(origin: URL | string, options: object): Dispatcher {
  const { connect } = options as { connect: buildConnector.connector }
  return new Pool(origin, { ...options, connect: skippingInformational(connect) })
}

/** Connections to servers and proxies, all with the same certificates. */
class SystemConnections implements Connections {
  readonly #toServers
  /** For connections to which no certificate of ours is shown. */
  readonly #toProxies
  readonly #direct: Dispatcher
  readonly #forwarding: Dispatcher
  readonly #tunnels = new Map<string, Dispatcher>()

  constructor(tls: HttpConfig['tls'], { ca, cert, key }: Pem) {
    this.#toProxies = { ca, rejectUnauthorized: !tls.insecure_skip_verify }
    this.#toServers = { ...this.#toProxies, cert, key }
    const connecting = (tls: object): buildConnector.connector => skippingInformational(buildConnector(tls))
    this.#direct = new Agent({ ...NO_TIMEOUTS, connect: connecting(this.#toServers) })
    this.#forwarding = new Agent({ ...NO_TIMEOUTS, connect: connecting(this.#toProxies) })
  }

  to({ proxy, forwarded }: Target): Dispatcher {
    if (proxy === undefined) return this.#direct
    if (forwarded) return this.#forwarding
    const { href, authorization } = proxy
    let tunnel = this.#tunnels.get(href)
    if (tunnel === undefined) {
      const tls = { connect: this.#toServers, requestTls: this.#toServers, proxyTls: this.#toProxies }
      tunnel = new ProxyAgent({ ...NO_TIMEOUTS, ...tls, uri: href, token: authorization, factory: pool })
      this.#tunnels.set(href, tunnel)
    }
    return tunnel
  }

  close(): void {
    for (const dispatcher of this.#all()) void dispatcher.close()
  }

  async destroy(): Promise<void> {
    await Promise.all(this.#all().map((dispatcher) => dispatcher.destroy()))
  }

  #all(): Dispatcher[] {
    return [this.#direct, this.#forwarding, ...this.#tunnels.values()]
  }
}

/**
 * One request and its answer. It is handed to the dispatcher without undici's `request()` and its stream around every
 * body, which would take a third of the time of a small request (docs/decisions/0171-small-requests.md).
 */
function exchange(
  dispatcher: Pick<Dispatcher, 'dispatch'>,
  { origin, path, headers: added }: Target,
  { method, headers, body, signal, maxResponse }: HttpRequest & { readonly method: string },
  url: string,
): Promise<HttpResponse> {
  const sent = added === undefined ? headers : { ...headers, ...added }
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
      resolve({ request: { method, url, headers: sent }, status, headers: received, body: answer })
    }
    signal.addEventListener('abort', abort)
    dispatcher.dispatch(
      { origin, path, method, headers: sent, body },
      {
        onRequestStart(started) {
          controller = started
          // Aborted while it waited for a connection.
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
          controller?.abort(new Error('The rest of the response is not read.'))
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

function readTarget(url: string, proxyUrl: string | undefined): Target {
  const target = new URL(url)
  const { origin, pathname, search, host } = target
  const proxy = proxyUrl === undefined ? proxyFromEnvironment(target) : readProxy(proxyUrl)
  const forwarded = target.protocol === 'http:' && proxy?.url.protocol.startsWith('http') === true
  if (!forwarded) return { origin, path: pathname + search, proxy }
  const { authorization } = proxy
  const headers = { host, ...(authorization !== undefined && { 'proxy-authorization': authorization }) }
  return { origin: proxy.url.origin, path: origin + pathname + search, headers, proxy, forwarded }
}

function withoutCredentials(headers: HttpRequest['headers']): HttpRequest['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !mayBeCredential(name)))
}

/** A function that remembers its last result: most requests go to the same address as the previous one. */
function remembered<Question, Answer>(answer: (question: Question) => Answer): (question: Question) => Answer {
  let last: { readonly question: Question; readonly answer: Answer } | undefined
  return (question) => {
    if (last === undefined || last.question !== question) last = { question, answer: answer(question) }
    return last.answer
  }
}

/** A failure in the words of its deepest cause, which names the host, the certificate or the timeout. */
function failure(error: unknown): string {
  const { cause, errors, code } = error as { cause?: unknown; errors?: unknown; code?: unknown }
  if (typeof cause === 'object' && cause !== null) return failure(cause)
  // One error for each address of a name.
  if (Array.isArray(errors) && errors.length > 0) return failure(errors[0])
  if (UNTRUSTED.includes(String(code))) return `${errorMessage(error)} (tls.ca_file names the authority to trust)`
  const [, openssl] = /:error:[\dA-F]*:[^:]*:[^:]*:([^:]+)/.exec(errorMessage(error)) ?? []
  if (openssl === 'wrong version number') return 'The server does not speak TLS, which https:// needs.'
  return openssl === undefined ? errorMessage(error) : `TLS: ${openssl}`
}

const UNTRUSTED: readonly string[] = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
