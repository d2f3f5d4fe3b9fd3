import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../src/otlp/delta/cumulative_to_delta.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { DiskQueue } from '../../src/pipeline/queue/disk.ts'

/*
 * How fast the queue on disk takes batches: `npm run bench:queue [folder]`. Deliverers push one after the other, each
 * waiting until its batch is flushed; what they push is taken out and acknowledged at once, or stays, as in an outage.
 */
const SECONDS = 3
const folder = await mkdtemp(join(process.argv[2] ?? tmpdir(), 'heka-queue-'))
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: console.error }

function batchOf(points: number): MetricBatch {
  const list = Array.from({ length: points }, (_, value) => new NumberPoint({ value, timeUnixNano: 1n }))
  const bytes = MetricBatch.of({
    resource: { 'service.name': 'bench' },
    metrics: [{ name: 'm', type: 'gauge', points: list }],
  })
  return MetricBatch.fromOtlp(bytes.toOtlp())
}

interface Run {
  readonly points: number
  readonly deliverers: number
  readonly drained: boolean
}

async function measure(id: string, { points, deliverers, drained }: Run): Promise<string> {
  const drain = (): void => {
    for (let taken = queue.shift(); drained && taken !== undefined; taken = queue.shift()) taken.done()
  }
  const events = { changed: drain, restored: () => {}, lost: () => {}, recovered: () => {} }
  const config = { queue_size: undefined, sizer: 'requests', max_disk_size: 4 * 2 ** 30 } as const
  const queue = new DiskQueue({ directory: folder, exporter: id, config, events, log: quiet })
  await queue.open()
  const batch = batchOf(points)
  const bytes = batch.toOtlp().length
  const started = performance.now()
  const cpu = process.cpuUsage()
  let taken = 0
  await Promise.all(
    Array.from({ length: deliverers }, async () => {
      while (performance.now() - started < SECONDS * 1000) {
        await queue.push(batch)
        taken += 1
      }
    }),
  )
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await queue.close(new AbortController().signal)
  return [
    bytes,
    deliverers,
    drained ? 'sent at once' : 'stays',
    Math.round(taken / seconds),
    ((taken * bytes) / seconds / 1e6).toFixed(1),
    ((user + system) / taken).toFixed(0),
  ].join(' | ')
}

/**
 * What it costs to keep what an exporter remembers: counters of as many series as points, of which the differences are taken
 * and pushed; once with the memory kept beside the queue, once without. Requests a second, and bytes of both on disk.
 */
async function measureState(id: string, points: number, deliverers: number, kept: boolean): Promise<string> {
  const requests = Array.from({ length: deliverers }, (_, deliverer) => countersOf(points, deliverer))
  const engine = new CumulativeToDelta({ initialValue: 'drop' })
  const drain = (): void => {
    for (let taken = queue.shift(); taken !== undefined; taken = queue.shift()) taken.done()
  }
  const events = { changed: drain, restored: () => {}, lost: () => {}, recovered: () => {} }
  const config = { queue_size: undefined, sizer: 'requests', max_disk_size: 4 * 2 ** 30 } as const
  const queue = new DiskQueue({ directory: folder, exporter: id, config, events, log: quiet })
  if (kept) queue.configure(config, engine.state)
  await queue.open()
  const account = { created: () => {}, merged: () => {}, dropped: () => {} }
  for (const next of requests) engine.apply(next(), account)
  const started = performance.now()
  const cpu = process.cpuUsage()
  let [taken, bytes] = [0, 0]
  await Promise.all(
    requests.map(async (next) => {
      while (performance.now() - started < SECONDS * 1000) {
        const batch = engine.apply(next(), account)
        bytes += batch.toOtlp().length
        await queue.push(batch)
        taken += 1
      }
    }),
  )
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await queue.close(new AbortController().signal)
  const files = await Promise.all((await readdir(join(folder, id))).map((name) => stat(join(folder, id, name))))
  const onDisk = files.reduce((sum, { size }) => sum + size, 0)
  return [
    points,
    deliverers,
    kept ? 'kept' : 'not kept',
    (taken / seconds).toFixed(1),
    (bytes / seconds / 1e6).toFixed(1),
    ((user + system) / taken).toFixed(0),
    (onDisk / 1e6).toFixed(1),
  ].join(' | ')
}

/** A time that nothing else in a request looks like. */
const TIME = 0x17171717_7a7a7a7an

/** Makes requests of one sender, each a nanosecond after the one before. */
function countersOf(points: number, sender: number): () => MetricBatch {
  const list = Array.from({ length: points }, (_, series) => {
    const attributes = Attributes.of({
      'http.route': `/route/${series}`,
      'http.request.method': 'GET',
      sender,
      zone: 'b',
    })
    return new NumberPoint({ attributes, value: series, isInt: true, startTimeUnixNano: 1n, timeUnixNano: TIME })
  })
  const metric = { name: 'requests', type: 'sum', temporality: 'cumulative', monotonic: true, points: list } as const
  const bytes = Buffer.from(MetricBatch.of({ resource: { 'service.name': 'bench' }, metrics: [metric] }).toOtlp())
  const marker = Buffer.alloc(8)
  marker.writeBigUInt64LE(TIME)
  const places: number[] = []
  for (let at = bytes.indexOf(marker); at !== -1; at = bytes.indexOf(marker, at + 8)) places.push(at)
  let time = TIME
  return () => {
    time += 1n
    const request = Buffer.from(bytes)
    for (const at of places) request.writeBigUInt64LE(time, at)
    return MetricBatch.fromOtlp(request)
  }
}

console.log('bytes | deliverers | | requests/s | MB/s | µs of CPU a request')
let id = 0
for (const drained of [true, false]) {
  for (const [points, deliverers] of [
    [40, 1],
    [40, 32],
    [1000, 32],
    [5000, 32],
  ]) {
    console.log(await measure(String(id++), { points, deliverers, drained }))
    await rm(folder, { recursive: true })
  }
}
console.log(
  'points | deliverers | what is remembered | requests/s | MB/s of batches | µs of CPU a request | MB of it on disk at the end',
)
for (const [points, deliverers] of [
  [100, 32],
  [10_000, 1],
  [10_000, 8],
]) {
  for (const kept of [false, true, false, true]) {
    console.log(await measureState(String(id++), points, deliverers, kept))
    await rm(folder, { recursive: true })
  }
}
