import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/time/clock.ts'
import { DeliveryError } from '../../src/errors.ts'
import { answerMessage, retryAfter } from '../../src/net/answer.ts'
import { checkHttp, httpClient, systemNetwork } from '../../src/net/http_client.ts'
import type { HttpConfig, Post } from '../../src/net/http_client.ts'
import { cleanups } from '../kit/cleanups.ts'
import { environment } from '../kit/environment.ts'
import { startIntake } from '../kit/intake.ts'
import { freePort, listen } from '../kit/listen.ts'
import { startProxy } from '../kit/proxy.ts'

function tlsFile(name: string): string {
  return fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))
}

const secure = { key: readFileSync(tlsFile('server.key')), cert: readFileSync(tlsFile('server.pem')) }
const noTls = {
  ca_file: undefined,
  cert_file: undefined,
  key_file: undefined,
  insecure_skip_verify: false,
  reload_interval: 0,
}
const unset: HttpConfig = { proxy_url: undefined, tls: noTls, headers: {} }

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function client(config: Partial<HttpConfig> = {}): Post {
  const stop = new AbortController()
  cleanups.push(() => stop.abort())
  return httpClient({
    clock: systemClock,
    network: systemNetwork,
    config: { ...unset, ...config },
    log: silent,
    signal: stop.signal,
    onStop: (cleanup) => void cleanups.push(cleanup),
  })
}

const request = {
  headers: { 'dd-api-key': 'key', 'content-type': 'application/json' },
  body: Buffer.from('{"series":[]}'),
  signal: new AbortController().signal,
  maxResponse: 1000,
}

async function failureOf(promise: Promise<unknown>): Promise<DeliveryError> {
  const error: unknown = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(DeliveryError)
  return error as DeliveryError
}

