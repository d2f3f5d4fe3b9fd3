import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { Client, compressionAlgorithms, credentials } from '@grpc/grpc-js'
import type { ChannelCredentials, ClientOptions, ServiceError } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { gaugeRequest, startReceiving } from '../../kit/receiving.ts'
import type { Receiving, ReceivingOptions } from '../../kit/receiving.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { dataFrame, exportHeaders, messagePrefix, preface } from '../../kit/http2_frames.ts'
import { until } from '../../kit/until.ts'

const tlsFile = (name: string): Buffer => readFileSync(tlsPath(name))
const tlsPath = (name: string): string => fileURLToPath(new URL(`../../kit/tls/${name}`, import.meta.url))

async function start(options: ReceivingOptions): Promise<Receiving & { address: string }> {
  const receiving = await startReceiving(options)
  return { ...receiving, address: receiving.addresses.gRPC ?? '' }
}

const grpc = (more = ''): string => `{ protocols: { grpc: { endpoint: "localhost:0"${more} } } }`
const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const same = (bytes: Buffer): Buffer => bytes

type Send = (body: Buffer, path?: string) => Promise<Buffer>

function clientOf(
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
  options: ClientOptions = {},
): Send {
  const client = new Client(address, channel, options)
  cleanups.push(() => client.close())
  return (body, path = EXPORT) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, same, same, body, { deadline: Date.now() + 5000 }, (error, answer) =>
        error === null ? resolve(answer as Buffer) : reject(error),
      )
    })
}

const refusalOf = (sent: Promise<Buffer>): Promise<ServiceError> =>
  sent.then(
    () => Promise.reject(new Error('The request was taken.')),
    (error: ServiceError) => error,
  )

/** google/rpc/status.proto and error_details.proto, read by the reference. */
const { root } = protobuf.parse(
  `syntax = "proto3";
message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
message Any { string type_url = 1; bytes value = 2; }
message RetryInfo { Duration retry_delay = 1; }
message Duration { int64 seconds = 1; int32 nanos = 2; }`,
  { keepCase: true },
)

function detailsOf({ metadata }: ServiceError): unknown {
  const [bytes] = metadata.get('grpc-status-details-bin')
  const status = root.lookupType('Status')
  return status.toObject(status.decode(bytes as Buffer))
}

