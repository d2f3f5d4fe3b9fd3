import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { gauge } from '../../src/testing.ts'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import type { Intake } from '../kit/intake.ts'
import { readPrometheus } from '../kit/prometheus.ts'
import type { Samples } from '../kit/prometheus.ts'
import { startDestination } from '../kit/intake.ts'
import { listen } from '../kit/listen.ts'

/** Two data points that pass, and one that the filter leaves out. */
const POINTS = { all: 3, passed: 2 }
const body = MetricBatch.of({ metrics: [gauge('load', 1), gauge('load.short', 2), gauge('noise', 3)] }).toOtlp()

interface Gateway {
  readonly command: RunningCommand
  /** Sends three data points; resolves with the status of the answer. */
  readonly send: (body?: Uint8Array) => Promise<number>
  /** The samples of `/metrics`. */
  readonly scrape: () => Promise<Samples>
  readonly url: string
}

async function configuration(destination: Intake, { metrics = '{ }', queue = '' } = {}): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } }
processors:
  filter: { exclude: { metric_names: [noise] } }
exporters:
  otlp_http:
    endpoint: "${destination.url}"
    sending_queue: { queue_size: 2, num_consumers: 1, ${queue} }
    retry_on_failure: { initial_interval: 20ms, max_interval: 20ms }
service:
  shutdown_timeout: 500ms
  telemetry: { logs: { encoding: json }, metrics: ${metrics} }
  pipelines: { metrics: { receivers: [otlp], processors: [filter], exporters: [otlp_http] } }
`,
  })
  return folder.path('pipeline.yaml')
}

async function start(destination: Intake, queue?: string): Promise<Gateway> {
  const command = startCommand(['--config', await configuration(destination, { queue })])
  const address = await command.address('otlp_http')
  const { url } = (await command.logged('listening', { server: 'metrics' })) as { url: string }
  return {
    command,
    url,
    async send(data = body) {
      const headers = { 'content-type': 'application/x-protobuf' }
      const answer = await request(`http://${address}/v1/metrics`, { method: 'POST', headers, body: data })
      await answer.body.dump()
      return answer.statusCode
    },
    async scrape() {
      const answer = await request(url)
      expect(answer.statusCode).toBe(200)
      expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
      return readPrometheus(await answer.body.text())
    },
  }
}

