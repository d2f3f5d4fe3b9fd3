import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { expect, it } from '@jest/globals'
import { request } from 'undici'
import { cleanups } from '../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { until } from '../kit/until.ts'

async function start(...args: string[]): Promise<Record<'health' | 'metrics' | 'admin', string>> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
exporters: { debug: }
service:
  health: { address: 127.0.0.1:0 }
  admin: { address: 127.0.0.1:0 }
  telemetry: { logs: { encoding: json } }
  pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } }
`,
  })
  cleanups.push(folder.remove)
  const command = startCommand(['--config', folder.path('pipeline.yaml'), ...args])
  cleanups.push(() => command.kill('SIGKILL'))
  const lines = { health: 'Answering for the health', metrics: 'own metrics', admin: 'Reloading when asked to' }
  const addresses = Object.entries(lines).map(async ([server, line]) => {
    await command.waitFor(line)
    const logged =
      command
        .stderr()
        .split('\n')
        .find((text) => text.includes(line)) ?? ''
    return [server, /127\.0\.0\.1:\d+/.exec(logged)?.[0]] as const
  })
  return Object.fromEntries(await Promise.all(addresses)) as Record<'health' | 'metrics' | 'admin', string>
}

const paths = { health: ['GET', '/healthz'], metrics: ['GET', '/metrics'], admin: ['POST', '/reload'] } as const
const servers = ['health', 'metrics', 'admin'] as const

it('answers for the process under no name that a page could have made its own, unless it is configured', async () => {
  const addresses = await start('--set', 'service.allowed_hosts=[heka.example.org]')
  for (const server of servers) {
    const [method, path] = paths[server]
    const ask = async (host: string): Promise<number> => {
      const { statusCode, body } = await request(`http://${addresses[server]}${path}`, { method, headers: { host } })
      await body.dump()
      return statusCode
    }
    expect([server, await ask('rebound.example'), await ask('heka.example.org')]).toEqual([server, 403, 200])
  }
})

it('answers for the process while silent connections keep coming, and closes those within seconds', async () => {
  const addresses = await start()
  const flood = async (server: (typeof servers)[number]): Promise<void> => {
    const [host, port] = addresses[server].split(':')
    const silent = Array.from({ length: 300 }, (): Socket => {
      const socket = connect(Number(port), host)
      cleanups.push(() => socket.destroy())
      return socket.on('error', () => {}).resume()
    })
    await Promise.all(silent.map((socket) => once(socket, 'connect')))
    const [method, path] = paths[server]
    const { statusCode } = await request(`http://${addresses[server]}${path}`, { method })
    expect([server, statusCode]).toEqual([server, 200])
    const began = performance.now()
    await until(() => silent.every(({ closed }) => closed))
    expect(performance.now() - began).toBeLessThan(8000)
  }
  await Promise.all(servers.map(flood))
})
