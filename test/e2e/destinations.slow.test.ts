import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { writeFile } from 'node:fs/promises'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { until } from '../kit/until.ts'
import { gaugeRequest } from '../kit/receiving.ts'
import { startDestination } from '../kit/intake.ts'
import { listen } from '../kit/listen.ts'

/** A web server that answers every request by this. */
async function startServer(
  answer: (headers: IncomingHttpHeaders) => { status: number; body: string },
): Promise<string> {
  const server = createServer((incoming, response) => {
    incoming.resume().on('end', () => {
      const { status, body } = answer(incoming.headers)
      response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
    })
  })
  return (await listen(server)).url
}

/** Starts a gateway to an exporter with these settings, in the flow style of YAML. */
async function gateway(settings: string, env: Record<string, string> = {}) {
  const folder = await temporaryFolder({})
  await writeFile(
    folder.path('pipeline.yaml'),
    `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters:
  otlp_http: { compression: none, retry_on_failure: { initial_interval: 20ms, max_interval: 50ms }, ${settings} }
service:
  telemetry: { logs: { encoding: json, level: debug } }
  health: { address: "127.0.0.1:0" }
  pipelines: { metrics: { receivers: [otlp], exporters: [otlp_http] } }
`,
  )
  const command = startCommand(['--config', folder.path('pipeline.yaml')], { env })
  return {
    command,
    folder,
    send: async (value: number): Promise<void> => {
      const { body, statusCode } = await request(`http://${await command.address('otlp_http')}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: gaugeRequest(value),
      })
      await body.dump()
      expect(statusCode).toBe(200)
    },
    status: async (): Promise<string> =>
      (await request(`http://${await command.address('health')}/status`)).body.text(),
  }
}

async function stopped(command: RunningCommand): Promise<string> {
  command.kill('SIGTERM')
  expect(await command.ended).toBe(0)
  return command.stderr()
}

describe('a queue on disk', () => {
  it('keeps what is answered with redirects and pages to sign in, and delivers it when they are gone', async () => {
    const destination = await startDestination()
    destination.respondWith(
      { status: 302, headers: { location: 'https://sign-in.example/?token=hunter2' } },
      { status: 200, headers: { 'content-type': 'text/html' }, body: '<title>Sign in</title>' },
      { status: 308 },
    )
    const { command, send } = await gateway(`endpoint: "${destination.url}", sending_queue: { directory: queue }`)
    await send(1)
    await command.logged('destination_recovered')
    const log = await stopped(command)
    expect(destination.requests.map(({ status }) => status)).toEqual([302, 200, 308, 200])
    expect(log).toContain('handed in 1 = sent 1"')
    expect(log).toContain('302 redirects to https://sign-in.example/, which is not followed')
    expect(log).not.toContain('hunter2')
  })
})

describe('secrets that a destination repeats', () => {
  it('are hidden in the log and on /status, whole and in parts, however they are written', async () => {
    const TOKEN = 'tok-SECRET-9876543210abcdef'
    const PASSWORD = 'pa55/word SECRET'
    const basic = Buffer.from(`user:${PASSWORD}`).toString('base64')
    let count = 0
    const url = await startServer(({ authorization = '', 'x-basic': other = '' }) => {
      const [, token] = authorization.split(' ')
      const decoded = Buffer.from(String(other).split(' ')[1], 'base64').toString()
      const said = [
        authorization,
        token,
        token.slice(0, 20),
        Buffer.from(`got ${authorization}`).toString('base64'),
        JSON.stringify({ got: JSON.stringify(authorization) }),
        decoded,
        decoded.slice(5),
        encodeURIComponent(decoded),
        authorization.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
        authorization.replace(/[^]/g, (unit) => `%${unit.charCodeAt(0).toString(16)}`),
        authorization.replace(/[^]/g, (unit) => `&#X${unit.charCodeAt(0).toString(16)};`),
        authorization.slice(-14),
        other,
        'querySECRET888',
        'variableSECRET999',
      ]
      count += 1
      return { status: 400, body: `no: ${said.join(' | ')} (${count})` }
    })
    const headers = `authorization: "Bearer \${env:TOKEN}", x-basic: "Basic ${basic}", x-other: "a-\${env:PART}"`
    const { command, folder, send, status } = await gateway(
      `metrics_endpoint: "${url}/hook?key=querySECRET888", headers: { ${headers} }`,
      { TOKEN, PART: 'variableSECRET999' },
    )
    for (const value of [1, 2, 3]) await send(value)
    await until(() => count === 3)
    const shown = await status()
    const log = await stopped(command)
    expect(shown).toContain('400 no: [REDACTED] | [REDACTED] |')
    expect(log).toContain('400 no: [REDACTED] | [REDACTED] |')
    const encoded = Buffer.from(`got Bearer ${TOKEN}`).toString('base64').slice(20, 28)
    for (const text of [shown, log]) {
      for (const part of ['SECRET', 'pa55', '9876543210', 'abcdef', '006', '%6', '&#', encoded])
        expect(text).not.toContain(part)
    }
    // Each answer says something else, and one line is enough.
    expect(log.match(/its items are dropped and counted/g)).toHaveLength(1)

    const printed = await runCommand(['print-config', '--config', folder.path('pipeline.yaml')], {
      env: { TOKEN, PART: 'variableSECRET999' },
    })
    expect(printed.code).toBe(0)
    expect(printed.stdout).toContain(`metrics_endpoint: ${url}/hook?[REDACTED]`)
    expect(printed.stdout).not.toContain('SECRET')
  })
})