describe('the otlp receiver over gRPC', () => {
  it('hands requests on byte for byte, plain and compressed', async () => {
    const { address, arrived } = await start({ otlp: grpc() })
    const sent = gaugeRequest(1, 2, 3)
    for (const algorithm of [
      compressionAlgorithms.identity,
      compressionAlgorithms.gzip,
      compressionAlgorithms.deflate,
    ]) {
      const send = clientOf(address, undefined, { 'grpc.default_compression_algorithm': algorithm })
      expect(await send(sent)).toHaveLength(0)
    }
    expect(await arrived(3)).toEqual([sent, sent, sent])
  })

  it('takes a message in frames of any size', async () => {
    const { address, arrived } = await start({ otlp: grpc() })
    const sent = gaugeRequest(...Array<number>(600).fill(1))
    const message = Buffer.concat([messagePrefix(sent.length), sent])
    const socket = await connection(address)
    socket.write(Buffer.concat([preface(), exportHeaders(1)]))
    for (let at = 0, size = 1; at < message.length; at += size, size = at < 500 ? 1 : Math.min(size * 2, 16_384)) {
      socket.write(dataFrame(1, message.subarray(at, at + size), at + size >= message.length))
    }
    expect((await arrived(1))[0]).toEqual(sent)
  })

  it('refuses a request of two messages', async () => {
    const { address, pipeline } = await start({ otlp: grpc() })
    const sent = gaugeRequest(1)
    const message = Buffer.concat([messagePrefix(sent.length), sent])
    const socket = await connection(address)
    socket.write(Buffer.concat([preface(), exportHeaders(1), dataFrame(1, message), dataFrame(1, message, true)]))
    const counted = 'refused_requests{component="otlp",protocol="grpc",reason="malformed"}'
    await until(() => pipeline.telemetry.counters()[counted] === 1)
    expect(pipeline.telemetry.balance().pipelines.metrics.accepted).toBe(0)
  })

  it.each([
    ['no message', Buffer.alloc(0), 'The request has no message.'],
    ['a part of a prefix', Buffer.alloc(3), 'The request ends in the middle of its message.'],
    [
      'a part of a message',
      Buffer.concat([messagePrefix(9), Buffer.alloc(4)]),
      'The request ends in the middle of its message.',
    ],
  ])('refuses a call with %s with INVALID_ARGUMENT', async (_what, body, message) => {
    const { address, pipeline } = await start({ otlp: grpc() })
    const session = connectHttp2(`http://${address}`)
    cleanups.push(() => session.destroy())
    const stream = session.request({
      ...{ ':method': 'POST', ':path': EXPORT, te: 'trailers', 'content-type': 'application/grpc' },
    })
    const trailers = new Promise<object>((resolve) => {
      stream.on('response', (headers) => 'grpc-status' in headers && resolve(headers)).on('trailers', resolve)
    })
    stream.on('error', () => undefined).resume()
    stream.end(body)
    expect(await trailers).toMatchObject({ 'grpc-status': '3', 'grpc-message': encodeURI(message) })
    expect(pipeline.telemetry.counters()).toEqual({
      'refused_requests{component="otlp",protocol="grpc",reason="malformed"}': 1,
    })
  })

  it('refuses what is not OTLP with INVALID_ARGUMENT, and says where it is broken', async () => {
    const { address, pipeline } = await start({ otlp: grpc() })
    const refusal = await refusalOf(clientOf(address)(gaugeRequest(1).subarray(0, -1)))
    expect(refusal).toMatchObject({ code: 3, details: expect.stringContaining('runs past its parent') as unknown })
    expect(detailsOf(refusal)).toEqual({ code: 3, message: refusal.details })
    expect(pipeline.telemetry.counters()).toEqual({
      'refused_requests{component="otlp",protocol="grpc",reason="malformed"}': 1,
    })
  })

  it('refuses requests that are too large, plain or decompressed, with RESOURCE_EXHAUSTED, and counts them', async () => {
    const { address, pipeline } = await start({ otlp: grpc(', max_recv_msg_size_mib: 1') })
    const large = Buffer.alloc(1_100_000)
    expect(await refusalOf(clientOf(address)(large))).toMatchObject({ code: 8 })
    const compressing = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip }
    expect(await refusalOf(clientOf(address, undefined, compressing)(large))).toMatchObject({ code: 8 })
    const counted = 'refused_requests{component="otlp",protocol="grpc",reason="too_large"}'
    await until(() => pipeline.telemetry.counters()[counted] === 2)
    expect(pipeline.telemetry.counters()).toEqual({ [counted]: 2 })
  })

  it('knows no other method', async () => {
    const { address, logs, pipeline } = await start({ otlp: grpc() })
    const profiles = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export'
    expect(await refusalOf(clientOf(address)(gaugeRequest(1), profiles))).toMatchObject({ code: 12 })
    const counted = 'refused_requests{component="otlp",protocol="grpc",reason="not_found"}'
    await until(() => pipeline.telemetry.counters()[counted] === 1)
    expect(logs).toContainEqual(expect.stringContaining(`There is no method ${profiles}`))
  })

  it('does not implement a signal for which no pipeline names it', async () => {
    const { address, pipeline } = await start({ otlp: grpc() })
    const traces = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
    expect(await refusalOf(clientOf(address)(Buffer.alloc(0), traces))).toMatchObject({
      code: 12,
      details: expect.stringContaining('No pipeline takes traces') as unknown,
    })
    expect(pipeline.telemetry.counters()).toEqual({
      'refused_requests{component="otlp",protocol="grpc",reason="no_pipeline"}': 1,
    })
  })

  it('lists the codings that it reads when it refuses another', async () => {
    const { address, logs, pipeline } = await start({ otlp: grpc() })
    const coding = { 'content-type': 'application/grpc', 'grpc-encoding': 'zstd' }
    expect(
      await callWith(address, coding, Buffer.concat([Buffer.from([1]), message(gaugeRequest(1)).subarray(1)])),
    ).toMatchObject({
      'grpc-status': '12',
      'grpc-accept-encoding': 'identity,gzip,deflate',
      'grpc-message': expect.stringContaining('identity,%20gzip,%20deflate,%20not%20zstd') as unknown,
    })
    expect(pipeline.telemetry.counters()).toEqual({
      'refused_requests{component="otlp",protocol="grpc",reason="unsupported_coding"}': 1,
    })
    expect(logs).toContainEqual(expect.stringContaining('grpc-encoding must be one of'))
  })

  it('answers 415 to calls that are not gRPC, and counts them', async () => {
    const { address, arrived, logs, pipeline } = await start({ otlp: grpc() })
    const wrong = ['application/json', 'application/grpc-web', 'application/grpc-web+proto', 'application/grpcx']
    for (const type of wrong) {
      expect(await callWith(address, { 'content-type': type }, message(gaugeRequest(1)))).toMatchObject({
        ':status': 415,
      })
    }
    const counted = 'refused_requests{component="otlp",protocol="grpc",reason="wrong_type"}'
    await until(() => pipeline.telemetry.counters()[counted] === wrong.length)
    expect(logs).toContainEqual(expect.stringContaining('content-type must be application/grpc, not application/json.'))
    for (const type of ['application/grpc+proto', 'application/grpc;charset=utf-8']) {
      const answer = await callWith(address, { 'content-type': type }, message(gaugeRequest(1)))
      expect(answer).toMatchObject({ ':status': 200, 'content-type': 'application/grpc+proto' })
    }
    expect(await arrived(2)).toHaveLength(2)
  })

  it.each([
    ['that is none', 7, {}, 'must be 0 or 1, not 7'],
    ['without a grpc-encoding', 1, {}, 'but there is no grpc-encoding'],
    ['with the encoding `identity`', 1, { 'grpc-encoding': 'identity' }, 'but there is no grpc-encoding'],
  ])('answers INTERNAL to a compressed flag %s', async (_what, flag, headers, said) => {
    const { address, logs, pipeline } = await start({ otlp: grpc() })
    const body = Buffer.concat([Buffer.of(flag), message(gaugeRequest(1)).subarray(1)])
    const answer = (await callWith(address, { 'content-type': 'application/grpc', ...headers }, body)) as Record<
      string,
      unknown
    >
    expect(answer).toMatchObject({ 'grpc-status': '13' })
    expect(decodeURIComponent(String(answer['grpc-message']))).toContain(said)
    expect(pipeline.telemetry.counters()).toEqual({
      'refused_requests{component="otlp",protocol="grpc",reason="wrong_compressed_flag"}': 1,
    })
    expect(pipeline.telemetry.balance().pipelines.metrics.accepted).toBe(0)
    expect(logs).toContainEqual(expect.stringContaining(said))
  })

  it('answers UNAVAILABLE with RetryInfo when no queue takes the data', async () => {
    const queue = ', sending_queue: { queue_size: 1, num_consumers: 1 }, retry_on_failure: { initial_interval: 2500ms }'
    const { address, arrived, release, pipeline } = await start({ otlp: grpc(), exporter: queue, hold: true })
    const send = clientOf(address)
    await send(gaugeRequest(1))
    await arrived(1)
    await send(gaugeRequest(2))
    const refusal = await refusalOf(send(gaugeRequest(3)))
    expect(refusal.code).toBe(14)
    const { details } = detailsOf(refusal) as { details: { type_url: string; value: Buffer }[] }
    expect(details[0].type_url).toBe('type.googleapis.com/google.rpc.RetryInfo')
    const retryInfo = root.lookupType('RetryInfo')
    expect(retryInfo.toObject(retryInfo.decode(details[0].value), { longs: Number })).toEqual({
      retry_delay: { seconds: 2, nanos: 500_000_000 },
    })
    release()
    const balance = await pipeline.stop()
    expect(balance.pipelines.metrics).toMatchObject({ accepted: 3, refused: 1, handed_on: 2 })
  })

  it('tells what a fault has lost as a partial success', async () => {
    const { address } = await start({ otlp: grpc(), failOn: 13 })
    const send = clientOf(address)
    const partial = protobuf.Reader.create(await send(gaugeRequest(12, 13)))
    // ExportMetricsServiceResponse { partial_success = 1 { int64 rejected_data_points = 1; string error_message = 2; } }
    expect([partial.uint32() >>> 3, partial.uint32() > 0, partial.uint32() >>> 3, partial.uint32()]).toEqual([
      1,
      true,
      1,
      2,
    ])
    expect(await send(gaugeRequest(1))).toHaveLength(0)
  })

  it('takes TLS, and with client_ca_file only clients with a certificate', async () => {
    const files = `cert_file: "${tlsPath('server.pem')}", key_file: "${tlsPath('server.key')}"`
    const { address, arrived } = await start({
      otlp: grpc(`, tls: { ${files}, client_ca_file: "${tlsPath('ca.pem')}" }`),
    })
    const ca = tlsFile('ca.pem')
    const named = address.replace('127.0.0.1', 'localhost')
    const send = clientOf(named, credentials.createSsl(ca, tlsFile('client.key'), tlsFile('client.pem')))
    expect(await send(gaugeRequest(1))).toHaveLength(0)
    expect(await arrived(1)).toHaveLength(1)
    expect(await refusalOf(clientOf(named, credentials.createSsl(ca))(gaugeRequest(1)))).toMatchObject({ code: 14 })
    expect(await refusalOf(clientOf(address)(gaugeRequest(1)))).toMatchObject({ code: 14 })
  })

  it('answers what is in hand when it stops, and ends idle connections', async () => {
    const queue = ', sending_queue: { enabled: false }'
    const { address, arrived, release, pipeline } = await start({ otlp: grpc(), exporter: queue, hold: true })
    const inHand = clientOf(address)(gaugeRequest(1))
    await arrived(1)
    const idle = await connection(address)
    const stopped = pipeline.stop()
    release()
    expect(await inHand).toHaveLength(0)
    await once(idle.resume(), 'close')
    expect((await stopped).exporters.otlp_http).toMatchObject({ sent: 1 })
    expect(await refusalOf(clientOf(address)(gaugeRequest(1)))).toMatchObject({ code: 14 })
  })
})

