import { readdirSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { Client, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { LARGE, LargeJson } from '../../../src/receivers/otlp/large_json.ts'
import { LONG } from '../../../src/time/turns.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { jsonToProtobuf } from '../../kit/otlp_json_reference.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { until } from '../../kit/until.ts'
import { gaugeRequest, startReceiving } from '../../kit/receiving.ts'

async function start(more = '') {
  const receiving = await startReceiving({ otlp: `{ protocols: { http: { endpoint: "localhost:0"${more} } } }` })
  const url = `http://${receiving.addresses.HTTP}/v1/metrics`
  const post = async (body: string | Buffer, headers: Record<string, string> = {}): Promise<[number, string]> => {
    const answer = await request(url, {
      ...{ method: 'POST', body },
      headers: { 'content-type': 'application/json', ...headers },
    })
    return [answer.statusCode, await answer.body.text()]
  }
  return { ...receiving, post }
}

const small = toOtlpJson(MetricBatch.fromOtlp(gaugeRequest(1)))
/** Spaces are JSON, too. */
const large = (json: string | Buffer): Buffer => Buffer.concat([Buffer.from(json), Buffer.alloc(LARGE, ' ')])
const decoded = (bytes: Uint8Array): unknown => ExportMetricsServiceRequest.decode(bytes)
const NOT_UTF8 = Buffer.from('{"x":"\xff"}', 'latin1')
const messageOf = ([, text]: [number, string]): string => (JSON.parse(text) as { message: string }).message

/** Threads of this process, where the system shows them. */
const threads = (): number => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : 0)

describe('OTLP/JSON of a MiB and more', () => {
  it('becomes the protobuf that the reference makes of it, plain and compressed', async () => {
    const { post, arrived } = await start()
    const json = toOtlpJson(MetricBatch.fromOtlp(gaugeRequest(...Array.from({ length: 500 }, (_, index) => index / 4))))
    expect(await post(large(json))).toEqual([200, '{}'])
    expect(await post(gzipSync(large(json)), { 'content-encoding': 'gzip' })).toEqual([200, '{}'])
    for (const body of await arrived(2)) expect(decoded(body)).toEqual(decoded(jsonToProtobuf(json)))
  })

  it('is refused with what is said of a small one, and the next is taken', async () => {
    const { post, arrived } = await start()
    for (const json of ['{"resourceMetrics":[{"scopeMetrics":7}]}', '{"resourceMetrics":', '[]', NOT_UTF8]) {
      const [little, big] = [await post(json), await post(large(json))]
      expect(big[0]).toBe(400)
      // Where the text ends, a number of bytes is named.
      const text = messageOf(little).replace(/\d+/g, '0')
      expect(messageOf(big).replace(/\d+/g, '0')).toBe(text)
    }
    expect(await post(large(small))).toEqual([200, '{}'])
    expect(await arrived(1)).toHaveLength(1)
  })

  it('may hold as many messages as protobuf may', async () => {
    const { post } = await start()
    const answer = await post(`{"resourceMetrics":[${'{},'.repeat(1_100_000)}{}]}`)
    expect(answer[0]).toBe(400)
    expect(messageOf(answer)).toContain('the request holds more than 1000000 messages')
  })

  it('is answered where it came before a stop, which ends the thread', async () => {
    const { post, arrived, stop, pipeline } = await start()
    const before = threads()
    const answers = Promise.all(Array.from({ length: 5 }, () => post(large(small))))
    const accepted = (): number => pipeline.telemetry.balance().pipelines.metrics.accepted
    while (accepted() === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    if (process.platform === 'linux') expect(threads()).toBeGreaterThan(before)
    await stop()
    const statuses = (await answers).map(([status]) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(accepted())
    expect(await arrived(accepted())).toHaveLength(accepted())
    expect(threads()).toBe(before)
  })
})

describe('a request of so many data points that it is worked on in turns', () => {
  const sent = gaugeRequest(...Array.from({ length: LONG + 1000 }, (_, index) => index / 4))

  it('arrives as it was sent, as JSON of more than a MiB and over gRPC', async () => {
    const { addresses, arrived, stop } = await startReceiving({
      otlp: '{ protocols: { http: { endpoint: "localhost:0" }, grpc: { endpoint: "localhost:0" } } }',
    })
    cleanups.push(stop)
    const answer = await request(`http://${addresses.HTTP}/v1/metrics`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: large(toOtlpJson(MetricBatch.fromOtlp(sent))),
    })
    expect([answer.statusCode, await answer.body.text()]).toEqual([200, '{}'])
    const client = new Client(addresses.gRPC ?? '', credentials.createInsecure())
    cleanups.push(() => client.close())
    const same = (bytes: Buffer): Buffer => bytes
    await new Promise<void>((resolve, reject) => {
      const path = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
      client.makeUnaryRequest(path, same, same, sent, (error) => (error === null ? resolve() : reject(error)))
    })
    const [first, second] = await arrived(2)
    expect(second.equals(sent)).toBe(true)
    // Encoders may leave out what is empty.
    const again = ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.decode(sent)).finish()
    expect(
      Buffer.from(ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.decode(first)).finish()).equals(again),
    ).toBe(true)
  })
})

describe('the thread that reads it', () => {
  const body = (first = 1): Buffer => Buffer.alloc(LARGE, first)

  it('is started again when it has ended; what it had is to be sent again', async () => {
    const errors: unknown[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (...said: unknown[]) => void errors.push(said) }
    const reader = new LargeJson(new URL('ending_thread.js', import.meta.url), { clock: new VirtualClock(), log })
    cleanups.push(() => reader.end())
    for (let time = 1; time <= 2; time++) {
      const results = await Promise.allSettled([reader.read('metrics', body(), 10), reader.read('metrics', body(), 10)])
      expect(results).toMatchObject([
        { status: 'rejected', reason: { reason: 'busy', message: 'The request cannot be read at the moment.' } },
        { status: 'rejected', reason: { reason: 'busy' } },
      ])
      expect(errors).toHaveLength(time)
    }
    expect(errors[0]).toMatchObject([expect.stringContaining('The thread'), { error: 'it exited with 3' }])
  })

  it('ends when no large body has come for a while, and not before', async () => {
    const clock = new VirtualClock()
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const before = threads()
    const reader = new LargeJson(new URL('ending_thread.js', import.meta.url), { clock, log })
    cleanups.push(() => reader.end())
    await reader.read('metrics', body(0), 10)
    await clock.advance(20_000)
    await reader.read('metrics', body(0), 10)
    await clock.advance(20_000)
    if (process.platform === 'linux') expect(threads()).toBeGreaterThan(before)
    await clock.advance(10_000)
    await until(() => threads() === before)
  })

  it('says what is wrong where it cannot be started', async () => {
    const errors: unknown[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (...said: unknown[]) => void errors.push(said) }
    const reader = new LargeJson(new URL('nowhere.js', import.meta.url), { clock: new VirtualClock(), log })
    cleanups.push(() => reader.end())
    await expect(reader.read('metrics', body(), 10)).rejects.toMatchObject({ reason: 'busy' })
    expect(errors).toMatchObject([[expect.anything(), { error: expect.stringContaining('nowhere.js') as unknown }]])
  })
})
