import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/*
 * What the agent costs on this host: CPU time and memory of the real command, as a process of its own, scraping every
 * 10 seconds, beside a Node.js that does nothing. All run at once and mostly sleep. Linux only. `npm run bench:host [seconds]`
 */

const INTERVAL_SECONDS = 10
const WARM_UP_SECONDS = 15
const seconds = Math.max(INTERVAL_SECONDS, Number(process.argv[2] ?? 120))

const SCRAPERS = 'cpu: , memory: , disk: , filesystem: , network: , load: , paging: , processes: , system: '
const command = new URL('../../dist/cli/main.js', import.meta.url).pathname

/** Answers as Datadog's intake does, and counts. */
let requests = 0
const intake = createServer((request, response) => {
  requests++
  request.resume().on('end', () => response.writeHead(202, { 'content-type': 'application/json' }).end('{}'))
})
await once(intake.listen(0, '127.0.0.1'), 'listening')
const endpoint = `http://127.0.0.1:${(intake.address() as AddressInfo).port}`

const folder = mkdtempSync(join(tmpdir(), 'host-metrics-cost-'))
process.on('exit', () => rmSync(folder, { recursive: true }))
const runs = [
  { name: 'bare Node.js', child: start(['-e', 'setInterval(() => {}, 1e9)']) },
  { name: 'all scrapers, `debug`', child: startPipeline('debug', 'debug: { format: otlp_json }', '') },
  {
    name: 'all scrapers, three processors, `datadog_native`',
    child: startPipeline(
      'datadog_native',
      `datadog_native: { api_key: bench, endpoint: "${endpoint}" }`,
      'processors: { metric_prefix: { prefix: heka }, tag_merge: { tags: ["env:bench"] }, hostname_override: { hostname: bench } }',
    ),
  },
]

await sleep(WARM_UP_SECONDS * 1000)
const before = runs.map(({ child }) => cpuMilliseconds(child))
const requestsBefore = requests
await sleep(seconds * 1000)

const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length
console.log(
  `Node.js ${process.version}, Linux ${release()}, ${cpus()[0].model}, ${cpus().length} CPUs, ${processes} processes; ` +
    `${seconds} s at ${INTERVAL_SECONDS} s after ${WARM_UP_SECONDS} s; ${requests - requestsBefore} requests taken.\n`,
)
console.log('| | CPU time per scrape | of one core | RSS |')
console.log('| --- | ---: | ---: | ---: |')
for (const [index, { name, child }] of runs.entries()) {
  const spent = cpuMilliseconds(child) - before[index]
  const perScrape = `${(spent / (seconds / INTERVAL_SECONDS)).toFixed(1)} ms`
  const share = `${(spent / seconds / 10).toFixed(3)} %`
  console.log(`| ${name} | ${perScrape} | ${share} | ${(residentBytes(child) / 2 ** 20).toFixed(1)} MiB |`)
}

process.exit()

function start(args: string[]): ChildProcess {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  process.on('exit', () => child.kill('SIGKILL'))
  child.on('exit', (code) => {
    if (code !== null && code !== 0) throw new Error(`${args.join(' ')} ended with ${code}.`)
  })
  return child
}

function startPipeline(exporter: string, exporterEntry: string, processors: string): ChildProcess {
  const file = join(folder, `${exporter}.yaml`)
  const names = processors === '' ? '' : 'processors: [metric_prefix, tag_merge, hostname_override], '
  writeFileSync(
    file,
    `receivers: { host_metrics: { collection_interval: ${INTERVAL_SECONDS}s, scrapers: { ${SCRAPERS} } } }
${processors}
exporters: { ${exporterEntry} }
service:
  telemetry: { logs: { level: warn }, metrics: { address: "127.0.0.1:0" } }
  pipelines: { metrics: { receivers: [host_metrics], ${names}exporters: [${exporter}] } }
`,
  )
  return start([command, '--config', file])
}

/** The time that all threads of a process have run, in milliseconds. Source: the kernel's `sched-stats.rst`. */
function cpuMilliseconds({ pid }: ChildProcess): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6)
    .reduce((sum, time) => sum + time, 0)
}

function residentBytes({ pid }: ChildProcess): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
