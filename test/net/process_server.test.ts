import { once } from 'node:events'
import { get } from 'node:http'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { afterEach, expect, it, jest } from '@jest/globals'
import { request } from 'undici'
import { json, serve, shared } from '../../src/net/process_server.ts'
import type { Answer, ServeOptions } from '../../src/net/process_server.ts'
import { cleanups } from '../kit/cleanups.ts'
import { listen } from '../kit/listen.ts'
import { until } from '../kit/until.ts'

afterEach(() => {
  jest.useRealTimers()
})

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const asked = { setting: 'service.health.address', allowedHosts: (): string[] => [], log: silent }

/** Starts a server on a port that the system chooses, and resolves with its address. */
async function start(options: Partial<ServeOptions> = {}): Promise<{ host: string; port: number }> {
  const address = await new Promise<string>((resolve) => {
    const serving = {
      ...asked,
      address: '127.0.0.1:0',
      listening: resolve,
      answer: () => json(200, 'here'),
      ...options,
    }
    void serve(serving).then((close) => cleanups.push(close))
  })
  const [host, port] = address.split(':')
  return { host, port: Number(port) }
}

/** Opens a connection that sends nothing. */
async function silence(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host)
  cleanups.push(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  return socket
}

/** Asks as nobody but a proxy or a page at a name of its own does. */
function ask(host: string, port: number, name: string, path = '/'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ host, port, path, headers: { host: name }, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })
}

it('answers although more connections than it keeps send nothing', async () => {
  const { host, port } = await start()
  const [oldest] = await Promise.all(Array.from({ length: 100 }, () => silence(host, port)))
  const closed = once(oldest, 'close')
  await expect(ask(host, port, 'localhost')).resolves.toBe(200)
  await closed
})

it('closes no connection on which it is still answering', async () => {
  let finish: (() => void) | undefined
  const answer = () => new Promise<Answer>((resolve) => (finish = () => resolve(json(200, 'late'))))
  const { host, port } = await start({ answer })
  const late = ask(host, port, 'localhost')
  await until(() => finish !== undefined)
  const [oldest] = await Promise.all(Array.from({ length: 110 }, () => silence(host, port)))
  await until(() => oldest.closed)
  finish?.()
  await expect(late).resolves.toBe(200)
})

it('answers on loopback only under names of this host, so that no page reads it under a name of its own', async () => {
  const warnings: unknown[] = []
  const log = { ...silent, warn: (...line: unknown[]) => void warnings.push(line) }
  const { host, port } = await start({ log, allowedHosts: () => ['heka.example.org'] })
  for (const name of ['127.0.0.1', '10.1.2.3', '[::1]', 'LOCALHOST', 'a.localhost', hostname(), 'heka.example.org.']) {
    expect([name, await ask(host, port, `${name}:${port}`)]).toEqual([name, 200])
  }
  for (const name of [
    'rebound.example',
    'localhost.rebound.example',
    '127.0.0.1.rebound.example',
    'heka.example.org.evil',
  ]) {
    expect([name, await ask(host, port, `${name}:${port}`)]).toEqual([name, 403])
  }
  expect(warnings).toEqual([
    [
      'service.health.address: a request was refused for its Host.',
      { client: '127.0.0.1', problem: expect.stringContaining('add it to service.allowed_hosts') as unknown },
    ],
  ])
})

it('takes an absolute target, whose name counts instead of Host', async () => {
  const { host, port } = await start({ answer: (path) => json(path === '/status' ? 200 : 404, path) })
  await expect(ask(host, port, 'ignored.example', 'http://localhost/status?a')).resolves.toBe(200)
  await expect(ask(host, port, 'localhost', 'http://rebound.example/status')).resolves.toBe(403)
})

/** An address of this machine that others reach, if it has one. */
const [outside] = Object.values(networkInterfaces()).flatMap((addresses = []) =>
  addresses.filter(({ internal, family }) => !internal && family === 'IPv4'),
)

