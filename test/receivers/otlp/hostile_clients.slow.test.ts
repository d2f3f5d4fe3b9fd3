import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { cleanups } from '../../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../../kit/command.ts'
import { dataFrame, exportHeaders, Http2Reader, messagePrefix, preface } from '../../kit/http2_frames.ts'
import { listen } from '../../kit/listen.ts'
import { until } from '../../kit/until.ts'
import { gaugeRequest } from '../../kit/receiving.ts'

/*
 * Clients that do harm, at the real command.
 */

const MIB = 2 ** 20
/** The default of `request_limit_mib`. */
const LIMIT = 128

interface Command {
  readonly http: number
  readonly grpc: number
  /** MiB that it takes now, and at most until now. */
  readonly memory: () => { now: number; most: number }
  /** Asks it to stop. Resolves with the exit code. */
  readonly stop: () => Promise<number | string>
}

interface StartOptions {
  readonly exporter?: string
  readonly service?: string
}

async function start({ exporter = 'debug: { format: otlp_json }', service = '' }: StartOptions = {}): Promise<Command> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  otlp:
    protocols: { http: { endpoint: "127.0.0.1:0" }, grpc: { endpoint: "127.0.0.1:0" } }
exporters: { ${exporter} }
service: { ${service} pipelines: { metrics: { receivers: [otlp], exporters: [${exporter.split(':', 1)[0]}] } } }
`,
  })
  const command = startCommand(['--config', folder.path('pipeline.yaml')], { stdoutTo: '/dev/null' })
  const portOf = async (server: string): Promise<number> => Number((await command.address(server)).split(':')[1])
  const mebibytes = (name: string): number => {
    const status = readFileSync(`/proc/${command.pid}/status`, 'utf8')
    return Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024)
  }
  return {
    http: await portOf('otlp_http'),
    grpc: await portOf('otlp_grpc'),
    stop: () => {
      command.kill('SIGTERM')
      return command.ended
    },
    memory: () => ({ now: mebibytes('VmRSS'), most: mebibytes('VmHWM') }),
  }
}

async function connection(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Resolves when the system has taken it, or the connection is gone. */
async function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return
  await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {})
}

function headOf(length: number | 'chunked', more = ''): Buffer {
  const size = length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`
  return Buffer.from(
    `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n${size}\r\n${more}\r\n`,
  )
}

async function grpcConnection(port: number, window?: number): Promise<{ socket: Socket; reader: Http2Reader }> {
  const socket = await connection(port)
  const reader = new Http2Reader((bytes) => void socket.write(bytes))
  socket.on('data', (bytes: Buffer) => reader.read(bytes))
  socket.write(preface(window))
  return { socket, reader }
}

/** A field that OTLP does not have, which makes a valid request of any size. */
const filler = (size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  const length = size - 5
  bytes.set([0x7a, (length & 127) | 128, ((length >> 7) & 127) | 128, ((length >> 14) & 127) | 128, length >> 21], 0)
  return bytes
}

