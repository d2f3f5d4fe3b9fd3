import { execFileSync } from 'node:child_process'
import { link, mkdir, readdir, readFile, rename, rm, rmdir, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Exporter } from '../../../src/component/exporter.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { Batch } from '../../../src/otlp/signal.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { DiskQueue } from '../../../src/pipeline/queue/disk.ts'
import { RecordLog } from '../../../src/pipeline/queue/record_log.ts'
import { encodeHeader } from '../../../src/pipeline/queue/record.ts'
import { thisMachine } from '../../../src/pipeline/machine.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { temporaryFolder } from '../../kit/command.ts'
import { batchOf, deliver, exporter, startDestination, status, valuesOf, valuesRequest } from '../../kit/delivering.ts'
import { until } from '../../kit/until.ts'
import type { DeliverySettings, ValuesRequest } from '../../kit/delivering.ts'

async function folder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const made = await temporaryFolder(files)
  return made.path('')
}

type Opened = ReturnType<typeof deliver>

/** A delivery whose queue is in `directory`, opened. */
async function start(
  url: string,
  directory: string,
  { retry, queue, ...rest }: DeliverySettings = {},
): Promise<Opened> {
  const delivery = deliver(exporter(url), {
    ...rest,
    retry: { max_elapsed_time: undefined, ...retry },
    queue: { directory, ...queue },
  })
  await delivery.open()
  cleanups.push(() => delivery.drain(0))
  return delivery
}

/** A destination that answers 503 until it is told otherwise. */
async function deadDestination() {
  const destination = await startDestination()
  destination.answerWith(status(503))
  return destination
}

/** Some 17 KB. */
const large = (first: number): MetricBatch =>
  batchOf(...Array.from({ length: 1000 }, (_, index) => first + index / 1000))

const files = async (directory: string): Promise<string[]> => (await readdir(join(directory, 'values'))).sort()

describe('a log of records', () => {
  it('has one segment to write to, however many ask for it at once', async () => {
    const write = (): void => {}
    const directory = await folder()
    const log = { debug: write, info: write, warn: write, error: write }
    const records = await RecordLog.open({
      ...{ folder: directory, segmentSize: 2 ** 20, log, machine: thisMachine },
      failed: (error) => expect(error).toBeUndefined(),
    })
    const [one, other] = await Promise.all([records.writable(), records.writable()])
    expect(other.segment).toBe(one.segment)
    expect(records.segments).toEqual([one.segment])
    await records.close()
    expect(await readdir(directory)).toEqual([])
  })
})

