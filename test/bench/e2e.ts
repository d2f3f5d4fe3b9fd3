import { execFileSync, fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { cpus, loadavg, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Load, Sent } from './e2e/generator.ts'
import type { RequestShape } from './e2e/request.ts'
import type { Arrivals, SinkMessage } from './e2e/sink.ts'

/*
 * The real command as a process between a load generator and a sink, in steady steps until it saturates: how many points a
 * second, for how much CPU time and memory, how late, and whether any is lost. `--peer` names an OpenTelemetry Collector
 * binary that does the same work in the same run, step by step in turn. Linux only.
 * `npm run bench:e2e -- [--peer PATH] [--seconds N] [--steps POINTS_PER_SECOND,...] [--only ROW]`
 */

const { values: options } = parseArgs({
  options: {
    peer: { type: 'string', default: process.env.OTELCOL_BIN },
    seconds: { type: 'string', default: '8' },
    steps: { type: 'string' },
    only: { type: 'string', default: '' },
  },
})
const seconds = Number(options.seconds)

interface Row {
  readonly name: string
  readonly shape: RequestShape
  readonly compression: 'none' | 'gzip'
  /** What the row changes in both configurations, as `--set` takes it. */
  readonly set?: string
  /** Points a second. */
  readonly steps: readonly number[]
}

const BIG: RequestShape = { resources: 10, metrics: 100, points: 10 }
const SMALL: RequestShape = { resources: 1, metrics: 2, points: 5 }
const rows: readonly Row[] = [
  { name: '10,000 points a request', shape: BIG, compression: 'none', steps: doublings(100_000, 6) },
  { name: '10,000 points a request, gzip to the sink', shape: BIG, compression: 'gzip', steps: doublings(50_000, 6) },
  { name: '10 points a request', shape: SMALL, compression: 'none', steps: doublings(5_000, 6) },
  {
    name: '10 points a request, joined to 8,192 points a request to the sink',
    shape: SMALL,
    compression: 'none',
    set: 'exporters.otlp_http.sending_queue.batch.min_size=8192',
    steps: doublings(5_000, 6),
  },
  {
    name: '10,000 log records a request',
    shape: { resources: 10, records: 1000 },
    compression: 'none',
    steps: doublings(100_000, 5),
  },
  {
    name: '10 log records a request',
    shape: { resources: 1, records: 10 },
    compression: 'none',
    steps: doublings(5_000, 6),
  },
]

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
/** What is measured: a name and the command line. */
const sides = [
  {
    name: 'heka-pipeline',
    command: [process.execPath, file('../../dist/cli/main.js'), '--config', file('e2e/pipeline.yaml')],
  },
  ...(options.peer === undefined
    ? []
    : [{ name: 'collector', command: [options.peer, '--config', file('collector/e2e.yaml')] }]),
]

/** What one side did in one step. */
interface Result {
  readonly offered: number
  readonly rate: number
  readonly perCore: number
  readonly cores: number
  readonly latency: readonly [number, number, number]
  readonly rss: number
  readonly refused: number
  readonly loss: number
  /** Everything that was due was sent, nothing refused, and 99 of 100 points arrived within a second. */
  readonly sustained: boolean
  /** CPU time of the generator and the sink, in cores. */
  readonly others: number
}

let lost = false
const children = new Set<ChildProcess>()
process.on('exit', () => children.forEach(end))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

console.log(
  [
    `Node.js ${process.version}`,
    ...(options.peer === undefined ? [] : [execFileSync(options.peer, ['--version'], { encoding: 'utf8' }).trim()]),
    `Linux ${release()}`,
    `${cpus()[0].model}, ${cpus().length} CPUs`,
    `load ${loadavg()[0].toFixed(1)} before the start`,
    `${seconds} s a step`,
  ].join('; '),
)
for (const row of rows.filter(({ name }) => name.includes(options.only))) await measure(row)
process.exit(lost ? 1 : 0)

async function measure({ name, shape, compression, set, steps }: Row): Promise<void> {
  const generator = startProcess('e2e/generator.ts')
  const running = await Promise.all(
    sides.map(async ({ name, command }) => {
      const sink = startProcess('e2e/sink.ts')
      const [sinkPort] = (await once(sink, 'message')) as [number]
      const port = await freePort()
      const args = set === undefined ? command.slice(1) : [...command.slice(1), '--set', set]
      const child = spawn(command[0], args, {
        stdio: ['ignore', 'inherit', 'inherit'],
        env: {
          PATH: process.env.PATH,
          RECEIVER: `127.0.0.1:${port}`,
          SINK: `http://127.0.0.1:${sinkPort}`,
          COMPRESSION: compression,
        },
      })
      watch(child, name)
      await listening(port)
      return { name, sink, port, child, saturated: false, results: [] as Result[] }
    }),
  )

  console.log(`\n### ${name}\n`)
  console.log('| offered | | points/s | per core | cores | p50 | p99 | p99.9 | RSS | refused | loss | others |')
  console.log('| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  const offered = options.steps?.split(',').map(Number) ?? steps
  // Not counted: a compiler at work is not what is measured.
  const warmUp = { shape, rate: offered[Math.min(1, offered.length - 1)], seconds: 2 * seconds }
  for (const side of running) await runStep(side, { ...warmUp, port: side.port })
  for (const rate of offered) {
    for (const side of running.filter(({ saturated }) => !saturated)) {
      const result = await runStep(side, { port: side.port, shape, rate, seconds })
      side.results.push(result)
      side.saturated = !result.sustained
      lost ||= result.loss !== 0
      const latency = result.latency.map((milliseconds) => `${milliseconds.toFixed(1)} ms`).join(' | ')
      console.log(
        `| ${thousands(rate)} | ${side.name} | ${thousands(result.rate)}${result.sustained ? '' : ' (saturated)'} | ` +
          `${thousands(result.perCore)} | ${result.cores.toFixed(2)} | ${latency} | ${(result.rss / 2 ** 20).toFixed(0)} MiB | ` +
          `${result.refused} | ${result.loss} | ${result.others.toFixed(2)} |`,
      )
    }
  }
  console.log(`\n${compare(running)}`)
  for (const child of [generator, ...running.flatMap(({ child, sink }) => [child, sink])]) end(child)

  async function runStep(side: { sink: ChildProcess; child: ChildProcess }, load: Load): Promise<Result> {
    side.sink.send('begin' satisfies SinkMessage)
    // Makes VmHWM the greatest RSS from here on. Source: proc_pid_clear_refs(5).
    writeFileSync(`/proc/${side.child.pid}/clear_refs`, '5')
    const before = cpuSeconds(side.child)
    const sent = await ask<Sent>(generator, load)
    const arrivals = await arrived(side.sink, sent.points)
    const cpu = cpuSeconds(side.child) - before
    const elapsed = Math.max(load.seconds, (arrivals.last - sent.start) / 1e9)
    const rate = arrivals.points / elapsed
    return {
      offered: load.rate,
      rate,
      perCore: arrivals.points / cpu,
      cores: cpu / elapsed,
      latency: arrivals.latency,
      rss: peakResidentBytes(side.child),
      refused: sent.refused,
      loss: sent.points - arrivals.points,
      sustained: sent.unsent === 0 && sent.refused === 0 && arrivals.latency[1] < 1000,
      others: (sent.cpu + arrivals.cpu) / elapsed,
    }
  }
}

/** What the row says, in a sentence: the highest step that every side sustains, and where each ends. */
function compare(sides: readonly { name: string; results: readonly Result[] }[]): string {
  const step = Math.min(...sides.map(({ results }) => results.filter(({ sustained }) => sustained).length)) - 1
  const most = sides.map(({ name, results }) => `${name} ${thousands(Math.max(...results.map(({ rate }) => rate)))}`)
  const end = `The most that passed: ${most.join(', ')} points/s.`
  if (sides.length < 2 || step < 0) return end
  const [ours, peer] = sides.map(({ results }) => results[step])
  return (
    `At ${thousands(ours.offered)} points/s, the highest step both sustain: ${(ours.perCore / peer.perCore).toFixed(2)} times ` +
    `the collector's points per core, ${(ours.rss / peer.rss).toFixed(2)} times its RSS. ${end}`
  )
}

/** Waits until `points` have arrived, or none has for ten seconds. */
async function arrived(sink: ChildProcess, points: number): Promise<Arrivals> {
  for (let seen = -1, since = Date.now(); ; await sleep(10)) {
    const count = await ask<number>(sink, 'count')
    if (count !== seen) {
      seen = count
      since = Date.now()
    }
    if (seen >= points || Date.now() - since > 10_000) return ask<Arrivals>(sink, 'report')
  }
}

async function ask<Answer>(process: ChildProcess, message: SinkMessage | Load): Promise<Answer> {
  process.send(message)
  const [answer] = (await once(process, 'message')) as [Answer]
  return answer
}

function startProcess(path: string): ChildProcess {
  const child = fork(file(path), { execArgv: ['--import', 'jiti/register'] })
  watch(child, path)
  return child
}

/** A process that ends by itself makes the measurement worthless; none outlives it. */
function watch(child: ChildProcess, name: string): void {
  children.add(child)
  child.on('exit', (code, signal) => {
    console.error(`${name} ended with ${code ?? signal}.`)
    process.exit(1)
  })
}

function end(child: ChildProcess): void {
  children.delete(child)
  child.removeAllListeners('exit').kill('SIGKILL')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (connected) return
    await sleep(50)
  }
}

/** The time that the process, with all its threads, has run. Source: proc_pid_stat(5); a tick is 10 ms. */
function cpuSeconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function peakResidentBytes({ pid }: ChildProcess): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

function doublings(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first * 2 ** index)
}

function thousands(value: number): string {
  return `${(value / 1000).toFixed(0)} k`
}
