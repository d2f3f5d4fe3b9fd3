import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MetricBatch } from '../../src/otlp/batch.ts'
import { NumberPoint } from '../../src/otlp/points.ts'
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
  const events = { changed: drain, restored: () => {}, lost: () => {} }
  const config = { queue_size: undefined, sizer: 'requests', max_disk_size: 4 * 2 ** 30 } as const
  const queue = new DiskQueue(folder, id, config, events, quiet)
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
  await queue.close()
  return [
    bytes,
    deliverers,
    drained ? 'sent at once' : 'stays',
    Math.round(taken / seconds),
    ((taken * bytes) / seconds / 1e6).toFixed(1),
    ((user + system) / taken).toFixed(0),
  ].join(' | ')
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
