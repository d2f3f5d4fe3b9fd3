import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { buildRequest, scanRequest, signalOf } from './request.ts'
import type { RequestShape, Signal } from './request.ts'

/*
 * The load, as a process of its own: sends OTLP over HTTP at a steady rate, whatever the answers are. Requests are built once
 * and only stamped with the time at which they were due, so that waiting for a free connection counts as latency.
 */

const CONNECTIONS = 16
/** Seconds after the end in which what was due before it is still sent. */
const GRACE = 1
/** Milliseconds until a refused request is sent again. */
const RETRY_AFTER = 50

export interface Load {
  readonly port: number
  readonly shape: RequestShape
  /** Points a second. */
  readonly rate: number
  readonly seconds: number
}

export interface Sent {
  /** Points in requests that were answered with 200. */
  readonly points: number
  /** Answers 429 and 503. Such a request is sent again until it is taken. */
  readonly refused: number
  /** Points that were due and found no free connection until the end. */
  readonly unsent: number
  /** `process.hrtime` of the beginning, in nanoseconds. */
  readonly start: number
  /** Seconds of CPU time of this process. */
  readonly cpu: number
}

process.on('disconnect', () => process.exit())
process.on('message', (load: Load) => {
  generate(load).then(
    (sent) => process.send?.(sent),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})

async function generate({ port, shape, rate, seconds }: Load): Promise<Sent> {
  const body = buildRequest(shape)
  const signal = signalOf(shape)
  const { points: perRequest, stamps } = scanRequest(body, signal)
  const idle = await Promise.all(Array.from({ length: CONNECTIONS }, () => Connection.open(port, signal, body, stamps)))
  const connections = [...idle]
  const cpu = process.cpuUsage()
  const start = Number(process.hrtime.bigint())
  const interval = (perRequest / rate) * 1e9
  const total = Math.floor((seconds * rate) / perRequest)
  let begun = 0
  let taken = 0
  let refused = 0

  await new Promise<void>((resolve, reject) => {
    const sendDue = (): void => {
      const now = Number(process.hrtime.bigint())
      const due = Math.min(total, Math.floor((now - start) / interval) + 1)
      const over = now >= start + (seconds + GRACE) * 1e9
      while (begun < due && !over) {
        const connection = idle.shift()
        if (connection === undefined) return
        connection.send(BigInt(Math.round(start + begun++ * interval))).then((refusals) => {
          taken++
          refused += refusals
          idle.push(connection)
          sendDue()
        }, reject)
      }
      if ((begun === total || over) && idle.length === CONNECTIONS) {
        clearInterval(timer)
        resolve()
      }
    }
    const timer = setInterval(sendDue, 1)
  })
  const { user, system } = process.cpuUsage(cpu)
  for (const connection of connections) connection.close()
  return {
    points: taken * perRequest,
    refused,
    unsent: (total - begun) * perRequest,
    start,
    cpu: (user + system) / 1e6,
  }
}

/** One connection that carries one request at a time, written and read without an HTTP client in between. */
class Connection {
  readonly #socket: Socket
  readonly #request: Buffer
  readonly #stamps: readonly number[]
  #answer = ''
  #refusals = 0
  #settle: { resolve: (refusals: number) => void; reject: (error: Error) => void } | undefined

  private constructor(socket: Socket, head: string, body: Buffer, stamps: readonly number[]) {
    this.#socket = socket
    this.#request = Buffer.concat([Buffer.from(head), body])
    this.#stamps = stamps.map((offset) => offset + head.length)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.#settle?.reject(error))
    socket.on('close', () => this.#settle?.reject(new Error('The connection was closed before the answer.')))
  }

  static open(port: number, signal: Signal, body: Buffer, stamps: readonly number[]): Promise<Connection> {
    const head = `POST /v1/${signal} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${body.length}\r\n\r\n`
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new Connection(socket, head, body, stamps)))
      socket.once('error', reject)
    })
  }

  /** Sends the request with `due` in it; resolves when it is taken, with the number of times it was refused before. */
  send(due: bigint): Promise<number> {
    for (const offset of this.#stamps) this.#request.writeBigUInt64LE(due, offset)
    this.#refusals = 0
    this.#socket.write(this.#request)
    return new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
  }

  close(): void {
    this.#settle = undefined
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#answer += chunk.toString('latin1')
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#answer)?.[1]
    const complete =
      length === undefined ? this.#answer.endsWith('\r\n0\r\n\r\n') : this.#answer.length >= end + 4 + Number(length)
    if (!complete) return
    const status = Number(this.#answer.slice(9, 12))
    const answer = this.#answer
    this.#answer = ''
    if (status === 200) this.#settle?.resolve(this.#refusals)
    else if (status === 429 || status === 503) {
      this.#refusals++
      setTimeout(() => this.#socket.write(this.#request), RETRY_AFTER)
    } else this.#settle?.reject(new Error(`Answered ${answer}`))
  }
}