async function scrapeUntil({ scrape }: Gateway, condition: (samples: Samples) => boolean): Promise<Samples> {
  for (;;) {
    const samples = await scrape()
    if (condition(samples)) return samples
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const pipeline = { pipeline: 'metrics' }
const exporter = { exporter: 'otlp_http' }
const points = (samples: Samples, labels: Readonly<Record<string, string>>, ...names: readonly string[]): number =>
  names.reduce((sum, name) => sum + samples.total(`otelcol_${name}_metric_points`, labels), 0)

/** Both equations of the balance, in the numbers that were scraped. */
function expectBalance(samples: Samples): void {
  const inPipeline = (...terms: readonly string[]) =>
    points(samples, pipeline, ...terms.map((term) => `pipeline_${term}`))
  expect(inPipeline('accepted', 'created')).toBe(
    inPipeline('filtered', 'merged', 'dropped', 'refused', 'held', 'handed_on'),
  )
  const inExporter = (...terms: readonly string[]) =>
    points(samples, exporter, ...terms.map((term) => `exporter_${term}`))
  expect(inExporter('handed_in', 'restored', 'created')).toBe(
    inExporter('sent', 'rejected', 'merged', 'dropped', 'kept', 'queued', 'in_flight'),
  )
}

describe('the metrics of the pipeline itself', () => {
  it('are the load that came and what became of it', async () => {
    const destination = await startDestination()
    let refusals = 1
    destination.respondBy(() => (refusals-- > 0 ? { status: 503 } : undefined))
    const gateway = await start(destination)
    expect((await gateway.scrape()).total('otelcol_exporter_sent_metric_points', exporter)).toBe(0)

    const requests = 5
    for (let sent = 0; sent < requests;) {
      if ((await gateway.send()) === 200) sent += 1
      await scrapeUntil(gateway, (now) => now.total('otelcol_exporter_queue_size', exporter) === 0)
    }
    expect(await gateway.send(Buffer.from('no OTLP'))).toBe(400)
    const samples = await scrapeUntil(
      gateway,
      (now) => points(now, exporter, 'exporter_sent') === requests * POINTS.passed,
    )
    expectBalance(samples)
    const refused = points(samples, pipeline, 'pipeline_refused')
    const accepted = requests * POINTS.all
    expect(points(samples, { receiver: 'otlp', transport: 'http' }, 'receiver_accepted')).toBe(accepted)
    expect(points(samples, { receiver: 'otlp', transport: 'http' }, 'receiver_refused')).toBe(0)
    expect(points(samples, pipeline, 'pipeline_accepted')).toBe(accepted)
    expect(refused).toBe(0)
    const filter = { processor: 'filter', pipeline: 'metrics', otel_signal: 'metrics' }
    expect(samples.total('otelcol_processor_incoming_items', filter)).toBe(accepted)
    expect(samples.total('otelcol_processor_outgoing_items', filter)).toBe(requests * POINTS.passed)
    expect(points(samples, pipeline, 'pipeline_filtered')).toBe(requests)
    expect(samples.total('otelcol_exporter_requests', exporter)).toBe(requests + 1)
    expect(samples.total('otelcol_exporter_retries', exporter)).toBe(1)
    expect(points(samples, exporter, 'exporter_send_failed', 'exporter_enqueue_failed')).toBe(0)
    expect(samples.total('otelcol_exporter_queue_capacity', { ...exporter, data_type: 'metrics' })).toBe(2)
    expect(
      samples.total('otelcol_receiver_otlp_refused_requests', {
        receiver: 'otlp',
        protocol: 'http',
        reason: 'malformed',
      }),
    ).toBe(1)

    expect(samples.total('otelcol_process_uptime', {})).toBeGreaterThan(0)
    expect(samples.total('otelcol_process_cpu_seconds', {})).toBeGreaterThan(0)
    expect(samples.total('otelcol_process_memory_rss', {})).toBeGreaterThan(2 ** 24)
    expect(samples.total('otelcol_process_runtime_heap_alloc_bytes', {})).toBeGreaterThan(2 ** 20)
    expect(samples.total('target_info', { service_name: 'heka-pipeline' })).toBe(1)
    expect(samples.types.get('otelcol_exporter_sent_metric_points')).toBe('counter')
    expect(samples.types.get('otelcol_exporter_queue_size')).toBe('gauge')
  })

  it('show a destination that does not answer: the full queue, the age of what waits, what is refused', async () => {
    const destination = await startDestination()
    destination.respondBy(() => ({ delay: 60_000 }))
    const gateway = await start(destination)
    const statuses = []
    for (let request = 0; request < 5; request += 1) statuses.push(await gateway.send())
    // One is on its way and two are in the queue.
    expect(statuses).toEqual([200, 200, 200, 503, 503])
    const samples = await scrapeUntil(
      gateway,
      (now) => now.total('otelcol_exporter_oldest_batch_age_seconds', exporter) > 0.05,
    )
    expectBalance(samples)
    expect(points(samples, { receiver: 'otlp', transport: 'http' }, 'receiver_accepted')).toBe(3 * POINTS.all)
    expect(points(samples, { receiver: 'otlp', transport: 'http' }, 'receiver_refused')).toBe(2 * POINTS.all)
    expect(points(samples, exporter, 'exporter_enqueue_failed')).toBe(2 * POINTS.all)
    expect(points(samples, exporter, 'exporter_in_flight')).toBe(POINTS.passed)
    expect(points(samples, exporter, 'exporter_queued')).toBe(2 * POINTS.passed)
    expect(samples.total('otelcol_exporter_in_flight_requests', exporter)).toBe(1)
    expect(samples.total('otelcol_exporter_queue_size', exporter)).toBe(2)

    gateway.command.kill('SIGTERM')
    await gateway.command.logged('stopping')
    // What becomes of the rest can be watched until the end.
    expectBalance(await gateway.scrape())
    expect(await gateway.command.ended).toBe(0)
    await expect(request(gateway.url)).rejects.toThrow('ECONNREFUSED')
  })

  it('count what is given up as failed', async () => {
    const destination = await startDestination()
    destination.respondBy(() => ({ status: 400 }))
    const gateway = await start(destination)
    await gateway.send()
    const samples = await scrapeUntil(gateway, (now) => points(now, exporter, 'exporter_send_failed') > 0)
    expectBalance(samples)
    expect(points(samples, exporter, 'exporter_send_failed')).toBe(POINTS.passed)
    expect(points(samples, { ...exporter, reason: 'refused' }, 'exporter_dropped')).toBe(POINTS.passed)
  })

  it('are all in docs/telemetry.md', async () => {
    const gateway = await start(await startDestination(), 'directory: queue')
    await gateway.send()
    const { types } = await gateway.scrape()
    const page = readFileSync(fileURLToPath(new URL('../../docs/telemetry.md', import.meta.url)), 'utf8')
    const missing = [...types.keys()].filter((name) => !page.includes(`\`${name}\``))
    expect(missing).toEqual([])
  })

  it('answer only for /metrics, and only to be read', async () => {
    const { url } = await start(await startDestination())
    const code = async (...args: Parameters<typeof request>) => {
      const { statusCode, body } = await request(...args)
      await body.dump()
      return statusCode
    }
    expect(await code(url.replace('/metrics', '/'))).toBe(404)
    expect(await code(url, { method: 'POST' })).toBe(405)
    expect(await code(`${url}?name=x`)).toBe(200)
  })

  it('let the pipeline run, and say so, where their port is taken', async () => {
    const { address } = await listen(createServer())
    const destination = await startDestination()
    const path = await configuration(destination)
    const command = startCommand(['--config', path, '--set', `service.telemetry.metrics.address=${address}`])
    await command.logged('listen_failed', { address })
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
  })

  it('are not served with the level none, nor with --once', async () => {
    const destination = await startDestination()
    const path = await configuration(destination, { metrics: '{ level: none }' })
    const command = startCommand(['--config', path])
    await command.address('otlp_http')
    command.kill('SIGTERM')
    await command.ended
    const once = await runCommand(['--config', await configuration(destination), '--once'])
    for (const stderr of [command.stderr(), once.stderr]) expect(stderr).not.toContain('"server":"metrics"')
  })

  it('take no address that is none', async () => {
    const path = await configuration(await startDestination(), { metrics: '{ address: "8888" }' })
    const { code, stderr } = await runCommand(['validate', '--config', path])
    expect(stderr).toContain('service.telemetry.metrics.address: must be `host:port`')
    expect(code).toBe(78)
  })
})

describe('the receiver internal', () => {
  it('delivers them, called as it is asked to, from the start of the pipeline', async () => {
    const destination = await startDestination()
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers: { internal: { collection_interval: 50ms, initial_delay: 100ms } }
exporters: { otlp_http: { endpoint: "${destination.url}" } }
service:
  telemetry: { metrics: { level: none, prefix: heka } }
  pipelines: { metrics: { receivers: [internal], exporters: [otlp_http] } }
`,
    })
    const command = startCommand(['--config', folder.path('pipeline.yaml')])
    await destination.received(3)
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)

    const batches = destination.requests.map(({ raw }) => MetricBatch.fromOtlp(raw))
    const read = (name: string) =>
      batches.map((batch) => {
        const [found] = [...batch.metrics()].filter(({ metric }) => metric.name === name)
        const { type, temporality, monotonic, points } = found.metric
        const [point] = points
        if (point.kind !== 'number') throw new Error('not a number')
        return { type, temporality, monotonic, point, value: point.value as number }
      })
    const accepted = read('heka_pipeline_accepted_metric_points')
    expect(accepted[0]).toMatchObject({ type: 'sum', temporality: 'cumulative', monotonic: true })
    // Each reading counts those before it.
    expect(accepted.map(({ value }) => value).slice(0, 3)).toEqual(
      [0, 1, 2].map((count) => batches.slice(0, count).reduce((sum, batch) => sum + batch.pointCount, 0)),
    )
    const starts = new Set(accepted.map(({ point }) => point.startTimeUnixNano))
    expect(starts.size).toBe(1)
    expect(accepted[0].point.timeUnixNano - accepted[0].point.startTimeUnixNano).toBeGreaterThanOrEqual(100_000_000n)
    const [{ point: uptime, value }] = read('heka_process_uptime')
    expect(Number(uptime.timeUnixNano - uptime.startTimeUnixNano) / 1e9).toBeCloseTo(value, 0)
    const { attributes } = batches[0].resources[0].resource
    expect(attributes.text('service.name')).toBe('heka-pipeline')
  })
})
