import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadavg, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { AGENT_FLAGS } from '../../src/cli/profile.ts'

/*
 * `npm run footprint`: the memory of the idle command, as a process of its own, by version of Node.js and by profile, all side by side.
 * RUNS processes each (5), of which the median counts, SECONDS after the start (60), and again 45 seconds later. Linux only.
 * `npm run footprint -- --check` measures only the agent.
 *
 * Measured are RSS and PSS of `smaps_rollup`, the anonymous part of RSS, what a memory cgroup of its own counts where one can be made, and
 * the CPU time from the start, of the process before it took on its profile too, to the first request. Exits with 1 where a row is above
 * its limit. NODES names other executables.
 */

const RUNS = Number(process.env.RUNS ?? 5)
const SECONDS = Number(process.env.SECONDS ?? 60)
const SECONDS_OF_GROWTH = 45
const isCheck = process.argv.includes('--check')
/** MiB of RSS at most, by version of Node.js (docs/footprint.md says what the aim is). */
const LIMITS: Readonly<Record<string, number>> = { 20: 65, 22: 72, 24: 78 }
/** Seconds of CPU time until the first scrape is sent. */
const START_LIMIT = 0.6
/** MiB that the peak of RSS may grow by between the two looks. RSS itself also follows the collections of garbage. */
const GROWTH_LIMIT = 2

/** Where memory cgroups are made: version 2, or 1. */
const cgroups = existsSync('/sys/fs/cgroup/cgroup.controllers') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory'

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
  /** The folder of its cgroup. */
  readonly cgroup: string | undefined
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
  const all: Row[] = [
    { name: ALONE, node, args: ['-e', 'setInterval(() => {}, 1e9)'], sets: {}, isLimited: false },
    { name: 'agent', node, args: [...flagsOf(node), command, ...agent], sets: toDatadog, isLimited: true },
    { name: 'the same as a gateway', node, args: [command, ...agent], sets: asGateway, isLimited: false },
    {
      name: 'listening: OTLP, sidecar',
      node,
      args: [command, '--config', file('sidecar.yaml')],
      sets: sidecar,
      isLimited: false,
    },
  ]
  return all.filter(({ isLimited }) => isLimited || !isCheck)
})

const load = [loadavg()[0]]
const started: Started[] = []
for (const row of rows) {
  for (let run = 0; run < RUNS; run++) {
    started.push(await start(row))
    // One after the other, so that the time of a start is that of one.
    await sleep(row.name === ALONE ? 50 : 1000)
  }
}
await sleep(SECONDS * 1000)
const first = started.map(memoryOf)
await sleep(SECONDS_OF_GROWTH * 1000)
const second = started.map(memoryOf)
load.push(loadavg()[0])

console.log(
  `Linux ${release()}; load average ${load.map((each) => each.toFixed(1)).join(' to ')}; median of ${RUNS}.\n`,
)
console.log('| Node.js | | RSS, MiB | anonymous | PSS | cgroup | CPU to the first request, s | growth, MiB |')
console.log('| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |')
let failures = 0
for (const row of rows) {
  const indices = started.flatMap((each, index) => (each.row === row ? [index] : []))
  const of = (value: (index: number) => number): number => median(indices.map(value))
  const rss = of((index) => first[index].rss)
  const growth = of((index) => second[index].peak - first[index].peak)
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
    first[indices[0]].cgroup === undefined ? '' : of((index) => first[index].cgroup ?? 0).toFixed(1),
    (cpu?.toFixed(2) ?? '') + remarks[1],
    growth.toFixed(1) + remarks[2],
  ]
  console.log(`| ${cells.join(' | ')} |`)
}
for (const { child, cgroup } of started) {
  child.removeAllListeners('exit')
  child.kill('SIGKILL')
  await once(child, 'exit')
  if (cgroup !== undefined) rmdirSync(cgroup)
}
process.exit(failures > 0 ? 1 : 0)

/** Starts a process that sends to an endpoint that takes everything, or a Node.js without anything. */
async function start(row: Row): Promise<Started> {
  const intake = createServer((request, response) => {
    result.cpu ??= cpuSeconds(child)
    request.resume().on('end', () => response.writeHead(202, { 'content-type': 'application/json' }).end('{}'))
  })
  await once(intake.listen(0, '127.0.0.1'), 'listening')
  intake.unref()
  const endpoint = `http://127.0.0.1:${(intake.address() as AddressInfo).port}`
  const sets = Object.entries(row.sets).flatMap(([path, value]) => ['--set', `${path}=${value ?? endpoint}`])
  const env = { ...process.env, DD_API_KEY: 'footprint', NODE_OPTIONS: '' }
  const cgroup = newCgroup()
  // The shell becomes the process, which so is in the cgroup before it touches anything.
  const script = `${cgroup === undefined ? '' : `echo $$ > ${cgroup}/cgroup.procs; `}exec "$@"`
  const args = ['-c', script, 'sh', row.node, ...row.args, ...sets]
  const child = spawn('sh', args, { env, stdio: ['ignore', 'ignore', 'ignore'] })
  const result: Started = { row, child, cgroup, cpu: undefined }
  child.on('exit', (code) => {
    if (code !== null) throw new Error(`${row.node} ${row.args.join(' ')} ended with ${code}`)
  })
  return result
}

/** `undefined` where none can be made. */
function newCgroup(): string | undefined {
  const folder = `${cgroups}/heka-footprint-${process.pid}-${started.length}`
  try {
    mkdirSync(folder)
    return folder
  } catch {
    return undefined
  }
}

/** MiB. */
function memoryOf({ child: { pid }, cgroup }: Started): {
  rss: number
  peak: number
  anonymous: number
  pss: number
  cgroup: number | undefined
} {
  const read = (path: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/${path}`, 'utf8'))?.[1]) / 1024
  const counted = ['memory.current', 'memory.usage_in_bytes'].find((name) => existsSync(`${cgroup}/${name}`))
  return {
    rss: read('status', 'VmRSS'),
    peak: read('status', 'VmHWM'),
    anonymous: read('status', 'RssAnon'),
    pss: read('smaps_rollup', 'Pss'),
    cgroup: counted === undefined ? undefined : Number(readFileSync(`${cgroup}/${counted}`, 'utf8')) / 2 ** 20,
  }
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
