import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadavg, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { AGENT_FLAGS } from '../../src/cli/profile.ts'

/*
 * `npm run footprint`: the memory of the idle command, as a process of its own, by version of Node.js and by profile, all side by side.
 * RUNS processes each (5), of which the median counts, SECONDS after the start (60), and again after as long. Linux only.
 *
 * Measured are RSS and PSS of `smaps_rollup`, the anonymous part of RSS, and the CPU time from the start, of the process before it
 * took on its profile too, to the first request. Exits with 1 where a row is above its limit. NODES names other executables.
 */

const RUNS = Number(process.env.RUNS ?? 5)
const SECONDS = Number(process.env.SECONDS ?? 60)
/** MiB of RSS at most, by version of Node.js. */
const LIMITS: Readonly<Record<string, number>> = { 20: 60, 22: 72, 24: 78 }
/** Seconds of CPU time until the first scrape is sent. */
const START_LIMIT = 0.6
/** MiB that RSS may grow by between the two looks. */
const GROWTH_LIMIT = 2

const cache = 'node_modules/.cache'
const nodes = process.env.NODES?.split(',') ?? [
  process.execPath,
  ...['node22', 'node24']
    .map((name) => `${cache}/${name}/node_modules/node/bin/node`)
    .filter((path) => existsSync(path)),
]
const command = new URL('../../dist/cli/main.js', import.meta.url).pathname
const file = (name: string): string => new URL(`../../config/${name}`, import.meta.url).pathname

interface Row {
  readonly name: string
  readonly node: string
  readonly args: readonly string[]
  /** Settings; `undefined`: the endpoint to send to. */
  readonly sets: Readonly<Record<string, string | undefined>>
  /** Whether the limits are about this row. */
  readonly isLimited: boolean
}

interface Started {
  readonly row: Row
  readonly child: ChildProcess
  /** Seconds, once the first request has come. */
  cpu: number | undefined
}

const version = (node: string): string => execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
/** What a Node.js that cannot replace itself is given. */
const flagsOf = (node: string): readonly string[] =>
  execFileSync(node, ['-p', 'typeof process.execve'], { encoding: 'utf8' }).trim() === 'function' ? [] : AGENT_FLAGS

const ALONE = 'Node.js alone'
const OWN_METRICS = { 'service.telemetry.metrics.address': '127.0.0.1:0' }

const rows = nodes.flatMap((node): Row[] => {
  const agent = ['--config', file('datadog_native.yaml')]
  const toDatadog = {
    ...OWN_METRICS,
    'exporters.datadog_native.endpoint': undefined,
    'exporters.datadog_native.host_metadata.endpoint': undefined,
  }
  const asGateway = { ...toDatadog, 'service.profile': 'gateway' }
  const sidecar = {
    ...OWN_METRICS,
    'receivers.otlp.protocols.grpc.endpoint': '127.0.0.1:0',
    'receivers.otlp.protocols.http.endpoint': '127.0.0.1:0',
    'exporters.datadog_otlp.endpoint': undefined,
  }
  return [
    { name: ALONE, node, args: ['-e', 'setInterval(() => {}, 1e9)'], sets: {}, isLimited: false },
    { name: 'agent', node, args: [...flagsOf(node), command, ...agent], sets: toDatadog, isLimited: true },
    { name: 'the same as a gateway', node, args: [command, ...agent], sets: asGateway, isLimited: false },
    { name: 'sidecar.yaml', node, args: [command, '--config', file('sidecar.yaml')], sets: sidecar, isLimited: false },
  ]
})

const load = [loadavg()[0]]
const started: Started[] = []
for (const row of rows) {
  for (let run = 0; run < RUNS; run++) {
    started.push(await start(row))
    // One after the other, so that the time of a start is that of one.
    await sleep(row.name === ALONE ? 50 : 1500)
  }
}
await sleep(SECONDS * 1000)
const first = started.map(({ child }) => memoryOf(child))
await sleep(SECONDS * 1000)
const second = started.map(({ child }) => memoryOf(child))
load.push(loadavg()[0])

console.log(
  `Linux ${release()}; load average ${load.map((each) => each.toFixed(1)).join(' to ')}; median of ${RUNS}.\n`,
)
console.log('| Node.js | | RSS, MiB | anonymous | PSS | CPU to the first request, s | growth, MiB |')
console.log('| --- | --- | ---: | ---: | ---: | ---: | ---: |')
let failures = 0
for (const row of rows) {
  const indices = started.flatMap((each, index) => (each.row === row ? [index] : []))
  const of = (value: (index: number) => number): number => median(indices.map(value))
  const rss = of((index) => first[index].rss)
  const growth = of((index) => second[index].rss - first[index].rss)
  const cpus = indices.flatMap((index) => started[index].cpu ?? [])
  const cpu = cpus.length > 0 ? median(cpus) : undefined
  const major = version(row.node).slice(1, 3)
  const limit = row.isLimited ? LIMITS[major] : undefined
  const above = (value: number | undefined, most: number): string =>
    limit !== undefined && value !== undefined && value > most ? ` (limit ${most})` : ''
  const remarks = [above(rss, limit ?? 0), above(cpu, START_LIMIT), above(growth, GROWTH_LIMIT)]
  failures += remarks.filter((remark) => remark !== '').length
  const cells = [
    version(row.node),
    row.name,
    rss.toFixed(1) + remarks[0],
    of((index) => first[index].anonymous).toFixed(1),
    of((index) => first[index].pss).toFixed(1),
    (cpu?.toFixed(2) ?? '') + remarks[1],
    growth.toFixed(1) + remarks[2],
  ]
  console.log(`| ${cells.join(' | ')} |`)
}
for (const { child } of started) child.kill('SIGKILL')
process.exit(failures > 0 ? 1 : 0)

/** Starts a process that sends to an endpoint that takes nothing, or a Node.js without anything. */
async function start(row: Row): Promise<Started> {
  const intake = createServer((request, response) => {
    result.cpu ??= cpuSeconds(child)
    request.resume().on('end', () => response.writeHead(503).end())
  })
  await once(intake.listen(0, '127.0.0.1'), 'listening')
  intake.unref()
  const endpoint = `http://127.0.0.1:${(intake.address() as AddressInfo).port}`
  const sets = Object.entries(row.sets).flatMap(([path, value]) => ['--set', `${path}=${value ?? endpoint}`])
  const env = { ...process.env, DD_API_KEY: 'footprint', NODE_OPTIONS: '' }
  const child = spawn(row.node, [...row.args, ...sets], { env, stdio: ['ignore', 'ignore', 'ignore'] })
  const result: Started = { row, child, cpu: undefined }
  child.on('exit', (code) => {
    if (code !== null) throw new Error(`${row.node} ${row.args.join(' ')} ended with ${code}`)
  })
  return result
}

/** MiB. */
function memoryOf({ pid }: ChildProcess): { rss: number; anonymous: number; pss: number } {
  const read = (path: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/${path}`, 'utf8'))?.[1]) / 1024
  return { rss: read('status', 'VmRSS'), anonymous: read('status', 'RssAnon'), pss: read('smaps_rollup', 'Pss') }
}

/** Of user and system, in ticks of a hundredth. */
function cpuSeconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1]
}
