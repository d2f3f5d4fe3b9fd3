import { createServer } from 'node:http'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import { startPipeline } from '../../src/pipeline/pipeline.ts'
import { cleanups } from '../kit/cleanups.ts'
import { temporaryFolder } from '../kit/command.ts'
import { listen } from '../kit/listen.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'
import { LONG } from '../../src/time/turns.ts'

interface Decoded {
  readonly resourceMetrics: {
    readonly scopeMetrics: { readonly metrics: { readonly sum: { readonly dataPoints: { asDouble: number }[] } }[] }[]
  }[]
}

/** The pipeline, before a destination that takes its time. */
async function start(sendingQueue: string) {
  let arrived = 0
  const destination = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const decoded = ExportMetricsServiceRequest.decode(Buffer.concat(chunks)) as unknown as Decoded
      for (const { scopeMetrics } of decoded.resourceMetrics)
        for (const { metrics } of scopeMetrics)
          for (const { sum } of metrics) for (const { asDouble } of sum.dataPoints) arrived += asDouble
      setTimeout(() => response.end(), 5)
    })
  })
  const { url: endpoint } = await listen(destination)
  const text = `
receivers: { otlp: { protocols: { http: { endpoint: "localhost:0" } } } }
processors: { cumulative_to_delta: { initial_value: keep } }
exporters:
  otlp_http:
    endpoint: "${endpoint}"
    compression: none
    sending_queue: ${sendingQueue}
service: { pipelines: { metrics: { receivers: [otlp], processors: [cumulative_to_delta], exporters: [otlp_http] } } }
`
  const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
  let listening: (address: string) => void
  const address = new Promise<string>((resolve) => (listening = resolve))
  const write = (_message: string, fields: { address?: string } = {}): void => {
    if (fields.address !== undefined) listening(fields.address)
  }
  const pipeline = startPipeline(config, { log: { debug: write, info: write, warn: write, error: write } })
  cleanups.push(() => pipeline.stop())
  return { url: `http://${await address}/v1/metrics`, pipeline, arrived: () => arrived }
}

/** A client with counters of its own, which count one more in each request, and are sent again until they are taken. */
async function client(url: string, name: string, counters: number, requests: number): Promise<number> {
  const begun = Math.floor(Date.now() / 1000) - 600
  let refusals = 0
  for (let turn = 1; turn <= requests; turn++) {
    const dataPoints = Array.from({ length: counters }, (_, index) => ({
      attributes: [{ key: 'counter', value: { intValue: index } }],
      ...{ startTimeUnixNano: begun * 1e9, timeUnixNano: (begun + turn) * 1e9, asDouble: turn },
    }))
    const resource = { attributes: [{ key: 'client', value: { stringValue: name } }] }
    const metrics = [{ name: 'a', sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints } }]
    const body = Buffer.from(
      ExportMetricsServiceRequest.encode(
        ExportMetricsServiceRequest.fromObject({ resourceMetrics: [{ resource, scopeMetrics: [{ metrics }] }] }),
      ).finish(),
    )
    for (;;) {
      const { statusCode, body: answer } = await request(url, {
        ...{ method: 'POST', body },
        headers: { 'content-type': 'application/x-protobuf' },
      })
      await answer.dump()
      if (statusCode === 200) break
      expect(statusCode).toBe(503)
      refusals += 1
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  return refusals
}

describe('cumulative_to_delta before a queue that is full again and again', () => {
  it.each([
    ['small requests', '{ queue_size: 1, num_consumers: 1 }', 3, 15],
    ['small requests, counted in items', '{ queue_size: 5, sizer: items, num_consumers: 1 }', 3, 15],
    ['small requests, on disk', '{ queue_size: 1, num_consumers: 1, directory: DIRECTORY }', 3, 15],
    ['small requests, without a queue', '{ enabled: false, num_consumers: 1 }', 3, 15],
    ['large requests, several of them at once', '{ queue_size: 1, num_consumers: 1 }', LONG, 2],
  ])('sends every interval of clients that send again: %s', async (_title, queue, counters, requests) => {
    const folder = await temporaryFolder({})
    const { url, pipeline, arrived } = await start(queue.replace('DIRECTORY', `"${folder.path('queue')}"`))
    const names = ['a', 'b', 'c', 'd']
    const refusals = await Promise.all(names.map((name) => client(url, name, counters, requests)))
    const { pipelines } = await pipeline.stop()
    expect(refusals.reduce((sum, count) => sum + count)).toBeGreaterThan(0)
    expect(arrived()).toBe(names.length * counters * requests)
    const { accepted, refused, handed_on: handedOn } = pipelines.metrics
    expect(accepted).toBe(refused + handedOn)
  })
})