describe('the HTTP client', () => {
  it('posts the body and headers and returns the answer', async () => {
    const { url, requests } = await startIntake()
    const response = await client({ headers: { 'X-Team': 'core' } })(`${url}/api/v1/series`, request)
    expect([response.status, response.body.toString()]).toEqual([202, '{"status":"ok"}'])
    expect(requests[0].headers).toMatchObject({ 'dd-api-key': 'key', 'x-team': 'core', 'user-agent': 'heka-pipeline' })
    expect(requests[0].body).toEqual({ series: [] })
  })

  it.each([
    ['100', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['102', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['103 with headers', 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n'],
    ['several', 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n'],
  ])('returns the final answer after informational ones that it did not ask for: %s', async (_what, informational) => {
    const final = 'HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\nx-final: yes\r\n\r\nok'
    const urls = new Map<string, Post>()
    for (const [protocol, create] of [
      ['http', createServer],
      ['https', (take: (socket: Socket) => void) => tls.createServer(secure, take)],
    ] as const) {
      const sockets = new Set<Socket>()
      const server = create((socket: Socket) => {
        sockets.add(socket)
        // Together with the final answer, and before it.
        let together = true
        socket.on('data', () => {
          socket.write(together ? informational + final : informational)
          if (!together) setTimeout(() => socket.write(final), 20)
          together = !together
        })
      })
      const { port } = await listen(server)
      const trusting = { tls: { ...noTls, ca_file: tlsFile('ca.pem') } }
      const through = await startProxy({ to: port })
      urls.set(`${protocol}://localhost:${port}`, client(trusting))
      urls.set(`${protocol}://localhost:${port}/proxied`, client({ ...trusting, proxy_url: through.url }))
    }
    for (const [url, post] of urls) {
      for (let times = 0; times < 2; times++) {
        const { status, headers, body } = await post(url, request)
        expect([url, status, headers['x-final'], body.toString()]).toEqual([url, 202, 'yes', 'ok'])
      }
    }
  })

  it("cannot be made to send another key by the user's headers", async () => {
    const { url, requests } = await startIntake()
    await client({ headers: { 'Dd-Api-Key': 'other' } })(`${url}/api/v1/series`, request)
    expect(requests[0].headers['dd-api-key']).toBe('key')
  })

  it('reads no more of an answer than it is allowed to', async () => {
    const server = await startIntake()
    server.respondWith({ status: 200, body: 'x'.repeat(100_000) })
    const response = await client()(`${server.url}/api/v1/series`, { ...request, maxResponse: 10 })
    expect(response.body.toString()).toBe('xxxxxxxxxx')
  })

  it('says retryable, and where, when nobody listens', async () => {
    const port = await freePort()
    const error = await failureOf(client()(`http://user:secret@127.0.0.1:${port}/x?key=secret`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'network' })
    expect(error.message).toBe(`POST http://127.0.0.1:${port}/x: connect ECONNREFUSED 127.0.0.1:${port}`)
  })

  it('says retryable when the connection is dropped, and works again after that', async () => {
    const server = await startIntake()
    server.respondWith({ drop: true })
    const post = client()
    expect((await failureOf(post(`${server.url}/api/v1/series`, request))).kind).toBe('retryable')
    expect((await post(`${server.url}/api/v1/series`, request)).status).toBe(202)
  })

  it('gives up when its signal is aborted', async () => {
    const server = await startIntake()
    server.respondWith({ delay: 60_000 })
    const abort = new AbortController()
    const answer = failureOf(client()(`${server.url}/api/v1/series`, { ...request, signal: abort.signal }))
    await server.received(1)
    abort.abort()
    expect((await answer).kind).toBe('retryable')
  })

  it('says permanent for a header that cannot be sent', async () => {
    const { url } = await startIntake()
    const error = await failureOf(client({ headers: { 'X-Bad': 'line\nbreak' } })(`${url}/api/v1/series`, request))
    expect(error).toMatchObject({ kind: 'permanent' })
  })
})

describe('checkHttp', () => {
  it.each([
    ['bad header', 'x'],
    ['', 'x'],
    ['x-größe', 'x'],
    ['x-token', 'line\nbreak'],
    ['x-token', 'carriage\rreturn'],
    ['x-token', 'bell\u0007'],
    ['x-token', 'hidden €'],
    ['Content-Length', '5'],
    ['transfer-encoding', 'chunked'],
    ['Host', 'example.org'],
    ['connection', 'close'],
    ['content-encoding', 'br'],
    ['Content-Type', 'text/plain'],
    ['expect', '100-continue'],
  ])('refuses the header "%s: %s", without its value', (name, value) => {
    const findings = [...checkHttp({ ...unset, headers: { 'x-team': 'core', [name]: value } })]
    expect(findings).toEqual([{ path: `headers.${name}`, message: expect.any(String) }])
    expect(findings[0].message).not.toContain(value)
  })

  it('takes every header that arrives', async () => {
    const headers = { 'X-Team': 'core\tand more', authorization: 'Bearer a.b-c==', 'x-empty': '', 'User-Agent': 'mine' }
    expect([...checkHttp({ ...unset, headers })]).toEqual([])
    const { url, requests } = await startIntake()
    await client({ headers })(`${url}/api/v1/series`, request)
    expect(requests[0].headers).toMatchObject({ 'x-team': 'core\tand more', 'x-empty': '', 'user-agent': 'mine' })
  })
})

describe('TLS', () => {
  it('trusts the authority of tls.ca_file', async () => {
    const { url } = await startIntake({ tls: secure })
    const post = client({ tls: { ...noTls, ca_file: tlsFile('ca.pem') } })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
  })

  it('refuses a server of an unknown authority and says which setting would trust it', async () => {
    const { url, requests } = await startIntake({ tls: secure })
    const error = await failureOf(client()(`${url}/api/v1/series`, request))
    expect(error.message).toContain('tls.ca_file')
    expect([error.kind, requests.length]).toEqual(['retryable', 0])
  })

  it('sends to anybody with insecure_skip_verify', async () => {
    const { url } = await startIntake({ tls: secure })
    const post = client({ tls: { ...noTls, insecure_skip_verify: true } })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
  })

  it('says in one line that a server does not speak it', async () => {
    const { url } = await startIntake()
    const secureUrl = url.replace('http:', 'https:')
    const error = await failureOf(client()(`${secureUrl}/api/v1/series`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'network' })
    expect(error.message).toBe(`POST ${secureUrl}/api/v1/series: The server does not speak TLS, which https:// needs.`)
  })

  it('says in one line why a server ended it', async () => {
    const { url } = await startIntake({
      tls: { ...secure, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' },
    })
    const before = tls.DEFAULT_MIN_VERSION
    cleanups.push(() => void (tls.DEFAULT_MIN_VERSION = before))
    tls.DEFAULT_MIN_VERSION = 'TLSv1.3'
    const error = await failureOf(client()(`${url}/api/v1/series`, request))
    expect(error.message).toMatch(/^POST \S+: TLS: [a-z0-9 ]+$/)
  })

  it('shows its certificate to a server that asks for one', async () => {
    const ca = readFileSync(tlsFile('ca.pem'))
    const { url } = await startIntake({ tls: { ...secure, ca, requestCert: true, rejectUnauthorized: true } })
    const trust = { ...noTls, ca_file: tlsFile('ca.pem') }
    const shown = { ...trust, cert_file: tlsFile('client.pem'), key_file: tlsFile('client.key') }
    expect((await client({ tls: shown })(`${url}/api/v1/series`, request)).status).toBe(202)
    expect((await failureOf(client({ tls: trust })(`${url}/api/v1/series`, request))).kind).toBe('retryable')
  })

  it('names a file that cannot be read and tries it again with the next request', async () => {
    const { url } = await startIntake({ tls: secure })
    const post = client({ tls: { ...noTls, ca_file: '/does/not/exist.pem' } })
    for (const attempt of [1, 2]) {
      const error = await failureOf(post(`${url}/api/v1/series`, request))
      expect([attempt, error.kind, error.message]).toEqual([
        attempt,
        'retryable',
        'tls.ca_file: /does/not/exist.pem does not exist',
      ])
    }
  })

  it('warns of insecure_skip_verify, and of nothing by default', () => {
    const [warning] = checkHttp({ ...unset, tls: { ...noTls, insecure_skip_verify: true } })
    expect(warning).toMatchObject({ path: 'tls.insecure_skip_verify', severity: 'warning' })
    expect([...checkHttp(unset)]).toEqual([])
  })

  it('wants a certificate and its key together', () => {
    expect([...checkHttp({ ...unset, tls: { ...noTls, cert_file: 'a.pem' } })]).toEqual([
      { path: 'tls.key_file', message: 'is required together with tls.cert_file' },
    ])
    expect([...checkHttp({ ...unset, tls: { ...noTls, key_file: 'a.key' } })]).toEqual([
      { path: 'tls.cert_file', message: 'is required together with tls.key_file' },
    ])
  })
})

describe('the proxy', () => {
  it('tunnels HTTPS through proxy_url, with its user and password', async () => {
    const { url } = await startIntake({ tls: secure })
    const tunnel = await startProxy()
    const post = client({
      proxy_url: tunnel.url.replace('http://', 'http://user:pass@'),
      tls: { ...noTls, ca_file: tlsFile('ca.pem') },
    })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
    const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`
    expect(tunnel.tunnels).toEqual([{ target: new URL(url).host, authorization }])
  })

  it('is handed requests without TLS to send on, with its user and password, which the server never sees', async () => {
    const { url, requests } = await startIntake()
    const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`
    const forwarding = await startProxy({ to: Number(new URL(url).port), wants: authorization })
    const post = client({ proxy_url: forwarding.url.replace('http://', 'http://user:pass@') })
    const target = 'http://datadog.example:8126/api/v1/series'
    expect((await post(target, request)).status).toBe(202)
    expect(forwarding.forwarded).toMatchObject([
      { target, headers: { host: 'datadog.example:8126', 'proxy-authorization': authorization } },
    ])
    expect(forwarding.tunnels).toEqual([])
    expect(requests).toMatchObject([{ path: '/api/v1/series', headers: { 'dd-api-key': 'key' } }])
  })

  it.each(['http', 'https'])('keeps the request while it wants other credentials, over %s', async (scheme) => {
    const asking = await startProxy({ wants: 'Basic b3RoZXJz' })
    const error = await failureOf(client({ proxy_url: asking.url })(`${scheme}://datadog.example/`, request))
    expect(error.kind).toBe('retryable')
    expect(error.message).toContain('407')
  })

  it.each([
    ['HTTP_PROXY', 'http'],
    ['http_proxy', 'http'],
    ['HTTPS_PROXY', 'https'],
    ['https_proxy', 'https'],
  ])('comes from %s for %s where proxy_url is unset, except for NO_PROXY and this host', async (name, scheme) => {
    const { url, requests } = await startIntake(scheme === 'https' ? { tls: secure } : {})
    const { port } = new URL(url)
    const led = await startProxy({ to: Number(port) })
    const tls = { ...noTls, insecure_skip_verify: true }
    const came = () => [...led.tunnels, ...led.forwarded].length
    // As many write it, without a scheme.
    environment({ [name]: led.url.replace('http://', '') })
    expect((await client({ tls })(`${scheme}://datadog.example/`, request)).status).toBe(404)
    expect(came()).toBe(1)
    for (const here of [url, `${scheme}://localhost:${port}`]) {
      expect((await client({ tls })(`${here}/api/v1/series`, request)).status).toBe(202)
    }
    expect(came()).toBe(1)
    environment({ NO_PROXY: '.example' })
    expect((await failureOf(client({ tls })(`${scheme}://datadog.example/`, request))).reason).toBe('network')
    expect(came()).toBe(1)
    expect(requests).toHaveLength(3)
  })

  it.each(['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'])(
    'is asked for by the name of the variable when %s is no URL of one, and keeps the request',
    async (name) => {
      const target = `${name.toLowerCase().replace('_proxy', '')}://datadog.example/`
      for (const wrong of ['joe:hunter2@local host', 'ftp://joe:hunter2@localhost']) {
        environment({ [name]: wrong })
        const error = await failureOf(client()(target, request))
        expect([error.kind, error.reason]).toEqual(['retryable', 'proxy'])
        expect(error.message).toContain(`${name} must be the URL of a proxy`)
        expect(error.message).not.toContain('hunter2')
      }
    },
  )

  it('that is down makes the request retryable', async () => {
    const { url } = await startIntake({ tls: secure })
    const proxy_url = `http://127.0.0.1:${await freePort()}`
    expect((await failureOf(client({ proxy_url })(`${url}/api/v1/series`, request))).kind).toBe('retryable')
  })
})

describe('Retry-After', () => {
  it('is read as seconds and as a date', () => {
    const now = Date.parse('2026-01-01T12:00:00Z')
    expect(retryAfter({ 'retry-after': '7' }, now)).toBe(7000)
    expect(retryAfter({ 'retry-after': 'Thu, 01 Jan 2026 12:00:30 GMT' }, now)).toBe(30_000)
    expect(retryAfter({ 'retry-after': 'Thu, 01 Jan 2026 11:00:00 GMT' }, now)).toBe(0)
    expect(retryAfter({ 'retry-after': 'soon' }, now)).toBeUndefined()
    expect(retryAfter({}, now)).toBeUndefined()
  })
})

describe('a redirect', () => {
  it.each([307, 308])('of %i to the same host is followed, with method, body and credentials', async (status) => {
    const server = await startIntake()
    const { url, requests } = server
    server.respondWith(
      { status, headers: { location: '/moved?x=1' } },
      { status, headers: { location: `${url}/api/v1/series` } },
    )
    const post = client({ headers: { Authorization: 'Bearer token-of-the-user' } })
    expect((await post(`${url}/old`, request)).status).toBe(202)
    expect(requests.map(({ path }) => path)).toEqual(['/old', '/moved?x=1', '/api/v1/series'])
    for (const { headers, raw } of requests) {
      expect(headers).toMatchObject({ 'dd-api-key': 'key', authorization: 'Bearer token-of-the-user' })
      expect(Buffer.from(raw)).toEqual(request.body)
    }
  })

  it('to another port of the host is followed without the credentials', async () => {
    const other = await startIntake({ keyHeader: '' })
    const server = await startIntake()
    const { url } = server
    server.respondWith({ status: 308, headers: { location: `${other.url}/api/v1/series` } })
    const post = client({ headers: { Authorization: 'Bearer token-of-the-user', Cookie: 'a=b' } })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
    expect(other.requests[0].headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'heka-pipeline',
    })
    expect(Object.keys(other.requests[0].headers).filter((name) => /key|authorization|cookie/.test(name))).toEqual([])
    expect(Buffer.from(other.requests[0].raw)).toEqual(request.body)
  })

  it('that leads round and round is given up, to be sent again', async () => {
    const server = await startIntake()
    const { url, requests } = server
    server.respondBy(() => ({ status: 307, headers: { location: '/round?token=hunter2' } }))
    const error = await failureOf(client()(`${url}/round`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'redirected' })
    expect(error.message).toBe(`${url}/round redirects more than 5 times, at last to ${url}/round.`)
    expect(requests).toHaveLength(6)
  })

  it.each([
    [
      301,
      '/y?token=hunter2',
      'redirects to URL/y, which is not followed; if data should go there, set the endpoint to it',
    ],
    [302, '/login', 'redirects to URL/login, which is not followed'],
    [303, '/login', 'redirects to URL/login, which is not followed'],
    [308, 'http://joe:hunter2@eu.example/x?token=hunter2', 'redirects to http://eu.example/x, which is not followed'],
    [307, 'https://127.0.0.1/x', 'redirects to https://127.0.0.1/x, which is not followed'],
    [307, undefined, 'without saying where to send instead'],
    [304, undefined, 'without saying where to send instead'],
  ])('of %i to %s keeps the request and says where it pointed', async (status, location, message) => {
    const server = await startIntake()
    const { url, requests } = server
    server.respondBy(() => ({ status, ...(location !== undefined && { headers: { location } }) }))
    const error = await failureOf(client()(`${url}/x`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'redirected' })
    expect(error.message).toContain(`POST ${url}/x: ${status} ${message.replace('URL', url)}`)
    expect(error.message).not.toContain('hunter2')
    expect(requests).toHaveLength(1)
  })

  it('that gives up TLS is not said to be right', async () => {
    const server = await startIntake({ tls: secure })
    const { url } = server
    server.respondWith({ status: 308, headers: { location: url.replace('https:', 'http:') } })
    const error = await failureOf(client({ tls: { ...noTls, insecure_skip_verify: true } })(url, request))
    expect(error.message).toMatch(/which is not followed because it gives up TLS$/)
  })
})

describe('a web page in place of an answer', () => {
  const page = `<!DOCTYPE html>\n<title>Sign in\x1b[2J\x9b</title> key ${'long '.repeat(100)}`

  it.each([
    ['by its type', { 'content-type': 'Text/HTML; charset=utf-8' }, 'Sign in, key'],
    ['as XHTML', { 'content-type': 'application/xhtml+xml' }, '<p/>'],
    ['by how it begins', { 'content-type': 'application/json' }, page],
    ['behind a byte order mark and a comment', { 'content-type': '' }, '\ufeff <!-- portal --><HTML lang="en">'],
    ['behind a declaration', { 'content-type': 'text/plain' }, '<?xml version="1.0"?>\n<html>'],
    ['of a firewall that challenges its client', { 'content-type': 'text/html' }, page, 202],
  ])('keeps the request, known %s', async (_, headers, body, status = 200) => {
    const server = await startIntake()
    const { url } = server
    server.respondWith({ status, headers, body })
    const error = await failureOf(client()(`${url}/api/v1/series`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'web_page' })
    expect(error.message).toContain(`${status} with a web page instead of an answer`)
  })

  it('is shown by its first 200 characters, without what steers a terminal and without secrets', async () => {
    const server = await startIntake()
    const { url } = server
    server.respondWith({
      status: 200,
      headers: { 'content-type': 'text/html' },
      body: page.replace('key', 'key-of-the-account'),
    })
    const headers = { ...request.headers, 'dd-api-key': 'key-of-the-account' }
    const { message } = await failureOf(client()(`${url}/x`, { ...request, headers }))
    const shown = message.slice(message.indexOf('<!DOCTYPE'))
    expect(shown).toMatch(/^<!DOCTYPE html> <title>Sign in\\u\{1b\}\[2J\\u\{9b\}<\/title> \[REDACTED\] long long /)
    expect(shown).toHaveLength(200)
  })

  it.each([
    [202, 'text/html', 'OK'],
    [204, 'text/html', ''],
    [200, 'text/html', ''],
    [404, 'text/html', '<html>'],
    [200, 'text/plain', 'a < b, <htmlish>'],
  ])('is none where the answer is %i %s "%s"', async (status, type, body) => {
    const server = await startIntake()
    const { url } = server
    server.respondWith({ status, headers: { 'content-type': type }, body })
    expect((await client()(`${url}/x`, request)).status).toBe(status)
  })
})

describe('answerMessage', () => {
  it('shows what was answered on one line, and nothing that the request kept secret', () => {
    const body = Buffer.from('{\n  "errors": ["key abc12345 is\n unknown at ?key=hunter2hunter2"]\n}')
    const asked = {
      method: 'POST',
      url: 'https://api.example.com/x?key=hunter2hunter2',
      headers: { 'dd-api-key': 'abc12345' },
    }
    expect(answerMessage({ request: asked, status: 403, headers: {}, body })).toBe(
      'POST https://api.example.com/x: 403 { "errors": ["key [REDACTED] is unknown at ?key=[REDACTED]"] }',
    )
  })
})
