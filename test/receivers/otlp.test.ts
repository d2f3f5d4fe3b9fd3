import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import zlib from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import protobuf from 'protobufjs'
import { Agent, request } from 'undici'
import { toOtlpJson } from '../../src/otlp/json/write.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { checkComponent, loadConfig } from '../../src/pipeline/config/config.ts'
import { startPipeline } from '../../src/pipeline/pipeline.ts'
import otlp from '../../src/receivers/otlp.ts'
import { cleanups } from '../kit/cleanups.ts'
import { listen } from '../kit/listen.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'
import { until } from '../kit/until.ts'
import { gaugeRequest, startReceiving } from '../kit/receiving.ts'
import type { Receiving, ReceivingOptions } from '../kit/receiving.ts'

const tlsFile = (name: string): string => fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))

async function start(options: ReceivingOptions): Promise<Receiving & { url: string }> {
  const receiving = await startReceiving(options)
  return { ...receiving, url: `http://${receiving.addresses.HTTP}/v1/metrics` }
}

const http = (more = ''): string => `{ protocols: { http: { endpoint: "localhost:0"${more} } } }`
const PROTOBUF = 'application/x-protobuf'

interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: Buffer
  /** A refusal's `google.rpc.Status`. */
  readonly refusal: () => { code: number; message: string }
}

async function post(url: string, body: Uint8Array | string, headers: Record<string, string> = {}): Promise<Answer> {
  const type = typeof body === 'string' ? 'application/json' : PROTOBUF
  const response = await request(url, { method: 'POST', headers: { 'content-type': type, ...headers }, body })
  return answerOf(response)
}

async function answerOf(response: Awaited<ReturnType<typeof request>>): Promise<Answer> {
  const body = Buffer.from(await response.body.arrayBuffer())
  const json = response.headers['content-type'] === 'application/json'
  return {
    status: response.statusCode,
    headers: response.headers,
    body,
    refusal: () => (json ? JSON.parse(body.toString()) : Status.toObject(Status.decode(body))) as never,
  }
}

/** google/rpc/status.proto, read by the reference. */
const Status = protobuf
  .parse('syntax = "proto3"; message Status { int32 code = 1; string message = 2; }')
  .root.lookupType('Status')

/** The answer to what was taken, read by the reference. */
const Response = protobuf
  .parse(
    `syntax = "proto3";
message ExportMetricsServiceResponse { ExportMetricsPartialSuccess partial_success = 1; }
message ExportMetricsPartialSuccess { int64 rejected_data_points = 1; string error_message = 2; }`,
  )
  .root.lookupType('ExportMetricsServiceResponse')

const containing = (text: string): unknown => expect.stringContaining(text)

/** A raw connection, for what no well-behaved client sends. */
async function connection(address = ''): Promise<Socket> {
  const [host, port] = address.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => {})
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function readUntil(socket: Socket, text: string): Promise<string> {
  let read = ''
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    read += chunk.toString('latin1')
    if (read.includes(text)) break
  }
  return read
}

