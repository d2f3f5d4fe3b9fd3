import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import zlib from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import otlpHttp from '../../src/exporters/otlp_http.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../../src/otlp/metrics/points.ts'
import { gauge, sum } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Answer, Intake, IntakeOptions } from '../kit/intake.ts'
import { freePort } from '../kit/listen.ts'
import { ExportMetricsServiceRequest, ExportMetricsServiceResponse } from '../kit/otlp_proto.ts'
import { startProxy } from '../kit/proxy.ts'

const NOON = 1_767_268_800_000_000_000n
const now = { timeUnixNano: NOON }
const three = MetricBatch.of({ metrics: ['a', 'b', 'c'].map((name) => gauge(name, 1, {}, now)) })
const hasZstd = 'zstdCompressSync' in zlib

/** A receiver of OTLP that asks for no key. */
async function receiver(options: IntakeOptions = {}): Promise<Intake> {
  const unlimited = { wire: Infinity, raw: Infinity }
  return startIntake({ keyHeader: '', limits: unlimited, ...options })
}

/** The exporter with these settings, as lines of YAML. */
async function exporting(...settings: string[]): Promise<ExporterTest> {
  return testExporter(otlpHttp, `otlp_http:\n${settings.map((line) => `  ${line}\n`).join('')}`)
}

const tlsFile = (name: string): string => fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))
const secure = { key: readFileSync(tlsFile('server.key')), cert: readFileSync(tlsFile('server.pem')) }

/** Every type of metric, as protobufjs reads it back by the published definitions. */
const everything = MetricBatch.of({
  resource: { 'service.name': 'shop', 'host.id': 9_007_199_254_740_993n },
  scope: { name: 'meter', version: '1.2' },
  metrics: [
    gauge('gauge', 1.5, { list: ['a', 1, true], map: { b: 2.5 }, bytes: new Uint8Array([1, 2]) }, now),
    sum('sum', 9_223_372_036_854_775_807n, {}, { ...now, startTimeUnixNano: 1n }),
    {
      name: 'histogram',
      type: 'histogram',
      temporality: 'delta',
      points: [new HistogramPoint({ ...now, count: 2, sum: 3, bucketCounts: [1, 1], explicitBounds: [1] })],
    },
    {
      name: 'exponential',
      type: 'exponential_histogram',
      temporality: 'cumulative',
      points: [
        new ExponentialHistogramPoint({ ...now, count: 1, scale: 3, positive: { offset: -2, bucketCounts: [1] } }),
      ],
    },
    {
      name: 'summary',
      type: 'summary',
      points: [new SummaryPoint({ ...now, count: 1, sum: 2, quantileValues: [{ quantile: 0.5, value: 2 }] })],
    },
  ],
})
const read = (bytes: Uint8Array): unknown =>
  ExportMetricsServiceRequest.toObject(ExportMetricsServiceRequest.decode(bytes), { longs: String, defaults: true })

