import { readFileSync } from 'node:fs'
import { createServer as createHttp2Server } from 'node:http2'
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { status as Status } from '@grpc/grpc-js'
import { describe, expect, it } from '@jest/globals'
import protobuf from 'protobufjs'
import otlpGrpc from '../../src/exporters/otlp_grpc.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { gauge } from '../../src/testing.ts'
import { environment } from '../kit/environment.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startGrpcReceiver } from '../kit/grpc_receiver.ts'
import type { GrpcReceiver } from '../kit/grpc_receiver.ts'
import { listen } from '../kit/listen.ts'
import { ExportMetricsServiceRequest, ExportMetricsServiceResponse } from '../kit/otlp_proto.ts'
import { startProxy } from '../kit/proxy.ts'
import type { Proxy } from '../kit/proxy.ts'

const now = { timeUnixNano: 1_767_268_800_000_000_000n }
const three = MetricBatch.of({ metrics: ['a', 'b', 'c'].map((name) => gauge(name, 1, {}, now)) })

/** A proxy that leads everything to this receiver. */
async function proxyTo({ endpoint }: GrpcReceiver): Promise<Proxy> {
  return startProxy({ to: Number(endpoint.split(':')[1]) })
}

/** The exporter with these settings, as lines of YAML. */
async function exporting(...settings: string[]): Promise<ExporterTest> {
  return testExporter(otlpGrpc, `otlp_grpc:\n${settings.map((line) => `  ${line}\n`).join('')}`)
}

const plain = (endpoint: string): string[] => [`endpoint: ${endpoint}`, 'tls: { insecure: true }']

const tlsFile = (name: string): string => fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))
const secure = { key: readFileSync(tlsFile('server.key')), cert: readFileSync(tlsFile('server.pem')) }

/** A web server that speaks HTTP/2 and knows no gRPC. */
async function portal(status: number, page: string): Promise<{ port: number; requests: () => number }> {
  let count = 0
  const server = createHttp2Server((request, response) => {
    count += 1
    request.resume()
    response.writeHead(status, { 'content-type': 'text/html', location: 'https://sign-in.example/' })
    response.end(page)
  })
  const { port } = await listen(server)
  return { port, requests: () => count }
}

/** google.rpc.Status as published, with the well-known types that protobufjs has. */
const rpc = protobuf.parse(`syntax = "proto3"; package google.rpc; import "google/protobuf/any.proto";
  message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
  message RetryInfo { google.protobuf.Duration retry_delay = 1; }
  message DebugInfo { repeated string stack_entries = 1; string detail = 2; }`).root
rpc.addJSON({ ...protobuf.common.get('google/protobuf/any.proto')!.nested })
rpc.addJSON({ ...protobuf.common.get('google/protobuf/duration.proto')!.nested })

/** A google.rpc.Status with a detail that says nothing about retries, and one that asks for this pause. */
function statusWithRetryInfo(code: number, seconds: number, nanos: number): Buffer {
  const detail = (name: string, fields: object) => ({
    type_url: `type.googleapis.com/google.rpc.${name}`,
    value: rpc.lookupType(name).encode(fields).finish(),
  })
  const details = [detail('DebugInfo', { detail: 'x' }), detail('RetryInfo', { retryDelay: { seconds, nanos } })]
  return Buffer.from(rpc.lookupType('google.rpc.Status').encode({ code, message: 'later', details }).finish())
}