describe('a queue on disk', () => {
  it('takes a batch when it is in the file, sends it, and leaves nothing behind', async () => {
    const [destination, directory] = [await startDestination(), await folder()]
    const delivery = await start(destination.url, directory)
    expect(await Promise.all([1, 2, 3].map((value) => delivery.offer(batchOf(value))))).toEqual(
      Array.from({ length: 3 }, () => 'accepted'),
    )
    await delivery.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 2, 3])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, sent: 3, kept: 0, queued: 0, dropped: {} })
    expect(await files(directory)).toEqual([])
  })

  it('keeps what could not be sent at the stop, and sends it after the next start, once', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    for (const value of [1, 2, 3]) await first.offer(batchOf(value, value))
    await first.drain()
    expect(first.sheet.balance()).toMatchObject({
      handed_in: 6,
      sent: 0,
      kept: 6,
      queued: 0,
      in_flight: 0,
      dropped: {},
    })
    expect(first.difference()).toBe(0)

    destination.answerWith(status(200))
    const second = await start(destination.url, directory)
    await second.offer(batchOf(4))
    await second.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 1, 2, 2, 3, 3, 4])
    expect(second.sheet.balance()).toMatchObject({ handed_in: 1, restored: 6, sent: 7, kept: 0 })
    expect(second.sheet.equation()).toBe('handed in 1 + restored 6 = sent 7')
    expect(second.difference()).toBe(0)
    expect(await files(directory)).toEqual([])
  })

  it('keeps nothing beside the disk while memory is short, drops none of it, and still hands out in order', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    let short = true
    const queue = { num_consumers: 1 }
    const delivery = await start(destination.url, directory, { queue, memoryIsShort: () => short })
    for (const value of [1, 2, 3, 4]) await delivery.offer(batchOf(value))
    const [shedder] = delivery.shedders
    expect(shedder?.held.batches).toBe(0)
    shedder?.shed()
    expect(delivery.sheet.balance()).toMatchObject({ queued: 3, in_flight: 1, dropped: {} })
    short = false
    await delivery.offer(batchOf(5))
    destination.answerWith(status(200))
    await until(() => delivery.sheet.sent === 5)
    await delivery.drain()
    expect(destination.taken).toEqual([[1], [2], [3], [4], [5]])
    expect(delivery.difference()).toBe(0)
  })

  it('hands out once what is written while it reads', async () => {
    const [destination, directory] = [await startDestination(), await folder()]
    const delivery = await start(destination.url, directory, { memoryIsShort: () => true })
    const values = Array.from({ length: 400 }, (_, value) => value)
    const client = async (): Promise<void> => {
      for (let value = values.shift(); value !== undefined; value = values.shift()) await delivery.offer(batchOf(value))
    }
    await Promise.all(Array.from({ length: 8 }, client))
    await delivery.drain()
    expect(destination.taken.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, value) => value))
    expect(delivery.difference()).toBe(0)
  })

  it('hands out in order what it had to leave on disk, across segments and a restart', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { max_disk_size: 2 ** 22, num_consumers: 1 }
    const first = await start(destination.url, directory, { queue })
    for (let value = 0; value < 150; value += 1) await first.offer(large(value))
    await first.drain()
    expect(first.sheet.balance()).toMatchObject({ handed_in: 150_000, kept: 150_000 })
    expect((await files(directory)).filter((name) => name.endsWith('.log')).length).toBeGreaterThan(3)
    destination.answerWith(status(200))
    const second = await start(destination.url, directory, { queue })
    for (let value = 150; value < 170; value += 1) await second.offer(large(value))
    await second.drain()
    expect(destination.taken.map(([value]) => value)).toEqual(Array.from({ length: 170 }, (_, value) => value))
    expect(second.sheet.balance()).toMatchObject({ restored: 150_000, sent: 170_000, dropped: {} })
    expect(await files(directory)).toEqual([])
  })

  it('refuses what does not fit its disk, keeps the start of an outage, and gives the space back after it', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const delivery = await start(destination.url, directory, { queue: { max_disk_size: 2 ** 20, num_consumers: 1 } })
    const outcomes: string[] = []
    for (let value = 0; value < 100; value += 1) outcomes.push(await delivery.offer(large(value)))
    const accepted = outcomes.filter((outcome) => outcome === 'accepted').length
    expect(outcomes).toEqual(outcomes.map((_, index) => (index < accepted ? 'accepted' : 'refused')))
    expect(accepted).toBeGreaterThan(40)
    expect(delivery.sheet.queueStatus?.().bytes_on_disk).toBeLessThanOrEqual(2 ** 20)
    expect(await delivery.offer(large(100), false)).toBe('accepted') // cannot be refused
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: (accepted + 1) * 1000, dropped: { queue_full: 1000 } })
    expect(delivery.difference()).toBe(0)

    destination.answerWith(status(200))
    await until(() => delivery.sheet.sent === accepted * 1000)
    expect(delivery.sheet.queueStatus?.().bytes_on_disk).toBeLessThan(2 ** 18)
    expect(await delivery.offer(large(101))).toBe('accepted')
    await delivery.drain()
    expect(destination.taken.map(([value]) => value)).toEqual([...Array(accepted).keys(), 101])
  })

  it('drops the oldest to make room when told to, and counts it', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { max_disk_size: 2 ** 20, on_full: 'drop_oldest', num_consumers: 1 } as const
    const delivery = await start(destination.url, directory, { queue })
    for (let value = 0; value < 150; value += 1) expect(await delivery.offer(large(value))).toBe('accepted')
    const dropped = delivery.sheet.balance().dropped.queue_full
    expect(dropped).toBeGreaterThan(50_000)
    expect(delivery.difference()).toBe(0)
    destination.answerWith(status(200))
    // A request that fails during the stop would leave the rest on disk.
    await until(() => delivery.sheet.sent > 0)
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 150_000, sent: 150_000 - dropped, kept: 0 })
    expect(destination.taken.at(-1)?.[0]).toBe(149)
  })

  it('does not take up at the next start what it dropped, also where more of its file is in hand', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { on_full: 'drop_oldest', queue_size: 4, num_consumers: 1 } as const
    let short = false
    const first = await start(destination.url, directory, { queue, memoryIsShort: () => short })
    for (const value of [0, 1]) await first.offer(batchOf(value))
    short = true
    for (const value of [2, 3, 4]) await first.offer(batchOf(value))
    await Promise.all([5, 6].map((value) => first.offer(batchOf(value))))
    await first.drain()
    expect(first.sheet.balance()).toMatchObject({ handed_in: 7, kept: 3, dropped: { queue_full: 4 } })
    destination.answerWith(status(200))
    const second = await start(destination.url, directory)
    await second.drain()
    expect(destination.taken.flat().sort()).toEqual([0, 5, 6])
    expect(second.sheet.balance()).toMatchObject({ restored: 3, sent: 3, dropped: {} })
  })

  it('counts its size in batches, too, also those it found at the start', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { queue_size: 2, num_consumers: 1 }
    const first = await start(destination.url, directory, { queue })
    const outcomes = []
    for (let value = 0; value < 5; value += 1) outcomes.push(await first.offer(batchOf(value)))
    expect(outcomes).toEqual(['accepted', 'accepted', 'accepted', 'refused', 'refused'])
    await first.drain()
    const second = await start(destination.url, directory, { queue })
    expect(await second.offer(batchOf(5))).toBe('refused')
    await second.drain()
    expect(second.sheet.balance()).toMatchObject({ restored: 3, kept: 3 })
  })

  it('lets receivers wait for room where block_on_overflow says so', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { queue_size: 1, num_consumers: 1, block_on_overflow: true }
    const delivery = await start(destination.url, directory, { queue })
    await delivery.offer(batchOf(0))
    await delivery.offer(batchOf(1))
    let outcome: string | undefined
    const waiting = delivery.offer(batchOf(2)).then((result) => (outcome = result))
    expect(await delivery.offer(batchOf(3), false)).toBe('accepted')
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, dropped: { queue_full: 1 } })
    expect(outcome).toBeUndefined()
    destination.answerWith(status(200))
    expect(await waiting).toBe('accepted')
    await delivery.drain()
    expect(destination.taken.flat()).toEqual([0, 1, 2])
  })

  it('joins and splits batches, and forgets them only when every part was sent', async () => {
    const [destination, directory] = [await startDestination(), await folder()]
    const queue = { num_consumers: 1, batch: { flush_timeout: 60_000, min_size: 4, max_size: 4 } }
    const first = await start(destination.url, directory, { queue })
    destination.answerWith((response, values) => response.writeHead(values.includes(5) ? 503 : 200).end())
    await first.offer(batchOf(1, 2, 3))
    await first.offer(batchOf(4, 5, 6))
    await until(() => first.sheet.sent === 4)
    await first.drain()
    expect(first.sheet.balance()).toMatchObject({ sent: 4, kept: 2 })
    expect(first.difference()).toBe(0)
    destination.answerWith(status(200))
    const second = await start(destination.url, directory, { queue })
    await second.drain()
    // At least once: the first part of what was joined is sent again.
    expect(destination.taken).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [5, 6],
    ])
    expect(second.sheet.balance()).toMatchObject({ restored: 6, sent: 6 })
  })

  it('counts what the exporter says of a batch only with what is sent, not with what it leaves on disk at the stop', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const withoutTheFirst: Exporter<ValuesRequest> = {
      ...exporter(destination.url),
      *encode(batch, account) {
        account.dropped('first', 1)
        yield valuesRequest(valuesOf(batch).slice(1))
      },
    }
    const first = deliver(withoutTheFirst, { queue: { directory } })
    await first.open()
    await first.offer(batchOf(1, 2, 3))
    await until(() => destination.attempts() > 0)
    await first.drain()
    expect(first.sheet.balance()).toMatchObject({ handed_in: 3, kept: 3, dropped: {}, in_flight: 0 })
    expect(first.difference()).toBe(0)
    destination.answerWith(status(200))
    const second = deliver(withoutTheFirst, { queue: { directory } })
    await second.open()
    await until(() => destination.taken.length === 1)
    await second.drain()
    expect(second.sheet.balance()).toMatchObject({ restored: 3, sent: 2, dropped: { first: 1 } })
  })

  it('sets what is damaged aside, counts it, and sends the rest', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory, { queue: { max_disk_size: 2 ** 20 } })
    for (let value = 0; value < 40; value += 1) await first.offer(large(value))
    await first.drain()
    const logs = (await files(directory))
      .filter((name) => name.endsWith('.log'))
      .map((name) => join(directory, 'values', name))
    expect(logs.length).toBeGreaterThan(3)
    const [flipped, cut, gone] = logs
    const bytes = await readFile(flipped)
    bytes[bytes.length >> 1] ^= 4
    await writeFile(flipped, bytes)
    await truncate(cut, 1000)
    await rm(gone)
    destination.answerWith(status(200))

    const second = await start(destination.url, directory)
    await second.drain()
    const { restored, sent, dropped } = second.sheet.balance()
    expect(sent).toBeGreaterThan(10_000)
    expect(dropped.corrupt).toBeGreaterThan(1000)
    expect(restored).toBe(sent + dropped.corrupt)
    expect(second.difference()).toBe(0)
    expect(
      destination.taken.every(
        (values) => values.length === 1000 && values.every((value, index) => value === values[0] + index / 1000),
      ),
    ).toBe(true)
    expect(second.messages.join('\n')).toContain('A part of the queue on disk is damaged')
    expect(await files(directory)).toEqual(['corrupt'])
    expect(await readdir(join(directory, 'values', 'corrupt'))).toHaveLength(2)
  })

  it('counts the points of a batch whose header is damaged, also when its process died', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    for (const value of [1, 2, 3]) await first.offer(batchOf(value))
    await first.drain()
    const [acks, log] = (await files(directory)).map((name) => join(directory, 'values', name))
    const bytes = await readFile(log)
    bytes[bytes.indexOf('HEKQ', 1) + 9] ^= 1
    await writeFile(log, bytes)
    await rm(acks) // A process that dies has not said how much there is.
    destination.answerWith(status(200))
    const second = await start(destination.url, directory)
    await second.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 3])
    expect(second.sheet.balance()).toMatchObject({ restored: 3, sent: 2, dropped: { corrupt: 1 } })
  })

  it('counts what was cut off from its end after it was flushed, once', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    for (const value of [1, 2, 3]) await first.offer(batchOf(value))
    await first.drain()
    const [acks, log] = (await files(directory)).map((name) => join(directory, 'values', name))
    await truncate(acks, (await stat(acks)).size - 16) // A process that dies has not said that no more comes.
    await truncate(log, (await stat(log)).size - 5)
    const second = await start(destination.url, directory)
    await second.drain()
    expect(second.sheet.balance()).toMatchObject({ restored: 3, sent: 0, kept: 2, dropped: { corrupt: 1 } })
    destination.answerWith(status(200))
    const third = await start(destination.url, directory)
    await third.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 2])
    expect(third.sheet.balance()).toMatchObject({ restored: 2, sent: 2, dropped: {} })
    expect(await files(directory)).toEqual([])
  })

  it('survives any flipped bit and any cut in any of its files', async () => {
    const config = { queue_size: undefined, sizer: 'requests', max_disk_size: 2 ** 20 } as const
    const all = Array.from({ length: 20 }, (_, value) => value)
    const batches = all.map((value) => MetricBatch.fromOtlp(large(value).toOtlp()))
    const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    /** Opens the queue, pushes, takes what there is up to `most` batches, and closes it. Returns which were taken. */
    const use = async (directory: string, pushed: readonly number[], most: number): Promise<number[]> => {
      let lost = 0
      let restored = 0
      let changed = (): void => undefined
      const events = {
        changed: () => changed(),
        restored: (points: number) => (restored += points),
        lost: (points: number) => (lost += points),
        recovered: () => {},
      }
      const queue = new DiskQueue({ directory, exporter: 'values', config, events, log: silent })
      await queue.open()
      for (const value of pushed) await queue.push(batches[value])
      const taken: number[] = []
      await new Promise<void>((resolve) => {
        changed = () => {
          for (let next; taken.length < most && (next = queue.shift()) !== undefined; next.done()) {
            const bytes = next.batch.toOtlp()
            const value = batches.findIndex((batch) => Buffer.compare(batch.toOtlp(), bytes) === 0)
            expect(value).not.toBe(-1)
            taken.push(value)
          }
          if (taken.length === most || queue.length === 0) resolve()
        }
        changed()
      })
      expect((await queue.close(new AbortController().signal)).kept + taken.length * 1000 + lost).toBe(
        restored + pushed.length * 1000,
      )
      return taken
    }
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(),
        fc.boolean(),
        fc.nat(20),
        fc.boolean(),
        async (file, position, cut, most, died) => {
          const directory = await folder()
          const first = await use(directory, all, most)
          const names = await files(directory)
          if (names.length === 0) return
          for (const acks of names.filter((name) => died && name.endsWith('.acks'))) {
            // Who dies does not write the last entry: that nothing more comes.
            const { size } = await stat(join(directory, 'values', acks))
            await truncate(join(directory, 'values', acks), size - 16)
          }
          const path = join(directory, 'values', names[file % names.length])
          const bytes = await readFile(path)
          if (bytes.length === 0) return
          const bit = position % (bytes.length * 8)
          if (cut) await truncate(path, bit >> 3)
          else {
            bytes[bit >> 3] ^= 1 << (bit & 7)
            await writeFile(path, bytes)
          }
          const second = await use(directory, [], Infinity)
          expect(second).toEqual([...new Set(second)])
          const missing = all.filter((value) => !first.includes(value) && !second.includes(value))
          // A cut takes what stands behind it in a segment of 128 KiB, which holds twelve.
          expect(missing.length).toBeLessThanOrEqual(path.endsWith('.acks') ? 0 : cut ? 12 : 1)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('cuts off what was not written to its end', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    for (const value of [1, 2]) await first.offer(batchOf(value))
    await first.drain()
    const [acks, log] = (await files(directory)).map((name) => join(directory, 'values', name))
    const bytes = await readFile(log)
    const salt = parseInt(/-(\w+)\.log$/.exec(log)![1], 16)
    const header = encodeHeader(salt, { index: 2, items: 1, before: 2, time: 0 }, batchOf(3).toOtlp())
    await writeFile(log, Buffer.concat([bytes, header, batchOf(3).toOtlp().subarray(0, 10)]))
    await rm(acks) // A process that dies has not said that it wrote all.
    destination.answerWith(status(200))
    const second = await start(destination.url, directory)
    await second.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 2])
    expect(second.sheet.balance()).toMatchObject({ restored: 2, sent: 2, dropped: {} })
    expect(await files(directory)).toEqual([])
  })

  it('waits in memory while its directory cannot be used, says so, and goes back to it', async () => {
    const destination = await deadDestination()
    const directory = await folder({ values: 'a file where the folder should be' })
    const delivery = await start(destination.url, directory)
    expect(delivery.messages[0]).toContain('The queue cannot use its directory')
    expect(await delivery.offer(batchOf(1))).toBe('accepted')
    expect(delivery.sheet.queueStatus?.().problem?.message).toContain('EEXIST')
    await rm(join(directory, 'values'))
    await until(() => delivery.sheet.queueStatus?.().problem === undefined)
    expect(delivery.messages.join('\n')).toContain('The queue uses its directory again')
    expect(await delivery.offer(batchOf(2))).toBe('accepted')
    await delivery.drain(50)
    const { kept, dropped } = delivery.sheet.balance()
    // The first was in hand while the directory could not be used, and was written when it could.
    expect({ kept, dropped }).toEqual({ kept: 2, dropped: {} })
    expect(delivery.difference()).toBe(0)
    const next = await start(destination.url, directory)
    destination.answerWith(status(200))
    await until(() => destination.taken.length === 2)
    expect(destination.taken.flat().sort()).toEqual([1, 2])
    await next.drain()
  })

  it('joins nothing that it has on disk with what it has not, and so keeps it at the stop', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    await first.offer(batchOf(1))
    await first.drain()
    const queue = { num_consumers: 1, batch: { min_size: 3, max_size: 0, flush_timeout: 300 } }
    const second = await start(destination.url, directory, { queue })
    await until(() => second.sheet.queueStatus?.().oldest !== undefined)
    await rename(join(directory, 'values'), join(directory, 'gone'))
    await Promise.all([second.offer(batchOf(2)), second.offer(batchOf(3))])
    await until(() => destination.attempts() > 1)
    await second.drain(50)
    expect(second.sheet.balance()).toMatchObject({ restored: 1, handed_in: 2, kept: 1, dropped: { shutdown: 2 } })
    expect(second.difference()).toBe(0)
    await rename(join(directory, 'gone'), join(directory, 'values'))
    const third = await start(destination.url, directory)
    expect(third.sheet.balance()).toMatchObject({ restored: 1 })
  })

  it('sends the same request again when what was in hand is written at last, for its answer may have been lost', async () => {
    const attempts: number[][] = []
    const destination = await startDestination()
    destination.answerWith((_response, values) => attempts.push(values))
    const directory = await folder({ values: 'a file where the folder should be' })
    let encoded = 0
    const numbered: Exporter<ValuesRequest> = {
      ...exporter(destination.url),
      encode: (batch) => [valuesRequest(valuesOf(batch).map((value) => value * 10 + ++encoded))],
    }
    const delivery = deliver(numbered, { timeout: 200, queue: { directory } })
    await delivery.open()
    await delivery.offer(batchOf(1))
    await until(() => attempts.length > 0)
    await rm(join(directory, 'values'))
    await until(() => delivery.sheet.queueStatus?.().problem === undefined)
    destination.answerWith(status(200))
    await until(() => destination.taken.length === 1)
    await delivery.drain()
    expect([...attempts, ...destination.taken].flat()).toEqual([...attempts.map(() => 11), 11])
    expect(delivery.difference()).toBe(0)
  })

  it('drops nothing that is on disk where only the memory for what is being written is full', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { on_full: 'drop_oldest', num_consumers: 1, max_disk_size: 2 ** 30 } as const
    const delivery = await start(destination.url, directory, { queue })
    for (const value of [1, 2, 3]) await delivery.offer(batchOf(value))
    // All in one go: none can be written meanwhile.
    const name = 'm'.repeat(25 * 2 ** 20)
    const huge = MetricBatch.of({ metrics: [{ name, type: 'gauge', points: [new NumberPoint({ value: 4 })] }] })
    const answers = Array.from({ length: 4 }, () => delivery.offer(huge))
    expect(delivery.sheet.balance()).toMatchObject({ queued: 4, in_flight: 1, dropped: {} })
    await expect(Promise.all(answers)).resolves.toEqual(['accepted', 'accepted', 'refused', 'refused'])
    expect(delivery.difference()).toBe(0)
  })

  it('waits a while before it reads again what it could not', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const first = await start(destination.url, directory)
    await first.offer(batchOf(1))
    await first.drain()
    const path = join(
      directory,
      'values',
      (await files(directory)).find((name) => name.endsWith('.log'))!,
    )
    const content = await readFile(path)
    await rm(path)
    await mkdir(path)
    let changes = 0
    const taken: Batch[] = []
    const changed = (): void => {
      changes += 1
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        taken.push(next.batch)
        next.done()
      }
    }
    const events = { changed, restored: () => {}, lost: () => {}, recovered: () => {} }
    const write = (): void => {}
    const log = { debug: write, info: write, warn: write, error: write }
    const config = { queue_size: undefined, sizer: 'requests', max_disk_size: 2 ** 20 } as const
    const queue = new DiskQueue({ directory, exporter: 'values', config, events, log })
    await queue.open()
    cleanups.push(async () => void (await queue.close(new AbortController().signal)))
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(changes).toBeLessThan(5)
    await rmdir(path)
    await writeFile(path, content)
    await until(() => taken.length === 1)
    expect(taken.map((batch) => valuesOf(batch as MetricBatch))).toEqual([[1]])
  })

  it.each([
    ['a folder', (path: string) => mkdir(path)],
    ['a FIFO', (path: string) => void execFileSync('mkfifo', [path])],
    ['a link to a file of somebody else', (path: string) => symlink(join(path, '../../other'), path)],
  ])('sets aside %s that is called like a segment, says so, and goes on', async (_what, make) => {
    const [destination, directory] = [await deadDestination(), await folder({ other: 'what another program wrote' })]
    const before = await start(destination.url, directory)
    await before.offer(batchOf(1, 2))
    await before.drain(0)
    const [segment] = (await files(directory)).filter((name) => name.endsWith('.log'))
    await make(join(directory, 'values', '0000000000-0a0b0c0d.log'))
    await make(join(directory, 'values', segment.replace('.log', '.acks').replace(/^\d+/, '0000000009')))
    await make(join(directory, 'values', '0000000007-0a0b0c0d.log'))
    destination.answerWith(status(200))
    const after = await start(destination.url, directory)
    expect(after.sheet.queueStatus?.().problem?.message).toMatch(/0000000000-0a0b0c0d\.log: .*(regular file|link)/)
    await after.offer(batchOf(3))
    await until(() => destination.taken.flat().length === 3)
    await after.drain()
    expect(after.sheet.balance()).toMatchObject({ restored: 2, handed_in: 1, sent: 3, kept: 0, dropped: {} })
    expect(await readFile(join(directory, 'other'), 'utf8')).toBe('what another program wrote')
  })

  it('writes to nothing through a link in the place of one of its files or of its folder', async () => {
    const [destination, directory] = [await deadDestination(), await folder({ other: 'what another program wrote' })]
    const other = join(directory, 'other')
    const before = await start(destination.url, directory)
    await before.offer(batchOf(1, 2))
    await before.drain(0)
    const [segment] = (await files(directory)).filter((name) => name.endsWith('.log'))
    const acks = join(directory, 'values', segment.replace('.log', '.acks'))
    await rm(acks)
    for (const path of [acks, join(directory, 'values', '0000000001.state'), join(directory, 'values', 'lock')]) {
      await symlink(other, path)
    }
    const after = await start(destination.url, directory)
    expect(after.sheet.queueStatus?.().problem?.message).toContain('is a link, which is not followed')
    await after.offer(batchOf(3))
    await after.drain(0)
    await rename(join(directory, 'values'), join(directory, 'elsewhere'))
    await symlink(join(directory, 'elsewhere'), join(directory, 'values'))
    const names = await readdir(join(directory, 'elsewhere'))
    const third = await start(destination.url, directory)
    await third.offer(batchOf(4))
    expect(third.sheet.queueStatus?.().problem?.message).toContain('values is a link')
    await third.drain(0)
    expect(await readdir(join(directory, 'elsewhere'))).toEqual(names)
    expect(await readFile(other, 'utf8')).toBe('what another program wrote')
  })

  it.each([
    ['log', 'precious\n'],
    ['log', `more than a header of a record has\n${'x'.repeat(100)}`],
    ['acks', 'precious\n'],
    ['state', 'precious\n'],
    ['lock', 'precious\n'],
  ])(
    'neither empties nor deletes a file of another program that is linked as one of its own: %s',
    async (kind, text) => {
      const [destination, directory] = [await startDestination(), await folder({ other: text })]
      const other = join(directory, 'other')
      await mkdir(join(directory, 'values'))
      const name = { log: '0000000001-aaaaaaaa.log', acks: '0000000001-aaaaaaaa.acks', state: '0000000001.state' }[kind]
      await link(other, join(directory, 'values', name ?? 'lock'))
      const delivery = await start(destination.url, directory)
      await delivery.offer(batchOf(1))
      await until(() => destination.taken.length === 1)
      const problem = delivery.sheet.queueStatus?.().problem?.message
      if (kind === 'log') expect(problem).toContain('aaaaaaaa.log has another name elsewhere (a hard link)')
      else expect(problem).toBeUndefined()
      await delivery.drain()
      expect(await readFile(other, 'utf8')).toBe(text)
      expect((await stat(other)).nlink).toBe(2)
      expect(delivery.messages.join('\n')).not.toContain('cut off')
    },
  )

  it('empties no file that is linked where it sets damage aside or as what it acknowledges', async () => {
    const [destination, directory] = [await deadDestination(), await folder({ other: 'precious' })]
    const first = await start(destination.url, directory)
    await first.offer(batchOf(1))
    await first.drain(0)
    const [acks, log] = (await files(directory)).map((name) => join(directory, 'values', name))
    const bytes = await readFile(log)
    bytes[bytes.length - 1] ^= 1
    await writeFile(log, bytes)
    await mkdir(join(directory, 'values', 'corrupt'))
    await link(join(directory, 'other'), join(directory, 'values', 'corrupt', `${/([^/]+)\.log$/.exec(log)![1]}-0`))
    const second = await start(destination.url, directory)
    await until(() => second.sheet.queueStatus?.().problem !== undefined)
    expect(second.sheet.queueStatus?.().problem?.message).toContain('has another name elsewhere')
    await second.drain(0)
    await rm(acks)
    await link(join(directory, 'other'), acks)
    const third = await start(destination.url, directory)
    expect(third.sheet.queueStatus?.().problem?.message).toContain('.acks has another name elsewhere')
    await third.drain(0)
    expect(await readFile(join(directory, 'other'), 'utf8')).toBe('precious')
    expect(await readFile(log)).toEqual(bytes)
  })

  it.each(['0000000001-aaaaaaaa.log', '0000000001-aaaaaaaa.acks', 'notes.acks', '0000000001.state', 'lock'])(
    'keeps what no queue wrote: %s',
    async (name) => {
      const [destination, directory] = [await startDestination(), await folder()]
      await mkdir(join(directory, 'values'))
      await writeFile(join(directory, 'values', name), 'precious\n')
      const { ino } = await stat(join(directory, 'values', name))
      const delivery = await start(destination.url, directory)
      await delivery.offer(batchOf(1))
      await until(() => destination.taken.length === 1)
      const problem = delivery.sheet.queueStatus?.().problem?.message
      if (name.endsWith('.log')) expect(problem).toContain('it is not a queue file')
      else expect(problem).toBeUndefined()
      await delivery.drain()
      const paths = (await readdir(join(directory, 'values'), { recursive: true })).map((path) =>
        join(directory, 'values', path),
      )
      const found = await Promise.all(paths.map(async (path) => ({ path, ...(await stat(path)) })))
      const [kept] = found.filter((file) => file.ino === ino)
      expect(await readFile(kept?.path, 'utf8')).toBe('precious\n')
    },
  )

  it.each(['file', 'link'])(
    'keeps damage that it cannot set aside because a %s is in the way, and says only that',
    async (kind) => {
      const keeps = async (died: boolean): Promise<void> => {
        const [destination, directory] = [await deadDestination(), await folder({ other: '' })]
        const first = await start(destination.url, directory)
        await first.offer(batchOf(1))
        await first.offer(batchOf(2))
        await first.drain(0)
        const [acks, log] = (await files(directory)).map((name) => join(directory, 'values', name))
        const bytes = await readFile(log)
        bytes[bytes.indexOf('HEKQ', 1) - 1] ^= 1
        await writeFile(log, bytes)
        if (died) await rm(acks)
        const corrupt = join(directory, 'values', 'corrupt')
        if (kind === 'file') await writeFile(corrupt, '')
        else await symlink(directory, corrupt)
        destination.answerWith(status(200))
        const second = await start(destination.url, directory)
        await second.offer(batchOf(3))
        await until(() => destination.taken.flat().includes(3))
        const problem = () => second.sheet.queueStatus?.().problem?.message
        await until(() => problem() !== undefined)
        expect(problem()).toContain('it is damaged, and the damaged part cannot be set aside in')
        expect(await readFile(log)).toEqual(bytes)
        expect(second.messages.filter((message) => /damaged|aside/.test(message))).toHaveLength(1)
        expect(second.messages.join('\n')).not.toContain('It is set aside')
        await rm(corrupt)
        await until(() => destination.taken.flat().includes(2))
        await second.drain()
        expect(destination.taken.flat().sort()).toEqual([2, 3])
        expect(second.sheet.balance().dropped).toEqual({ corrupt: 1 })
        expect(await readdir(corrupt)).toHaveLength(1)
      }
      await Promise.all([keeps(false), keeps(true)])
    },
  )

  it('sends the rest where one of its segments can no longer be read, and keeps that', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const queue = { num_consumers: 1 }
    const delivery = await start(destination.url, directory, { queue })
    for (let first = 0; first < 48_000; first += 1000) await delivery.offer(large(first))
    const [, , third] = (await files(directory)).filter((name) => name.endsWith('.log'))
    const path = join(directory, 'values', third)
    await rename(path, `${path}.away`)
    await mkdir(path)
    destination.answerWith(status(200))
    await delivery.offer(batchOf(-1))
    await until(() => destination.taken.flat().includes(-1))
    const problem = () => delivery.sheet.queueStatus?.().problem?.message
    expect(problem()).toContain(`${third}: `)
    const sent = destination.taken.flat().length
    expect(sent).toBeLessThan(48_001)
    await delivery.drain()
    const { kept, dropped } = delivery.sheet.balance()
    expect({ all: kept + sent, dropped }).toEqual({ all: 48_001, dropped: {} })
    await rmdir(path)
    await rename(`${path}.away`, path)
    const after = await start(destination.url, directory)
    await until(() => destination.taken.flat().length === 48_001)
    await after.drain()
    expect(new Set(destination.taken.flat()).size).toBe(48_001)
  })

  it('sends what an earlier process left as soon as it can be read', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    const before = await start(destination.url, directory)
    await before.offer(batchOf(1, 2))
    await before.drain(0)
    const [segment] = (await files(directory)).filter((name) => name.endsWith('.log'))
    const path = join(directory, 'values', segment)
    await rename(path, `${path}.away`)
    await mkdir(path)
    destination.answerWith(status(200))
    const after = await start(destination.url, directory)
    await after.offer(batchOf(3))
    await until(() => destination.taken.flat().includes(3))
    await rmdir(path)
    await rename(`${path}.away`, path)
    await until(() => destination.taken.flat().length === 3)
    expect(after.sheet.queueStatus?.().problem).toBeUndefined()
    await after.drain()
    expect(after.sheet.balance()).toMatchObject({ restored: 2, handed_in: 1, sent: 3, kept: 0, queued: 0, dropped: {} })
  })

  it('is for one process only', async () => {
    const [destination, directory] = [await deadDestination(), await folder()]
    await start(destination.url, directory)
    const second = deliver(exporter(destination.url), { queue: { directory } })
    await expect(second.open()).rejects.toThrow('is used by another process')
    await second.drain()
  })
})
