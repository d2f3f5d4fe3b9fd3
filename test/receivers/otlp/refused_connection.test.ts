import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { cleanups } from '../../kit/cleanups.ts'
import { listen } from '../../kit/listen.ts'
import { until } from '../../kit/until.ts'
import { gaugeRequest, startReceiving } from '../../kit/receiving.ts'
import type { Receiving } from '../../kit/receiving.ts'

type Protocol = 'HTTP' | 'gRPC'

const tlsPath = (name: string): string => fileURLToPath(new URL(`../../kit/tls/${name}`, import.meta.url))
const ca = readFileSync(tlsPath('ca.pem'))
const TLS = `tls: { cert_file: "${tlsPath('server.pem')}", key_file: "${tlsPath('server.key')}" }`
const MUTUAL = TLS.replace('tls: {', `tls: { client_ca_file: "${tlsPath('ca.pem')}",`)

/** Starts a receiver of both protocols with these settings. */
async function start(more = ''): Promise<Receiving> {
  const settings = `{ endpoint: "localhost:0"${more && `, ${more}`} }`
  return startReceiving({ otlp: `{ protocols: { http: ${settings}, grpc: ${settings} } }` })
}

/** Expects one refusal, counted under a reason and logged with its likely cause and its client. */
async function expectRefused(
  { pipeline, logs }: Receiving,
  protocol: Protocol,
  reason: string,
  cause: string,
): Promise<void> {
  const counted = `refused_requests{component="otlp",protocol="${protocol.toLowerCase()}",reason="${reason}"}`
  await until(() => Object.keys(pipeline.telemetry.counters()).length > 0)
  expect(pipeline.telemetry.counters()).toEqual({ [counted]: 1 })
  expect(logs.filter((line) => line.includes(cause) && line.includes('"client":"127.0.0.1"'))).toHaveLength(1)
}

/** Sends bytes and resolves with what is answered until the connection is closed. */
async function send({ addresses }: Receiving, protocol: Protocol, bytes: Buffer | string): Promise<string> {
  const [host, port] = addresses[protocol]?.split(':') ?? []
  const socket = connect(Number(port), host)
  cleanups.push(() => socket.destroy())
  socket.on('error', () => {})
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  socket.write(bytes)
  await closed(socket)
  return answer
}

/** Shakes hands over TLS. Resolves when the connection is closed. */
async function shakeHands({ addresses }: Receiving, protocol: Protocol, options: ConnectionOptions): Promise<void> {
  const [host, port] = addresses[protocol]?.split(':') ?? []
  const socket = connectTls({
    host,
    port: Number(port),
    servername: 'localhost',
    ALPNProtocols: alpn(protocol),
    ca,
    ...options,
  })
  cleanups.push(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await closed(socket)
}

/** What a client of TLS 1.2 sends first. */
async function clientHello(protocol: Protocol): Promise<Buffer> {
  const server = createServer()
  const { port } = await listen(server)
  const client = connectTls({ port, host: '127.0.0.1', ALPNProtocols: alpn(protocol), maxVersion: 'TLSv1.2' })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  return hello
}

const alpn = (protocol: Protocol): string[] => [protocol === 'HTTP' ? 'http/1.1' : 'h2']

const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve))

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const HTTP = 'POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
const CLIENT_HELLO = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(100)])
const protocols: readonly Protocol[] = ['HTTP', 'gRPC']

describe('a client at the wrong door', () => {
  it('is shown the other one when it speaks HTTP/2 to the HTTP port', async () => {
    const receiving = await start()
    expect(await send(receiving, 'HTTP', PREFACE)).toMatch(/^HTTP\/1\.1 400 .*OTLP over gRPC is on localhost:0/s)
    await expectRefused(
      receiving,
      'HTTP',
      'wrong_protocol',
      'the client speaks HTTP/2; OTLP over gRPC is on localhost:0.',
    )
  })

  it('is shown the other one when it speaks HTTP/1.1 to the gRPC port', async () => {
    const receiving = await start()
    expect(await send(receiving, 'gRPC', HTTP)).toMatch(/^HTTP\/1\.1 400 .*OTLP over HTTP is on localhost:0/s)
    await expectRefused(
      receiving,
      'gRPC',
      'wrong_protocol',
      'the client speaks HTTP/1.1; OTLP over HTTP is on localhost:0.',
    )
  })

  it.each(protocols)('is counted when it speaks TLS to a plain port (%s)', async (protocol) => {
    const receiving = await start()
    await send(receiving, protocol, CLIENT_HELLO)
    await expectRefused(receiving, protocol, 'wrong_protocol', 'the client uses TLS, and this port does not')
  })

  it.each(protocols)('is counted when it does not speak TLS to a port that does (%s)', async (protocol) => {
    const receiving = await start(TLS)
    await send(receiving, protocol, protocol === 'HTTP' ? HTTP : PREFACE)
    await expectRefused(receiving, protocol, 'wrong_protocol', 'this port uses TLS, and the client does not')
  })

  it.each(protocols)('is counted when it wants the other protocol within TLS (%s)', async (protocol) => {
    const receiving = await start(TLS)
    await shakeHands(receiving, protocol, { ALPNProtocols: [protocol === 'HTTP' ? 'h2' : 'http/1.1'] })
    await expectRefused(receiving, protocol, 'wrong_protocol', 'is on localhost:0.')
  })

  it('is counted when it speaks neither HTTP/2 nor anything else that is known', async () => {
    const receiving = await start()
    await send(receiving, 'gRPC', '\0\x01\x02')
    await expectRefused(receiving, 'gRPC', 'wrong_protocol', 'does not use HTTP/2')
  })

  it('is counted when it only begins like HTTP/2', async () => {
    const receiving = await start()
    await send(receiving, 'gRPC', `${PREFACE}no frames`)
    await expectRefused(receiving, 'gRPC', 'malformed', 'This is not HTTP/2')
  })
})

