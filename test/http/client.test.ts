import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/clock.ts'
import { DeliveryError } from '../../src/errors.ts'
import { answerMessage, checkHttp, httpClient, retryAfter } from '../../src/http/client.ts'
import type { HttpConfig, Post } from '../../src/http/client.ts'
import { cleanups } from '../kit/cleanups.ts'
import { startIntake } from '../kit/intake.ts'
import type { IntakeOptions, Intake } from '../kit/intake.ts'
import { startProxy } from '../kit/proxy.ts'
import type { Proxy } from '../kit/proxy.ts'

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

/** Closed after each test, last opened first. */
async function intake(options?: IntakeOptions): Promise<Intake> {
  const started = await startIntake(options)
  cleanups.push(() => started.close())
  return started
}

async function proxy(): Promise<Proxy> {
  const started = await startProxy()
  cleanups.push(() => started.close())
  return started
}

function client(config: Partial<HttpConfig> = {}): Post {
  const stop = new AbortController()
  cleanups.push(() => stop.abort())
  return httpClient({
    clock: systemClock,
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
    const { url, requests } = await intake()
    const response = await client({ headers: { 'X-Team': 'core' } })(`${url}/api/v1/series`, request)
    expect([response.status, response.body.toString()]).toEqual([202, '{"status":"ok"}'])
    expect(requests[0].headers).toMatchObject({ 'dd-api-key': 'key', 'x-team': 'core', 'user-agent': 'heka-pipeline' })
    expect(requests[0].body).toEqual({ series: [] })
  })

  it("cannot be made to send another key by the user's headers", async () => {
    const { url, requests } = await intake()
    await client({ headers: { 'Dd-Api-Key': 'other' } })(`${url}/api/v1/series`, request)
    expect(requests[0].headers['dd-api-key']).toBe('key')
  })

  it('reads no more of an answer than it is allowed to', async () => {
    const server = await intake()
    server.respondWith({ status: 200, body: 'x'.repeat(100_000) })
    const response = await client()(`${server.url}/api/v1/series`, { ...request, maxResponse: 10 })
    expect(response.body.toString()).toBe('xxxxxxxxxx')
  })

  it('says retryable, and where, when nobody listens', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const error = await failureOf(client()(`http://user:secret@127.0.0.1:${port}/x?key=secret`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'network' })
    expect(error.message).toBe(`POST http://127.0.0.1:${port}/x: connect ECONNREFUSED 127.0.0.1:${port}`)
  })

  it('says retryable when the connection is dropped, and works again after that', async () => {
    const server = await intake()
    server.respondWith({ drop: true })
    const post = client()
    expect((await failureOf(post(`${server.url}/api/v1/series`, request))).kind).toBe('retryable')
    expect((await post(`${server.url}/api/v1/series`, request)).status).toBe(202)
  })

  it('gives up when its signal is aborted', async () => {
    const server = await intake()
    server.respondWith({ delay: 60_000 })
    const abort = new AbortController()
    const answer = failureOf(client()(`${server.url}/api/v1/series`, { ...request, signal: abort.signal }))
    await server.received(1)
    abort.abort()
    expect((await answer).kind).toBe('retryable')
  })

  it('says permanent for a header that cannot be sent', async () => {
    const { url } = await intake()
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
    const { url, requests } = await intake()
    await client({ headers })(`${url}/api/v1/series`, request)
    expect(requests[0].headers).toMatchObject({ 'x-team': 'core\tand more', 'x-empty': '', 'user-agent': 'mine' })
  })
})