describe('otlp_grpc', () => {
  it.each(['gzip', 'none'])('sends byte for byte what nobody changed, with %s', async (compression) => {
    // Field 15 is not known, and the last length is written in two bytes where one would do.
    const odd = Buffer.concat([three.toOtlp(), Buffer.from([0x7a, 0x03, 1, 2, 3]), Buffer.from([0x0a, 0x80, 0x00])])
    const server = await startGrpcReceiver()
    const exporter = await exporting(...plain(server.endpoint), `compression: ${compression}`)
    expect(await exporter.deliver(MetricBatch.fromOtlp(odd), three)).toMatchObject({
      handed_in: 6,
      created: 0,
      sent: 6,
      dropped: {},
    })
    expect(server.requests.map(({ raw }) => raw)).toEqual([odd, Buffer.from(three.toOtlp())])
    expect(ExportMetricsServiceRequest.decode(server.requests[1].raw).toJSON()).toMatchObject({
      resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }] }],
    })
  })

  it('compresses unless told not to', async () => {
    const server = await startGrpcReceiver()
    const text = gauge('m', 1, { text: 'x'.repeat(100_000) }, now)
    const bytesWith = async (compression: string): Promise<number> => {
      let bytes = 0
      const relay = createServer((client) => {
        const upstream = connect(Number(server.endpoint.split(':')[1]), '127.0.0.1')
        client.on('data', (chunk) => (bytes += chunk.length))
        // Either end that is gone ends the other one.
        pipeline(client, upstream, client, () => undefined)
      })
      const { address } = await listen(relay)
      const exporter = await exporting(...plain(address), `compression: ${compression}`)
      expect(await exporter.deliver(MetricBatch.of({ metrics: [text] }))).toMatchObject({ sent: 1 })
      return bytes
    }
    expect(await bytesWith('gzip')).toBeLessThan(3000)
    expect(await bytesWith('none')).toBeGreaterThan(100_000)
  })

  it('sends its headers as metadata', async () => {
    const server = await startGrpcReceiver()
    const exporter = await exporting(...plain(server.endpoint), 'headers: { Authorization: Bearer x, x-team: core }')
    await exporter.deliver(three)
    expect(server.requests[0].headers).toMatchObject({ authorization: 'Bearer x', 'x-team': 'core' })
    expect(server.requests[0].headers['user-agent']).toMatch(/^heka-pipeline /)
  })

  it('sends what is larger than gRPC servers take in several requests', async () => {
    const text = 'x'.repeat(1000)
    const points = Array.from({ length: 6000 }, (_, value) => new NumberPoint({ ...now, value }))
    const batch = MetricBatch.of({
      metrics: points.map((point) => ({ name: 'm', description: text, type: 'gauge', points: [point] })),
    })
    expect(batch.toOtlp().length).toBeGreaterThan(4 * 1024 * 1024)
    const server = await startGrpcReceiver()
    expect(await (await exporting(...plain(server.endpoint))).deliver(batch)).toMatchObject({ sent: 6000, dropped: {} })
    expect(server.requests).toHaveLength(2)
  })

  it('divides what a server with a smaller limit refuses', async () => {
    const metrics = ['a', 'b'].map((name) => gauge(name, 1, { text: 'x'.repeat(600) }, now))
    const server = await startGrpcReceiver({ maxMessage: 1000 })
    const exporter = await exporting(...plain(server.endpoint))
    expect(await exporter.deliver(MetricBatch.of({ metrics }))).toMatchObject({ sent: 2, dropped: {} })
    const large = gauge('c', 1, { text: 'x'.repeat(1000) }, now)
    expect(await exporter.deliver(MetricBatch.of({ metrics: [large] }))).toMatchObject({ dropped: { too_large: 1 } })
  })

  it.each([
    ['tls: { ca_file: CA }', ''],
    ['tls: { ca_file: CA, insecure: true }', 'https://'],
    ['tls: { insecure_skip_verify: true }', ''],
  ])('speaks TLS with %s', async (tls, scheme) => {
    const server = await startGrpcReceiver({ tls: secure })
    const exporter = await exporting(`endpoint: ${scheme}${server.endpoint}`, tls.replace('CA', tlsFile('ca.pem')))
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3 })
  })

  it('shows its certificate to a server that asks for one', async () => {
    const server = await startGrpcReceiver({ tls: { ...secure, ca: readFileSync(tlsFile('ca.pem')) } })
    const files = `ca_file: ${tlsFile('ca.pem')}, cert_file: ${tlsFile('client.pem')}, key_file: ${tlsFile('client.key')}`
    const exporter = await exporting(`endpoint: ${server.endpoint}`, `tls: { ${files} }`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3 })
  })

  it('keeps what it has, and says why, when it does not know the authority', async () => {
    const server = await startGrpcReceiver({ tls: secure })
    const exporter = await exporting(`endpoint: ${server.endpoint}`, 'retry_on_failure: { enabled: false }')
    expect(await exporter.deliver(three)).toMatchObject({ sent: 0, dropped: { grpc_unavailable: 3 } })
    expect(JSON.stringify(exporter.logs)).toMatch(/certificate/)
    expect(server.requests).toEqual([])
  })

  it('names a TLS file that cannot be read, and tries again', async () => {
    const exporter = await exporting(
      'endpoint: localhost:4317',
      'tls: { ca_file: /does/not/exist.pem }',
      'retry_on_failure: { max_elapsed_time: 20ms }',
    )
    expect(await exporter.deliver(three)).toMatchObject({ dropped: { retries_exhausted: 3 } })
    expect(JSON.stringify(exporter.logs)).toContain('tls.ca_file: /does/not/exist.pem does not exist')
  })

  it.each(['grpc_proxy', 'https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'])(
    'goes through the proxy that %s names, with its user and password',
    async (name) => {
      const server = await startGrpcReceiver()
      const proxy = await proxyTo(server)
      environment({ [name]: proxy.url.replace('//', '//joe:p%40ss@') })
      expect(await (await exporting(...plain('collector.example:4317'))).deliver(three)).toMatchObject({ sent: 3 })
      const authorization = `Basic ${Buffer.from('joe:p@ss').toString('base64')}`
      expect(proxy.tunnels).toEqual([{ target: 'collector.example:4317', authorization }])
      expect(server.requests[0].headers).not.toHaveProperty('proxy-authorization')
    },
  )

  it('checks the certificate of the receiver behind a proxy, and calls it by its name', async () => {
    const server = await startGrpcReceiver({ tls: secure })
    const proxy = await proxyTo(server)
    environment({ HTTPS_PROXY: proxy.url })
    const tls = `tls: { ca_file: ${tlsFile('ca.pem')} }`
    const other = await exporting('endpoint: collector.example:4317', tls, 'retry_on_failure: { enabled: false }')
    expect(await other.deliver(three)).toMatchObject({ sent: 0, dropped: { grpc_unavailable: 3 } })
    expect(JSON.stringify(other.logs)).toContain('collector.example. is not in the cert')
  })

  it.each([
    ['this host', {}, undefined],
    ['an address in NO_PROXY', { NO_PROXY: '10.0.0.0/8' }, '10.1.2.3:4317'],
    ['a domain in no_proxy', { no_proxy: '.example' }, 'collector.example:4317'],
    ['what no_grpc_proxy names', { no_grpc_proxy: 'collector.example', no_proxy: 'x' }, 'collector.example:4317'],
  ] as [string, Record<string, string>, string | undefined][])(
    'takes no proxy to %s',
    async (_, exceptions, endpoint) => {
      const server = await startGrpcReceiver()
      const proxy = await proxyTo(server)
      environment({ HTTPS_PROXY: proxy.url, ...exceptions })
      const retry = 'retry_on_failure: { enabled: false }'
      const exporter = await exporting(...plain(endpoint ?? server.endpoint), 'timeout: 500ms', retry)
      const balance = await exporter.deliver(three)
      expect(balance.sent).toBe(endpoint === undefined ? 3 : 0)
      expect(proxy.tunnels).toEqual([])
    },
  )

  it('keeps what it has while the proxy is none that gRPC goes through', async () => {
    environment({ HTTPS_PROXY: 'https://joe:hunter2@proxy.example:3128' })
    const exporter = await exporting(...plain('collector.example:4317'), 'retry_on_failure: { max_elapsed_time: 20ms }')
    expect(await exporter.deliver(three)).toMatchObject({ dropped: { retries_exhausted: 3 } })
    expect(JSON.stringify(exporter.logs)).toContain('proxies with an http:// URL only')
    expect(JSON.stringify(exporter.logs)).not.toContain('hunter2')
  })

  it.each([
    ['otlp_grpc: {}', 'otlp_grpc.endpoint: is required'],
    ['otlp_grpc: { endpoint: localhost }', 'otlp_grpc.endpoint: must be `host:port`'],
    [
      'otlp_grpc: { endpoint: "https://localhost:4317/v1/metrics" }',
      'otlp_grpc.endpoint: must be `host:port`, like `collector.example.org:4317`; gRPC has no path (did you mean "https://localhost:4317"?)',
    ],
    ['otlp_grpc: { endpoint: "a.example:4317/x" }', 'gRPC has no path (did you mean "a.example:4317"?)'],
    ['otlp_grpc: { endpoint: "https://a.example/v1/metrics" }', 'gRPC has no path'],
    ['otlp_grpc: { endpoint: "a:1", headers: { "x y": a } }', 'otlp_grpc.headers.x y: is not a name'],
    ['otlp_grpc: { endpoint: "a:1", headers: { x-bin: a } }', 'otlp_grpc.headers.x-bin: is not a name'],
    ['otlp_grpc: { endpoint: "a:1", headers: { x: "ä" } }', 'otlp_grpc.headers.x: holds a character'],
    ['otlp_grpc: { endpoint: "a:1", headers: { Host: b } }', 'otlp_grpc.headers.Host: is set by the exporter itself'],
    ['otlp_grpc: { endpoint: "a:1", compression: zstd }', 'otlp_grpc.compression: must be `gzip` or `none`'],
    ['otlp_grpc: { endpoint: "a:1", tls: { key_file: a.key } }', 'otlp_grpc.tls.cert_file: is required'],
    ['otlp_grpc: { endpoint: "a:1", max_request_size: 0 }', 'otlp_grpc.max_request_size: must be at least'],
  ])('refuses %s', async (yaml, message) => {
    await expect(testExporter(otlpGrpc, yaml)).rejects.toThrow(message)
  })

  it.each(['localhost:4317', 'http://localhost:4317/', 'dns:///collector.example.org:4317', '[::1]:4317'])(
    'takes %s as an endpoint',
    async (endpoint) => {
      await (await exporting(`endpoint: "${endpoint}"`)).stop()
    },
  )
})