describe('otlp_http', () => {
  it('sends every type of metric to /v1/metrics below its endpoint', async () => {
    const { url, requests } = await receiver()
    const exporter = await exporting(`endpoint: ${url}/`, 'headers: { X-Team: core }')
    expect(await exporter.deliver(everything)).toMatchObject({ handed_in: 5, sent: 5, rejected: 0, dropped: {} })
    expect(requests).toMatchObject([
      {
        path: '/v1/metrics',
        headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip', 'x-team': 'core' },
        body: read(everything.toOtlp()),
      },
    ])
  })

  it('sends to metrics_endpoint as it stands', async () => {
    const { url, requests } = await receiver()
    const exporter = await exporting('endpoint: http://localhost:1', `metrics_endpoint: ${url}/ingest/otlp?tenant=7`)
    await exporter.deliver(three)
    expect(requests.map(({ path }) => path)).toEqual(['/ingest/otlp?tenant=7'])
  })

  it.each(['gzip', 'deflate', 'none', ...(hasZstd ? ['zstd'] : [])])(
    'sends byte for byte what nobody changed, unknown fields and odd spellings included, with %s',
    async (compression) => {
      // Field 15 is not known, and the last length is written in two bytes where one would do.
      const odd = Buffer.concat([three.toOtlp(), Buffer.from([0x7a, 0x03, 1, 2, 3]), Buffer.from([0x0a, 0x80, 0x00])])
      const { url, requests } = await receiver()
      const exporter = await exporting(`endpoint: ${url}`, `compression: ${compression}`)
      expect(await exporter.deliver(MetricBatch.fromOtlp(odd))).toMatchObject({ sent: 3 })
      expect(Buffer.from(requests[0].raw)).toEqual(odd)
      expect(requests[0].headers['content-encoding']).toBe(compression === 'none' ? undefined : compression)
    },
  )

  it('writes OTLP/JSON that means the same', async () => {
    const { url, requests } = await receiver()
    const exporter = await exporting(`endpoint: ${url}`, 'encoding: json')
    expect(await exporter.deliver(everything)).toMatchObject({ sent: 5 })
    expect(requests[0].headers['content-type']).toBe('application/json')
    const { resourceMetrics } = requests[0].body as { resourceMetrics: unknown }
    expect(
      read(ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.fromObject({ resourceMetrics })).finish()),
    ).toEqual(read(everything.toOtlp()))
  })

  it.each(['proto', 'json'])(
    'sends what is larger than max_request_size in several requests, as %s',
    async (encoding) => {
      const points = Array.from({ length: 500 }, (_, index) => new NumberPoint({ ...now, value: index, isInt: true }))
      const batch = MetricBatch.of({ resource: { a: 'b' }, metrics: [{ name: 'm', type: 'gauge', points }] })
      const { url, requests } = await receiver()
      const exporter = await exporting(`endpoint: ${url}`, 'max_request_size: 4KiB', `encoding: ${encoding}`)
      expect(await exporter.deliver(batch)).toMatchObject({ sent: 500, dropped: {} })
      expect(requests.length).toBeGreaterThan(2)
      expect(requests.every(({ rawBytes }) => rawBytes <= 4096)).toBe(true)
      const text = JSON.stringify(requests.map(({ body }) => body))
      expect(Array.from(text.matchAll(/"asInt":"(\d+)"/g), ([, value]) => Number(value))).toEqual(
        points.map(({ value }) => value),
      )
    },
  )

  it('drops only the point that is too large for any request', async () => {
    const { url } = await receiver()
    const large = gauge('large', 1, { text: 'x'.repeat(5000) }, now)
    const batch = MetricBatch.of({ metrics: [gauge('a', 1, {}, now), large, gauge('b', 1, {}, now)] })
    const exporter = await exporting(`endpoint: ${url}`, 'max_request_size: 4KiB')
    expect(await exporter.deliver(batch)).toMatchObject({ sent: 2, dropped: { too_large: 1 } })
  })

  it('trusts a private authority, and goes through a proxy', async () => {
    const { url, requests } = await receiver({ tls: secure })
    const proxy = await startProxy()
    const tls = `tls: { ca_file: ${tlsFile('ca.pem')} }`
    await (await exporting(`endpoint: ${url}`, tls)).deliver(three)
    await (await exporting(`endpoint: ${url}`, tls, `proxy_url: ${proxy.url}`)).deliver(three)
    expect(requests.map(({ status }) => status)).toEqual([200, 200])
    expect(proxy.tunnels.map(({ target }) => target)).toEqual([new URL(url).host])
  })

  it.each([
    ['otlp_http: {}', 'otlp_http.endpoint: is required, or one of metrics_endpoint'],
    ['otlp_http: { endpoint: localhost:4318 }', 'otlp_http.endpoint: must be an absolute `http` or `https` URL'],
    ['otlp_http: { endpoint: "http://localhost:4318", encoding: protobuf }', 'otlp_http.encoding: must be `proto` or'],
    ['otlp_http: { endpoint: "http://localhost:4318", max_request_size: 0 }', 'otlp_http.max_request_size'],
    ['otlp_http: { endpoint: "http://localhost:4318", tls: { cert_file: a.pem } }', 'otlp_http.tls.key_file'],
    ...(hasZstd
      ? []
      : [['otlp_http: { endpoint: "http://localhost:4318", compression: zstd }', 'zstd needs Node 22.15']]),
  ])('refuses %s', async (yaml, message) => {
    await expect(testExporter(otlpHttp, yaml)).rejects.toThrow(message)
  })
})