it('answers elsewhere under any name, as of a service, unless names are configured', async () => {
  const address = outside?.address ?? '127.0.0.1'
  let allowed: string[] = outside === undefined ? ['heka.monitoring'] : []
  const { port } = await start({ address: '0.0.0.0:0', allowedHosts: () => allowed })
  await expect(ask(address, port, 'heka.monitoring:8888')).resolves.toBe(200)
  // The same listener on loopback is asked by pages, too.
  allowed = []
  await expect(ask('127.0.0.1', port, 'heka.monitoring')).resolves.toBe(403)
  allowed = ['metrics.example.org']
  await expect(ask(address, port, 'heka.monitoring')).resolves.toBe(403)
  await expect(ask(address, port, 'metrics.example.org')).resolves.toBe(200)
  await expect(ask(address, port, `${address}:${port}`)).resolves.toBe(200)
})

it('listens as soon as another process has left its port', async () => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance', 'Date'] })
  const { port, close: leave } = await listen(createServer())
  const errors: string[] = []
  const log = { ...silent, error: (message: string) => void errors.push(message) }
  let close: (() => void) | undefined
  const listening = new Promise<string>((resolve) => {
    const options = { ...asked, address: `127.0.0.1:${port}`, listening: resolve, log }
    void serve({ ...options, answer: () => json(200, 'here') }).then((closing) => (close = closing))
  })
  while (close === undefined) await new Promise((resolve) => setImmediate(resolve))
  const [error] = errors
  expect(error).toContain(`cannot listen on 127.0.0.1:${port}: another process already listens there`)
  await leave()
  jest.advanceTimersByTime(10_000)
  await expect(listening).resolves.toBe(`127.0.0.1:${port}`)
  jest.useRealTimers()
  const { body } = await request(`http://127.0.0.1:${port}/`)
  expect(await body.json()).toBe('here')
  expect(errors).toEqual([error])
  close()
  await expect(request(`http://127.0.0.1:${port}/`)).rejects.toThrow('ECONNREFUSED')
})

it('answers the first request of a connection, half closed or not, and none behind it', async () => {
  let made = 0
  const answer = async (path: string): Promise<Answer> => {
    made += 1
    await new Promise((resolve) => setImmediate(resolve))
    return json(200, path)
  }
  const { host, port } = await start({ answer })
  const socket = connect(port, host)
  cleanups.push(() => socket.destroy())
  socket.end(
    'GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n' + 'GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(40),
  )
  const received = (await socket.toArray()).join('')
  expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*connection: close[^]*"\/first"\n$/)
  expect([received.split('HTTP/1.1').length, made]).toEqual([2, 1])
})

it('makes an answer once for all who ask before that begins, and anew for whoever asks later', async () => {
  let [asked, made] = [0, 0]
  let finish = (): void => undefined
  const finished = new Promise<void>((resolve) => (finish = resolve))
  const once = shared(async () => {
    made += 1
    await finished
    return json(200, made)
  })
  const { host, port } = await start({ answer: () => ((asked += 1), once()) })
  const first = ask(host, port, 'localhost')
  await until(() => made === 1)
  const others = Array.from({ length: 49 }, () => ask(host, port, 'localhost'))
  await until(() => asked === 50)
  finish()
  await Promise.all([first, ...others])
  expect(made).toBe(2)
  await ask(host, port, 'localhost')
  expect(made).toBe(3)
})

it('holds answers that nobody takes up to a bound, and lets go of the oldest', async () => {
  const { host, port } = await start({
    answer: () => ({ code: 200, type: 'text/plain', body: Buffer.alloc(20_000_000) }),
  })
  const answered = async (): Promise<Socket> => {
    const socket = connect(port, host)
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'readable')
    return socket
  }
  const first = await answered()
  const second = await answered()
  const size = async (socket: Socket): Promise<number> => {
    let bytes = 0
    socket.on('data', (chunk) => (bytes += chunk.length))
    await once(socket, 'close')
    return bytes
  }
  expect(await size(first)).toBeLessThan(20_000_000)
  expect(await size(second)).toBeGreaterThan(20_000_000)
})