describe('what an OTLP/gRPC receiver answers', () => {
  it('counts what a partial success rejects, once', async () => {
    const server = await startGrpcReceiver()
    const partialSuccess = { rejectedDataPoints: 2, errorMessage: 'no gauges' }
    server.respondWith({ body: ExportMetricsServiceResponse.encode({ partialSuccess }).finish() })
    const exporter = await exporting(...plain(server.endpoint))
    expect(await exporter.deliver(three)).toMatchObject({ handed_in: 3, sent: 1, rejected: 2, dropped: {} })
    expect(server.requests).toHaveLength(1)
    expect(JSON.stringify(exporter.logs)).toContain('no gauges')
  })

  it('counts as sent what is answered with a negative number of rejected data points, and warns', async () => {
    const server = await startGrpcReceiver()
    const partialSuccess = { rejectedDataPoints: -2, errorMessage: '' }
    server.respondWith({ body: ExportMetricsServiceResponse.encode({ partialSuccess }).finish() })
    const exporter = await exporting(...plain(server.endpoint))
    expect(await exporter.deliver(three)).toMatchObject({ handed_in: 3, sent: 3, rejected: 0, dropped: {} })
    expect(JSON.stringify(exporter.logs)).toContain(
      'Its number of rejected data points is below 0, or no whole number.',
    )
  })

  it.each(['CANCELLED', 'DEADLINE_EXCEEDED', 'ABORTED', 'OUT_OF_RANGE', 'UNAVAILABLE', 'DATA_LOSS'] as const)(
    'sends the same bytes again after %s',
    async (name) => {
      const server = await startGrpcReceiver()
      server.respondWith({ code: Status[name] })
      expect(await (await exporting(...plain(server.endpoint))).deliver(three)).toMatchObject({ sent: 3, dropped: {} })
      expect(server.requests.map(({ code }) => code)).toEqual([Status[name], Status.OK])
      expect(server.requests[1].raw).toEqual(server.requests[0].raw)
    },
  )

  it.each([
    'UNKNOWN',
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
    'UNIMPLEMENTED',
    'INTERNAL',
  ] as const)('gives up after %s', async (name) => {
    const server = await startGrpcReceiver()
    server.respondWith({ code: Status[name], message: 'it says why' })
    const exporter = await exporting(...plain(server.endpoint))
    expect(await exporter.deliver(three)).toMatchObject({ sent: 0, dropped: { refused: 3 } })
    expect(server.requests).toHaveLength(1)
    expect(JSON.stringify(exporter.logs)).toContain(`${name}: it says why`)
  })

  it.each(['PERMISSION_DENIED', 'UNAUTHENTICATED'] as const)(
    'keeps the data after %s, and says so loudly',
    async (name) => {
      const server = await startGrpcReceiver()
      server.respondWith({ code: Status[name], message: 'who are you' })
      const exporter = await exporting(...plain(server.endpoint))
      expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
      expect(JSON.stringify(exporter.logs)).toContain('"event":"credentials_rejected"')
    },
  )

  it.each(['RESOURCE_EXHAUSTED', 'UNAVAILABLE'] as const)('waits as long as RetryInfo says, with %s', async (name) => {
    const server = await startGrpcReceiver()
    server.respondWith({ code: Status[name], details: statusWithRetryInfo(Status[name], 0, 250_000_000) })
    const exporter = await exporting(...plain(server.endpoint))
    const started = performance.now()
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
    // The retry interval in tests is one millisecond.
    expect(performance.now() - started).toBeGreaterThan(240)
    expect(JSON.stringify(exporter.logs)).toContain('"after":"250ms"')
  })

  it('takes details that are no google.rpc.Status for none', async () => {
    const server = await startGrpcReceiver()
    server.respondWith({ code: Status.RESOURCE_EXHAUSTED, details: Buffer.from([0x1a, 0xff, 0x01]) })
    expect(await (await exporting(...plain(server.endpoint))).deliver(three)).toMatchObject({ dropped: { refused: 3 } })
  })

  it.each([
    ['a redirect', 302, '', 'gRPC follows no redirects'],
    ['a page to sign in', 200, '<!doctype html><title>Sign in</title>', 'perhaps a web page'],
  ])('is not taken for an answer where it is %s', async (_, status, page, message) => {
    const { port, requests } = await portal(status, page)
    const exporter = await exporting(...plain(`127.0.0.1:${port}`), 'retry_on_failure: { max_elapsed_time: 20ms }')
    expect(await exporter.deliver(three)).toMatchObject({ sent: 0, dropped: { retries_exhausted: 3 } })
    expect(requests()).toBeGreaterThan(0)
    expect(JSON.stringify(exporter.logs)).toContain(message)
  })

  it('is left behind after the timeout', async () => {
    const server = await startGrpcReceiver()
    server.respondWith({ hang: true })
    const exporter = await exporting(...plain(server.endpoint), 'timeout: 300ms')
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
    expect(server.requests).toHaveLength(2)
  })

  it('is found again when it comes back', async () => {
    const gone = await startGrpcReceiver()
    await gone.close()
    const port = Number(gone.endpoint.split(':')[1])
    const exporter = await exporting(...plain(gone.endpoint))
    const delivered = exporter.deliver(three)
    while (exporter.logs.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const back = await startGrpcReceiver({ port })
    expect(await delivered).toMatchObject({ sent: 3, dropped: {} })
    expect(back.requests).toHaveLength(1)
    expect(JSON.stringify(exporter.logs)).toContain('ECONNREFUSED')
  })
})