/** The ways to cut up what is sent. `until`: when to stop, as `Date.now()`. */
const cuts: Readonly<Record<string, (command: Command, until: number) => Promise<void>>> = {
  async 'chunks of one byte over HTTP'({ http }, until) {
    const chunks = Buffer.from('1\r\n \r\n'.repeat(50_000))
    const attack = async (): Promise<void> => {
      const socket = (await connection(http)).resume()
      await write(socket, headOf('chunked'))
      for (let sent = 0; sent < 19 * MIB && Date.now() < until && !socket.destroyed; sent += 50_000) {
        await write(socket, chunks)
      }
    }
    await Promise.all(Array.from({ length: 10 }, attack))
  },
  async 'frames of one byte over gRPC'({ grpc }, until) {
    const attack = async (): Promise<void> => {
      const { socket, reader } = await grpcConnection(grpc)
      const streams = Array.from({ length: 20 }, (_, index) => 1 + 2 * index)
      for (const stream of streams) {
        await write(socket, exportHeaders(stream))
        await write(socket, dataFrame(stream, messagePrefix(4 * MIB)))
        reader.window -= 5
      }
      const frames = streams.map((stream) =>
        Buffer.concat(Array.from({ length: 1500 }, () => dataFrame(stream, Buffer.of(0)))),
      )
      for (let turn = 0; Date.now() < until && !socket.destroyed; turn++) {
        if (reader.window >= 1500) {
          reader.window -= 1500
          await write(socket, frames[turn % streams.length])
        } else await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
    await Promise.all(Array.from({ length: 3 }, attack))
  },
  async 'a small part on each of 3,000 connections over HTTP'({ http }) {
    for (let count = 0; count < 3000; count++) {
      const socket = (await connection(http)).resume()
      await write(socket, headOf(100_000))
      await write(socket, Buffer.alloc(70_000))
    }
  },
  async 'a small part on each of 3,000 connections over gRPC'({ grpc }) {
    for (let count = 0; count < 3000; count++) {
      const { socket } = await grpcConnection(grpc)
      await write(socket, Buffer.concat([exportHeaders(1), dataFrame(1, messagePrefix(100_000))]))
      for (let part = 0; part < 4; part++) await write(socket, dataFrame(1, Buffer.alloc(16_000)))
    }
  },
  async 'as many headers as there may be, on 1,000 connections'({ http }) {
    const headers = Array.from({ length: 1800 }, (_, index) => `${index.toString(36)}:x\r\n`).join('')
    for (let count = 0; count < 1000; count++) {
      const socket = (await connection(http)).resume()
      await write(socket, headOf(1000, headers))
    }
  },
  async 'bodies that stop after 19 of 20 MiB'({ http }) {
    for (let count = 0; count < 11; count++) {
      const socket = (await connection(http)).resume()
      await write(socket, headOf(20 * MIB))
      await write(socket, Buffer.alloc(19 * MIB))
    }
  },
  async 'compressed bodies of 20 MiB over HTTP'({ http }) {
    const body = gzipSync(filler(19 * MIB))
    const attack = async (): Promise<void> => {
      const answer = await request(`http://127.0.0.1:${http}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' },
        body,
      })
      await answer.body.dump()
    }
    for (let count = 0; count < 5; count++) await Promise.all(Array.from({ length: 10 }, attack))
  },
  async 'compressed messages of 4 MiB over gRPC'({ grpc }) {
    const body = gzipSync(filler(4 * MIB - 100))
    for (let count = 0; count < 10; count++) {
      const { socket } = await grpcConnection(grpc)
      for (let stream = 1; stream < 60; stream += 2) {
        await write(socket, exportHeaders(stream, { 'grpc-encoding': 'gzip' }))
        await write(socket, dataFrame(stream, Buffer.concat([messagePrefix(body.length, true), body]), true))
      }
    }
  },
}

async function send({ http }: Command): Promise<number> {
  const { statusCode, body } = await request(`http://127.0.0.1:${http}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: gaugeRequest(1),
  })
  await body.dump()
  return statusCode
}

describe('the otlp receiver and its limit of memory', () => {
  it.each(Object.entries(cuts))(
    'keeps to it with %s, and serves others meanwhile',
    async (_name, attack) => {
      const command = await start()
      expect(await send(command)).toBe(200)
      const before = command.memory().now
      const attacked = attack(command, Date.now() + 10_000)
      expect(await send(command)).toBe(200)
      await attacked
      expect(await send(command)).toBe(200)
      expect(command.memory().most - before).toBeLessThan(LIMIT + 64)
    },
    120_000,
  )
})

/** Requests one after the other, until neither system takes any more because nobody reads their answers. */
async function fillWithAnswers(socket: Socket): Promise<void> {
  // Less than 100 of them are read at once.
  const requests = Buffer.from(`GET /nothing HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(1000)}\r\n\r\n`.repeat(60))
  for (;;) {
    if (socket.write(requests)) continue
    const taken = once(socket, 'drain').then(() => true)
    if (!(await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, 1500))]))) return
  }
}

describe('the otlp receiver and clients that never read their answers', () => {
  it('lets go of what they sent over gRPC, and closes their streams within ten seconds', async () => {
    const command = await start()
    const { socket, reader } = await grpcConnection(command.grpc, 0)
    const body = gzipSync(filler(4 * MIB - 100))
    const begun = performance.now()
    for (let stream = 1; stream <= 79; stream += 2) {
      const message = dataFrame(stream, Buffer.concat([messagePrefix(body.length, true), body]), true)
      await until(() => reader.window >= message.length)
      reader.window -= message.length
      await write(socket, exportHeaders(stream, { 'grpc-encoding': 'gzip' }))
      await write(socket, message)
    }
    for (let count = 0; count < 10; count++) expect(await send(command)).toBe(200)
    await until(() => reader.resets === 40)
    const seconds = (performance.now() - begun) / 1000
    expect(seconds).toBeGreaterThan(8)
    expect(seconds).toBeLessThan(15)
  }, 60_000)

  it('closes their connections over HTTP within ten seconds', async () => {
    const command = await start()
    const socket = (await connection(command.http)).pause()
    await fillWithAnswers(socket)
    expect(await send(command)).toBe(200)
    const begun = performance.now()
    await until(() => {
      socket.write('x')
      return socket.destroyed
    })
    expect((performance.now() - begun) / 1000).toBeLessThan(15)
  }, 60_000)

  it('waits a second for them at a stop, and sends what waits in the queue meanwhile', async () => {
    let isDown = true
    let taken = 0
    const destination = createServer((request, response) => {
      request.resume().on('end', () => {
        if (!isDown) taken += 1
        response.writeHead(isDown ? 503 : 200).end()
      })
    })
    const { url } = await listen(destination)
    const command = await start({
      exporter: `otlp_http: { endpoint: "${url}", compression: none }`,
      service: 'shutdown_timeout: 8s,',
    })
    const { socket } = await grpcConnection(command.grpc, 0)
    const message = gaugeRequest(1)
    await write(socket, Buffer.concat([exportHeaders(1), dataFrame(1, messagePrefix(message.length))]))
    await write(socket, dataFrame(1, message, true))
    const other = (await connection(command.http)).pause()
    await fillWithAnswers(other)
    for (let count = 0; count < 20; count++) expect(await send(command)).toBe(200)
    isDown = false
    const begun = performance.now()
    expect(await command.stop()).toBe(0)
    expect((performance.now() - begun) / 1000).toBeLessThan(5)
    expect(taken).toBe(21)
  }, 60_000)
})
