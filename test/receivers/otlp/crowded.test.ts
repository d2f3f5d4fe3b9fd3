import { describe, expect, it } from '@jest/globals'
import { gzipSync } from 'node:zlib'
import { request } from 'undici'
import { startReceiving } from '../../kit/receiving.ts'

/*
 * Requests that hold more than they seem to.
 */

const PROTOBUF = 'application/x-protobuf'
const JSON_TYPE = 'application/json'

const lengthOf = (length: number): Buffer => {
  const bytes: number[] = []
  for (; length > 127; length >>>= 7) bytes.push((length & 127) | 128)
  return Buffer.from([...bytes, length])
}
const field = (number: number, value: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of((number << 3) | 2), lengthOf(value.length), value])
/** Field `number` as often as that, each an empty message, within the fields around it, the outermost last. */
const empty = (count: number, number: number, ...around: readonly number[]): Buffer =>
  around.reduce<Buffer>((inner, outer) => field(outer, inner), Buffer.alloc(count * 2, Buffer.of((number << 3) | 2, 0)))

const MANY = 1_000_001
const list = (count: number, item = '{}'): string => `[${Array<string>(count).fill(item).join()}]`

/** By what they consist of; field numbers: opentelemetry-proto 1.x. */
const crowded: Readonly<Record<string, Buffer | string>> = {
  resources: empty(MANY, 1),
  scopes: empty(MANY, 2, 1),
  metrics: empty(MANY, 2, 2, 1),
  'data points of numbers': empty(MANY, 1, 5, 2, 2, 1),
  'data points of histograms': empty(MANY, 1, 9, 2, 2, 1),
  'attributes of a resource': empty(MANY, 1, 1, 1),
  'attributes of a data point': empty(MANY, 7, 1, 5, 2, 2, 1),
  'short attributes': field(1, field(1, Buffer.alloc(1_000_000 * 8, field(1, Buffer.from([10, 0, 18, 2, 10, 0]))))),
  exemplars: empty(MANY, 5, 1, 5, 2, 2, 1),
  quantiles: empty(MANY, 6, 1, 11, 2, 2, 1),
  'values of a list': empty(MANY, 1, 5, 2, 1, 1, 1),
  'data points in JSON': `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":${list(MANY)}}}]}]}]}`,
  'attributes in JSON': `{"resourceMetrics":[{"resource":{"attributes":${list(MANY)}}}]}`,
  'short attributes in JSON': `{"resourceMetrics":[{"resource":{"attributes":${list(MANY, '{"value":{}}')}}}]}`,
}

async function start(): Promise<{ url: string; arrived: (count: number) => Promise<readonly Buffer[]> }> {
  const { addresses, arrived } = await startReceiving({
    otlp: '{ protocols: { http: { endpoint: "localhost:0" } } }',
  })
  return { url: `http://${addresses.HTTP}/v1/metrics`, arrived }
}

async function post(url: string, body: Buffer | string): Promise<{ status: number; text: string }> {
  const type = typeof body === 'string' ? JSON_TYPE : PROTOBUF
  const headers = { 'content-type': type, 'content-encoding': 'gzip' }
  const response = await request(url, { method: 'POST', headers, body: gzipSync(body, { level: 1 }) })
  return { status: response.statusCode, text: await response.body.text() }
}

describe('the otlp receiver and requests of more messages than bytes', () => {
  it('refuses more than a million of any kind in few bytes, and says what would be right', async () => {
    const { url } = await start()
    for (const [kind, body] of Object.entries(crowded)) {
      const { status, text } = await post(url, body)
      expect({ kind, status, text }).toEqual({
        kind,
        status: 400,
        text: expect.stringContaining('leave out empty ones'),
      })
    }
  })

  it('takes a million, and more where each has its bytes', async () => {
    const { url, arrived } = await start()
    // A request that is not all empty is handed on.
    const point = field(1, field(2, field(2, field(5, field(1, Buffer.of(0x31, 1, 0, 0, 0, 0, 0, 0, 0))))))
    expect(await post(url, Buffer.concat([empty(999_000, 1), point]))).toMatchObject({ status: 200 })
    const padded = field(1, field(3, Buffer.from('1234567')))
    const many = Buffer.alloc(padded.length * 1_200_000, padded)
    expect(await post(url, Buffer.concat([many, point]))).toMatchObject({ status: 200 })
    await arrived(2)
  })
})
