import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { ServerOptions } from 'node:https'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import zlib from 'node:zlib'
import protobuf from 'protobufjs'
import { Arrivals } from './arrivals.ts'
import {
  ExportLogsServiceRequest,
  ExportMetricsServiceRequest,
  ExportMetricsServiceResponse,
  ExportTraceServiceRequest,
} from './otlp_proto.ts'
import { listen } from './listen.ts'
import { readSketches } from './sketch_payload.ts'
import type { ReceivedSketch } from './sketch_payload.ts'

const definitions = fileURLToPath(new URL('../datadog/agent_payload.proto', import.meta.url))
const SKETCHES = '/api/beta/sketches'
const MetricPayload = new protobuf.Root()
  .loadSync(definitions, { keepCase: true })
  .lookupType('datadog.agentpayload.MetricPayload')
/** The requests of OTLP by their paths. */
const OTLP: Readonly<Record<string, protobuf.Type | undefined>> = {
  '/v1/metrics': ExportMetricsServiceRequest,
  '/v1/logs': ExportLogsServiceRequest,
  '/v1/traces': ExportTraceServiceRequest,
}
const PLAIN = { longs: Number, defaults: true } as const

/** A series of either version of the API, in the fields they share. */
export interface ReceivedSeries {
  readonly metric: string
  /** `count`, `gauge` or `rate`. */
  readonly type: string
  readonly host: string | undefined
  readonly tags: readonly string[]
  readonly interval: number | undefined
  /** Only version 2 has one. */
  readonly unit?: string
  /** Seconds and value. */
  readonly points: readonly (readonly [number, number])[]
}

export interface ReceivedRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Bytes of the body on the wire and after decompression. */
  readonly wireBytes: number
  readonly rawBytes: number
  /** The body after decompression. */
  readonly raw: Uint8Array
  /** The body as plain objects: parsed JSON, or the protobuf message by its published field names. */
  readonly body: unknown
  /** What was answered. */
  readonly status: number
}

/** What the intake answers to one request instead of taking it. */
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Milliseconds before the answer. */
  readonly delay?: number
  /** Ends the connection without an answer. */
  readonly drop?: boolean
  /** Ends the connection in the middle of the answer. */
  readonly cut?: boolean
}

export interface IntakeOptions {
  /** The only key that is taken; others get 403. Default: any. */
  readonly apiKey?: string
  /** The header that carries the key; '' when none is asked for. Default: Datadog's. */
  readonly keyHeader?: string
  /** Where it listens. Default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number }
  /** Makes it an HTTPS server. */
  readonly tls?: ServerOptions
  /** Bytes on the wire and after decompression beyond which it answers 413. Default: Datadog's, by path. */
  readonly limits?: { readonly wire: number; readonly raw: number }
}

/** Datadog's limits. Source: the API reference; for OTLP the documentation of the intake. */
const LIMITS: Readonly<Record<string, { wire: number; raw: number }>> = {
  '/api/v1/series': { wire: 3_200_000, raw: 62_914_560 },
  '/api/v2/series': { wire: 512_000, raw: 5_242_880 },
  '/v1/metrics': { wire: 512_000, raw: 5_242_880 },
  '/v1/logs': { wire: 512_000, raw: 5_242_880 },
  '/v1/traces': { wire: 512_000, raw: 5_242_880 },
  // Not documented: what the Agent keeps to.
  [SKETCHES]: { wire: 2_621_440, raw: 4_194_304 },
  '/intake': { wire: 5_242_880, raw: 5_242_880 },
}

export interface Intake {
  readonly url: string
  /** Every request that came, in order, whatever was answered. */
  readonly requests: readonly ReceivedRequest[]
  /** The series of all requests that were taken, of both versions of the API. */
  series(): readonly ReceivedSeries[]
  /** The distributions of all requests that were taken. */
  sketches(): readonly ReceivedSketch[]
  /** Answers the next requests with these, one each. */
  respondWith(...answers: readonly Answer[]): void
  /** Answers every request from now on by this, until it is called with `undefined`; the exceptions of `respondWith` come first. */
  respondBy(rule: ((request: Omit<ReceivedRequest, 'status'>) => Answer | undefined) | undefined): void
  /** Connections that were opened so far. */
  connections(): number
  /** Resolves when `count` requests have come in all. */
  received(count: number): Promise<void>
  close(): Promise<void>
}

