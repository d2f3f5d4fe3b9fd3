import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js'
import type { ServiceError } from '@grpc/grpc-js'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { loadConfig } from '../../../src/pipeline/config/config.ts'
import { startPipeline } from '../../../src/pipeline/pipeline.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { listen } from '../../kit/listen.ts'
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from '../../kit/otlp_proto.ts'

const TIME = '1767268800123456789'
const TRACE = '5b8efff798038103d269b633813fc60c'
const SPAN = 'eee19b7ec3c1b174'
const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }

/** Each signal by its path, with a request of two items in OTLP/JSON, and what reads it. */
const signals = {
  logs: {
    path: '/v1/logs',
    method: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    items: 'Log records',
    rejected: 'rejectedLogRecords',
    type: ExportLogsServiceRequest,
    json: {
      resourceLogs: [
        {
          resource,
          scopeLogs: [
            {
              scope: { name: 'app' },
              logRecords: [
                { timeUnixNano: TIME, severityNumber: 9, body: { stringValue: 'ä' }, traceId: TRACE, spanId: SPAN },
                {
                  timeUnixNano: '0',
                  observedTimeUnixNano: TIME,
                  body: { intValue: '9007199254740993' },
                  eventName: 'paid',
                },
              ],
            },
          ],
        },
      ],
    },
  },
  traces: {
    path: '/v1/traces',
    method: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    items: 'Spans',
    rejected: 'rejectedSpans',
    type: ExportTraceServiceRequest,
    json: {
      resourceSpans: [
        {
          resource,
          scopeSpans: [
            {
              scope: { name: 'app' },
              spans: [
                { traceId: TRACE, spanId: SPAN, name: 'GET', kind: 2, startTimeUnixNano: TIME, endTimeUnixNano: TIME },
                {
                  ...{ traceId: TRACE, spanId: '0102030405060708', parentSpanId: SPAN, name: 'SELECT', kind: 3 },
                  ...{ startTimeUnixNano: TIME, endTimeUnixNano: TIME, status: { code: 2, message: 'gone' } },
                  events: [{ timeUnixNano: TIME, name: 'retry' }],
                  links: [{ traceId: TRACE, spanId: SPAN }],
                },
              ],
            },
          ],
        },
      ],
    },
  },
} as const

/** As bytes of the ids, which JSON has as digits. */
function protobufOf(signal: keyof typeof signals): Buffer {
  const { type, json } = signals[signal]
  const ids = JSON.parse(
    JSON.stringify(json, (key, value: unknown) =>
      /Id$/.test(key) ? Buffer.from(value as string, 'hex').toString('base64') : value,
    ),
  ) as Record<string, unknown>
  return Buffer.from(type.encode(type.fromObject(ids)).finish())
}

/** Of a resource. */
interface Entry {
  readonly resource: { readonly attributes: { key: string }[] }
}

interface Started {
  readonly http: string
  readonly grpc: string
  /** What arrived, by path or method. */
  readonly arrived: { readonly path: string; readonly body: Buffer }[]
  readonly answerWith: (body: string) => void
  /** The lines of the balance. */
  readonly stop: () => Promise<readonly string[]>
}

/** Pipelines of metrics, logs and traces from the receiver over the given processors to an OTLP/HTTP destination. */
async function start({ processors = '[]', encoding = 'proto' } = {}): Promise<Started> {
  const arrived: { path: string; body: Buffer }[] = []
  let answer = '{}'
  const server = createServer((incoming, response) => {
    void buffer(incoming).then((body) => {
      arrived.push({ path: incoming.url ?? '', body })
      response.setHeader('content-type', 'application/json').end(answer)
    })
  })
  const { url } = await listen(server)
  const pipeline = `{ receivers: [otlp], processors: ${processors}, exporters: [otlp_http] }`
  const text = `
receivers: { otlp: { protocols: { http: { endpoint: 127.0.0.1:0 }, grpc: { endpoint: 127.0.0.1:0 } } } }
processors: { tag_merge: { tags: "env:prod" } }
exporters: { otlp_http: { endpoint: "${url}", compression: none, encoding: ${encoding} } }
service: { telemetry: { metrics: { level: none } }, pipelines: { metrics: ${pipeline}, logs: ${pipeline}, traces: ${pipeline} } }
`
  const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
  const addresses: Record<string, string> = {}
  const lines: string[] = []
  let listening = (): void => {}
  const opened = new Promise<void>((resolve) => (listening = resolve))
  const log = (message: string, fields: object = {}): void => {
    lines.push(message)
    const { event, server: name, address } = fields as Record<string, string>
    if (event === 'listening') addresses[name] = address
    if ('otlp_http' in addresses && 'otlp_grpc' in addresses) listening()
  }
  const running = startPipeline(config, { log: { debug: log, info: log, warn: log, error: log } })
  const stop = async (): Promise<readonly string[]> => {
    await running.stop()
    return lines.filter((line) => line.includes(' = '))
  }
  cleanups.push(async () => void (await stop()))
  await opened
  return {
    http: `http://${addresses.otlp_http}`,
    grpc: addresses.otlp_grpc,
    arrived,
    answerWith: (body) => void (answer = body),
    stop,
  }
}

