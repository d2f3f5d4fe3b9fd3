import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { ExportLogsServiceRequest, ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { scanRequest } from './request.ts'
import type { Signal } from './request.ts'

/*
 * The destination, as a process of its own: takes OTLP over HTTP, counts points and measures how long each was on its way.
 * `begin` starts a count, `count` is answered with the points that came since, and `report` with all of it.
 */

export type SinkMessage = 'begin' | 'count' | 'report'

export interface Arrivals {
  readonly points: number
  readonly requests: number
  /** Milliseconds from when the points were due to when the whole request was here, at the 50th, 99th and 99.9th percentile. */
  readonly latency: readonly [number, number, number]
  /** `process.hrtime` of the last request, in nanoseconds; 0 when none came. */
  readonly last: number
  /** Seconds of CPU time of this process. */
  readonly cpu: number
}

let latencies: number[] = []
let points = 0
let requests = 0
let last = 0
let cpu = process.cpuUsage()
/** The first request since the beginning. */
let sample: Buffer | undefined
let signal: Signal = 'metrics'

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => void chunks.push(chunk))
  request.on('end', () => {
    const arrival = Number(process.hrtime.bigint())
    response.writeHead(200, { 'content-type': 'application/x-protobuf', 'content-length': '0' }).end()
    const wire = Buffer.concat(chunks)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(wire) : wire
    signal = request.url === '/v1/logs' ? 'logs' : 'metrics'
    sample ??= body
    const scan = scanRequest(body, signal)
    points += scan.points
    requests++
    last = arrival
    for (const stamp of scan.stamps) latencies.push((arrival - Number(body.readBigUInt64LE(stamp))) / 1e6)
  })
})
// A connection that the destination closes while it idles would cost the process under test a retry.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))

process.on('disconnect', () => process.exit())
process.on('message', (message: SinkMessage) => {
  if (message === 'count') process.send?.(points)
  else if (message === 'report') {
    const { user, system } = process.cpuUsage(cpu)
    if (sample !== undefined) checkWork(sample)
    const sorted = Float64Array.from(latencies).sort()
    const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? NaN
    const report: Arrivals = {
      points,
      requests,
      latency: [at(0.5), at(0.99), at(0.999)],
      last,
      cpu: (user + system) / 1e6,
    }
    process.send?.(report)
  } else {
    latencies = []
    points = 0
    requests = 0
    last = 0
    cpu = process.cpuUsage()
    sample = undefined
  }
})

/** Whether the work was done at all: names, tags and host. */
function checkWork(body: Buffer): void {
  interface Entry {
    readonly resource: { attributes: { key: string; value: { stringValue: string } }[] }
    readonly scopeMetrics?: { metrics: { name: string }[] }[]
  }
  const type = signal === 'logs' ? ExportLogsServiceRequest : ExportMetricsServiceRequest
  const [entries] = Object.values(type.toObject(type.decode(body))) as (readonly Entry[])[]
  for (const { resource, scopeMetrics = [] } of entries) {
    const attributes = resource.attributes.map(({ key, value }) => `${key}=${value.stringValue}`).sort()
    const expected =
      'datadog.host.name=bench-host env=prod host.name=bench-host os.type=linux service.name=svc team=platform tier=one'
    const named = scopeMetrics.every(({ metrics }) => metrics.every(({ name }) => name.startsWith('heka.system.')))
    if (attributes.join(' ') !== expected || !named) throw new Error(`The work was not done: ${attributes.join(' ')}`)
  }
}