async function connection(address: string): Promise<Socket> {
  const [host, port] = address.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => {})
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** A message of gRPC that is not compressed. */
function message(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Makes a call with headers that no client of gRPC sends. Resolves with the headers of the answer. */
async function callWith(address: string, headers: Record<string, string>, body: Buffer): Promise<unknown> {
  const session = connectHttp2(`http://${address}`)
  cleanups.push(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': EXPORT, te: 'trailers', ...headers })
  stream.on('error', () => {})
  stream.end(body)
  const [answer] = (await once(stream, 'response')) as unknown[]
  return answer
}

/** Starts a call that never ends: `bytes` come of a message of `length`. Resolves with its end by the server. */
function unfinishedCall(address: string, bytes: number, length = 2 ** 20): Promise<Record<string, unknown>> {
  const session = connectHttp2(`http://${address}`)
  session.on('error', () => {})
  cleanups.push(() => session.destroy())
  const stream = session.request(
    { ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc', te: 'trailers' },
    { endStream: false },
  )
  stream.on('error', () => {})
  const head = Buffer.alloc(5)
  head.writeUInt32BE(length, 1)
  stream.write(head)
  stream.write(Buffer.alloc(bytes))
  stream.resume()
  let answer: Record<string, unknown> = {}
  stream.on('response', (headers) => (answer = headers))
  return new Promise((resolve) => void stream.on('close', () => resolve(answer)))
}

describe('the otlp receiver over gRPC and clients that do it harm', () => {
  it('ends calls that do not arrive in time, and serves others meanwhile', async () => {
    const { address } = await start({ otlp: grpc(', read_timeout: 300ms') })
    const slow = [unfinishedCall(address, 10), unfinishedCall(address, 10, 10)]
    expect(await clientOf(address)(gaugeRequest(1))).toHaveLength(0)
    for (const call of slow) expect(await call).toMatchObject({ 'grpc-status': '4' })
  })

  it('lets the calls that are longest on their way go when memory is full', async () => {
    const { address } = await start({
      otlp: '{ admission: { request_limit_mib: 2 }, protocols: { grpc: { endpoint: "localhost:0", max_recv_msg_size_mib: 1 } } }',
    })
    const calls = [
      unfinishedCall(address, 1_000_000),
      unfinishedCall(address, 1_000_000),
      unfinishedCall(address, 1_000_000),
    ]
    expect(await Promise.race(calls)).toMatchObject({ 'grpc-status': '14' })
    expect(await clientOf(address)(gaugeRequest(...Array<number>(20_000).fill(1)))).toHaveLength(0)
  })

  it('closes connections that send nothing, and survives what is not HTTP/2', async () => {
    const { address } = await start({
      otlp: grpc(', keepalive: { server_parameters: { max_connection_idle: 200ms } }'),
    })
    const silent = await connection(address)
    const loud = await connection(address)
    loud.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(100))
    await Promise.all([once(silent.resume(), 'close'), once(loud.resume(), 'close')])
    expect(await clientOf(address)(gaugeRequest(1))).toHaveLength(0)
  })
})