describe('a handshake of TLS', () => {
  it.each(protocols)(
    'is counted when the client does not say that it does not trust the certificate (%s)',
    async (protocol) => {
      for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
        const receiving = await start(TLS)
        await shakeHands(receiving, protocol, { ca: [], maxVersion })
        await expectRefused(receiving, protocol, 'tls', 'it may not accept the certificate of cert_file')
      }
    },
  )

  it.each(protocols)(
    'is counted when the client says that it does not trust the certificate (%s)',
    async (protocol) => {
      const receiving = await start(TLS)
      const [host, port] = receiving.addresses[protocol]?.split(':') ?? []
      const socket = connect(Number(port), host)
      socket.write(await clientHello(protocol))
      await once(socket, 'data')
      // A fatal alert, unknown_ca, which clients of Node do not send. Source: RFC 5246, 7.2.
      socket.resume().write(Buffer.from('15030300020230', 'hex'))
      await closed(socket)
      await expectRefused(receiving, protocol, 'tls', 'the client does not accept the certificate of cert_file')
    },
  )

  it.each(protocols)('is counted when the version of TLS is too old (%s)', async (protocol) => {
    const receiving = await start(`${TLS.replace('}', ', min_version: 1.3 }')}`)
    await shakeHands(receiving, protocol, { maxVersion: 'TLSv1.2' })
    await expectRefused(receiving, protocol, 'tls', 'older than min_version')
  })

  it.each(protocols)(
    'is counted when the client shows no certificate, or one that no authority has signed (%s)',
    async (protocol) => {
      const without = await start(MUTUAL)
      await shakeHands(without, protocol, {})
      await expectRefused(without, protocol, 'tls', 'the client sent no certificate')
      const untrusted = await start(MUTUAL.replace('ca.pem', 'client.pem'))
      await shakeHands(untrusted, protocol, {
        cert: readFileSync(tlsPath('server.pem')),
        key: readFileSync(tlsPath('server.key')),
      })
      await expectRefused(untrusted, protocol, 'tls', 'no authority of client_ca_file has signed the certificate')
    },
  )

  it.each(protocols)(
    'is nothing to count when a probe opens the port and leaves, or a client uses it (%s)',
    async (protocol) => {
      const receiving = await start(TLS)
      const [host, port] = receiving.addresses[protocol]?.split(':') ?? []
      const probe = connect(Number(port), host, () => probe.destroy())
      await once(probe, 'close')
      const socket = connectTls({
        host,
        port: Number(port),
        ca,
        servername: 'localhost',
        ALPNProtocols: alpn(protocol),
      })
      cleanups.push(() => socket.destroy())
      await once(socket, 'secureConnect')
      const body = gaugeRequest(1)
      const head = `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${body.length}\r\n\r\n`
      socket.write(protocol === 'HTTP' ? Buffer.concat([Buffer.from(head), body]) : PREFACE)
      await once(socket, 'data')
      socket.destroy()
      await receiving.stop()
      expect(receiving.pipeline.telemetry.counters()).toEqual({})
    },
  )
})

describe('what is no request of HTTP/1.1', () => {
  it.each([
    [
      'headers that are too large',
      431,
      'headers_too_large',
      `POST / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`,
    ],
    ['a malformed header', 400, 'malformed', 'POST /v1/metrics HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n'],
    ['no Host', 400, 'malformed', 'POST /v1/metrics HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ['CONNECT', 405, 'wrong_method', 'CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'a body in chunks that are none',
      400,
      'malformed',
      'POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ],
    [
      'an expectation that nobody knows',
      404,
      'not_found',
      'POST / HTTP/1.1\r\nHost: x\r\nExpect: miracle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    ],
  ])('is answered and counted: %s', async (_what, status, reason, bytes) => {
    const receiving = await start()
    const answer = await send(receiving, 'HTTP', bytes)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*"message":`, 's'))
    expect(answer.includes('Allow: POST')).toBe(status === 405)
    await until(() => Object.keys(receiving.pipeline.telemetry.counters()).length > 0)
    expect(receiving.pipeline.telemetry.counters()).toEqual({
      [`refused_requests{component="otlp",protocol="http",reason="${reason}"}`]: 1,
    })
    expect(receiving.logs.filter((line) => line.startsWith('A request was refused'))).toHaveLength(1)
  })

  it('is counted as too slow, once, where the rest of a request does not come', async () => {
    for (const bytes of [
      'POST /v1/metrics HTTP/1.1\r\n',
      HTTP.replace('{}', '{').replace('Host', 'Content-Type: application/json\r\nHost'),
    ]) {
      const receiving = await startReceiving({
        otlp: '{ protocols: { http: { endpoint: "localhost:0", read_timeout: 200ms } } }',
      })
      expect(await send(receiving, 'HTTP', bytes)).toMatch(/^HTTP\/1\.1 408 /)
      expect(receiving.pipeline.telemetry.counters()).toEqual({
        'refused_requests{component="otlp",protocol="http",reason="too_slow"}': 1,
      })
    }
  })
})

it('closes a connection that sends more than 100 requests at once', async () => {
  const receiving = await start()
  const sent = 'POST /v1/nope HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n'
  const few = await send(receiving, 'HTTP', sent.repeat(99) + sent.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  expect(few.match(/HTTP\/1.1 404 /g)).toHaveLength(100)
  await send(receiving, 'HTTP', sent.repeat(1000))
  const refused = (reason: string) => `refused_requests{component="otlp",protocol="http",reason="${reason}"}`
  expect(receiving.pipeline.telemetry.counters()).toEqual({ [refused('not_found')]: 200, [refused('busy')]: 1 })
})
