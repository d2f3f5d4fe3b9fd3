import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { SIGNALS } from '../../src/otlp/signals.ts'
import { deliveryId } from '../../src/pipeline/delivery/id.ts'
import { queueFolder } from '../../src/pipeline/queue/record_log.ts'
import { startIntake } from '../kit/intake.ts'
import type { Answer } from '../kit/intake.ts'
import { CounterStand } from './counters.ts'
import { heading as overloadHeading, overload, overloads } from './overload.ts'
import { PATIENCE, Stand, until } from './stand.ts'
import type { Settings } from './stand.ts'

/*
 * The real command with its queues on disk under faults: `npm run chaos -- [--seed N] [--only NAME] [--short] [--seconds N]`. Metrics,
 * logs and traces come over HTTP and gRPC, each item with a number of its own, so that what is lost and what comes twice is counted
 * exactly. The seed decides what is random here; when the machine does what in between differs from run to run. Ends with 1 if an
 * item that was acknowledged neither arrived nor was counted as dropped, if one came to the place of another signal, or if a balance
 * does not hold. What the machine does not let happen is said to be skipped.
 */

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    short: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '20' },
  },
})
const seed = Number(options.seed)
if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, not "${options.seed}"`)

/** Numbers from 0 to 1 that depend on the seed and the name of the scenario only. Source: mulberry32, public domain. */
function randomOf(name: string): () => number {
  let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, seed)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The intake answers so to every request while `items` are accepted, and then as it should. */
function answering(answer: Answer, items = 200) {
  return async (stand: Stand): Promise<void> => {
    stand.intake.respondBy(() => answer)
    await stand.start()
    stand.load()
    await stand.accepted(items)
    stand.intake.respondBy(undefined)
    await stand.drain()
  }
}

/** The endpoint is wrong until the process is started again. */
function misled(endpoint: (stand: Stand) => string) {
  return async (stand: Stand): Promise<void> => {
    await stand.start({ endpoint: endpoint(stand) })
    stand.load()
    await stand.accepted(200)
    await stand.rest()
    await stand.stop()
    await stand.start()
    await stand.drain()
  }
}

/** The process is killed again and again, with the intake there or not. */
function killed(times: number) {
  return async (stand: Stand): Promise<void> => {
    for (let round = 0; round < times; round += 1) {
      stand.intake.respondBy(stand.random() < 0.5 ? () => ({ status: 503 }) : undefined)
      await stand.start()
      stand.load()
      await stand.accepted(1 + Math.floor(stand.random() * 60))
      await wait(stand.random() * 20)
      await stand.kill()
      await stand.rest()
    }
    stand.intake.respondBy(undefined)
    await stand.start()
    await stand.drain()
  }
}

/** What was stored in an outage is damaged while the process is dead. */
function damaged(damage: (file: string, size: number, random: () => number) => Promise<void>) {
  return async (stand: Stand): Promise<void> => {
    stand.intake.respondBy(() => ({ status: 503 }))
    await stand.start()
    stand.load()
    await stand.accepted(300)
    await stand.rest()
    await stand.kill()
    for (const signal of SIGNALS) {
      const folder = queueFolder(join(stand.folder, 'queue'), deliveryId('otlp_http', signal))
      const [first] = (await readdir(folder)).filter((name) => name.endsWith('.log')).sort()
      if (first === undefined) throw new Error(`there is no segment in ${folder}`)
      await damage(join(folder, first), (await stat(join(folder, first))).size, stand.random)
    }
    stand.intake.respondBy(undefined)
    await stand.start()
    await stand.drain()
  }
}

/** This machine does not let the scenario happen. */
class Skipped extends Error {}

const run = promisify(execFile)

/** A small file system of its own for the queue. Returns how to mount it anew, with other options. */
async function smallDisk(
  { folder, cleanups }: Stand,
  mode: 'rw' | 'ro',
): Promise<(mode: 'rw' | 'ro') => Promise<void>> {
  const path = join(folder, 'queue')
  await mkdir(path)
  const mount = async (options: string): Promise<void> => {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
  }
  await mount(`size=1m,${mode}`).catch((error: unknown) => {
    throw new Skipped(`cannot mount: ${String((error as { stderr?: unknown }).stderr).trim()}`)
  })
  cleanups.push(() => run('umount', ['--lazy', path]))
  return (mode) => mount(`remount,${mode}`)
}

const FAILED = 'The queue cannot use its directory.'
const WORKS_AGAIN = 'The queue uses its directory again.'

/** Steps the wall clock of a process by an hour, forth and back; the monotonic clock goes on, as it does on a real step. */
const STEPPING_CLOCK = `data:text/javascript,${encodeURIComponent(
  'const now=Date.now;const start=now();Date.now=()=>now()+[0,3600000,-3600000][Math.floor((now()-start)/200)%3]',
)}`

/** What a reload may bring; each changes something else. */
const SETTINGS: readonly Settings[] = [
  {},
  { more: 'compression: none' },
  { queue: 'directory: other' },
  { queue: 'num_consumers: 3' },
  { queue: 'directory: queue, batch: { flush_timeout: 5ms, min_size: 4 }' },
  { processors: 'metric_prefix' },
  { processors: 'resource_detection, metric_prefix', more: 'encoding: json' },
  { otlp: ', read_timeout: 9s' },
  { signals: ['metrics', 'logs'], service: 'shutdown_timeout: 1s' },
  { signals: ['traces'], processors: 'resource_detection', service: 'shutdown_timeout: 1s' },
]

/** Mistakes of every step in which a reload can fail. */
const BROKEN: readonly ((stand: Stand) => Settings)[] = [
  () => ({ more: 'endpiont: x' }),
  () => ({ processors: '[[' }),
  () => ({ processors: 'missing' }),
  ({ intake }) => ({ listen: new URL(intake.url).host, queue: 'directory: third' }),
]

const reloads = options.short ? 6 : 200
const kills = options.short ? 4 : 100
/** Cumulative counters to an exporter that takes differences: counted is what they grew by. */
const DELTAS = 'kill -9, deltas of counters'
const killsOfDeltas = options.short ? 3 : 50
const scenarios: Readonly<Record<string, (stand: Stand) => Promise<void>>> = {
  'kill -9': killed(kills),
  [DELTAS]: killed(killsOfDeltas),
  'SIGTERM under load': async (stand) => {
    for (let round = 0; round < 3; round += 1) {
      await stand.start()
      stand.load()
      await stand.accepted(100 + Math.floor(stand.random() * 100))
      await stand.stop()
      await stand.rest()
    }
    await stand.start()
    await stand.drain()
  },
  reload: async (stand) => {
    const choose = <T>(from: readonly T[]): T => from[Math.floor(stand.random() * from.length)]
    await stand.start()
    stand.load()
    await stand.accepted(1)
    for (let round = 1; round <= reloads; round += 1) {
      stand.intake.respondBy(stand.random() < 0.3 ? () => ({ status: 503 }) : undefined)
      await stand.accepted(Math.floor(stand.random() * 10))
      const isBroken = round % 3 === 0
      const settings = isBroken ? choose(BROKEN)(stand) : choose(SETTINGS)
      if ((await stand.reload(settings)) === isBroken) throw new Error(`reload ${round}: ${JSON.stringify(settings)}`)
    }
    stand.intake.respondBy(undefined)
    // What a queue has left in a directory is sent when its exporter has that again.
    for (const directory of ['other', 'queue']) await stand.reload({ queue: `directory: ${directory}` })
    await stand.drain()
  },
  'a truncated segment': damaged((file, size, random) => truncate(file, Math.floor(size * (0.2 + 0.6 * random())))),
  'a flipped bit': damaged(async (file, size, random) => {
    const handle = await open(file, 'r+')
    const [byte, position] = [Buffer.alloc(1), Math.floor(size * (0.2 + 0.6 * random()))]
    await handle.read(byte, 0, 1, position)
    byte.writeUInt8(byte.readUInt8(0) ^ (1 << Math.floor(random() * 8)))
    await handle.write(byte, 0, 1, position)
    await handle.close()
  }),
  'a full disk': async (stand) => {
    await smallDisk(stand, 'rw')
    const ballast = join(stand.folder, 'queue', 'ballast')
    stand.intake.respondBy(() => ({ status: 503 }))
    await stand.start()
    stand.load()
    await stand.accepted(100)
    await writeFile(ballast, Buffer.alloc(2 ** 20)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOSPC') throw error
    })
    await stand.says(FAILED)
    await stand.accepted(100)
    await rm(ballast)
    await stand.says(WORKS_AGAIN)
    await stand.accepted(100)
    await stand.rest()
    // What waited in memory is on the disk again.
    await stand.kill()
    stand.intake.respondBy(undefined)
    await stand.start()
    await stand.drain()
  },
  'a read-only disk': async (stand) => {
    const remount = await smallDisk(stand, 'ro')
    stand.intake.respondBy(() => ({ status: 503 }))
    await stand.start()
    stand.load()
    await stand.says(FAILED)
    await stand.accepted(100)
    await remount('rw')
    await stand.says(WORKS_AGAIN)
    await stand.accepted(100)
    await stand.kill()
    stand.intake.respondBy(undefined)
    await stand.start()
    await stand.drain()
  },
  'an outage longer than max_age': async (stand) => {
    stand.intake.respondBy(() => ({ status: 503 }))
    await stand.start({ more: 'max_age: 3s' })
    stand.load()
    await stand.accepted(200)
    const end = performance.now() + 3_200
    await until('the first points to be old', () => performance.now() > end)
    stand.intake.respondBy(undefined)
    await stand.accepted(50)
    await stand.drain()
  },
  'a flapping intake': async (stand) => {
    await stand.start()
    stand.load()
    for (let round = 0; round < 10; round += 1) {
      stand.intake.respondBy(round % 2 === 0 ? () => ({ status: 503 }) : undefined)
      await stand.accepted(50)
    }
    stand.intake.respondBy(undefined)
    await stand.drain()
  },
  'a long outage': answering({ drop: true }, options.short ? 200 : 10_000),
  ...Object.fromEntries(
    [401, 408, 413, 429, 500, 503].map((status) => [`the intake answers ${status}`, answering({ status })]),
  ),
  'the intake hangs': answering({ status: 503, delay: PATIENCE }),
  'the intake closes in the middle of its answer': answering({ cut: true }),
  'the intake answers garbage': answering({ status: 502, body: '\u0000<html>{' }),
  'TLS fails': misled(({ intake }) => intake.url.replace('http:', 'https:')),
  'DNS fails': misled(() => 'http://intake.invalid:4318'),
  'a full queue, 64 clients': async (stand) => {
    stand.intake.respondBy(() => ({ delay: 20 }))
    await stand.start({ queue: 'directory: queue, queue_size: 50, num_consumers: 1' })
    stand.load(64)
    await stand.accepted(300)
    stand.intake.respondBy(undefined)
    await stand.drain()
  },
  'the clock steps an hour forth and back': async (stand) => {
    stand.intake.respondBy(() => ({ status: 503, headers: { 'retry-after': '0' } }))
    await stand.start({ env: { NODE_OPTIONS: `--import=${STEPPING_CLOCK}` } })
    stand.load()
    const end = performance.now() + 1_500
    await until('the clock to step', () => performance.now() > end)
    stand.intake.respondBy(undefined)
    await stand.drain()
  },
}
/** Scenarios whose name tells how often. */
const TIMES: Readonly<Record<string, string>> = {
  'kill -9': `${kills} x kill -9`,
  [DELTAS]: `${killsOfDeltas} x ${DELTAS}`,
  reload: `${reloads} x reload under load, every third broken`,
}
const SHORT = ['kill -9', DELTAS, 'SIGTERM under load', 'reload', 'a flipped bit', 'the intake answers 413']

console.log(
  `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}, seed ${seed}\n`,
)
const named = <T>(scenarios: Readonly<Record<string, T>>): [string, T][] =>
  Object.entries(scenarios).filter(([name]) => name.includes(options.only) && (!options.short || SHORT.includes(name)))
const [chosen, overloaded] = [named(scenarios), named(overloads)]
if (chosen.length + overloaded.length === 0) throw new Error(`no scenario has "${options.only}" in its name`)

async function standing(name: string, act: (stand: Stand) => Promise<boolean>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'heka-chaos-'))
  const stand = new (name === DELTAS ? CounterStand : Stand)(
    await startIntake({ keyHeader: '' }),
    folder,
    randomOf(name),
  )
  try {
    if (!(await act(stand))) process.exitCode = 1
  } catch (error) {
    if (error instanceof Skipped) {
      console.log(`| ${name} | skipped: ${error.message} |`)
      return
    }
    console.log(`| ${name} | FAILED |`)
    console.error(error)
    process.exitCode = 1
  } finally {
    await stand.end()
  }
}

if (chosen.length > 0) {
  console.log('| Scenario | Accepted | Delivered | Duplicated | Dropped by reason | Lost | Balance |')
  console.log('| --- | --- | --- | --- | --- | --- | --- |')
}
for (const [name, scenario] of chosen) {
  await standing(name, async (stand) => {
    await scenario(stand)
    const { accepted, delivered, twice, lost } = stand.tally()
    const reasons = [...stand.dropped()].map(([reason, items]) => `${reason} ${items}`).join(', ')
    const title = TIMES[name] ?? name
    console.log(
      `| ${title} | ${accepted} | ${delivered} | ${twice} | ${reasons} | ${lost} | ${stand.balanced ? 'holds' : 'BROKEN'} |`,
    )
    return lost === 0 && stand.balanced
  })
}
if (overloaded.length > 0) console.log(`\n${overloadHeading}`)
for (const [name, queue] of overloaded) {
  await standing(name, (stand) => overload(name, queue, stand, Number(options.seconds)))
}
