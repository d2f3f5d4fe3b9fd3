import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { latestOf } from '../kit/events.ts'
import { listen } from '../kit/listen.ts'
import { until } from '../kit/until.ts'

async function file(text: string): Promise<string> {
  const folder = await temporaryFolder({ 'pipeline.yaml': text })
  return folder.path('pipeline.yaml')
}

const pipeline = (otlp: string, service = ''): string => `
receivers:
  host_metrics: { collection_interval: 100ms, initial_delay: 0s, scrapers: { load: } }
  otlp: { protocols: ${otlp} }
exporters: { debug: }
service:
  telemetry: { logs: { encoding: json }, metrics: { level: none } }
  pipelines: { metrics: { receivers: [host_metrics, otlp], exporters: [debug] } }
  ${service}
`

async function get(url: string): Promise<{ code: number; body: unknown }> {
  const { statusCode, body } = await request(url)
  return { code: statusCode, body: await body.json() }
}

describe('a port that is in use at the start', () => {
  it('is waited for, while the process is not ready and everything else works', async () => {
    const { address, port, close } = await listen(createServer())
    const otlp = `{ http: { endpoint: "127.0.0.1:${port}" }, grpc: { endpoint: "127.0.0.1:0" } }`
    const path = await file(pipeline(otlp, 'health: { address: "127.0.0.1:0" }'))
    const command = startCommand(['--config', path])
    await command.logged('listen_failed', { address })
    await command.address('otlp_grpc')
    await command.waitFor('system.cpu.load_average.1m')
    const health = `http://${await command.address('health')}`
    await until(async () => ((await get(`${health}/readyz`)).body as { status: string }).status !== 'starting')
    await expect(get(`${health}/readyz`)).resolves.toEqual({ code: 503, body: { status: 'unavailable' } })
    await expect(get(`${health}/status`)).resolves.toMatchObject({
      body: {
        components: {
          'receivers.otlp': {
            status: 'StatusRecoverableError',
            error: `cannot listen on 127.0.0.1:${port}: another process already listens there`,
          },
          'receivers.host_metrics': { status: 'StatusOK' },
        },
      },
    })
    await close()
    await command.address('otlp_http')
    await expect(get(`${health}/readyz`)).resolves.toEqual({ code: 200, body: { status: 'ready' } })
    await expect(get(`${health}/status`)).resolves.toMatchObject({
      body: { components: { 'receivers.otlp': { status: 'StatusOK' } } },
    })
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
  })

  it('can be changed by a reload meanwhile, and a stop does not wait for it', async () => {
    const { port } = await listen(createServer())
    const path = await file(pipeline(`{ http: { endpoint: "127.0.0.1:${port}" } }`))
    const command = startCommand(['--config', path])
    await command.logged('listen_failed')
    command.kill('SIGHUP')
    await command.logged('reloaded')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
  })

  it('ends the process with 1 when service.start_timeout has passed', async () => {
    const { port } = await listen(createServer())
    const path = await file(pipeline(`{ http: { endpoint: "127.0.0.1:${port}" } }`, 'start_timeout: 300ms'))
    const { code, stderr, stdout } = await runCommand(['--config', path])
    expect(latestOf(stderr, 'start_timeout')).toMatchObject({ receivers: 'receivers.otlp' })
    expect(stdout).toContain('system.cpu.load_average.1m')
    expect(code).toBe(1)
  })
})

describe('one address for two', () => {
  const twice = (address: string, path: string): string => `cannot listen on ${address}, because ${path} already does`
  const first = 'receivers.otlp.protocols.http.endpoint'

  it.each([
    ['127.0.0.1:4317', { grpc: '127.0.0.1:4317' }, twice('127.0.0.1:4317', 'receivers.otlp.protocols.grpc.endpoint')],
    [
      'localhost:4317',
      { grpc: '127.0.0.1:4317' },
      'receivers.otlp.protocols.grpc.endpoint (127.0.0.1:4317) already does',
    ],
    [
      '0.0.0.0:4317',
      { grpc: '127.0.0.1:4317' },
      twice('0.0.0.0:4317', 'receivers.otlp.protocols.grpc.endpoint (127.0.0.1:4317)'),
    ],
    [':4317', { health: '10.1.2.3:4317' }, twice('10.1.2.3:4317', `${first} (:4317)`)],
    ['[::]:4317', { admin: '127.0.0.1:4317' }, twice('127.0.0.1:4317', `${first} ([::]:4317)`)],
    ['[::1]:4317', { metrics: '[0:0::1]:4317' }, twice('[0:0::1]:4317', `${first} ([::1]:4317)`)],
    ['127.0.0.1:8888', {}, twice('localhost:8888', `${first} (127.0.0.1:8888)`)],
  ])('%s and %j is a mistake', async (http, others: Record<string, string>, message) => {
    const { code, stderr } = await validate(http, others)
    expect(stderr).toContain(message)
    expect(stderr).toContain('1 mistake in')
    expect(code).toBe(78)
  })

  it.each([
    ['127.0.0.1:0', { grpc: '127.0.0.1:0', metrics: '127.0.0.1:0' }],
    ['127.0.0.1:4317', { grpc: '127.0.0.2:4317' }],
    ['0.0.0.0:4317', { grpc: '[::1]:4317' }],
    ['127.0.0.1:8888', { metrics: '127.0.0.1:8889' }],
    ['127.0.0.1:8888', { metrics: '127.0.0.1:8888, level: none' }],
  ])('%s and %j is none', async (http, others: Record<string, string>) => {
    await expect(validate(http, others)).resolves.toMatchObject({ code: 0 })
  })

  function validate(http: string, { grpc, metrics, health, admin }: Record<string, string>) {
    const quoted = (address: string): string => address.replace(/^[^,]+/, '"$&"')
    const yaml = `
receivers:
  otlp:
    protocols:
${grpc === undefined ? '' : `      grpc: { endpoint: "${grpc}" }\n`}      http: { endpoint: "${http}" }
exporters: { debug: }
service:
${metrics === undefined ? '' : `  telemetry: { metrics: { address: ${quoted(metrics)} } }\n`}\
${health === undefined ? '' : `  health: { address: "${health}" }\n`}\
${admin === undefined ? '' : `  admin: { address: "${admin}" }\n`}\
  pipelines: { metrics: { receivers: [otlp], exporters: [debug] } }
`
    return file(yaml).then((path) => runCommand(['validate', '--config', path]))
  }
})
