import { link, mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { DiskQueue } from '../../../src/pipeline/queue/disk.ts'
import { temporaryFolder } from '../../kit/command.ts'

const START = 1_500_000_000_000_000_000n

/** Counters, as their senders see them. */
class Counters {
  readonly #now = new Map<number, number>()
  readonly #values = new Map<string, number>()
  #time = 0

  /** A batch with the next values of some series. */
  next(increments: ReadonlyMap<number, number>): MetricBatch {
    this.#time += 1
    const points = Array.from(increments, ([series, increment]) => {
      const value = (this.#now.get(series) ?? 1000) + increment
      this.#now.set(series, value)
      this.#values.set(`${series} ${this.#time}`, value)
      const attributes = Attributes.of({ series })
      return new NumberPoint({
        attributes,
        value,
        isInt: true,
        startTimeUnixNano: START,
        timeUnixNano: timeOf(this.#time),
      })
    })
    const metric = { name: 'requests', type: 'sum', temporality: 'cumulative', monotonic: true, points } as const
    return MetricBatch.fromOtlp(MetricBatch.of({ metrics: [metric] }).toOtlp())
  }

  valueAt(series: number, time: number): number | undefined {
    return this.#values.get(`${series} ${time}`)
  }

  /** When the series had values. */
  times(series: number): number[] {
    return [...this.#values.keys()].flatMap((key) => (key.startsWith(`${series} `) ? Number(key.split(' ')[1]) : []))
  }

  get series(): number[] {
    return [...this.#now.keys()]
  }
}

const timeOf = (time: number): bigint => START + BigInt(time) * 1_000_000_000n
const secondOf = (time: bigint): number => Number((time - START) / 1_000_000_000n)

/** Where differences arrive, of which each must be what was counted in its time. */
class Destination {
  /** By series: where the intervals end, by where they begin. */
  readonly #intervals = new Map<number, Map<number, number>>()

  constructor(private readonly counters: Counters) {}

  take(batch: MetricBatch): void {
    for (const { metric } of batch.metrics()) {
      for (const point of metric.points as readonly NumberPoint[]) {
        const series = Number(point.attributes.text('series'))
        const [start, end] = [secondOf(point.startTimeUnixNano), secondOf(point.timeUnixNano)]
        const counted = (this.counters.valueAt(series, end) ?? NaN) - (this.counters.valueAt(series, start) ?? NaN)
        expect({ series, start, end, value: point.value }).toEqual({ series, start, end, value: counted })
        const known = this.#intervals.get(series) ?? new Map<number, number>()
        this.#intervals.set(series, known.set(start, end))
      }
    }
  }

  /** The intervals of a series in order. Fails where one was counted twice. */
  intervals(series: number): [number, number][] {
    const intervals = [...(this.#intervals.get(series) ?? [])].sort(([left], [right]) => left - right)
    intervals.slice(1).forEach(([start], index) => expect(start).toBeGreaterThanOrEqual(intervals[index][1]))
    return intervals
  }

  /** Fails unless everything since the first value was counted, once. */
  expectAll(): void {
    for (const series of this.counters.series) {
      const times = this.counters.times(series)
      expect({ series, intervals: this.intervals(series) }).toEqual({
        series,
        intervals: times.slice(1).map((time, index) => [times[index], time]),
      })
    }
  }
}

/** A process from its start to its end, as far as it concerns the queue. */
class Life {
  readonly messages: string[] = []
  readonly #engine = new CumulativeToDelta({ initialValue: 'drop' })
  readonly #queue: DiskQueue

  constructor(
    directory: string,
    private readonly destination: Destination,
    size: number,
  ) {
    const config = { queue_size: undefined, sizer: 'requests', max_disk_size: size } as const
    const events = { changed: () => {}, restored: () => {}, lost: () => {}, recovered: () => {} }
    const write = (message: string, fields: object = {}): number => this.messages.push(message + JSON.stringify(fields))
    const log = { debug: write, info: write, warn: write, error: write }
    this.#queue = new DiskQueue({ directory, exporter: 'values', config, events, log })
    this.#queue.configure(config, this.#engine.state)
  }

  get problem(): string | undefined {
    return this.#queue.status().problem?.message
  }

  open(): Promise<void> {
    return this.#queue.open()
  }

  async offer(batch: MetricBatch): Promise<void> {
    const prepared = this.#engine.apply(batch, {
      created: () => undefined,
      merged: () => undefined,
      dropped: () => undefined,
    })
    await (prepared.pointCount === 0 ? this.#queue.note() : this.#queue.push(prepared))
  }

  deliver(most = Infinity): void {
    for (let taken, count = 0; count < most && (taken = this.#queue.shift()) !== undefined; count += 1) {
      this.destination.take(taken.batch as MetricBatch)
      taken.done()
    }
  }

  /** Delivers all there is and ends in good order. */
  async end(): Promise<void> {
    while (this.#queue.length > 0) {
      this.deliver()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await this.#queue.close(new AbortController().signal)
  }

  /** Lets go of what it holds, which nobody will see. */
  async abandon(): Promise<void> {
    await this.#queue.close(new AbortController().signal)
  }
}

/** What is in the files of a queue. `kept`: where they stay although the queue deletes them. */
async function contents(folder: string, kept: string): Promise<Map<string, Buffer>> {
  await mkdir(kept, { recursive: true })
  for (const name of await readdir(folder)) {
    if (/\.(log|state)$/.test(name)) await link(join(folder, name), join(kept, name)).catch(() => undefined)
  }
  const names = (await readdir(kept)).sort()
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(kept, name))] as const)))
}

interface Written {
  readonly name: string
  readonly bytes: Buffer
}

/** What was appended to files with an ending, in pieces that begin with a header of 36 bytes. */
function appended(
  before: Map<string, Buffer>,
  after: Map<string, Buffer>,
  ending: string,
  lengthAt: number,
): Written[] {
  const pieces: Written[] = []
  for (const [name, bytes] of after) {
    if (!name.endsWith(ending)) continue
    let at = before.get(name)?.length ?? 0
    while (at < bytes.length) {
      const end = at + 36 + bytes.readUInt32LE(at + lengthAt)
      pieces.push({ name, bytes: bytes.subarray(at, end) })
      at = end
    }
  }
  return pieces
}

const batch = fc.uniqueArray(fc.tuple(fc.nat(5), fc.nat(9)), {
  maxLength: 4,
  minLength: 1,
  selector: ([series]) => series,
})
const life = fc.record({
  /** Each is waited for; what is then in the queue may be delivered. */
  taken: fc.array(fc.record({ increments: batch, delivered: fc.nat(2) }), { maxLength: 6 }),
  /** On their way when the process is killed: the first by itself, the others as a group. */
  underway: fc.array(batch, { minLength: 1, maxLength: 4 }),
  /** How much of what these write is written. */
  share: fc.nat(1000).map((thousandths) => thousandths / 1000),
  size: fc.constantFrom(2 ** 12, 2 ** 20),
})

/** Records of the segment to which an entry belongs. */
function countBefore(before: Map<string, Buffer>, { bytes }: Written): number {
  const sequence = String(bytes.readUInt32LE(12)).padStart(10, '0')
  const [, log] = [...before].find(([name]) => name.startsWith(`${sequence}-`) && name.endsWith('.log')) ?? []
  let records = 0
  for (let at = 0; log !== undefined && at < log.length; at += 36 + log.readUInt32LE(at + 12)) records += 1
  return records
}

/** A folder for each life of a process. */
async function folders(): Promise<(life: string | number) => string> {
  const { path } = await temporaryFolder({})
  return (life) => path(String(life))
}

/** The files of a queue as they are now, in the folder of the next life; `change` damages them. */
async function killed(
  from: string,
  to: string,
  change: (bytes: Buffer, name: string) => Uint8Array = (bytes) => bytes,
): Promise<void> {
  await mkdir(join(to, 'values'), { recursive: true })
  for (const name of await readdir(join(from, 'values'))) {
    if (!/\.(log|state)$/.test(name)) continue
    const bytes = await readFile(join(from, 'values', name)).catch(() => undefined)
    if (bytes !== undefined) await writeFile(join(to, 'values', name), change(bytes, name))
  }
}

const growing = (...series: number[]): Map<number, number> => new Map(series.map((each) => [each, each + 1]))

describe('what an exporter remembers, on disk', () => {
  it('is what belongs to the batches in the queue, wherever the process is killed', async () => {
    const { path } = await temporaryFolder({})
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 5 }), async (lives) => {
        const counters = new Counters()
        const destination = new Destination(counters)
        const folderOf = (number: number): string => path(`${run}/${number}`)
        run += 1
        /** What the client has no answer for. */
        let unanswered: MetricBatch[] = []
        for (const [number, { taken, underway, share, size }] of lives.entries()) {
          const process = new Life(folderOf(number), destination, size)
          await process.open()
          for (const again of unanswered) await process.offer(again)
          for (const { increments, delivered } of taken) {
            await process.offer(counters.next(new Map(increments)))
            process.deliver(delivered)
          }
          const [folder, next] = [number, number + 1].map((each) => join(folderOf(each), 'values'))
          await mkdir(next, { recursive: true })
          const kept = path(`${run}/kept-${number}`)
          const before = await contents(folder, kept)
          unanswered = underway.map((increments) => counters.next(new Map(increments)))
          const told = (await Promise.all(unanswered.map((each) => process.offer(each)))).length
          expect(told).toBe(underway.length)
          const after = await contents(folder, kept)
          const [states, records] = [appended(before, after, '.state', 28), appended(before, after, '.log', 12)]
          await process.abandon()
          // The first batch is a group of its own; its entry says how many records there were with it.
          const recordOfFirst =
            records.length > 0 && states[0].bytes.readUInt32LE(16) > countBefore(before, states[0]) ? 1 : 0
          const order = [
            ...states.slice(0, 1),
            ...records.slice(0, recordOfFirst),
            ...states.slice(1),
            ...records.slice(recordOfFirst),
          ]
          let left = Math.round(share * order.reduce((sum, { bytes }) => sum + bytes.length, 0))
          for (const { name, bytes } of order) {
            before.set(name, Buffer.concat([before.get(name) ?? Buffer.alloc(0), bytes.subarray(0, left)]))
            left = Math.max(0, left - bytes.length)
          }
          for (const [name, bytes] of before) await writeFile(join(next, name), bytes)
        }
        const last = new Life(folderOf(lives.length), destination, 2 ** 20)
        await last.open()
        for (const again of unanswered) await last.offer(again)
        await last.end()
        destination.expectAll()
        expect(last.messages.join('\n')).not.toContain('cannot be kept')
      }),
      { numRuns: 12 },
    )
  })

  it('does not take up what never became a record, even when it is killed while it starts', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const first = new Life(folder(1), destination, 2 ** 20)
    await first.open()
    await first.offer(counters.next(growing(1)))
    await first.offer(counters.next(growing(1)))
    first.deliver()
    const unanswered = counters.next(growing(1))
    await first.offer(unanswered)
    const whole = (bytes: Buffer): Buffer => bytes.subarray(0, 36 + bytes.readUInt32LE(12))
    await killed(folder(1), folder(2), (bytes, name) => (name.endsWith('.log') ? whole(bytes) : bytes))
    await first.abandon()
    // What it had written when it was killed once more: the records are sent and deleted, the entries are cut off.
    const [state] = (await readdir(folder('2/values'))).filter((name) => name.endsWith('.state'))
    await mkdir(folder('3/values'), { recursive: true })
    const cutOff = await open(folder(`2/values/${state}`))
    const second = new Life(folder(2), destination, 2 ** 20)
    await second.open()
    await second.end()
    await writeFile(folder(`3/values/${state}`), await cutOff.readFile().finally(() => cutOff.close()))
    const third = new Life(folder(3), destination, 2 ** 20)
    await third.open()
    await third.offer(unanswered)
    await third.end()
    destination.expectAll()
  })

  it('is given up rather than wrong when its files are damaged', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const first = new Life(folder('first'), destination, 2 ** 13)
    await first.open()
    for (let round = 0; round < 30; round += 1) {
      await first.offer(counters.next(growing(round % 3, 3 + (round % 2))))
      first.deliver()
    }
    const next = counters.next(growing(0, 1, 2, 3, 4))
    await killed(folder('first'), folder('killed'))
    await first.abandon()
    await killed(folder('first'), folder('ended'))
    await killed(folder('ended'), folder('whole'))
    const intact = new Life(folder('whole'), destination, 2 ** 20)
    await intact.open()
    await intact.offer(next)
    await intact.end()
    destination.expectAll()
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(10_000), fc.nat(7), fc.boolean(), fc.boolean(), async (place, bit, cuts, ended) => {
        const damaged = folder(`damaged-${run++}`)
        await killed(folder(ended ? 'ended' : 'killed'), damaged, (bytes, name) => {
          if (!name.endsWith('.state')) return bytes
          const at = Math.floor((place / 10_000) * (bytes.length - 1))
          if (cuts) return bytes.subarray(0, at)
          bytes[at] ^= 1 << bit
          return bytes
        })
        const after = new Life(damaged, destination, 2 ** 20)
        await after.open()
        await after.offer(next)
        await after.end()
        destination.expectAll()
        // Of one that was cut off after a kill nobody knows that there was more.
        if (ended) expect(after.messages.join('\n')).toContain('"event":"state_disk_failed"')
      }),
      { numRuns: 20 },
    )
  })

  it('leaves nothing behind of what it cannot read', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const states = async (): Promise<string[]> =>
      (await readdir(folder('1/values'))).filter((name) => name.endsWith('.state'))
    const life = async (): Promise<string> => {
      const each = new Life(folder(1), destination, 2 ** 20)
      await each.open()
      await each.offer(counters.next(growing(1)))
      await each.end()
      return each.messages.join('\n')
    }
    await life()
    const [whole] = await states()
    await rename(folder(`1/values/${whole}`), folder('1/values/0000000007.state'))
    await writeFile(folder('1/values/0000000003-99.state'), 'no state')
    expect(await life()).toContain('"event":"state_disk_failed"')
    expect(await states()).toHaveLength(1)
    expect(await life()).toBe('')
    // What no queue wrote is not deleted.
    const [aside] = await readdir(folder('1/values/corrupt'))
    expect(await readFile(folder(`1/values/corrupt/${aside}`), 'utf8')).toBe('no state')
    const [[start]] = destination.intervals(1)
    expect(start).toBe(2)
  })

  it('is told from nothing after batches were sent that the disk did not take', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const first = new Life(folder(1), destination, 2 ** 12)
    await first.open()
    await first.offer(counters.next(growing(1, 2, 3)))
    await first.offer(counters.next(growing(1, 2, 3)))
    await rename(folder('1/values'), folder('1/gone'))
    for (let round = 0; round < 20; round += 1) {
      await first.offer(counters.next(growing(1, 2)))
      first.deliver()
    }
    expect(first.problem).toContain('ENOENT')
    await rename(folder('1/gone'), folder('1/values'))
    while (first.problem !== undefined) await new Promise((resolve) => setTimeout(resolve, 10))
    await first.offer(counters.next(growing(1)))
    first.deliver()
    await killed(folder(1), folder(2))
    await first.abandon()
    const second = new Life(folder(2), destination, 2 ** 12)
    await second.open()
    await second.offer(counters.next(growing(1, 2, 3)))
    await second.end()
    destination.expectAll()
  })

  it('keeps its order when a write fails after the disk was known to', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const first = new Life(folder(1), destination, 2 ** 20)
    await first.open()
    for (let round = 0; round < 3; round += 1) await first.offer(counters.next(growing(1)))
    await first.abandon()
    const second = new Life(folder(1), destination, 2 ** 20)
    await second.open()
    await new Promise((resolve) => setTimeout(resolve, 100))
    await rename(folder('1/values'), folder('1/gone'))
    // The acknowledgement fails first, then the batch that is being written; another waits behind that.
    second.deliver(1)
    await Promise.all([second.offer(counters.next(growing(1))), second.offer(counters.next(growing(1)))])
    expect(second.problem).toContain('ENOENT')
    await rename(folder('1/gone'), folder('1/values'))
    while (second.problem !== undefined) await new Promise((resolve) => setTimeout(resolve, 10))
    await killed(folder(1), folder(2))
    second.deliver()
    await second.abandon()
    const third = new Life(folder(2), destination, 2 ** 20)
    await third.open()
    await third.offer(counters.next(growing(1)))
    await third.end()
    destination.expectAll()
  })

  it('takes no more than a few times its size on disk, however often it changes', async () => {
    const folder = await folders()
    const counters = new Counters()
    const destination = new Destination(counters)
    const life = new Life(folder(1), destination, 2 ** 13)
    await life.open()
    const all = growing(...Array(50).keys())
    await life.offer(counters.next(all))
    const states = async (): Promise<number[]> => {
      const names = (await readdir(folder('1/values'))).filter((name) => name.endsWith('.state'))
      return Promise.all(
        names.map(async (name) => (await stat(folder(`1/values/${name}`)).catch(() => undefined))?.size ?? 0),
      )
    }
    const [whole] = await states()
    for (let round = 0; round < 40; round += 1) {
      await life.offer(counters.next(all))
      life.deliver()
    }
    const sizes = await states()
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(4 * whole)
    await life.end()
    expect((await states()).length).toBe(1)
    destination.expectAll()
  })
})
