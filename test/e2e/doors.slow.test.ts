import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { expect, it } from '@jest/globals'
import { request } from 'undici'
import { cleanups } from '../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { until } from '../kit/until.ts'

type Addresses = Record<'health' | 'metrics' | 'admin', string>

async function start(...args: string[]): Promise<Addresses & { command: RunningCommand }> {
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
  const command = startCommand(['--config', folder.path('pipeline.yaml'), ...args])
  const addresses = servers.map(async (server) => [server, await command.address(server)] as const)
  return { command, ...(Object.fromEntries(await Promise.all(addresses)) as Addresses) }
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

it.each([
  ['metrics', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['health', 'GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['admin', 'POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['metrics', 'GET /metrics HTTP/1.1\r\n\r\n'],
  ['metrics', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nExpect: everything\r\n\r\n'],
  ['metrics', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n'],
] as const)('keeps its memory, lives and stops while clients of %s send %j and read nothing', async (server, text) => {
  const { command, ...addresses } = await start()
  const residentMiB = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${command.pid}/status`, 'utf8'))?.[1]) / 1024
  await (await request(`http://${addresses.metrics}/metrics`)).body.dump()
  const before = residentMiB()
  const [host, port] = addresses[server].split(':')
  let attacking = true
  cleanups.push(() => (attacking = false))
  // Half of them send one request, and the others more than the system buffers, so that they learn of the end and come again.
  const many = text.repeat(Math.ceil(8e6 / text.length))
  const attack = (index: number): void => {
    const socket = connect(Number(port), host)
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {}).pause()
    socket.write(index % 2 === 0 ? text : many)
    socket.on('close', () => setTimeout(() => attacking && attack(index), 50))
  }
  for (let index = 0; index < 30; index++) attack(index)
  let highest = 0
  for (const end = performance.now() + 4000; performance.now() < end;) {
    const began = performance.now()
    const { statusCode, body } = await request(`http://${addresses.health}/healthz`)
    expect([statusCode, await body.json()]).toEqual([200, { status: 'alive' }])
    expect(performance.now() - began).toBeLessThan(1000)
    highest = Math.max(highest, residentMiB())
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  // That is what is read and parsed before the garbage is collected, however long it goes on.
  expect(highest - before).toBeLessThan(100)
  const began = performance.now()
  command.kill('SIGTERM')
  await expect(command.ended).resolves.toBe(0)
  expect(performance.now() - began).toBeLessThan(4000)
})
