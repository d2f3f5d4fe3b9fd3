import { gzipSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'
import { readPrometheus } from '../kit/prometheus.ts'

const MIB = 2 ** 20
/** How much more than with the first series the process may take: twice the bound, and garbage of large requests. */
const ROOM = 2 * 64 + 96

interface Status {
  components: Record<string, { status: string; error?: string }>
}

/** One request of cumulative counters, each of a series that has not come before. */
function requestOf(first: number, count: number, padding: string): Buffer {
  const now = `${Date.now()}000000`
  const dataPoints = Array.from({ length: count }, (_, index) => ({
    attributes: [{ key: 'id', value: { stringValue: `${first + index}${padding}` } }],
    startTimeUnixNano: '1',
    timeUnixNano: now,
    asInt: '5',
  }))
  const sum = { isMonotonic: true, aggregationTemporality: 2, dataPoints }
  const resourceMetrics = [{ scopeMetrics: [{ metrics: [{ name: 'c', sum }] }] }]
  return gzipSync(JSON.stringify({ resourceMetrics }), { level: 1 })
}

async function start(component: 'processor' | 'exporter') {
  const intake = await startIntake()
  const datadog = `datadog_native: { endpoint: "${intake.url}", api_key: k }`
  const [processors, exporters, used] =
    component === 'processor'
      ? [
          'processors: { cumulative_to_delta: }',
          `otlp_http: { endpoint: "${intake.url}" }`,
          ', processors: [cumulative_to_delta]',
        ]
      : ['', datadog, '']
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
${processors}
exporters: { ${exporters} }
service:
  max_remembered_size: 64MiB
  health: { address: "127.0.0.1:0" }
  telemetry: { logs: { encoding: json } }
  pipelines: { metrics: { receivers: [otlp]${used}, exporters: [${exporters.split(':', 1)[0]}] } }
`,
  })
  const command = startCommand(['--config', folder.path('pipeline.yaml')])
  const url = `http://${await command.address('otlp_http')}/v1/metrics`
  const post = async (body: Buffer): Promise<number> => {
    const { statusCode, body: answer } = await request(url, {
      ...{ method: 'POST', body },
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    })
    await answer.dump()
    return statusCode
  }
  const resident = async (): Promise<number> => {
    const { body } = await request(`http://${await command.address('metrics')}/metrics`)
    return readPrometheus(await body.text()).total('otelcol_process_memory_rss', {}) / MIB
  }
  const status = async (): Promise<Status['components']> => {
    const { body } = await request(`http://${await command.address('health')}/status`)
    return ((await body.json()) as Status).components
  }
  return { command, post, resident, status }
}

describe.each(['processor', 'exporter'] as const)('an %s that remembers series', (component) => {
  const path = component === 'processor' ? 'processors.cumulative_to_delta' : 'exporters.datadog_native'

  it.each([
    ['with attributes of 100 kB', 100_000, 1500],
    ['with attributes of 10 kB', 10_000, 10_000],
    ['by hundreds of thousands', 10, 750_000],
  ])(
    'takes no more memory than it may when new ones come %s',
    async (_what, length, series) => {
      const { command, post, resident, status } = await start(component)
      const padding = 'x'.repeat(length)
      const each = Math.ceil(4_000_000 / (length + 200))
      await expect(post(requestOf(0, each, padding))).resolves.toBe(200)
      const before = await resident()
      let most = 0
      for (let first = each; first < series; first += each) {
        await expect(post(requestOf(first, each, padding))).resolves.toBe(200)
        most = Math.max(most, await resident())
      }
      expect(most - before).toBeLessThan(ROOM)
      const said = command
        .stderr()
        .split('\n')
        .filter((line) => line.includes('"event":"series_limit"'))
      if (length > 16_384) {
        expect(said).toEqual([])
        expect(command.stderr()).toContain('attributes_too_large')
        expect(await status()).toMatchObject({ [path]: { status: 'StatusOK' } })
      } else {
        // Once a minute.
        expect(said.length).toBeGreaterThan(0)
        expect(said.length).toBeLessThan(4)
        expect(await status()).toMatchObject({
          [path]: {
            status: 'StatusRecoverableError',
            error: expect.stringContaining('max_remembered_size') as unknown,
          },
        })
      }
    },
    300_000,
  )
})

describe('what is remembered', () => {
  it('is no longer reported as full when everything new has been remembered for a minute', async () => {
    const { post, status } = await start('processor')
    const padding = 'x'.repeat(15_000)
    for (let first = 0; first < 6000; first += 300) await post(requestOf(first, 300, padding))
    const statusOf = async (): Promise<string> => (await status())['processors.cumulative_to_delta'].status
    await expect(statusOf()).resolves.toBe('StatusRecoverableError')
    while ((await statusOf()) !== 'StatusOK') await new Promise((resolve) => setTimeout(resolve, 500))
  }, 180_000)
})