async function post(url: string, type: string, body: Buffer | string, headers = {}): Promise<unknown> {
  const answer = await request(url, { method: 'POST', headers: { 'content-type': type, ...headers }, body })
  const text = await answer.body.text()
  return { status: answer.statusCode, text }
}

function call(address: string, method: string, body: Buffer): Promise<Buffer> {
  const client = new (makeGenericClientConstructor({}, 'any'))(address, credentials.createInsecure())
  cleanups.push(() => client.close())
  const same = (bytes: Buffer): Buffer => bytes
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(method, same, same, body, (error: ServiceError | null, answer?: Buffer) =>
      error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error),
    )
  })
}

describe.each(['logs', 'traces'] as const)('%s that come over OTLP', (signal) => {
  const { path, method, items, json, type } = signals[signal]

  it('leave byte for byte as they came, by each protocol, with unknown fields', async () => {
    const { http, grpc, arrived, stop } = await start()
    // A field that no version knows yet, behind the others.
    const body = Buffer.concat([protobufOf(signal), Buffer.from([0xfa, 0x01, 0x02, 0x68, 0x69])])
    expect(await post(http + path, 'application/x-protobuf', body)).toEqual({ status: 200, text: '' })
    const gzip = { 'content-encoding': 'gzip' }
    expect(await post(http + path, 'application/x-protobuf', gzipSync(body), gzip)).toMatchObject({ status: 200 })
    expect(await call(grpc, method, body)).toEqual(Buffer.alloc(0))
    const balance = await stop()
    expect(arrived).toEqual([1, 2, 3].map(() => ({ path, body })))
    expect(balance).toContain(`${items} of pipeline ${signal}: accepted 6 = handed on 6`)
    expect(balance).toContain(`${items} of exporter otlp_http: handed in 6 = sent 6`)
    expect(balance).toContain('Data points of exporter otlp_http: handed in 0 = sent 0')
  })

  it('mean the same in JSON, in and out: ids are hexadecimal, 64-bit integers exact', async () => {
    const { http, arrived, stop } = await start({ encoding: 'json' })
    expect(await post(http + path, 'application/json', JSON.stringify(json))).toEqual({ status: 200, text: '{}' })
    await stop()
    expect(arrived.map(({ body }) => JSON.parse(body.toString()) as unknown)).toEqual([json])
  })

  it('get the tags of processors on their resources, and stay as they are otherwise', async () => {
    const { http, arrived, stop } = await start({ processors: '[tag_merge]' })
    await post(http + path, 'application/x-protobuf', protobufOf(signal))
    await stop()
    const [only] = arrived
    const [sent, came]: Record<string, readonly Entry[]>[] = [only.body, protobufOf(signal)].map((bytes) =>
      type.toObject(type.decode(bytes)),
    )
    const [[first]] = Object.values(sent)
    expect(first.resource.attributes.map(({ key }) => key)).toEqual(['service.name', 'env'])
    first.resource.attributes.pop()
    expect(sent).toEqual(came)
  })

  it('are refused by themselves where they are malformed, and nothing else is', async () => {
    const { http, arrived, stop } = await start()
    const bad = await post(http + path, 'application/x-protobuf', protobufOf(signal).subarray(0, -3))
    expect(bad).toMatchObject({ status: 400 })
    expect(await post(http + path, 'application/json', '{"resourceLogs":7,"resourceSpans":7}')).toMatchObject({
      status: 400,
      text: expect.stringContaining(signal === 'logs' ? 'resourceLogs' : 'resourceSpans') as unknown,
    })
    expect(await post(http + path, 'application/x-protobuf', protobufOf(signal))).toMatchObject({ status: 200 })
    await stop()
    expect(arrived).toHaveLength(1)
  })

  it('count as rejected where the destination says so in the words of their service', async () => {
    const { http, answerWith, stop } = await start()
    answerWith(JSON.stringify({ partialSuccess: { [signals[signal].rejected]: '1', errorMessage: 'too long' } }))
    await post(http + path, 'application/x-protobuf', protobufOf(signal))
    expect(await stop()).toContain(`${items} of exporter otlp_http: handed in 2 = sent 1 + rejected 1`)
  })
})