describe('what an OTLP/HTTP receiver answers', () => {
  const rejecting = (rejectedDataPoints: number, errorMessage: string) => ({
    headers: { 'content-type': 'application/x-protobuf' },
    body: ExportMetricsServiceResponse.encode({ partialSuccess: { rejectedDataPoints, errorMessage } }).finish(),
  })

  it('counts what a partial success rejects, once, in either encoding', async () => {
    const server = await receiver()
    server.respondWith(rejecting(2, 'no gauges'), { body: '{"partialSuccess":{"rejectedDataPoints":"1"}}' })
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three, three)).toMatchObject({ handed_in: 6, sent: 3, rejected: 3, dropped: {} })
    expect(server.requests).toHaveLength(2)
    expect(JSON.stringify(exporter.logs)).toContain('no gauges')
  })

  it.each([
    ['no body', { headers: { 'content-type': 'text/plain' } }],
    ['202 and a word', { status: 202, headers: { 'content-type': 'text/plain' }, body: 'Accepted' }],
    ['204', { status: 204 }],
    ['an empty message', { headers: { 'content-type': 'application/x-protobuf' }, body: '' }],
    ['an empty object', { body: '{}' }],
    ['nothing rejected', { body: '{"partialSuccess":null}' }],
    ['another name of its type', { headers: { 'content-type': 'application/protobuf' }, body: new Uint8Array() }],
  ] as [string, Answer][])('takes %s for success', async (_, answer) => {
    const server = await receiver()
    server.respondWith(answer)
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, rejected: 0, dropped: {} })
    expect(exporter.logs.filter(({ level }) => level === 'warn')).toEqual([])
  })

  it.each([
    ['application/json', '{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"limit'],
    ['application/json; charset=utf-8', '"fine"'],
    ['application/json', '{"partialSuccess":{"rejectedDataPoints":"many"}}'],
    ['application/json', '{"partialSuccess":{"rejectedDataPoints":"-5","errorMessage":"x"}}'],
    ['application/json', '{"partialSuccess":{"rejectedDataPoints":0.5}}'],
    ['application/x-protobuf', rejecting(-5, 'x').body],
    ['application/x-protobuf', new Uint8Array([0xff, 0xff, 0xff, 0x6e])],
    ['text/plain', 'OK \x1b[31m'],
    ['application/octet-stream', new Uint8Array([0x0a, 0x00])],
  ])('counts as sent what is answered with %s that cannot be read, and warns once a minute', async (type, body) => {
    const server = await receiver()
    server.respondBy(() => ({ headers: { 'content-type': type }, body }))
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three, three, three)).toMatchObject({ sent: 9, rejected: 0, dropped: {} })
    expect(server.requests).toHaveLength(3)
    const warnings = exporter.logs.filter(({ level }) => level === 'warn')
    expect(warnings).toMatchObject([{ fields: { event: 'response_unreadable' } }])
    // eslint-disable-next-line no-control-regex
    expect((warnings[0].fields as { answer: string }).answer).toMatch(/^POST \S+: 200 [^\x00-\x1f\x7f-\x9f]+$/)
  })

  it.each([
    ['a page to sign in', { headers: { 'content-type': 'text/html' }, body: '<title>Sign in</title>' }, 'web page'],
    ['a redirect', { status: 302, headers: { location: '/login' } }, 'redirects to'],
    ['a redirect to nowhere', { status: 301 }, 'without saying where'],
  ] as [string, Answer, string][])('keeps the data while it is %s', async (_, answer, message) => {
    const server = await receiver()
    server.respondWith(answer, answer)
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
    expect(server.requests).toHaveLength(3)
    expect(new Set(server.requests.map(({ raw }) => Buffer.from(raw).toString('hex'))).size).toBe(1)
    const lines = exporter.logs.filter((line) => line.message.includes('it will be sent again'))
    expect(JSON.stringify(lines)).toContain(message)
  })

  it('cannot flood the log with a new text for each request', async () => {
    const server = await receiver()
    let count = 0
    server.respondBy(() => ({ status: (count += 1) % 2 === 0 ? 400 : 429, body: `request ${Math.random()} failed` }))
    const exporter = await exporting(`endpoint: ${server.url}`)
    await exporter.deliverTogether(...Array.from({ length: 50 }, () => three))
    expect(server.requests.length).toBeGreaterThanOrEqual(100)
    const lines = exporter.logs.filter(({ level }) => level !== 'info')
    expect(lines.map(({ message }) => message).sort()).toEqual([
      'A request could not be delivered; it will be sent again.',
      'A request could not be delivered; its items are dropped and counted.',
    ])
  })

  it.each([429, 502, 503, 504])('sends the same bytes again after %i', async (status) => {
    const server = await receiver()
    server.respondWith({ status }, { status })
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
    expect(server.requests.map((request) => request.status)).toEqual([status, status, 200])
    expect(new Set(server.requests.map(({ raw }) => Buffer.from(raw).toString('hex'))).size).toBe(1)
  })

  it('waits as long as Retry-After says', async () => {
    const server = await receiver()
    server.respondWith({ status: 503, headers: { 'retry-after': '1' } })
    const exporter = await exporting(`endpoint: ${server.url}`)
    const started = performance.now()
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3 })
    // The retry interval in tests is one millisecond.
    expect(performance.now() - started).toBeGreaterThan(950)
    expect(JSON.stringify(exporter.logs)).toContain('"after":"1000ms"')
  })

  it('sends again when the connection is lost', async () => {
    const server = await receiver()
    server.respondWith({ drop: true })
    expect(await (await exporting(`endpoint: ${server.url}`)).deliver(three)).toMatchObject({ sent: 3, dropped: {} })
  })

  it('goes on trying while nobody listens, until max_elapsed_time', async () => {
    const port = await freePort()
    const exporter = await exporting(
      `endpoint: http://127.0.0.1:${port}`,
      'retry_on_failure: { max_elapsed_time: 100ms }',
    )
    expect(await exporter.deliver(three)).toMatchObject({ sent: 0, dropped: { retries_exhausted: 3 } })
    expect(JSON.stringify(exporter.logs)).toContain('ECONNREFUSED')
  })

  it.each([400, 404, 500])('gives up after %i', async (status) => {
    const server = await receiver()
    server.respondWith({ status, body: 'it says why' })
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 0, dropped: { refused: 3 } })
    expect(server.requests).toHaveLength(1)
    expect(JSON.stringify(exporter.logs)).toContain(`${status} it says why`)
  })

  it.each([401, 403])('keeps the data after %i, and says so loudly', async (status) => {
    const server = await receiver()
    server.respondWith({ status, body: 'who are you' })
    const exporter = await exporting(`endpoint: ${server.url}`)
    expect(await exporter.deliver(three)).toMatchObject({ sent: 3, dropped: {} })
    expect(server.requests.map((request) => request.status)).toEqual([status, 200])
    expect(JSON.stringify(exporter.logs)).toContain('"event":"credentials_rejected"')
  })

  it('divides what it finds too large', async () => {
    const server = await receiver()
    server.respondWith({ status: 413 })
    const exporter = await exporting(`endpoint: ${server.url}`, 'encoding: json')
    expect(await exporter.deliver(three, everything)).toMatchObject({ sent: 8 })
    expect(server.requests.map(({ status }) => status)).toEqual([413, 200, 200, 200])
  })
})