/** Starts a local HTTP or HTTPS server that behaves as Datadog's intake, for the native API and for OTLP, until the test has ended. */
export async function startIntake(options: IntakeOptions = {}): Promise<Intake> {
  const requests = new Arrivals<ReceivedRequest>()
  const answers: Answer[] = []
  let rule: ((request: Omit<ReceivedRequest, 'status'>) => Answer | undefined) | undefined

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const wire = Buffer.concat(chunks)
    const path = request.url ?? ''
    const { headers } = request
    const { raw, body, problem } = decode(path, headers, wire)
    const received = { path, headers, wireBytes: wire.length, rawBytes: raw.length, raw, body }
    const answer = answers.shift() ?? rule?.(received) ?? judge(options, request.method ?? '', received, problem)
    requests.add({ ...received, status: answer.drop === true ? 0 : (answer.status ?? 200) })
    if (answer.delay !== undefined) await wait(answer.delay, undefined, { ref: false })
    if (answer.drop === true) {
      request.socket.destroy()
      return
    }
    if (answer.cut === true) {
      response.writeHead(answer.status ?? 200, { 'content-length': 1000 })
      response.write('the beginning', () => request.socket.destroy())
      return
    }
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers })
    response.end(answer.body)
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch(() => request.socket.destroy())
  }
  const server: Server = options.tls === undefined ? createServer(listener) : createSecureServer(options.tls, listener)
  let connections = 0
  server.on('connection', () => connections++)
  const { address, close } = await listen(server, options.listen)

  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${address}`,
    requests: requests.all,
    series: () => requests.all.filter(({ status }) => status === 202).flatMap(seriesOf),
    sketches: () =>
      requests.all
        .filter(({ path, status }) => path === SKETCHES && status === 202)
        .flatMap(({ body }) => body as readonly ReceivedSketch[]),
    respondWith: (...next) => void answers.push(...next),
    respondBy: (next) => void (rule = next),
    connections: () => connections,
    received: (count) => requests.reached(count),
    close,
  }
}

/** An OTLP destination that asks for no key. */
export function startDestination(): Promise<Intake> {
  return startIntake({ keyHeader: '' })
}

interface Decoded {
  readonly raw: Uint8Array
  readonly body: unknown
  readonly problem: string | undefined
}

function decode(path: string, headers: IncomingHttpHeaders, wire: Buffer): Decoded {
  let raw = wire
  try {
    raw = decompress(wire, headers['content-encoding'])
    return { raw, body: parse(path, headers['content-type'] ?? '', raw), problem: undefined }
  } catch (error) {
    return { raw, body: undefined, problem: String(error) }
  }
}

function decompress(wire: Buffer, encoding: string | undefined): Buffer {
  switch (encoding) {
    case undefined:
    case 'identity':
      return wire
    case 'gzip':
      return zlib.gunzipSync(wire)
    case 'deflate':
      return zlib.inflateSync(wire)
    case 'zstd':
      return (zlib as unknown as { zstdDecompressSync(bytes: Buffer): Buffer }).zstdDecompressSync(wire)
    default:
      throw new Error(`unknown Content-Encoding ${encoding}`)
  }
}

function parse(path: string, contentType: string, raw: Buffer): unknown {
  if (path === '/api/v1/validate') return undefined
  if (contentType.startsWith('application/json')) return JSON.parse(raw.toString('utf8'))
  if (path === SKETCHES) return readSketches(raw)
  const otlp = OTLP[path]
  const type = otlp ?? MetricPayload
  return type.toObject(type.decode(raw), { ...PLAIN, longs: otlp === undefined ? Number : String })
}

/** Datadog's own answer. */
function judge(
  options: IntakeOptions,
  method: string,
  { path, headers, wireBytes, rawBytes }: Omit<ReceivedRequest, 'status'>,
  problem: string | undefined,
): Answer {
  const errors = (status: number, ...texts: string[]): Answer => ({ status, body: JSON.stringify({ errors: texts }) })
  const { apiKey, keyHeader = 'dd-api-key' } = options
  const key = headers[keyHeader]
  if (keyHeader !== '' && (key === undefined || (apiKey !== undefined && key !== apiKey)))
    return errors(403, 'Forbidden')
  if (path === '/api/v1/validate' && method === 'GET') return { status: 200, body: '{"valid":true}' }
  const limits = options.limits ?? LIMITS[path]
  if (limits === undefined || method !== 'POST') return errors(404, 'Not found')
  if (wireBytes > limits.wire || rawBytes > limits.raw) return errors(413, 'Payload too large')
  if (problem !== undefined) return errors(400, problem)
  if (path === '/api/v1/series')
    return { status: 202, body: '{"status":"ok"}', headers: { 'content-type': 'text/json' } }
  if (path === '/intake') return { status: 202, body: '{"status":"ok"}' }
  if (path === SKETCHES) return { status: 202 }
  if (path === '/api/v2/series') return { status: 202, body: '{"errors":[]}' }
  return {
    status: 200,
    headers: { 'content-type': 'application/x-protobuf' },
    body: ExportMetricsServiceResponse.encode({}).finish(),
  }
}

const V2_TYPES: readonly string[] = ['', 'count', 'rate', 'gauge']

/** The series of one request. */
export function seriesOf({ path, body }: ReceivedRequest): readonly ReceivedSeries[] {
  if (path === '/api/v1/series') {
    return (body as { series: (ReceivedSeries & { tags?: string[] })[] }).series.map((series) => ({
      metric: series.metric,
      type: series.type,
      host: series.host,
      tags: series.tags ?? [],
      interval: series.interval,
      points: series.points,
    }))
  }
  if (path !== '/api/v2/series') return []
  interface V2Series {
    metric: string
    type: number
    tags: string[]
    interval: number
    unit: string
    resources: { type: string; name: string }[]
    points: { timestamp: number; value: number }[]
  }
  return (body as { series: V2Series[] }).series.map((series) => ({
    metric: series.metric,
    type: V2_TYPES[series.type],
    host: series.resources.find(({ type }) => type === 'host')?.name,
    tags: series.tags,
    interval: series.interval === 0 ? undefined : series.interval,
    ...(series.unit !== '' && { unit: series.unit }),
    points: series.points.map(({ timestamp, value }) => [timestamp, value] as const),
  }))
}
