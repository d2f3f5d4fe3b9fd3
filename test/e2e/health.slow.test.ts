import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { until } from '../kit/until.ts'
import { startDestination } from '../kit/intake.ts'
import { listen } from '../kit/listen.ts'

async function configuration(exporter: string, health: string): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { host_metrics: { collection_interval: 100ms, initial_delay: 0s, scrapers: { load: } } }
exporters: { ${exporter} }
service:
  health: ${health}
  telemetry: { logs: { encoding: json } }
  pipelines: { metrics: { receivers: [host_metrics], exporters: [${exporter.split(':', 1)[0]}] } }
`,
  })
  return folder.path('pipeline.yaml')
}

async function start(exporter: string): Promise<{ command: RunningCommand; url: string }> {
  const command = startCommand(['--config', await configuration(exporter, '{ address: "127.0.0.1:0" }')])
  return { command, url: `http://${await command.address('health')}` }
}

async function get(url: string, method: 'GET' | 'POST' = 'GET'): Promise<{ code: number; body: unknown }> {
  const { statusCode, body } = await request(url, { method })
  return { code: statusCode, body: await body.json() }
}

interface Answer {
  components: Record<string, { status: string; since: string; error?: string }>
}

async function component(url: string, path: string): Promise<Answer['components'][string]> {
  return ((await get(`${url}/status`)).body as Answer).components[path]
}

describe('service.health', () => {
  it('says that the process is alive, ready and that its components are well', async () => {
    const { command, url } = await start('debug: { }')
    await command.waitFor('system.cpu.load_average.1m')
    await expect(get(`${url}/healthz`)).resolves.toEqual({ code: 200, body: { status: 'alive' } })
    await expect(get(`${url}/readyz`)).resolves.toEqual({ code: 200, body: { status: 'ready' } })
    await expect(get(`${url}/status`)).resolves.toMatchObject({
      code: 200,
      body: {
        status: 'ready',
        components: {
          'receivers.host_metrics': { status: 'StatusOK', since: expect.stringMatching(/^\d{4}-.*Z$/) as unknown },
          'exporters.debug': { status: 'StatusOK' },
        },
      },
    })
    await expect(get(`${url}/reload`)).resolves.toMatchObject({ code: 404 })
    await expect(get(`${url}/status`, 'POST')).resolves.toMatchObject({ code: 405 })
  })

  it('says why an exporter cannot deliver, that it is well again, and that a stop is under way', async () => {
    const intake = await startDestination()
    intake.respondBy(() => ({ status: 503 }))
    const retries = 'retry_on_failure: { initial_interval: 20ms, max_interval: 50ms }'
    const { command, url } = await start(`otlp_http: { endpoint: "${intake.url}", ${retries} }`)
    await command.logged('request_retried')
    const failing = await component(url, 'exporters.otlp_http')
    expect(failing).toMatchObject({
      status: 'StatusRecoverableError',
      error: expect.stringContaining('503') as unknown,
    })
    intake.respondBy(() => ({ status: 200 }))
    await command.logged('destination_recovered')
    const recovered = Date.now()
    // That is dated from when it happened, not from when somebody asks.
    await until(() => Date.now() > recovered)
    const well = await component(url, 'exporters.otlp_http')
    expect(well.status).toBe('StatusOK')
    expect(Date.parse(well.since)).toBeLessThanOrEqual(recovered)
    expect(Date.parse(well.since)).toBeGreaterThanOrEqual(Date.parse(failing.since))
    intake.respondBy(() => ({ delay: 60_000 }))
    // The destination has a request which it does not answer, so the drain lasts.
    await intake.received(intake.requests.length + 1)
    command.kill('SIGTERM')
    await command.logged('stopping')
    await expect(get(`${url}/readyz`)).resolves.toEqual({ code: 503, body: { status: 'stopping' } })
    await expect(get(`${url}/healthz`)).resolves.toMatchObject({ code: 200 })
    await expect(component(url, 'exporters.otlp_http')).resolves.toMatchObject({ status: 'StatusStopping' })
  })

  it('lets the pipeline run, and says so, where its port is taken', async () => {
    const { address } = await listen(createServer())
    const command = startCommand(['--config', await configuration('debug: { }', `{ address: "${address}" }`)])
    await command.logged('listen_failed', { address })
    await command.waitFor('system.cpu.load_average.1m')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
  })

  it('takes no address that is none', async () => {
    const path = await configuration('debug: { }', '{ address: "13133" }')
    const { code, stderr } = await runCommand(['validate', '--config', path])
    expect(stderr).toContain('pipeline.yaml:5:22 service.health.address: must be `host:port`')
    expect(code).toBe(78)
  })
})
