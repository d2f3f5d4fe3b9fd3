import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import { startPipeline } from '../../src/pipeline/pipeline.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import type { RunningPipeline } from '../../src/pipeline/pipeline.ts'
import { cleanups } from './cleanups.ts'
import { ExportMetricsServiceRequest } from './otlp_proto.ts'
import { listen } from './listen.ts'

const FAIL_ON = fileURLToPath(new URL('fail_on.js', import.meta.url))

/** A pipeline from the receiver to a destination on a real socket, which keeps what arrives, until the test has ended. */
export interface Receiving {
  /** `127.0.0.1:<port>`, by protocol, as logged. */
  readonly addresses: { readonly HTTP?: string; readonly gRPC?: string }
  readonly logs: readonly string[]
  /** The bodies that arrived at the destination. */
  readonly bodies: readonly Buffer[]
  /** Resolves with the first `count` bodies. */
  readonly arrived: (count: number) => Promise<readonly Buffer[]>
  /** Lets the destination answer what it has got and whatever comes. */
  readonly release: () => void
  readonly pipeline: RunningPipeline
  readonly stop: () => Promise<void>
}

export interface ReceivingOptions {
  /** The settings of `otlp`, as YAML flow; ports 0. */
  readonly otlp: string
  /** Settings of the exporter besides where it sends. */
  readonly exporter?: string
  /** What the pipeline is of; default: `metrics`. */
  readonly signal?: Signal
  /** A value at which a processor throws. */
  readonly failOn?: number
  /** The destination answers only after `release`. */
  readonly hold?: boolean
  /** 4s unless it is given. */
  readonly shutdownTimeout?: string
}

export async function startReceiving(options: ReceivingOptions): Promise<Receiving> {
  const { otlp, signal = 'metrics', exporter = '', failOn, hold = false, shutdownTimeout = '4s' } = options
  const bodies: Buffer[] = []
  const held: ServerResponse[] = []
  let holding = hold
  let waiting: { count: number; resolve: (bodies: readonly Buffer[]) => void }[] = []
  const destination = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks))
      waiting = waiting.filter(({ count, resolve }) => {
        if (bodies.length >= count) resolve(bodies)
        return bodies.length < count
      })
      if (holding) held.push(response)
      else response.end()
    })
  })
  const { url, close } = await listen(destination)

  const failing = failOn === undefined ? '' : `processors: { fail_on: { value: ${failOn} } }\nmodules: ["${FAIL_ON}"]`
  const text = `
receivers: { otlp: ${otlp} }
${failing}
exporters: { otlp_http: { endpoint: "${url}", compression: none${exporter} } }
service: { shutdown_timeout: ${shutdownTimeout}, pipelines: { ${signal}: { receivers: [otlp], processors: [${failing && 'fail_on'}], exporters: [otlp_http] } } }
`
  const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
  const logs: string[] = []
  const addresses: Record<string, string> = {}
  const expected = Object.values(
    (config.receivers.get('otlp')?.config as { protocols: Record<string, unknown> }).protocols,
  ).filter((protocol) => protocol !== undefined).length
  let listening = () => {}
  const opened = new Promise<void>((resolve) => (listening = resolve))
  const write = (message: string, fields: object = {}): void => {
    logs.push(`${message} ${JSON.stringify(fields)}`)
    const { event, server, address } = fields as Record<string, string>
    if (event !== 'listening') return
    addresses[server === 'otlp_http' ? 'HTTP' : 'gRPC'] = address
    if (Object.keys(addresses).length === expected) listening()
  }
  const pipeline = startPipeline(config, { log: { debug: write, info: write, warn: write, error: write } })
  await Promise.race([opened, pipeline.ended])
  const release = (): void => {
    holding = false
    for (const response of held.splice(0)) response.end()
  }
  const stop = async (): Promise<void> => {
    release()
    await pipeline.stop()
    await close()
  }
  cleanups.push(stop)
  return {
    addresses,
    logs,
    bodies,
    pipeline,
    release,
    arrived: (count) =>
      bodies.length >= count
        ? Promise.resolve(bodies)
        : new Promise((resolve) => void waiting.push({ count, resolve })),
    stop,
  }
}

/** A request of as many points as there are values, each at its own second, written by the reference. */
export function gaugeRequest(...values: number[]): Buffer {
  const minuteAgo = (Math.floor(Date.now() / 1000) - 60) * 1e9
  const dataPoints = values.map((asDouble) => ({ asDouble, timeUnixNano: minuteAgo + asDouble * 1e9 }))
  const metrics = [{ name: 'load', gauge: { dataPoints } }]
  return Buffer.from(
    ExportMetricsServiceRequest.encode(
      ExportMetricsServiceRequest.fromObject({
        resourceMetrics: [{ resource: {}, scopeMetrics: [{ scope: {}, metrics }] }],
      }),
    ).finish(),
  )
}
