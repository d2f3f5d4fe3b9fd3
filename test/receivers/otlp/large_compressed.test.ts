import { randomBytes } from 'node:crypto'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import zlib from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { Client, compressionAlgorithms, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { cleanups } from '../../kit/cleanups.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { gaugeRequest, startReceiving } from '../../kit/receiving.ts'
import { until } from '../../kit/until.ts'

/*
 * Requests that are decompressed in threads: those of more than 512 KiB on the wire, and those that become more than 4 MiB.
 */

const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Uint8Array) => Buffer }

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const http = (more = '') => `{ protocols: { http: { endpoint: "localhost:0"${more} } } }`
const grpc = (mebibytes = 16) =>
  `{ protocols: { grpc: { endpoint: "localhost:0", max_recv_msg_size_mib: ${mebibytes} } } }`

/** A request of one point, whose description has so many characters. */
function described(description: string): Buffer {
  const gauge = { dataPoints: [{ asDouble: 1, timeUnixNano: Date.now() * 1e6 }] }
  const resourceMetrics = [{ scopeMetrics: [{ metrics: [{ name: 'load', description, gauge }] }] }]
  const fields = ExportMetricsServiceRequest.fromObject({ resourceMetrics })
  return Buffer.from(ExportMetricsServiceRequest.encode(fields).finish())
}
const largeOnTheWire = described(randomBytes(1_000_000).toString('base64'))
const largeAfterwards = described('x'.repeat(6_000_000))

async function post(url: string, body: Buffer, coding: string): Promise<{ status: number; message?: string }> {
  const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': coding, accept: 'application/json' }
  const { statusCode: status, body: answer } = await request(url, { method: 'POST', headers, body })
  const text = await answer.text()
  return text === '' ? { status } : { status, message: text }
}

function grpcClient(address: string): (body: Buffer) => Promise<number> {
  const compressing = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip }
  const client = new Client(address, credentials.createInsecure(), compressing)
  cleanups.push(() => client.close())
  const same = (bytes: Buffer): Buffer => bytes
  return (body) =>
    new Promise((resolve) => client.makeUnaryRequest(EXPORT, same, same, body, (error) => resolve(error?.code ?? 0)))
}

describe('large compressed requests', () => {
  it('become the bytes that they were compressed from, in every coding', async () => {
    const { addresses, arrived } = await startReceiving({ otlp: http() })
    const url = `http://${addresses.HTTP}/v1/metrics`
    const sent: Buffer[] = []
    for (const body of [largeOnTheWire, largeAfterwards]) {
      for (const [coding, compressed] of Object.entries({
        gzip: zlib.gzipSync(body),
        deflate: zlib.deflateSync(body),
        zstd: zstdCompressSync?.(body),
      })) {
        if (compressed === undefined) continue
        expect(await post(url, compressed, coding)).toEqual({ status: 200 })
        sent.push(body)
      }
    }
    const bodies = await arrived(sent.length)
    expect(bodies.map((body, index) => body.equals(sent[index]))).toEqual(sent.map(() => true))
  })

  it('are received over gRPC', async () => {
    const { addresses, arrived } = await startReceiving({ otlp: grpc() })
    const send = grpcClient(addresses.gRPC ?? '')
    for (const body of [largeOnTheWire, largeAfterwards]) expect(await send(body)).toBe(0)
    const bodies = await arrived(2)
    expect([bodies[0].equals(largeOnTheWire), bodies[1].equals(largeAfterwards)]).toEqual([true, true])
  })

  it('are refused where they become too large, and where they end early', async () => {
    const { addresses, pipeline } = await startReceiving({ otlp: http(', max_request_body_size: 5MiB') })
    const url = `http://${addresses.HTTP}/v1/metrics`
    const tooLarge = { status: 413, message: expect.stringContaining('5242880 bytes') as unknown }
    expect(await post(url, zlib.gzipSync(largeAfterwards), 'gzip')).toMatchObject(tooLarge)
    const cut = { status: 400, message: expect.stringContaining('cannot be decompressed') as unknown }
    expect(await post(url, zlib.gzipSync(largeOnTheWire).subarray(0, -9), 'gzip')).toMatchObject(cut)
    expect(pipeline.telemetry.balance().pipelines.metrics.accepted).toBe(0)
    expect(await post(url, zlib.gzipSync(largeOnTheWire), 'gzip')).toEqual({ status: 200 })
  })

  it('are refused over gRPC where they become too large', async () => {
    const { addresses, pipeline } = await startReceiving({ otlp: grpc(5) })
    expect(await grpcClient(addresses.gRPC ?? '')(largeAfterwards)).toBe(8)
    const counted = 'refused_requests{component="otlp",protocol="grpc",reason="too_large"}'
    await until(() => pipeline.telemetry.counters()[counted] === 1)
  })

  it('count for the memory of all requests while they become large', async () => {
    const otlp =
      '{ protocols: { http: { endpoint: "localhost:0", max_request_body_size: 10MiB } }, admission: { request_limit_mib: 10 } }'
    const exporter = ', sending_queue: { enabled: false }'
    const { addresses, arrived, release } = await startReceiving({ otlp, exporter, hold: true })
    const url = `http://${addresses.HTTP}/v1/metrics`
    const first = post(url, zlib.gzipSync(largeAfterwards), 'gzip')
    await arrived(1)
    // The first counts until it is delivered, and leaves no room for what the second becomes.
    expect(await post(url, zlib.gzipSync(largeAfterwards), 'gzip')).toMatchObject({ status: 503 })
    release()
    expect(await first).toEqual({ status: 200 })
    expect(await post(url, zlib.gzipSync(largeAfterwards), 'gzip')).toEqual({ status: 200 })
  })

  it('are handed on before the requests that come behind them on a connection', async () => {
    const one = ', sending_queue: { num_consumers: 1 }'
    const receiving = await startReceiving({ otlp: http(), exporter: one })
    const [hostname, port] = (receiving.addresses.HTTP ?? '').split(':')
    const socket = connect(Number(port), hostname)
    cleanups.push(() => socket.destroy())
    const requestOf = (body: Buffer): Buffer =>
      Buffer.concat([
        Buffer.from(
          `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`,
        ),
        body,
      ])
    const small = gaugeRequest(1)
    socket.write(Buffer.concat([requestOf(zlib.gzipSync(largeAfterwards)), requestOf(zlib.gzipSync(small))]))
    const [first, second] = await receiving.arrived(2)
    expect([first.equals(largeAfterwards), second.equals(small)]).toEqual([true, true])

    const { addresses, arrived } = await startReceiving({ otlp: grpc(), exporter: one })
    const session = connectHttp2(`http://${addresses.gRPC}`)
    cleanups.push(() => session.destroy())
    for (const body of [largeAfterwards, small]) {
      const message = zlib.gzipSync(body)
      const prefix = Buffer.alloc(5, 1)
      prefix.writeUInt32BE(message.length, 1)
      const headers = { ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc', te: 'trailers' }
      session
        .request({ ...headers, 'grpc-encoding': 'gzip' })
        .resume()
        .end(Buffer.concat([prefix, message]))
    }
    const bodies = await arrived(2)
    expect([bodies[0].equals(largeAfterwards), bodies[1].equals(small)]).toEqual([true, true])
  })
})
