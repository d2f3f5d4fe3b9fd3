import { connect as connectHttp2 } from 'node:http2'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { parse } from 'yaml'
import { cleanups } from '../kit/cleanups.ts'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { until } from '../kit/until.ts'
import { startDestination } from '../kit/intake.ts'

/** What would steer a terminal, or let a text look like another: C0, C1, direction, separators, and a line that is not ours. */
const ODD = 'evil\u001b[2J\u001b]0;t\u0007\u007f\u009b31m\u009d\u202e\u2066\u2028\u2029\u{e0001}\r\nFAKE LINE'
const STEERING = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u

/** A request in JSON with such texts wherever there is one. */
const oddRequest = (time: number): string =>
  JSON.stringify({
    resourceMetrics: [
      {
        resource: { attributes: [{ key: ODD, value: { stringValue: ODD } }] },
        scopeMetrics: [
          {
            scope: { name: ODD },
            metrics: [
              {
                name: ODD,
                unit: ODD,
                description: ODD,
                gauge: {
                  dataPoints: [
                    {
                      timeUnixNano: `${time}000000`,
                      asInt: '1',
                      attributes: [{ key: ODD, value: { stringValue: ODD } }],
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    ],
  })

async function folder(yaml: string): Promise<(file: string) => string> {
  const made = await temporaryFolder({ 'pipeline.yaml': yaml, 'odd.json': oddRequest(Date.now()) })
  return made.path
}

function expectSteady(text: string): void {
  expect(text).not.toMatch(STEERING)
  expect(text).not.toMatch(/^FAKE LINE/m)
}

describe('what comes from outside', () => {
  it.each(['console', 'json'])(
    'steers no terminal through logs, the debug exporter or /status (%s)',
    async (encoding) => {
      const destination = await startDestination()
      destination.respondBy(() => ({ status: 503, body: ODD }))
      const path = await folder(`
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters:
  debug:
  debug/json: { format: otlp_json }
  debug/open: { format: openmetrics }
  otlp_http: { endpoint: "${destination.url}" }
service:
  health: { address: "127.0.0.1:0" }
  telemetry: { logs: { level: debug, encoding: ${encoding} } }
  pipelines: { metrics: { receivers: [otlp], exporters: [debug, debug/json, debug/open, otlp_http] } }
`)
      const command = startCommand(['--config', path('pipeline.yaml')])
      const url = `http://${await command.address('otlp_http')}/v1/metrics`
      const post = (body: string, headers: Record<string, string>) => request(url, { method: 'POST', headers, body })
      await post(oddRequest(Date.now()), { 'content-type': 'application/json' })
      await post('{}', { 'content-type': 'te\u009b31m\u009d/x' })
      await post('{}', { 'content-type': 'application/json', 'content-encoding': '\u009b2J' })
      await post(`{"resourceMetrics":[{${JSON.stringify(ODD)}:1,"scopeMetrics":${JSON.stringify(ODD)}}]}`, {
        'content-type': 'application/json',
      })
      await command.logged('request_retried')
      await command.waitFor('# EOF')
      await command.waitFor('unsupported_coding')
      const { body } = await request(`http://${await command.address('health')}/status`)
      const status = await body.text()
      expect(status).toContain('503')
      for (const text of [command.stdout(), command.stderr(), status]) expectSteady(text)
      expect(command.stdout()).toContain('evil\\u{1b}[2J')
      expect(command.stdout()).toContain('evil\\u001b[2J')
      // The JSON still says what came.
      const line =
        command
          .stdout()
          .split('\n')
          .find((text) => text.startsWith('{"resourceMetrics"')) ?? ''
      const { resourceMetrics } = JSON.parse(line) as {
        resourceMetrics: { scopeMetrics: { scope: { name: string } }[] }[]
      }
      expect(resourceMetrics[0].scopeMetrics[0].scope.name).toBe(ODD)
    },
  )

  it('steers no terminal through print-config, validate and explain', async () => {
    const odd = JSON.stringify(ODD).replace('\u{e0001}', '\\U000E0001')
    const path = await folder(`
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters:
  otlp_http: { endpoint: "http://127.0.0.1:9", headers: {}, sending_queue: { directory: ${odd} } }
  datadog_native: { api_key: "0123456789abcdef0123456789abcdef", hostname: h }
service: { pipelines: { metrics: { receivers: [otlp], exporters: [datadog_native] } } }
`)
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await runCommand([...args, '--config', path('pipeline.yaml')])
      expectSteady(stdout)
      expectSteady(stderr)
      return { stdout, stderr }
    }
    const printed = (await run('print-config')).stdout
    const { exporters } = parse(printed) as { exporters: { otlp_http: { sending_queue: { directory: string } } } }
    expect(exporters.otlp_http.sending_queue.directory).toContain(ODD)
    expect((await run('validate', '--set', `service.${ODD}=1`)).stderr).toContain('evil\\u{1b}[2J')
    const { stdout } = await run('validate', '--format', 'json', '--set', `service.${ODD}=1`)
    expect(JSON.stringify(JSON.parse(stdout))).toContain(JSON.stringify(ODD).slice(1, -1))
    expect((await run('explain', '--from', path('odd.json'))).stdout).toContain('evil')
    expect((await run('explain', '--format', 'json', '--from', path('odd.json'))).stdout).toContain('\\u009b31m')
    expect((await run('explain', '--only', ODD)).stderr).toContain('evil\\u{1b}[2J')
  })
})

it('grpc-js writes nothing to standard error by itself, and our log says little of one client', async () => {
  const path = await folder(`
receivers: { otlp: { protocols: { grpc: { endpoint: "127.0.0.1:0" } } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [otlp], exporters: [debug] } } }
`)
  const command = startCommand(['--config', path('pipeline.yaml')])
  const session = connectHttp2(`http://${await command.address('otlp_grpc')}`)
  session.on('error', () => {})
  cleanups.push(() => session.destroy())
  let ended = 0
  const call = (): Promise<void> =>
    new Promise((resolve) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
        'content-type': 'application/grpc',
        te: 'trailers',
        // Metadata that grpc-js cannot take, and says so with all of it.
        authorization: `Bearer of-a-client \u00ff${'a'.repeat(8000)}`,
      })
      stream
        .on('error', () => {})
        .on('close', () => {
          ended += 1
          resolve()
        })
      stream.resume().end(Buffer.alloc(5))
    })
  for (let round = 0; round < 40; round += 1) await Promise.all(Array.from({ length: 50 }, call))
  await until(() => ended === 2000)
  await command.waitFor('Failed to add metadata entry authorization')
  expect(command.stderr().match(/Failed to add/g)).toHaveLength(1)
  expect(command.stderr()).not.toContain('of-a-client')
  expect(command.stderr().length).toBeLessThan(5000)
})