describe('the otlp receiver over HTTP', () => {
  it('hands protobuf on byte for byte and answers with an empty response in protobuf', async () => {
    const { url, arrived } = await start({ otlp: http() })
    const sent = gaugeRequest(1, 2, 3)
    const { status, headers, body } = await post(url, sent)
    expect({ status, type: headers['content-type'], length: body.length }).toEqual({
      status: 200,
      type: PROTOBUF,
      length: 0,
    })
    expect((await arrived(1))[0]).toEqual(sent)
  })

  it('ignores parameters of the content type of protobuf, which is no text', async () => {
    const { url, arrived } = await start({ otlp: http() })
    const sent = gaugeRequest(1)
    const { status } = await post(url, sent, { 'content-type': `${PROTOBUF}; charset=utf-16` })
    expect(status).toBe(200)
    expect((await arrived(1))[0]).toEqual(sent)
  })

  it('takes a body in chunks of any size', async () => {
    const { addresses, arrived } = await start({ otlp: http() })
    const sent = gaugeRequest(...Array<number>(600).fill(1))
    const socket = await connection(addresses.HTTP)
    socket.write(
      `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: ${PROTOBUF}\r\ntransfer-encoding: chunked\r\n\r\n`,
    )
    for (let at = 0, size = 1; at < sent.length; at += size, size = at < 500 ? 1 : size * 2) {
      const chunk = sent.subarray(at, at + size)
      socket.write(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]))
    }
    socket.write('0\r\n\r\n')
    expect(await readUntil(socket, '\r\n\r\n')).toContain('200 OK')
    expect((await arrived(1))[0]).toEqual(sent)
  })

  it('takes JSON and answers in JSON', async () => {
    const { url, arrived } = await start({ otlp: http() })
    const sent = gaugeRequest(1, -0.5)
    const { status, headers, body } = await post(url, toOtlpJson(MetricBatch.fromOtlp(sent)), {
      'content-type': 'application/json; charset=utf-8',
    })
    expect({ status, type: headers['content-type'], body: body.toString() }).toEqual({
      status: 200,
      type: 'application/json',
      body: '{}',
    })
    const [received] = await arrived(1)
    expect(ExportMetricsServiceRequest.decode(received)).toEqual(ExportMetricsServiceRequest.decode(sent))
  })

  it('takes bodies in every compression that this Node has', async () => {
    const { url, arrived } = await start({ otlp: http() })
    const sent = gaugeRequest(1, 2, 3)
    const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Uint8Array) => Buffer }
    const [gzip, deflate] = [zlib.gzipSync(sent), zlib.deflateSync(sent)]
    const bodies = { gzip, 'x-gzip': gzip, deflate, zlib: deflate, zstd: zstdCompressSync?.(sent) }
    let count = 0
    for (const [coding, body] of Object.entries(bodies)) {
      if (body === undefined) {
        const { status, headers } = await post(url, sent, { 'content-encoding': coding })
        expect({ status, takes: headers['accept-encoding'] }).toEqual({
          status: 415,
          takes: 'gzip, x-gzip, deflate, zlib',
        })
        continue
      }
      expect(await post(url, body, { 'content-encoding': coding })).toMatchObject({ status: 200 })
      expect((await arrived(++count))[count - 1]).toEqual(sent)
    }
    expect(count).toBeGreaterThanOrEqual(4)
  })

  it.each([
    ['another path', 404, 5, 'metrics are received at /v1/metrics', { path: '/v1/metric' }],
    ['a signal without a pipeline', 404, 12, 'No pipeline takes traces from this receiver', { path: '/v1/traces' }],
    ['another method', 405, 12, 'POST', { method: 'GET' }],
    ['PUT', 405, 12, 'OTLP is sent with POST, not PUT.', { method: 'PUT' }],
    ['DELETE', 405, 12, 'OTLP is sent with POST, not DELETE.', { method: 'DELETE' }],
    ['OPTIONS', 405, 12, 'OTLP is sent with POST, not OPTIONS.', { method: 'OPTIONS' }],
    ['PUT of another type', 405, 12, 'OTLP is sent with POST, not PUT.', { method: 'PUT', type: 'text/plain' }],
    ['no content type', 415, 3, 'application/x-protobuf or application/json', { type: undefined }],
    ['another content type', 415, 3, 'not text/plain', { type: 'text/plain' }],
    [
      'JSON in another charset',
      415,
      3,
      'JSON must be in UTF-8 (RFC 8259, 8.1), not in the charset utf-16 of Content-Type.',
      { type: 'application/json;charset="UTF-16"', body: Buffer.from('{}', 'utf16le') },
    ],
    ['an unknown compression', 415, 12, 'Content-Encoding must be', { coding: 'br' }],
    ['broken protobuf', 400, 3, 'runs past its parent', { body: gaugeRequest(1).subarray(0, -1) }],
    ['broken JSON', 400, 3, 'is not JSON', { type: 'application/json', body: '{' }],
    [
      'JSON that is not UTF-8',
      400,
      3,
      'the body is not UTF-8, as JSON must be (RFC 8259, 8.1)',
      { type: 'application/json', body: Buffer.from('{"resourceMetrics":[],"x":"\xff"}', 'latin1') },
    ],
    [
      'JSON that is not OTLP',
      400,
      3,
      'resourceMetrics: must be a list',
      { type: 'application/json', body: '{"resourceMetrics":1}' },
    ],
    ['broken compression', 400, 3, 'cannot be decompressed', { coding: 'gzip' }],
    [
      'truncated compression',
      400,
      3,
      'cannot be decompressed',
      { coding: 'gzip', body: zlib.gzipSync(gaugeRequest(1)).subarray(0, -9) },
    ],
  ])('refuses %s with %i and a google.rpc.Status', async (_what, status, code, message, given) => {
    const { url, pipeline } = await start({ otlp: http() })
    const {
      path = '/v1/metrics',
      method = 'POST',
      type,
      coding,
      body = gaugeRequest(1),
    } = {
      type: PROTOBUF,
      ...given,
    } as { path?: string; method?: 'GET' | 'PUT'; type?: string; coding?: string; body?: Buffer | string }
    const headers: Record<string, string> = {}
    if (type !== undefined) headers['content-type'] = type
    if (coding !== undefined) headers['content-encoding'] = coding
    const answer = await answerOf(
      await request(new URL(path, url), { method, headers, ...(/^P/.test(method) && { body }) }),
    )
    expect(answer.status).toBe(status)
    expect(answer.headers['content-type']).toBe(type === PROTOBUF ? PROTOBUF : 'application/json')
    expect(answer.refusal()).toMatchObject({ code, message: containing(message) })
    if (status === 405) expect(answer.headers.allow).toBe('POST')
    expect(pipeline.telemetry.balance().pipelines.metrics.accepted).toBe(0)
    expect(Object.values(pipeline.telemetry.counters())).toEqual([1])
  })

  it('refuses a body that is too large, on the wire, announced or not, and decompressed', async () => {
    const { url } = await start({ otlp: http(', max_request_body_size: 1KiB') })
    const large = Buffer.alloc(2000)
    const bomb = zlib.gzipSync(Buffer.alloc(50_000_000))
    const headers = { 'content-type': PROTOBUF }
    const smallBomb = zlib.gzipSync(Buffer.alloc(100_000))
    expect(bomb.length).toBeGreaterThan(1024)
    expect(smallBomb.length).toBeLessThan(1024)
    for (const answer of [
      await post(url, large),
      await post(url, bomb, { 'content-encoding': 'gzip' }),
      await post(url, smallBomb, { 'content-encoding': 'gzip' }),
      await answerOf(await request(url, { method: 'POST', headers, body: Readable.from([large]) })),
    ]) {
      expect(answer.status).toBe(413)
      expect(answer.refusal()).toEqual({ code: 8, message: containing('1024 bytes') })
    }
    expect(await post(url, gaugeRequest(1))).toMatchObject({ status: 200 })
  })

  it('answers 503 with Retry-After when no queue takes the data, and counts it as refused', async () => {
    const queue = ', sending_queue: { queue_size: 1, num_consumers: 1 }, retry_on_failure: { initial_interval: 2500ms }'
    const { url, arrived, release, pipeline } = await start({ otlp: http(), exporter: queue, hold: true })
    expect(await post(url, gaugeRequest(1))).toMatchObject({ status: 200 })
    await arrived(1)
    expect(await post(url, gaugeRequest(2))).toMatchObject({ status: 200 })
    const refused = await post(url, gaugeRequest(3))
    expect({ status: refused.status, after: refused.headers['retry-after'] }).toEqual({ status: 503, after: '3' })
    expect(refused.refusal()).toMatchObject({ code: 14 })
    release()
    const balance = await pipeline.stop()
    expect(balance.pipelines.metrics).toMatchObject({ accepted: 3, refused: 1, handed_on: 2 })
    expect(balance.exporters.otlp_http).toMatchObject({ handed_in: 2, sent: 2 })
  })

  it('says at a stop that the exporter stops, not that its queue is full, and logs what is dropped in one number', async () => {
    const queue = ', sending_queue: { queue_size: 2, num_consumers: 1, block_on_overflow: true }'
    const { url, arrived, pipeline, logs } = await start({
      ...{ otlp: http(), exporter: queue, hold: true, shutdownTimeout: '300ms' },
    })
    expect(await post(url, gaugeRequest(1))).toMatchObject({ status: 200 })
    await arrived(1)
    for (const value of [2, 3]) expect(await post(url, gaugeRequest(value))).toMatchObject({ status: 200 })
    const waiting = post(url, gaugeRequest(4))
    await until(() => pipeline.telemetry.balance().pipelines.metrics.accepted === 4)
    const { exporters } = await pipeline.stop()
    const refused = await waiting
    expect(refused.status).toBe(503)
    expect(refused.refusal()).toMatchObject({ code: 14, message: 'The exporter is stopping.' })
    expect(exporters.otlp_http.dropped).toEqual({ shutdown: 3 })
    const dropped = logs.filter((line) => line.startsWith('Data points could not be sent before the stop'))
    expect(dropped).toEqual([containing('"items":3}')])
  })

  it('tells what a fault has lost as a partial success, which is not to be sent again', async () => {
    const { url, pipeline } = await start({ otlp: http(), failOn: 13 })
    const request = gaugeRequest(12, 13)
    const protobufAnswer = await post(url, request)
    const jsonAnswer = await post(url, toOtlpJson(MetricBatch.fromOtlp(request)))
    expect([protobufAnswer.status, jsonAnswer.status]).toEqual([200, 200])
    const errorMessage = 'A processor failed on this data.'
    expect(Response.toObject(Response.decode(protobufAnswer.body), { longs: Number })).toEqual({
      partialSuccess: { rejectedDataPoints: 2, errorMessage },
    })
    expect(JSON.parse(jsonAnswer.body.toString())).toEqual({
      partialSuccess: { rejectedDataPoints: '2', errorMessage },
    })
    expect((await post(url, gaugeRequest(1))).body).toHaveLength(0)
    const { pipelines } = await pipeline.stop()
    expect(pipelines.metrics).toMatchObject({ accepted: 5, dropped: { processor_error: 4 }, refused: 0, handed_on: 1 })
  })

  it('answers requests of pages from allowed origins, and their questions', async () => {
    const cors = ', cors: { allowed_origins: ["https://*.example.com"], allowed_headers: [x-team], max_age: 1h }'
    const { url } = await start({ otlp: http(cors) })
    const ask = async (origin: string) => {
      const headers = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-team' }
      return answerOf(await request(url, { method: 'OPTIONS', headers }))
    }
    expect(await ask('https://app.example.com')).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'https://app.example.com',
        'access-control-allow-methods': 'POST',
        'access-control-allow-credentials': 'true',
        'access-control-allow-headers': containing('x-team'),
        'access-control-max-age': '3600',
        vary: containing('Origin'),
      },
    })
    for (const origin of ['https://evil.org', 'https://app.example.com.evil.org', 'https://appXexample.com']) {
      const { headers } = await ask(origin)
      expect(headers).not.toHaveProperty('access-control-allow-origin')
      expect(headers).not.toHaveProperty('access-control-allow-credentials')
    }
    const answer = await post(url, gaugeRequest(1), { origin: 'https://app.example.com' })
    expect(answer).toMatchObject({
      status: 200,
      headers: {
        'access-control-allow-origin': 'https://app.example.com',
        'access-control-allow-credentials': 'true',
      },
    })
  })

  it('lets pages send every header they ask for where any may be sent', async () => {
    const { url } = await start({ otlp: http(', cors: { allowed_origins: ["*"], allowed_headers: ["*"] }') })
    const headers = {
      origin: 'https://app.example.com',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,x-team',
    }
    expect(await answerOf(await request(url, { method: 'OPTIONS', headers }))).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-headers': 'authorization,x-team' },
    })
  })

  it('takes an absolute target, as a proxy sends it', async () => {
    const { addresses, arrived } = await start({ otlp: http() })
    const socket = await connection(addresses.HTTP)
    const body = gaugeRequest(1)
    socket.write(
      `POST http://collector.example:4318/v1/metrics?x=1 HTTP/1.1\r\nhost: collector.example:4318\r\n` +
        `content-type: ${PROTOBUF}\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    socket.write(body)
    expect(await readUntil(socket, '\r\n\r\n')).toContain('200 OK')
    expect(await arrived(1)).toEqual([body])
  })

  it('does not answer questions of pages without cors', async () => {
    const { url } = await start({ otlp: http() })
    const headers = { origin: 'https://a.example', 'access-control-request-method': 'POST' }
    const answer = await answerOf(await request(url, { method: 'OPTIONS', headers }))
    expect(answer.status).toBe(405)
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
  })

  it('takes TLS, and with client_ca_file only clients with a certificate', async () => {
    const files = `cert_file: "${tlsFile('server.pem')}", key_file: "${tlsFile('server.key')}"`
    const { addresses, arrived } = await start({
      otlp: http(`, tls: { ${files}, client_ca_file: "${tlsFile('ca.pem')}", min_version: 1.3 }`),
    })
    const ca = readFileSync(tlsFile('ca.pem'))
    const send = async (connect: object) => {
      const dispatcher = new Agent({ connect: { ca, ...connect } })
      try {
        const headers = { 'content-type': PROTOBUF }
        const body = gaugeRequest(1)
        return await answerOf(
          await request(`https://${addresses.HTTP}/v1/metrics`, { dispatcher, method: 'POST', headers, body }),
        )
      } finally {
        await dispatcher.destroy()
      }
    }
    await expect(send({})).rejects.toThrow()
    const client = { cert: readFileSync(tlsFile('client.pem')), key: readFileSync(tlsFile('client.key')) }
    await expect(send({ ...client, maxVersion: 'TLSv1.2' })).rejects.toThrow()
    expect(await send(client)).toMatchObject({ status: 200 })
    expect(await arrived(1)).toHaveLength(1)
  })
})

