import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import type { ReceivedSeries } from '../kit/intake.ts'

/** Where docker-compose.test.yml shows what its intake took, and where its sidecar is, without a port. */
const { COMPOSE_INTAKE, COMPOSE_SIDECAR, WITH_COLLECTOR } = process.env

const suite = COMPOSE_INTAKE === undefined ? describe.skip : describe
const withCollector = WITH_COLLECTOR === '1' ? it : it.skip

suite('in containers, which `docker compose -f docker-compose.test.yml run --rm test-runner` starts', () => {
  it('the counts of an application arrive natively as differences, named, tagged and with their host', async () => {
    // A total never comes twice, which differences do.
    const orders = await untilAtLeast(1, async () => {
      const received = named('heka.shop.orders', await series())
      const values = received.flatMap(({ points }) => points.map(([, value]) => value))
      return new Set(values).size < values.length ? received : []
    })
    for (const { type, host, tags, points } of orders) {
      expect({ type, host }).toEqual({ type: 'count', host: 'compose-host' })
      expect(tags).toEqual(expect.arrayContaining(['env:compose', 'team:platform', 'service:shop', 'kind:book']))
      // The application counts seven with each collection, of which several may share a second.
      for (const [, value] of points) expect(value % 7).toBe(0)
    }
    const [basket] = await untilAtLeast(1, async () => named('heka.shop.basket.size', await series()))
    expect(basket).toMatchObject({ type: 'gauge', host: 'compose-host' })
    expect(basket.points[0][1]).toBe(42)
  })

  it('and over OTLP', async () => {
    const orders = await untilAtLeast(3, () => ofOtlp('/otlp', 'shop.orders'))
    for (const { resource, metric } of orders) {
      expect(resource).toMatchObject({ 'service.name': 'shop', env: 'compose', seen: 'yes' })
      expect(metric.sum).toMatchObject({ aggregationTemporality: DELTA, isMonotonic: true })
      expect(metric.sum?.dataPoints.map(({ asInt, asDouble }) => Number(asInt ?? asDouble) % 7)).toEqual([0])
    }
  })

  it('a processor in TypeScript runs in the image', async () => {
    const [basket] = await untilAtLeast(1, async () => named('heka.shop.basket.size', await series()))
    expect(basket.tags).toContain('seen:yes')
  })

  it("the sidecar's host metrics are those of the host, not of its own container", async () => {
    // Docker's bridges exist on the host only; a container has no interfaces but eth0 and lo.
    const received = await untilAtLeast(1, async () =>
      named('heka.system.network.io', await series()).filter(({ tags }) =>
        tags.some((tag) => /^device:(docker|br-)/.test(tag)),
      ),
    )
    expect(received[0]).toMatchObject({ type: 'count', host: 'compose-host' })
    const usages = await untilAtLeast(1, async () => named('heka.system.filesystem.usage', await series()))
    expect(usages.some(({ tags }) => tags.includes('mountpoint:/'))).toBe(true)
    expect(usages.some(({ tags }) => tags.some((tag) => tag.startsWith('mountpoint:/hostfs')))).toBe(false)
  })

  it('the container of the sidecar is seen from within, with the limits it was given', async () => {
    const latest = async (name: string): Promise<number> => {
      const received = await untilAtLeast(1, async () => named(`heka.container.${name}`, await series()))
      return received[received.length - 1].points[0][1]
    }
    expect(await latest('memory.usage.limit')).toBe(384 * 1024 * 1024)
    expect(await latest('cpu.limit')).toBe(1)
    expect(await latest('pids.limit')).toBe(200)
    const [used, workingSet] = [await latest('memory.usage'), await latest('memory.working_set')]
    for (const bytes of [used, workingSet]) {
      // A Node.js of its own, and not the whole host.
      expect(bytes).toBeGreaterThan(16 * 1024 * 1024)
      expect(bytes).toBeLessThanOrEqual(384 * 1024 * 1024)
    }
    expect(await latest('pids.count')).toBeGreaterThan(4)
    expect(await latest('cpu.usage')).toBeLessThan(2)
    const times = await untilAtLeast(2, async () => named('heka.container.cpu.time', await series()))
    expect(new Set(times.flatMap(({ tags }) => tags.filter((tag) => tag.startsWith('cpu.mode:'))))).toEqual(
      new Set(['cpu.mode:user', 'cpu.mode:system']),
    )
    expect(times.every(({ type }) => type === 'count')).toBe(true)
    // The limit of CPUs is watched over in each period in which the process ran.
    expect(await latest('cpu.throttling_data.periods')).toBeGreaterThan(0)
  })

  it("the metrics of Datadog's Agent arrive for its dashboards", async () => {
    for (const name of ['system.cpu.user', 'system.mem.total', 'system.disk.total', 'system.net.bytes_rcvd'])
      expect((await untilAtLeast(1, async () => named(name, await series()))).length).toBeGreaterThan(0)
  })

  it('what another container sends over OTLP is taken, and refused when it is malformed', async () => {
    const post = async (body: string): Promise<number> => {
      const response = await fetch(`${COMPOSE_SIDECAR}:4318/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      return response.status
    }
    const dataPoints = [{ timeUnixNano: `${Date.now()}000000`, asDouble: 11.5 }]
    const metrics = [{ name: 'load', gauge: { dataPoints } }]
    expect(await post(JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }))).toBe(200)
    expect(await post('{"resourceMetrics":[1]}')).toBe(400)
    const [load] = await untilAtLeast(1, async () => named('heka.load', await series()))
    expect(load.points[0][1]).toBe(11.5)
  })

  it('the sidecar says that it is well and, without a collector, which destination is not, and counts what it sent', async () => {
    const readiness = await fetch(`${COMPOSE_SIDECAR}:13133/readyz`)
    expect({ code: readiness.status, body: await readiness.json() }).toEqual({ code: 200, body: { status: 'ready' } })
    const status = await fetch(`${COMPOSE_SIDECAR}:13133/status`)
    expect(await status.json()).toMatchObject({
      components: {
        'receivers.otlp': { status: 'StatusOK' },
        'exporters.datadog_native': { status: 'StatusOK' },
        'exporters.otlp_http/collector': { status: WITH_COLLECTOR === '1' ? 'StatusOK' : 'StatusRecoverableError' },
      },
    })
    const metrics = await fetch(`${COMPOSE_SIDECAR}:8888/metrics`)
    expect(await metrics.text()).toMatch(/^otelcol_exporter_sent_metric_points\{[^}]*datadog_native[^}]*\} [1-9]/m)
  })

  withCollector('an OpenTelemetry Collector takes the same metrics and passes them on', async () => {
    const orders = await untilAtLeast(3, () => ofOtlp('/collector', 'shop.orders'))
    for (const { resource, metric } of orders) {
      expect(resource).toMatchObject({ 'service.name': 'shop', env: 'compose', seen: 'yes' })
      expect(metric.sum).toMatchObject({ aggregationTemporality: CUMULATIVE, isMonotonic: true })
    }
  })
})

const DELTA = 1
const CUMULATIVE = 2

async function shown<T>(path: string): Promise<readonly T[]> {
  const response = await fetch(`${COMPOSE_INTAKE}${path}`)
  return (await response.json()) as readonly T[]
}

const series = (): Promise<readonly ReceivedSeries[]> => shown('/series')

function named(name: string, received: readonly ReceivedSeries[]): readonly ReceivedSeries[] {
  return received.filter(({ metric }) => metric === name)
}

interface ReceivedMetric {
  readonly name: string
  readonly sum?: { readonly dataPoints: readonly { asInt?: string; asDouble?: number }[] }
}

interface ReceivedRequest {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: { stringValue?: string } }[] }
    readonly scopeMetrics: readonly { readonly metrics: readonly ReceivedMetric[] }[]
  }[]
}

/** The metrics of a name in everything that came over OTLP, each with the texts of its resource. */
async function ofOtlp(path: string, name: string) {
  const requests = await shown<ReceivedRequest>(path)
  return requests.flatMap(({ resourceMetrics }) =>
    resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
      scopeMetrics
        .flatMap(({ metrics }) => metrics)
        .filter((metric) => metric.name === name)
        .map((metric) => ({
          metric,
          resource: Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value.stringValue])),
        })),
    ),
  )
}

/** Asks until as many have arrived; the containers may still be starting. Throws what the last answer was after 25 s. */
async function untilAtLeast<T>(count: number, ask: () => Promise<readonly T[]>): Promise<readonly T[]> {
  for (const deadline = Date.now() + 25_000; ; await wait(200)) {
    try {
      const found = await ask()
      if (found.length >= count) return found
      if (Date.now() > deadline) throw new Error(`Only ${found.length} of ${count} have arrived.`)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}
