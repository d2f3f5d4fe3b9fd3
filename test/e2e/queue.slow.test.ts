import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { eventsOf, latestOf } from '../kit/events.ts'
import type { Intake } from '../kit/intake.ts'
import { until } from '../kit/until.ts'
import { gaugeRequest } from '../kit/receiving.ts'
import { startDestination } from '../kit/intake.ts'

/** A folder with a gateway in `pipeline.yaml` whose queue is in `queue`. */
async function gateway(destination: Intake) {
  const folder = await temporaryFolder({})
  await writeFile(
    folder.path('pipeline.yaml'),
    `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters:
  otlp_http:
    endpoint: "${destination.url}"
    sending_queue: { directory: queue }
    retry_on_failure: { initial_interval: 50ms, max_interval: 100ms }
service:
  telemetry: { logs: { encoding: json } }
  pipelines: { metrics: { receivers: [otlp], exporters: [otlp_http] } }
`,
  )
  return folder
}

async function start(
  args: readonly string[],
): Promise<{ command: RunningCommand; send: (value: number) => Promise<number> }> {
  const command = startCommand(args)
  const address = await command.address('otlp_http')
  return {
    command,
    async send(value) {
      const { statusCode, body } = await request(`http://${address}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: gaugeRequest(value),
      })
      await body.dump()
      return statusCode
    },
  }
}

/** The values of all requests that the destination accepted. */
function valuesAt({ requests }: Intake): Set<number> {
  const texts = requests.filter(({ status }) => status === 200).map(({ body }) => JSON.stringify(body))
  return new Set(
    texts.flatMap((text) => Array.from(text.matchAll(/"asDouble":([\d.]+)/g), ([, value]) => Number(value))),
  )
}

describe('a queue on disk', () => {
  it('loses nothing that was answered with 200, however often the process is killed', async () => {
    const destination = await startDestination()
    let busy = true
    destination.respondBy(({ body }) => (busy || JSON.stringify(body).includes('7') ? { status: 503 } : undefined))
    const folder = await gateway(destination)
    const acknowledged: number[] = []
    let next = 0
    for (let round = 0; round < 3; round += 1) {
      const { command, send } = await start(['--config', folder.path('pipeline.yaml')])
      const enough = acknowledged.length + 40
      // Senders go on until the process dies under them.
      const senders = Array.from({ length: 8 }, async () => {
        for (;;) {
          const value = next++
          if ((await send(value)) === 200) acknowledged.push(value)
        }
      })
      await until(() => acknowledged.length >= enough)
      busy = round === 0
      command.kill('SIGKILL')
      await Promise.allSettled(senders)
      expect(await command.ended).toBe('SIGKILL')
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(120)

    destination.respondBy(undefined)
    const { command } = await start(['--config', folder.path('pipeline.yaml')])
    await until(() => acknowledged.every((value) => valuesAt(destination).has(value)))
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    const [, restored, sent] = /handed in 0 \+ restored (\d+) = sent (\d+)"/.exec(command.stderr()) ?? []
    expect(Number(restored)).toBeGreaterThan(0)
    expect(sent).toBe(restored)
    const { stderr } = await runCommand(['queue', 'list', folder.path('queue')])
    expect(stderr).toContain('are empty')
  })

  it('is shown, exported and dropped by the command, and used by one process at a time', async () => {
    const destination = await startDestination()
    destination.respondBy(() => ({ status: 503 }))
    const folder = await gateway(destination)
    const { command, send } = await start(['--config', folder.path('pipeline.yaml')])
    for (const value of [1, 2]) expect(await send(value)).toBe(200)

    const second = await runCommand(['--config', folder.path('pipeline.yaml')])
    expect(second.code).toBe(78)
    expect(second.stderr).toMatch(
      /pipeline.yaml:4:3 exporters.otlp_http.sending_queue.directory: is used by another process \(process \d+\)/,
    )
    expect(eventsOf(second.stderr)).toEqual([])
    const queue = (action: string) => runCommand(['queue', action, folder.path('queue')])
    expect((await queue('list')).stdout).toMatch(
      /^otlp_http: 2 batches, 2 data points, \d+ bytes, the oldest from .*, used by/,
    )
    const refused = await queue('drop')
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('is used by another process')])

    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    expect(command.stderr()).toContain('exporter otlp_http: handed in 2 = sent 0 + kept 2')
    expect((await queue('inspect')).stdout).toMatch(/^otlp_http\n( {2}\S+Z {2}1 data point {2}\d+ bytes {2}load\n){2}$/)
    const lines = (await queue('export')).stdout.trim().split('\n')
    expect(lines.map((line) => /"asDouble":(\d)/.exec(line)?.[1])).toEqual(['1', '2'])
    expect((await queue('drop')).stdout).toBe('otlp_http: dropped 2 batches, 2 data points\n')
    expect((await queue('list')).stdout).toBe('')
  })

  it('is not forgotten when its exporter gets another name', async () => {
    const destination = await startDestination()
    destination.respondBy(() => ({ status: 503 }))
    const folder = await gateway(destination)
    const before = await start(['--config', folder.path('pipeline.yaml')])
    for (const value of [1, 2, 3]) await expect(before.send(value)).resolves.toBe(200)
    before.command.kill('SIGTERM')
    await before.command.ended
    const yaml = await readFile(folder.path('pipeline.yaml'), 'utf8')
    await writeFile(folder.path('pipeline.yaml'), yaml.replaceAll('otlp_http', 'otlp_http/new'))
    const { command } = await start(['--config', folder.path('pipeline.yaml')])
    await command.logged('queue_unclaimed')
    const lines = command.stderr().split('\n')
    expect(JSON.parse(lines.find((line) => line.includes('"queue_unclaimed"')) ?? '')).toMatchObject({
      level: 'warn',
      exporter: 'otlp_http',
      directory: folder.path('queue'),
      items: 3,
    })
  })

  it('is asked for by a folder that is there', async () => {
    const { code, stderr } = await runCommand(['queue', 'list', '/nowhere/queue'])
    expect(code).toBe(64)
    expect(stderr).toMatch(
      /^cannot read \/nowhere\/queue: ENOENT.*give the `sending_queue.directory` of an exporter\n$/,
    )
  })

  it('refuses only what no queue took, and counts what a full one could not take beside another', async () => {
    const [healthy, dead] = [await startDestination(), await startDestination()]
    dead.respondBy(() => ({ status: 503 }))
    const folder = await gateway(healthy)
    const second = `${folder.path('pipeline.yaml')}.dead.yaml`
    await writeFile(
      second,
      `
exporters:
  otlp_http/dead:
    endpoint: "${dead.url}"
    sending_queue: { directory: queue, queue_size: 1, num_consumers: 1 }
service: { pipelines: { metrics: { exporters: [otlp_http, otlp_http/dead] }, metrics/alone: { receivers: [otlp], exporters: [otlp_http/dead] } } }
`,
    )
    const both = await start(['--config', folder.path('pipeline.yaml'), '--config', second])
    for (const value of [1, 2, 3]) expect(await both.send(value)).toBe(200)
    both.command.kill('SIGTERM')
    expect(await both.command.ended).toBe(0)
    expect(both.command.stderr()).toContain('exporter otlp_http: handed in 3 = sent 3')
    expect(both.command.stderr()).toContain(
      'exporter otlp_http/dead: handed in 6 = sent 0 + dropped(queue_full) 4 + kept 2',
    )

    const alone = await start([
      ...['--config', folder.path('pipeline.yaml'), '--config', second],
      ...['--set', 'service.pipelines.metrics.exporters=[otlp_http/dead]'],
    ])
    expect(await alone.send(4)).toBe(503)
    alone.command.kill('SIGTERM')
    expect(await alone.command.ended).toBe(0)
    expect(alone.command.stderr()).toContain('exporter otlp_http/dead: handed in 0 + restored 2 = sent 0 + kept 2')
  })

  it('notices that its folder was deleted while it wrote there, makes it anew, and holds it', async () => {
    const destination = await startDestination()
    destination.respondBy(() => ({ status: 503 }))
    const folder = await gateway(destination)
    const { command, send } = await start(['--config', folder.path('pipeline.yaml')])
    expect(await send(1)).toBe(200)
    await rm(folder.path('queue'), { recursive: true })
    expect(await send(2)).toBe(200)
    await command.waitFor('was deleted while it was written to')
    await command.logged('queue_disk_recovered')
    expect(await send(3)).toBe(200)
    expect((await runCommand(['--config', folder.path('pipeline.yaml')])).code).toBe(78)
    command.kill('SIGKILL')
    await command.ended

    destination.respondBy(undefined)
    await start(['--config', folder.path('pipeline.yaml')])
    await until(() => [2, 3].every((value) => valuesAt(destination).has(value)))
  })

  it('starts in memory where its directory cannot be written', async () => {
    const destination = await startDestination()
    const folder = await gateway(destination)
    await writeFile(folder.path('queue'), 'not a folder')
    const { command, send } = await start(['--config', folder.path('pipeline.yaml')])
    expect(latestOf(command.stderr(), 'queue_disk_failed')).toBeDefined()
    expect(await send(1)).toBe(200)
    await destination.received(1)
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    expect(command.stderr()).toContain('handed in 1 = sent 1')
  })
})