describe('the otlp receiver and clients that do it harm', () => {
  it('ends bodies that trickle with 408, and serves others meanwhile', async () => {
    const { url, addresses } = await start({ otlp: http(', read_timeout: 400ms') })
    const socket = await connection(addresses.HTTP)
    const head = `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: ${PROTOBUF}\r\ncontent-length: 100\r\n\r\n`
    socket.write(head)
    const trickle = setInterval(() => socket.write('x'), 50)
    cleanups.push(() => clearInterval(trickle))
    expect(await post(url, gaugeRequest(1))).toMatchObject({ status: 200 })
    expect(await readUntil(socket, '\r\n\r\n')).toContain('408 Request Timeout')
  })

  it('closes connections that send nothing', async () => {
    const { addresses } = await start({ otlp: http(', read_header_timeout: 200ms') })
    const sockets = await Promise.all(Array.from({ length: 50 }, () => connection(addresses.HTTP)))
    await Promise.all(sockets.map((socket) => once(socket.resume(), 'close')))
  })

  it('closes the connections that are quiet longest when there are too many', async () => {
    const { url, addresses } = await start({
      otlp: '{ admission: { max_connections: 3 }, protocols: { http: { endpoint: "localhost:0" } } }',
    })
    const dispatcher = new Agent({ connections: 1 })
    cleanups.push(() => dispatcher.destroy())
    let reconnected = 0
    dispatcher.on('connect', () => reconnected++)
    const send = async () => {
      const { statusCode, body } = await request(url, {
        dispatcher,
        method: 'POST',
        headers: { 'content-type': PROTOBUF },
        body: gaugeRequest(1),
      })
      await body.dump()
      return statusCode
    }
    expect(await send()).toBe(200)
    const quiet: Socket[] = []
    for (let count = 0; count < 20; count++) {
      quiet.push(await connection(addresses.HTTP))
      expect(await send()).toBe(200)
    }
    expect(reconnected).toBe(1)
    for (const socket of quiet.slice(0, 18)) if (!socket.closed) await once(socket.resume(), 'close')
    expect(quiet.slice(18).map((socket) => socket.closed)).toEqual([false, false])
  })

  it('refuses huge headers with 431', async () => {
    const { url, addresses } = await start({ otlp: http() })
    const socket = await connection(addresses.HTTP)
    socket.write(`POST /v1/metrics HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)
    expect(await readUntil(socket, '\r\n\r\n')).toContain('431 ')
    expect(await post(url, gaugeRequest(1))).toMatchObject({ status: 200 })
  })

  it('lets the bodies that are longest on their way go when memory is full', async () => {
    const { url, addresses } = await start({
      otlp: '{ admission: { request_limit_mib: 2 }, protocols: { http: { endpoint: "localhost:0", max_request_body_size: 1MiB } } }',
    })
    const hostile: Socket[] = []
    for (let count = 0; count < 3; count++) {
      const socket = await connection(addresses.HTTP)
      socket.write(
        `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: ${PROTOBUF}\r\ncontent-length: 1048576\r\n\r\n`,
      )
      socket.write(Buffer.alloc(1_000_000))
      hostile.push(socket)
    }
    const refused = await readUntil(hostile[0], '\r\n\r\n')
    expect(refused).toContain('503 Service Unavailable')
    expect(refused).toContain('Retry-After: 1')
    expect(await post(url, gaugeRequest(...Array<number>(20_000).fill(1)))).toMatchObject({ status: 200 })
  })

  it('refuses JSON that is nested without end, and passes over brackets that mean nothing', async () => {
    const { url } = await start({ otlp: http() })
    const deep = await post(url, `{"x":${'['.repeat(10_000_000)}`)
    const wide = await post(url, `{"x":[${'[],'.repeat(3_000_000)}0]}`)
    const inside = await post(url, `{"resourceMetrics":${'[{"x":'.repeat(100_000)}1${'}]'.repeat(100_000)}}`)
    expect([deep.status, wide.status, inside.status]).toEqual([400, 200, 400])
    expect(deep.refusal().message).toContain('nested more than')
    expect(await post(url, '{}')).toMatchObject({ status: 200 })
  })
})

describe('the otlp receiver in its life', () => {
  it('answers what is in hand when it stops, and refuses bodies that do not arrive', async () => {
    const queue = ', sending_queue: { enabled: false }'
    const { url, addresses, arrived, release, pipeline } = await start({ otlp: http(), exporter: queue, hold: true })
    const inHand = post(url, gaugeRequest(1))
    await arrived(1)
    const unfinished = await connection(addresses.HTTP)
    unfinished.write(
      `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: ${PROTOBUF}\r\ncontent-length: 100\r\n\r\nx`,
    )
    const idle = await connection(addresses.HTTP)
    const stopped = pipeline.stop()
    expect(await readUntil(unfinished, '\r\n\r\n')).toContain('503 Service Unavailable')
    release()
    expect(await inHand).toMatchObject({ status: 200, headers: { connection: 'close' } })
    await once(idle.resume(), 'close')
    expect((await stopped).exporters.otlp_http).toMatchObject({ sent: 1 })
    await expect(connection(addresses.HTTP)).rejects.toThrow('ECONNREFUSED')
  })

  it('waits where the address is in use, and the pipeline ends when service.start_timeout has passed', async () => {
    const { port } = await listen(createServer())
    const text = `
receivers: { otlp: { protocols: { grpc: { endpoint: "127.0.0.1:0" }, http: { endpoint: "127.0.0.1:${port}" } } } }
exporters: { debug: }
service: { start_timeout: 100ms, pipelines: { metrics: { receivers: [otlp], exporters: [debug] } } }`
    const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
    const logs: unknown[] = []
    const log = (_message: string, fields?: object) => void logs.push(fields)
    const pipeline = startPipeline(config, { log: { debug: log, info: log, warn: log, error: log } })
    expect(await pipeline.ended).toEqual({ failed: true })
    expect(logs).toContainEqual({ event: 'listen_failed', address: `127.0.0.1:${port}` })
    expect(logs).toContainEqual({ event: 'start_timeout', receivers: 'receivers.otlp' })
    await pipeline.stop()
  })

  it.each([
    ['otlp: {}', 'otlp.protocols: needs at least one of grpc, http'],
    ['otlp: { admission: { max_connections: 0 } }', 'otlp.admission.max_connections: must be at least 1'],
    ['otlp: { protocols: { http: { endpoint: nowhere } } }', 'otlp.protocols.http.endpoint: must be `host:port`'],
    ['otlp: { protocols: { grpc: { endpoint: "localhost:99999" } } }', 'otlp.protocols.grpc.endpoint: must be'],
    ['otlp: { protocols: { http: { metrics_url_path: x } } }', 'otlp.protocols.http.metrics_url_path: must start with'],
    ['otlp: { protocols: { http: { max_request_body_size: 200MiB } } }', 'must be at most admission.request_limit_mib'],
    ['otlp: { protocols: { http: { tls: { cert_file: a } } } }', 'otlp.protocols.http.tls.key_file: is required'],
  ])('refuses %s', async (yaml, message) => {
    await expect(checkComponent(otlp, yaml, {})).rejects.toThrow(message)
  })

  it('says which file of TLS cannot be read', async () => {
    const receiving = await start({ otlp: http(', tls: { cert_file: /nowhere.pem, key_file: /nowhere.key }') })
    expect(await receiving.pipeline.ended).toEqual({ failed: true })
    expect(receiving.logs.join()).toMatch(/protocols\.http\.tls\.(cert|key)_file: \/nowhere\.(pem|key) does not exist/)
  })
})