describe('TLS', () => {
  it('trusts the authority of tls.ca_file', async () => {
    const { url } = await intake({ tls: secure })
    const post = client({ tls: { ...noTls, ca_file: tlsFile('ca.pem') } })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
  })

  it('refuses a server of an unknown authority and says which setting would trust it', async () => {
    const { url, requests } = await intake({ tls: secure })
    const error = await failureOf(client()(`${url}/api/v1/series`, request))
    expect(error.message).toContain('tls.ca_file')
    expect([error.kind, requests.length]).toEqual(['retryable', 0])
  })

  it('sends to anybody with insecure_skip_verify', async () => {
    const { url } = await intake({ tls: secure })
    const post = client({ tls: { ...noTls, insecure_skip_verify: true } })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
  })

  it('says in one line that a server does not speak it', async () => {
    const { url } = await intake()
    const secureUrl = url.replace('http:', 'https:')
    const error = await failureOf(client()(`${secureUrl}/api/v1/series`, request))
    expect(error).toMatchObject({ kind: 'retryable', reason: 'network' })
    expect(error.message).toBe(
      `POST ${secureUrl}/api/v1/series: The server does not speak TLS, as https:// wants it to.`,
    )
  })

  it('says in one line why a server ended it', async () => {
    const { url } = await intake({ tls: { ...secure, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } })
    const before = tls.DEFAULT_MIN_VERSION
    cleanups.push(() => void (tls.DEFAULT_MIN_VERSION = before))
    tls.DEFAULT_MIN_VERSION = 'TLSv1.3'
    const error = await failureOf(client()(`${url}/api/v1/series`, request))
    expect(error.message).toMatch(/^POST \S+: TLS: [a-z0-9 ]+$/)
  })

  it('shows its certificate to a server that asks for one', async () => {
    const ca = readFileSync(tlsFile('ca.pem'))
    const { url } = await intake({ tls: { ...secure, ca, requestCert: true, rejectUnauthorized: true } })
    const trust = { ...noTls, ca_file: tlsFile('ca.pem') }
    const shown = { ...trust, cert_file: tlsFile('client.pem'), key_file: tlsFile('client.key') }
    expect((await client({ tls: shown })(`${url}/api/v1/series`, request)).status).toBe(202)
    expect((await failureOf(client({ tls: trust })(`${url}/api/v1/series`, request))).kind).toBe('retryable')
  })

  it('names a file that cannot be read and tries it again with the next request', async () => {
    const { url } = await intake({ tls: secure })
    const post = client({ tls: { ...noTls, ca_file: '/does/not/exist.pem' } })
    for (const attempt of [1, 2]) {
      const error = await failureOf(post(`${url}/api/v1/series`, request))
      expect([attempt, error.kind, error.message]).toEqual([
        attempt,
        'retryable',
        "tls.ca_file: ENOENT: no such file or directory, open '/does/not/exist.pem'",
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
      { path: 'tls.key_file', message: 'is required beside tls.cert_file' },
    ])
    expect([...checkHttp({ ...unset, tls: { ...noTls, key_file: 'a.key' } })]).toEqual([
      { path: 'tls.cert_file', message: 'is required beside tls.key_file' },
    ])
  })
})

describe('the proxy', () => {
  it('tunnels HTTPS through proxy_url, with its user and password', async () => {
    const { url } = await intake({ tls: secure })
    const tunnel = await proxy()
    const post = client({
      proxy_url: tunnel.url.replace('http://', 'http://user:pass@'),
      tls: { ...noTls, ca_file: tlsFile('ca.pem') },
    })
    expect((await post(`${url}/api/v1/series`, request)).status).toBe(202)
    const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`
    expect(tunnel.tunnels).toEqual([{ target: new URL(url).host, authorization }])
  })

  it('comes from the environment where proxy_url is unset, except for NO_PROXY', async () => {
    const { url } = await intake({ tls: secure })
    const tunnel = await proxy()
    const tls = { ...noTls, ca_file: tlsFile('ca.pem') }
    const before = { ...process.env }
    cleanups.push(() => void (process.env = before))
    process.env.HTTPS_PROXY = tunnel.url
    expect((await client({ tls })(`${url}/api/v1/series`, request)).status).toBe(202)
    expect(tunnel.tunnels).toHaveLength(1)
    process.env.NO_PROXY = '127.0.0.1'
    expect((await client({ tls })(`${url}/api/v1/series`, request)).status).toBe(202)
    expect(tunnel.tunnels).toHaveLength(1)
  })

  it.each(['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'])(
    'is asked for by the name of the variable when %s is no URL of one',
    async (name) => {
      const { url, requests } = await intake()
      const before = { ...process.env }
      cleanups.push(() => void (process.env = before))
      for (const wrong of ['hunter2', 'hunter2:3128', 'ftp://joe:hunter2@localhost']) {
        process.env[name] = wrong
        const error = await failureOf(client()(`${url}/api/v1/series`, request))
        expect([error.kind, error.reason]).toEqual(['permanent', 'proxy'])
        expect(error.message).toContain(`${name} must be the URL of a proxy`)
        expect(error.message).not.toContain('hunter2')
      }
      process.env[name] = ''
      expect((await client()(`${url}/api/v1/series`, request)).status).toBe(202)
      expect(requests).toHaveLength(1)
    },
  )

  it('that is down makes the request retryable', async () => {
    const { url } = await intake({ tls: secure })
    const tunnel = await startProxy()
    await tunnel.close()
    expect((await failureOf(client({ proxy_url: tunnel.url })(`${url}/api/v1/series`, request))).kind).toBe('retryable')
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

describe('answerMessage', () => {
  it.each([
    ['https://eu.example.com/x?token=hunter2', 'https://eu.example.com/x'],
    ['/y?token=hunter2', 'https://api.example.com/y'],
    ['https://joe:hunter2@eu.example.com/x/abc123', 'https://eu.example.com/x/***'],
  ])('says where the API has moved to, without query and password: %s', (location, shown) => {
    const response = { status: 308, headers: { location }, body: Buffer.from('<html>moved</html>') }
    expect(answerMessage('https://api.example.com/x', response, ['abc123'])).toBe(
      `POST https://api.example.com/x: 308 moved to ${shown}; set \`endpoint\` so that requests go there`,
    )
  })

  it('shows what was answered on one line, and no secret', () => {
    const body = Buffer.from('{\n  "errors": ["key abc123 is\n unknown"]\n}')
    expect(answerMessage('https://api.example.com/x?key=1', { status: 403, headers: {}, body }, ['abc123'])).toBe(
      'POST https://api.example.com/x: 403 { "errors": ["key *** is unknown"] }',
    )
  })
})
