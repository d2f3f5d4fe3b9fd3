import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { gaugeRequest } from '../kit/receiving.ts'

/*
 * What clients that do harm cost the real command: its memory, and how long small requests beside them take.
 * Linux only, with a limit of more than 10,000 open files. `npm run bench:hostile`
 */

const IDLE = 10_000
const STALLED = 100
const MIB = 2 ** 20

const main = new URL('../../dist/cli/main.js', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'hostile-clients-'))
process.on('exit', () => rmSync(folder, { recursive: true }))
const config = join(folder, 'pipeline.yaml')
writeFileSync(
  config,
  `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" }, grpc: { endpoint: "127.0.0.1:0" } } } }
exporters: { debug: { format: otlp_json } }
service: { pipelines: { metrics: { receivers: [otlp], exporters: [debug] } } }
`,
)

const silence = async (port: number): Promise<Socket[]> => {
  const sockets: Socket[] = []
  for (let count = 0; count < IDLE; count++) sockets.push(await connection(port))
  return sockets
}

const stall = async (port: number): Promise<Socket[]> => {
  const head = `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${20 * MIB}\r\n\r\n`
  const sockets: Socket[] = []
  for (let count = 0; count < STALLED; count++) {
    const socket = await connection(port)
    socket.write(head)
    await new Promise((resolve) => socket.write(Buffer.alloc(19 * MIB), resolve))
    sockets.push(socket)
  }
  return sockets
}

async function connection(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket.resume()
}

async function measure(
  title: string,
  attack: (ports: { HTTP: number; gRPC: number }) => Promise<Socket[]>,
): Promise<void> {
  const command = spawn(process.execPath, [main, '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let logged = ''
  for await (const chunk of command.stderr.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    logged += chunk.toString()
    if (logged.includes('over gRPC')) break
  }
  command.stderr.resume()
  const portOf = (protocol: string): number =>
    Number(new RegExp(`over ${protocol} .*127\\.0\\.0\\.1:(\\d+)`).exec(logged)?.[1])
  const ports = { HTTP: portOf('HTTP'), gRPC: portOf('gRPC') }
  const status = (): string => readFileSync(`/proc/${command.pid}/status`, 'utf8')
  const mib = (name: string): number => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status())?.[1]) / 1024)
  const before = mib('VmRSS')
  const sockets = await attack(ports)
  const times: number[] = []
  for (let count = 0; count < 500; count++) {
    const start = performance.now()
    const { statusCode, body } = await request(`http://127.0.0.1:${ports.HTTP}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: gaugeRequest(1),
    })
    await body.dump()
    if (statusCode !== 200) throw new Error(`A request beside ${title} was answered with ${statusCode}.`)
    times.push(performance.now() - start)
  }
  times.sort((left, right) => left - right)
  console.log(
    `${title}: ${before} MiB before, ${mib('VmHWM')} MiB at most; requests beside them took ` +
      `${times[250].toFixed(1)} ms (median), ${times[495].toFixed(1)} ms (p99)`,
  )
  command.kill('SIGTERM')
  for (const socket of sockets) socket.destroy()
  await once(command, 'exit')
}

await measure('no others', async () => [])
await measure(`${IDLE} silent connections over HTTP`, ({ HTTP }) => silence(HTTP))
await measure(`${IDLE} silent connections over gRPC`, ({ gRPC }) => silence(gRPC))
await measure(`${STALLED} bodies that stop after 19 of 20 MiB`, ({ HTTP }) => stall(HTTP))
