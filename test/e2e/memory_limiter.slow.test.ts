import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { Client, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { gauge } from '../../src/testing.ts'
import { cleanups } from '../kit/cleanups.ts'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { readPrometheus } from '../kit/prometheus.ts'
import { until } from '../kit/until.ts'
import { startDestination } from '../kit/intake.ts'

/** Takes more memory with each SIGUSR2, in MiB, and gives all of it back with the last. */
const HOARD = `
const sizes = [215, 120]
let held = []
process.on('SIGUSR2', () => {
  const size = sizes.shift()
  if (size === undefined) held = []
  else held.push(Buffer.alloc(size * 2 ** 20, 1))
})
export default {
  kind: 'processor',
  type: 'hoard',
  summary: 'Takes memory.',
  config: {},
  examples: [{ title: 'Much of it', yaml: 'hoard: { }' }],
  create: () => (batch) => batch,
}
`

async function start(destination: string): Promise<RunningCommand> {
  const folder = await temporaryFolder({
    'hoard.mjs': HOARD,
    'pipeline.yaml': `
modules: [./hoard.mjs]
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" }, grpc: { endpoint: "127.0.0.1:0" } } }
  host_metrics: { collection_interval: 50ms, initial_delay: 0s, scrapers: { load: } }
processors: { hoard: }
exporters:
  otlp_http:
    endpoint: "${destination}"
    sending_queue: { num_consumers: 1 }
    retry_on_failure: { initial_interval: 20ms, max_interval: 20ms }
  debug:
service:
  memory_limiter: { limit_mib: 300, check_interval: 20ms }
  health: { address: "127.0.0.1:0" }
  telemetry: { logs: { encoding: json } }
  pipelines:
    metrics: { receivers: [otlp], processors: [hoard], exporters: [otlp_http] }
    metrics/host: { receivers: [host_metrics], exporters: [debug] }
`,
  })
  return startCommand(['--config', folder.path('pipeline.yaml')])
}

const body = MetricBatch.of({ metrics: [gauge('a', 1), gauge('b', 2)] }).toOtlp()

/** What is answered to a request whose body comes only in part. */
async function answerToPart(address: string, part = ''): Promise<string> {
  const { hostname, port } = new URL(`http://${address}`)
  const socket = connect(Number(port), hostname)
  cleanups.push(() => socket.destroy())
  const head = ['POST /v1/metrics HTTP/1.1', 'Host: a', 'Content-Type: application/x-protobuf', 'Content-Length: 900']
  socket.write(`${head.join('\r\n')}\r\n\r\n${part}`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return answer.toString()
}

async function codeOverGrpc(address: string): Promise<unknown> {
  const client = new Client(address, credentials.createInsecure())
  cleanups.push(() => client.close())
  const same = (bytes: Buffer): Buffer => bytes
  const method = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
  return new Promise((resolve) => {
    client.makeUnaryRequest(method, same, same, Buffer.from(body), (error) => resolve(error?.code))
  })
}

const BUSY = /^HTTP\/1\.1 503 [^]*Retry-After: 1\r\n/

describe('service.memory_limiter', () => {
  it('refuses above the soft limit before anything is read, drops what waits in memory above the hard one, and counts all', async () => {
    const intake = await startDestination()
    intake.respondBy(() => ({ status: 503 }))
    const command = await start(intake.url)
    const otlp = await command.address('otlp_http')
    const grpc = await command.address('otlp_grpc')
    const health = await command.address('health')
    const metrics = `http://${await command.address('metrics')}/metrics`
    const send = async (): Promise<number> => {
      const headers = { 'content-type': 'application/x-protobuf' }
      const answer = await request(`http://${otlp}/v1/metrics`, { method: 'POST', headers, body })
      await answer.body.dump()
      return answer.statusCode
    }
    const status = async (): Promise<unknown> => {
      const { components } = (await (await request(`http://${health}/status`)).body.json()) as {
        components: Record<string, unknown>
      }
      return components['service.memory_limiter']
    }
    const scrape = async () => readPrometheus(await (await request(metrics)).body.text())
    const dropped = async (labels: Record<string, string>) => {
      const holder = 'exporter' in labels ? 'exporter' : 'pipeline'
      return (await scrape()).total(`otelcol_${holder}_dropped_metric_points`, { ...labels, reason: 'memory_limit' })
    }

    // One is being sent, again and again; the others wait.
    for (let count = 0; count < 3; count += 1) await expect(send()).resolves.toBe(200)
    await expect(status()).resolves.toMatchObject({ status: 'StatusOK' })

    const underWay = answerToPart(otlp, 'some bytes')
    command.kill('SIGUSR2')
    await command.logged('memory_short')
    await expect(answerToPart(otlp)).resolves.toMatch(BUSY)
    await expect(underWay).resolves.toMatch(BUSY)
    await expect(send()).resolves.toBe(503)
    await expect(codeOverGrpc(grpc)).resolves.toBe(14)
    await expect(status()).resolves.toMatchObject({
      status: 'StatusRecoverableError',
      error: expect.stringMatching(/^2\d\d MiB of memory are in use; data is refused from 240 MiB on$/) as unknown,
    })
    let collected = 0
    await until(async () => (collected = await dropped({ pipeline: 'metrics/host' })) > 0)
    await expect(dropped({ exporter: 'otlp_http' })).resolves.toBe(0)

    command.kill('SIGUSR2')
    await until(async () => (await dropped({ exporter: 'otlp_http' })) === 4)
    expect((await scrape()).total('otelcol_memory_limiter_used_bytes', {})).toBeGreaterThan(300 * 2 ** 20)

    command.kill('SIGUSR2')
    await command.logged('memory_recovered')
    await expect(status()).resolves.toMatchObject({ status: 'StatusOK' })
    await expect(send()).resolves.toBe(200)
    intake.respondBy(undefined)
    await intake.received(intake.requests.length + 2)
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toContain('otlp_http: handed in 8 = sent 4 + dropped(memory_limit) 4')
    expect(collected).toBeGreaterThan(0)
    expect(command.stderr().match(/Memory is short: data/g)).toHaveLength(1)
  })
  it('must leave room for more than the process takes by itself', async () => {
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
processors: { memory_limiter: { limit_percentage: 0 } }
exporters: { debug: }
service:
  memory_limiter: { limit_mib: 30 }
  pipelines: { metrics: { receivers: [host_metrics], processors: [memory_limiter], exporters: [debug] } }
`,
    })
    const { code, stderr } = await runCommand(['validate', '--config', folder.path('pipeline.yaml')])
    expect(stderr).toMatch(/pipeline\.yaml:3:51 processors\.memory_limiter\.limit_percentage: must be at least 1\n/)
    expect(stderr).toMatch(
      /pipeline\.yaml:6:32 service\.memory_limiter\.limit_mib: is too low: data is refused from 24 MiB on, and without any the process takes \d\d MiB and at least 16 MiB for its work\n/,
    )
    expect(code).toBe(78)
  })
})
