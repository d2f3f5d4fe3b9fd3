import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

const shipped = (name: string): string => fileURLToPath(new URL(`../../config/${name}.yaml`, import.meta.url))
const KEY = 'k'.repeat(32)

async function file(text: string): Promise<string> {
  const folder = await temporaryFolder({ 'pipeline.yaml': text })
  return folder.path('pipeline.yaml')
}

/** Load every 50 ms to a Datadog intake, and whatever else the exporters are given. */
function fastPipeline(exporters: string, names: string): string {
  return `
receivers:
  host_metrics: { collection_interval: 50ms, initial_delay: 0s, scrapers: { load: } }
exporters:
${exporters}
service:
  shutdown_timeout: 2s
  pipelines:
    metrics: { receivers: [host_metrics], exporters: [${names}] }
`
}

const native = (name: string, url: string, more = ''): string =>
  `  datadog_native/${name}: { endpoint: "${url}", api_key: ${KEY}, host_metrics_names: otel, sending_queue: { join_interval: 0s }${more} }`

describe('host metrics to Datadog', () => {
  it("deliver this host's metrics natively: by the Agent's names, tagged, with the host overridden, counters as differences", async () => {
    const datadog = await startIntake({ apiKey: KEY })
    const { code, stdout, stderr } = await runCommand(
      [
        '--config',
        shipped('datadog_native'),
        '--set',
        `exporters.datadog_native.endpoint=${datadog.url}`,
        '--set',
        'processors.hostname_override.hostname=my-host',
        '--once',
      ],
      { env: { DD_API_KEY: KEY, DD_ENV: 'staging' } },
    )
    expect(stderr).toMatch(/Data points of exporter datadog_native: handed in \d+ \+ created \d+ = sent \d+/)
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    const series = datadog.series()
    expect(series.length).toBeGreaterThan(50)
    for (const { metric, host, tags } of series) {
      expect(metric).toMatch(/^system\./)
      expect(host).toBe('my-host')
      expect(tags.filter((tag) => /^(env|team):/.test(tag))).toEqual(['env:staging'])
    }
    const processes = series.filter(({ metric }) => metric === 'system.processes.created')
    expect(processes).toHaveLength(1)
    expect(processes[0]).toMatchObject({ type: 'count', interval: 1 })
    // The difference of one second, not the thousands since boot.
    expect(processes[0].points[0][1]).toBeLessThan(1000)
    expect(series.filter(({ metric }) => metric === 'system.load.1')).toHaveLength(2)
    // OpenTelemetry's names only where the Agent has none.
    expect(series.filter(({ metric }) => /^system\.(cpu\.time|memory|network\.io|filesystem)/.test(metric))).toEqual([])
    // What the dashboards of Datadog's Agent look for, as far as every Linux machine has it.
    const agents = new Set(series.map(({ metric }) => metric))
    const cpu = ['user', 'system', 'iowait', 'idle', 'stolen', 'interrupt', 'num_cores']
    const load = ['1', '5', '15', 'norm.1', 'norm.5', 'norm.15']
    const memory = ['total', 'free', 'used', 'usable', 'pct_usable', 'cached', 'buffered', 'slab', 'shared']
    const network = ['bytes_rcvd', 'bytes_sent', 'packets_in.count', 'packets_in.error', 'packets_out.count']
    for (const name of [
      ...cpu.map((part) => `system.cpu.${part}`),
      ...load.map((part) => `system.load.${part}`),
      ...memory.map((part) => `system.mem.${part}`),
      ...network.map((part) => `system.net.${part}`),
      'system.uptime',
    ]) {
      expect({ name, sent: agents.has(name) }).toEqual({ name, sent: true })
    }
    const shares = series.filter(({ metric }) => /^system\.cpu\.(user|system|iowait|idle|stolen)$/.test(metric))
    expect(shares.reduce((sum, { points: [[, value]] }) => sum + value, 0)).toBeCloseTo(100, 6)
    expect(`${stdout}${stderr}`).not.toContain(KEY)
  })

  it("deliver this host's metrics over OTLP: as Datadog's translation needs them, tagged, with the host overridden, counters as differences", async () => {
    const datadog = await startIntake({ apiKey: KEY })
    const { code } = await runCommand(
      [
        '--config',
        shipped('datadog_otlp'),
        '--set',
        `exporters.datadog_otlp.endpoint=${datadog.url}`,
        '--set',
        'processors.hostname_override.hostname=my-host',
        '--once',
      ],
      { env: { DD_API_KEY: KEY, DD_ENV: 'staging', TEAM: 'core' } },
    )
    expect(code).toBe(0)
    const bodies = datadog.requests.map(({ body }) => body as OtlpBody)
    const resources = bodies.flatMap(({ resourceMetrics }) => resourceMetrics)
    const metrics = resources.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
    expect(metrics.length).toBeGreaterThan(20)
    for (const { name, sum } of metrics) {
      expect(name).toMatch(/^system\./)
      if (sum?.isMonotonic) expect(sum.aggregationTemporality).toBe(1)
    }
    for (const { resource } of resources) {
      const attributes = Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value.stringValue]))
      expect(attributes).toMatchObject({ 'host.name': 'my-host', env: 'staging', team: 'core' })
    }
    // What Datadog makes its own metrics of hosts from, by the names and attributes it looks for; a machine may have no swap space.
    // Source: datadog-agent, pkg/opentelemetry-mapping-go/otlp/metrics/metrics_remapping.go.
    const statesOf = (wanted: string, key: string) => {
      const points = metrics
        .filter(({ name }) => name === wanted)
        .flatMap(({ gauge, sum }) => (gauge ?? sum)?.dataPoints ?? [])
      return new Set(points.map(({ attributes }) => attributes.find((one) => one.key === key)?.value.stringValue))
    }
    expect(statesOf('system.cpu.utilization', 'cpu')).toEqual(new Set([undefined]))
    const states = statesOf('system.cpu.utilization', 'state')
    for (const state of ['idle', 'user', 'system', 'wait', 'steal']) expect(states).toContain(state)
    for (const state of ['free', 'cached', 'buffered'])
      expect(statesOf('system.memory.usage', 'state')).toContain(state)
    expect(statesOf('system.network.io', 'direction')).toEqual(new Set(['receive', 'transmit']))
    const names = metrics.map(({ name }) => name)
    for (const minutes of ['1m', '5m', '15m']) expect(names).toContain(`system.cpu.load_average.${minutes}`)
    expect(names).toContain('system.filesystem.utilization')
    expect(names).toContain('system.cpu.logical.count')
    expect(names).not.toContain('system.cpu.time')
    expect(datadog.requests[0].headers).toMatchObject({ 'dd-api-key': KEY, 'content-encoding': 'gzip' })
  })

  it('end with 1 and the reason when they could not be delivered', async () => {
    const datadog = await startIntake()
    datadog.respondBy(() => ({ status: 503 }))
    const { code, stderr } = await runCommand([
      '--config',
      await file(
        fastPipeline(native('down', datadog.url, ', retry_on_failure: { enabled: false }'), 'datadog_native/down'),
      ),
      '--once',
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('503')
    expect(stderr).toMatch(/handed in 6 = sent 0 \+ dropped\(\w+\) 6/)
  })

  it('know this host by its name when nothing overrides it', async () => {
    const datadog = await startIntake()
    await runCommand(['--config', await file(fastPipeline(native('a', datadog.url), 'datadog_native/a')), '--once'])
    expect(new Set(datadog.series().map(({ host }) => host))).toEqual(new Set([hostname()]))
  })

  it('reach a healthy exporter undelayed while another hangs', async () => {
    const healthy = await startIntake()
    const hanging = await startIntake()
    hanging.respondBy(() => ({ delay: 60_000 }))
    const command = startCommand([
      '--config',
      await file(
        fastPipeline(
          `${native('healthy', healthy.url)}\n${native('hanging', hanging.url)}`,
          'datadog_native/hanging, datadog_native/healthy',
        ),
      ),
    ])
    await healthy.received(10)
    expect(hanging.requests.length).toBeGreaterThan(0)
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toMatch(/exporter datadog_native\/healthy: handed in (\d+) = sent \1\n/)
    expect(command.stderr()).toMatch(
      /exporter datadog_native\/hanging: handed in (\d+) = sent 0 \+ dropped\(shutdown\) \1\n/,
    )
  }, 20_000)

  it('are drained on SIGTERM: what waited for a destination that comes back arrives', async () => {
    const datadog = await startIntake()
    datadog.respondBy(() => ({ status: 503 }))
    const path = await file(
      fastPipeline(native('a', datadog.url, ', retry_on_failure: { initial_interval: 100ms }'), 'datadog_native/a'),
    )
    const command = startCommand(['--config', path])
    await datadog.received(5)
    expect(datadog.series()).toEqual([])
    command.kill('SIGTERM')
    await command.logged('stopping', { signal: 'SIGTERM' })
    datadog.respondBy(undefined)
    await expect(command.ended).resolves.toBe(0)
    const [, points] = /handed in (\d+) = sent \1\n/.exec(command.stderr()) ?? []
    expect(datadog.series().flatMap((series) => series.points)).toHaveLength(Number(points))
  })

  it('give way at once to a second signal', async () => {
    const datadog = await startIntake()
    datadog.respondBy(() => ({ delay: 60_000 }))
    const command = startCommand(['--config', await file(fastPipeline(native('a', datadog.url), 'datadog_native/a'))])
    await datadog.received(1)
    command.kill('SIGINT')
    await command.logged('stopping', { signal: 'SIGINT' })
    command.kill('SIGINT')
    await expect(command.ended).resolves.toBe(130)
    expect(command.stderr().trimEnd().split('\n').at(-1)).toContain('SIGINT came while the process was stopping')
  })
})

interface OtlpBody {
  resourceMetrics: { resource: Attributed; scopeMetrics: { metrics: OtlpMetric[] }[] }[]
}

interface OtlpMetric {
  name: string
  gauge?: { dataPoints: Attributed[] }
  sum?: { dataPoints: Attributed[]; isMonotonic: boolean; aggregationTemporality: number }
}

interface Attributed {
  attributes: { key: string; value: { stringValue?: string } }[]
}
