import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { sum } from '../../src/testing.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'
import { storedBy } from '../kit/stored.ts'
import { until } from '../kit/until.ts'

/** Seconds since 1970 that Datadog would take. */
const START = Math.floor(Date.now() / 1000) - 120

/** A delta of 1 from one of many instances of a service, which differ in nothing that is sent. */
function order(instance: number, milliseconds: number): Uint8Array {
  const timeUnixNano = BigInt(START * 1000 + milliseconds) * 1_000_000n
  const times = { timeUnixNano, startTimeUnixNano: timeUnixNano - 10_000_000_000n }
  return MetricBatch.of({
    resource: { 'service.name': 'shop', 'service.instance.id': `i-${instance}` },
    metrics: [sum('orders', 1, {}, { ...times, temporality: 'delta' })],
  }).toOtlp()
}

interface Gateway {
  readonly command: RunningCommand
  readonly send: (body: Uint8Array) => Promise<number>
}

async function start(config: string): Promise<Gateway> {
  const command = startCommand(['--config', config])
  const address = await command.address('otlp_http')
  return {
    command,
    async send(body) {
      const headers = { 'content-type': 'application/x-protobuf' }
      const answer = await request(`http://${address}/v1/metrics`, { method: 'POST', headers, body })
      await answer.body.dump()
      return answer.statusCode
    },
  }
}

describe.each(['datadog_native', 'datadog_otlp'])('many instances that are one series, through %s,', (exporter) => {
  async function prepare(queue: string) {
    const intake = await startIntake()
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters:
  ${exporter}:
    endpoint: "${intake.url}"
    api_key: any
    sending_queue: { join_interval: 100ms, ${queue} }
    retry_on_failure: { initial_interval: 20ms, max_interval: 20ms }
service:
  telemetry: { logs: { encoding: json }, metrics: { level: none } }
  pipelines: { metrics: { receivers: [otlp], exporters: [${exporter}] } }
`,
    })
    const total = (): number => [...storedBy(intake).values()].reduce((sum, value) => sum + value, 0)
    return { intake, total, config: folder.path('pipeline.yaml') }
  }

  it('add up: 600 of 100 instances in a minute', async () => {
    const { intake, total, config } = await prepare('queue_size: 1000')
    const { command, send } = await start(config)
    for (let index = 0; index < 600; index++) expect(await send(order(index % 100, index * 100))).toBe(200)
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    expect(total()).toBe(600)
    expect(command.stderr()).toMatch(/exporter \S+: handed in 600 = sent \d+ \+ merged \d+"/)
    // Joined, they are far fewer requests than came.
    expect(intake.requests.length).toBeLessThan(60)
  })

  it('add up when the process is killed, whether the requests on their way arrived or not', async () => {
    const { intake, total, config } = await prepare('directory: queue')
    const first = await start(config)
    await first.send(order(1, 0))
    await until(() => total() === 1)
    // What comes now arrives, but nobody hears of it.
    intake.respondBy(() => ({ status: exporter === 'datadog_otlp' ? 200 : 202, delay: 60_000 }))
    await first.send(order(2, 100))
    await until(() => intake.requests.length === 2)
    // And this does not.
    intake.respondBy(() => ({ status: 503 }))
    await first.send(order(3, 200))
    await first.send(order(4, 1000))
    await until(() => intake.requests.length >= 3)
    first.command.kill('SIGKILL')
    expect(await first.command.ended).toBe('SIGKILL')
    expect(total()).toBe(2)

    intake.respondBy(undefined)
    const second = await start(config)
    await second.send(order(5, 300))
    await until(() => total() === 5)
    second.command.kill('SIGTERM')
    expect(await second.command.ended).toBe(0)
    expect(total()).toBe(5)
  })
})
