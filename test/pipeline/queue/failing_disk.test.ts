import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import type { Exporter, StateRecord } from '../../../src/component/exporter.ts'
import { retryable } from '../../../src/errors.ts'
import type { Batch } from '../../../src/otlp/signal.ts'
import { loadConfig } from '../../../src/pipeline/config/config.ts'
import { startPipeline } from '../../../src/pipeline/pipeline.ts'
import { thisMachine } from '../../../src/pipeline/machine.ts'
import type { Machine } from '../../../src/pipeline/machine.ts'
import { DiskQueue } from '../../../src/pipeline/queue/disk.ts'
import { systemDisk } from '../../../src/pipeline/queue/system_disk.ts'
import type { Disk, DiskFile } from '../../../src/pipeline/queue/files.ts'
import { temporaryFolder } from '../../kit/command.ts'
import { until } from '../../kit/until.ts'
import { gaugeRequest } from '../../kit/receiving.ts'
import { batchOf, deliver, valuesOf, valuesRequest } from '../../kit/delivering.ts'
import type { ValuesRequest } from '../../kit/delivering.ts'
import { NEW } from '../../../src/pipeline/queue/segment.ts'
import { Random } from '../../kit/random.ts'
import { SimulatedDisk } from '../../simulation/disk.ts'
import { Life } from '../../simulation/life.ts'

/** A machine with a simulated disk, of which calls may be changed, and a time that stands still. */
function machineOf(disk: SimulatedDisk, change: (disk: Disk) => Partial<Disk> = () => ({})) {
  const life = new Life(1, 0, () => undefined)
  const own = disk.of(life)
  const machine = { ...thisMachine, clock: life.clock, disk: { ...own, ...change(own) } }
  return {
    machine,
    /** Lets a minute pass at most until something has happened. */
    settled: async <T>(promise: Promise<T>): Promise<T> => {
      let over = false
      promise.then(
        () => (over = true),
        () => (over = true),
      )
      for (let seconds = 0; !over && seconds < 60; seconds++) await life.clock.advance(1000)
      if (!over) throw new Error('It has not happened within a minute.')
      return promise
    },
    die: () => (life.over = true),
  }
}

const queue = { directory: '/queue', max_disk_size: 2 ** 20 }

/** An exporter that notes the values of its requests, and sends them as `send` does. */
function exporting(send: (request: ValuesRequest) => Promise<void>) {
  const requests: (readonly number[])[] = []
  const exporter: Exporter<ValuesRequest> = {
    *encode(batch) {
      yield valuesRequest(valuesOf(batch))
    },
    send(request) {
      requests.push(request.values)
      return send(request)
    },
  }
  return { exporter, requests }
}

/** Queues of an exporter that tells a number with each batch, one more each time, in every process of a test. */
function remembering() {
  let told = 0
  let restored: number[] = []
  const state = {
    beginCheckpoint: () => undefined,
    changes: () => ({ bytes: new Uint8Array([++told]), all: true }),
    restore: (checkpoints: readonly (readonly StateRecord[])[]) =>
      void (restored = checkpoints.flat().map(({ bytes }) => bytes[0])),
  }
  const events = { changed() {}, restored() {}, lost() {}, recovered() {} }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const config = { ...queue, queue_size: undefined, sizer: 'requests' } as const
  return {
    start: (machine: Machine): DiskQueue => {
      restored = []
      const queue = new DiskQueue({ directory: '/queue', exporter: 'values', config, events, log, machine })
      queue.configure(config, state)
      return queue
    },
    /** The number that was told last. */
    told: () => told,
    /** What the last process that was started got back. */
    restored: () => restored,
  }
}

const unavailable = async (): Promise<void> => {
  throw retryable('Nobody is there.')
}

const never = new Promise<never>(() => undefined)

describe('a queue whose disk fails', () => {
  it('keeps what was acknowledged when the power is lost just after its folders were made', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const disk = new SimulatedDisk(new Random(seed))
      const before = machineOf(disk)
      const first = deliver(exporting(unavailable).exporter, { queue, machine: before.machine })
      await before.settled(first.open())
      expect(await before.settled(first.offer(batchOf(1, 2, 3)))).toBe('accepted')
      before.die()
      disk.losePower()
      const after = machineOf(disk)
      const second = deliver(exporting(unavailable).exporter, { queue, machine: after.machine })
      await after.settled(second.open())
      expect(second.sheet.restored).toBe(3)
    }
  })

  it('ends the stop when the disk never answers a read', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const before = machineOf(disk)
    const first = deliver(exporting(unavailable).exporter, { queue, machine: before.machine })
    await before.settled(first.open())
    await before.settled(first.offer(batchOf(1, 2, 3)))
    await before.settled(first.drain(0))
    before.die()
    const after = machineOf(disk, (own) => ({
      open: async (path, flags) => ({ ...(await own.open(path, flags)), read: () => never }),
    }))
    const second = deliver(exporting(unavailable).exporter, { queue, machine: after.machine })
    await after.settled(second.open())
    await after.settled(second.drain(0))
    expect(second.sheet.balance()).toMatchObject({ kept: 3, queued: 0, dropped: {} })
  })

  it('counts nothing that it finds once its stop has ended without an answer of the disk', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const before = machineOf(disk)
    const first = deliver(exporting(unavailable).exporter, { queue, machine: before.machine })
    await before.settled(first.open())
    await before.settled(first.offer(batchOf(1, 2, 3)))
    await before.settled(first.drain(0))
    before.die()
    let answer = (): void => undefined
    const answered = new Promise<void>((resolve) => (answer = resolve))
    const after = machineOf(disk, (own) => ({ lock: (folder) => answered.then(() => own.lock(folder)) }))
    const second = deliver(exporting(unavailable).exporter, { queue, machine: after.machine })
    await after.settled(second.open())
    await after.settled(second.drain(0))
    answer()
    await after.settled(after.machine.clock.sleep(10_000))
    expect(second.sheet.balance()).toMatchObject({ restored: 0, kept: 0, queued: 0, dropped: {} })
    // It has let go of the folder.
    const third = deliver(exporting(unavailable).exporter, { queue, machine: after.machine })
    await after.settled(third.open())
    expect(third.sheet.restored).toBe(3)
    await after.settled(third.drain(0))
  })

  it('leaves no data point without its fate in the balance of a stop while the disk does not answer', async () => {
    const folder = await temporaryFolder({})
    let answers = true
    const disk: Disk = {
      ...systemDisk,
      async open(...args) {
        const file = await systemDisk.open(...args)
        const bound = Object.fromEntries(
          (['read', 'writev', 'stat', 'truncate', 'datasync', 'close'] as const).map((name) => [
            name,
            (...given: never[]) => (answers ? (file[name] as (...all: never[]) => unknown)(...given) : never),
          ]),
        )
        return bound as unknown as DiskFile
      },
    }
    const start = async (port: number) => {
      const text = `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters: { otlp_http: { endpoint: "http://127.0.0.1:${port}", sending_queue: { directory: "${folder.path('queue')}" } } }
service: { shutdown_timeout: 200ms, pipelines: { metrics: { receivers: [otlp], exporters: [otlp_http] } } }`
      const config = await loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
      let address = ''
      const lines: string[] = []
      const write = (message: string, fields: { address?: string } = {}): void => {
        lines.push(message)
        address = fields.address ?? address
      }
      const log = { debug: write, info: write, warn: write, error: write }
      const pipeline = startPipeline(config, { log, disk })
      await pipeline.started
      const headers = { 'content-type': 'application/x-protobuf' }
      const send = (values: number[], signal?: AbortSignal) =>
        request(`http://${address}/v1/metrics`, { method: 'POST', headers, body: gaugeRequest(...values), signal })
      return { lines, pipeline, send }
    }
    const { lines, pipeline, send } = await start(1)
    for (const values of [[1], [2, 3]]) expect((await send(values)).statusCode).toBe(200)
    answers = false
    const leave = new AbortController()
    const unanswered = send([4, 5, 6, 7], leave.signal).catch(() => undefined)
    await until(
      () => pipeline.telemetry.exporter('otlp_http').queued + pipeline.telemetry.exporter('otlp_http').inFlight === 7,
    )
    const { exporters } = await pipeline.stop()
    const { handed_in, kept, dropped, queued, in_flight } = exporters.otlp_http
    expect({ handed_in, kept, dropped, queued, in_flight }).toEqual({
      ...{ handed_in: 7, kept: 3, dropped: { shutdown: 4 } },
      ...{ queued: 0, in_flight: 0 },
    })
    expect(lines).toContain('Data points of exporter otlp_http: handed in 7 = sent 0 + dropped(shutdown) 4 + kept 3')
    // The receiver answers nobody whose batch may be on disk.
    leave.abort()
    await unanswered
  })

  it('counts as dropped what the disk takes neither at once nor at the stop', async () => {
    let answer: Promise<never> = Promise.reject(new Error('EIO'))
    answer.catch(() => undefined)
    const disk = new SimulatedDisk(new Random(1))
    const { machine, settled } = machineOf(disk, (own) => ({
      open: (path, flags) => (flags === NEW ? answer : own.open(path, flags)),
    }))
    const delivery = deliver(exporting(() => never).exporter, {
      queue: { ...queue, num_consumers: 1 },
      machine,
    })
    await settled(delivery.open())
    await settled(delivery.offer(batchOf(0)))
    expect(await settled(delivery.offer(batchOf(1, 2, 3)))).toBe('accepted')
    answer = never
    await settled(delivery.drain(0))
    expect(delivery.sheet.balance()).toMatchObject({ kept: 0, queued: 0, dropped: { shutdown: 4 } })
  })

  it('sends at the stop what is in memory only, although what is on disk stays there', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const { machine, settled } = machineOf(disk)
    let send = unavailable
    const { exporter, requests } = exporting(() => send())
    const delivery = deliver(exporter, { queue: { ...queue, num_consumers: 1 }, machine })
    await settled(delivery.open())
    await settled(delivery.offer(batchOf(1)))
    disk.weather = 'read-only'
    await settled(delivery.offer(batchOf(2, 3)))
    const drained = delivery.drain(10_000)
    await machine.clock.advance(2000)
    send = async () => undefined
    await settled(drained)
    expect(requests.at(-1)).toEqual([2, 3])
    expect(delivery.sheet.balance()).toMatchObject({ kept: 1, sent: 2, queued: 0, dropped: {} })
  })

  it('does not join a batch with others that may have arrived as it was', async () => {
    const disk = new SimulatedDisk(new Random(1))
    disk.weather = 'read-only'
    const { machine, settled } = machineOf(disk)
    let send = (): Promise<void> => never
    const { exporter, requests } = exporting(() => send())
    const joining = { queue: { ...queue, join_interval: 1000, num_consumers: 1 }, timeout: 10_000, machine }
    const { open, offer, renew } = deliver(exporter, joining)
    await settled(open())
    await settled(offer(batchOf(1)))
    await machine.clock.advance(1000)
    await settled(offer(batchOf(2)))
    expect(requests).toEqual([[1]])
    send = async () => undefined
    const renewed = renew(exporter, joining)
    await machine.clock.advance(20_000)
    await renewed
    expect(requests).toEqual([[1], [2], [1]])
  })

  it('forgets what an exporter remembered before it sent what the disk knows nothing of, once the disk works again', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const { start, restored } = remembering()
    const before = machineOf(disk)
    const first = start(before.machine)
    await before.settled(first.open())
    await before.settled(Promise.resolve(first.push(batchOf(1))))
    disk.weather = 'read-only'
    await before.settled(Promise.resolve(first.push(batchOf(2))))
    first.shift()
    expect(first.shift()?.stored).toBe(false)
    disk.weather = 'fine'
    await before.machine.clock.advance(5000)
    expect(first.status().problem).toBeUndefined()
    before.die()
    const after = machineOf(disk)
    await after.settled(start(after.machine).open())
    expect(restored()).toEqual([])
  })

  it('gives back the very batch that was handed out before the disk took it, also from behind others that are not read yet', async () => {
    const { machine, settled } = machineOf(new SimulatedDisk(new Random(1)))
    const first = remembering().start(machine)
    await settled(first.open())
    const large = batchOf(...Array.from({ length: 10_000 }, (_, index) => index))
    for (let pushed = 0; pushed < 3; pushed++) await settled(Promise.resolve(first.push(large)))
    const handedOut = batchOf(1)
    await settled(Promise.resolve(first.pushAgain(handedOut)))
    await settled(Promise.resolve(first.push(batchOf(2))))
    const taken: Batch[] = []
    for (let seconds = 0; taken.length < 5 && seconds < 60; seconds++) {
      for (let next = first.shift(); next !== undefined; next = first.shift()) taken.push(next.batch)
      await machine.clock.advance(1000)
    }
    expect(taken.map(({ itemCount }) => itemCount)).toEqual([10_000, 10_000, 10_000, 1, 1])
    expect(taken[3]).toBe(handedOut)
    expect(taken[2]).not.toBe(large)
  })

  it('remembers what it told with its batches, although the file of an attempt before could neither be used nor deleted', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const { start, told, restored } = remembering()
    let fails = false
    const failing = async (): Promise<never> => {
      throw new Error('EIO')
    }
    const during = machineOf(disk, (own) => ({
      syncFolder: (folder) => (fails ? failing() : own.syncFolder(folder)),
      unlink: (path) => (fails ? failing() : own.unlink(path)),
    }))
    const first = start(during.machine)
    await during.settled(first.open())
    fails = true
    await during.settled(Promise.resolve(first.push(batchOf(1))))
    fails = false
    await during.machine.clock.advance(5000)
    await during.settled(Promise.resolve(first.push(batchOf(2))))
    for (let next = first.shift(); next !== undefined; next = first.shift()) next.done()
    await during.settled(first.close(new AbortController().signal))
    during.die()
    const last = told()
    const after = machineOf(disk)
    await after.settled(start(after.machine).open())
    expect(restored().at(-1)).toBe(last)
  })

  it('never takes what an earlier process remembered for newer than what it told itself, whichever listing of the folder fails', async () => {
    for (let failing = 1; failing <= 4; failing++) {
      const disk = new SimulatedDisk(new Random(1))
      const { start, told, restored } = remembering()
      const sending = machineOf(disk)
      const first = start(sending.machine)
      await sending.settled(first.open())
      await sending.settled(Promise.resolve(first.push(batchOf(1))))
      first.shift()?.done()
      await sending.machine.clock.advance(1000)
      sending.die()
      // The next finds that all was sent. It leaves only what it remembers, in the second file.
      const idle = machineOf(disk)
      const second = start(idle.machine)
      await idle.settled(second.open())
      await idle.settled(second.close(new AbortController().signal))
      idle.die()
      let listings = 0
      const during = machineOf(disk, (own) => ({
        readdir: ((...asked: Parameters<Disk['readdir']>) =>
          ++listings === failing ? Promise.reject(new Error('EIO')) : own.readdir(...asked)) as Disk['readdir'],
      }))
      const third = start(during.machine)
      await during.settled(third.open())
      await during.settled(Promise.resolve(third.push(batchOf(2))))
      await during.machine.clock.advance(5000)
      expect(third.status().problem).toBeUndefined()
      third.shift()?.done()
      await during.machine.clock.advance(1000)
      during.die()
      const last = told()
      const after = machineOf(disk)
      await after.settled(start(after.machine).open())
      expect(restored().at(-1)).toBe(last)
    }
  })

  it('deletes what it could neither read nor delete at its start before the disk counts as working again', async () => {
    const disk = new SimulatedDisk(new Random(1))
    const { start, restored } = remembering()
    const before = machineOf(disk)
    const first = start(before.machine)
    await before.settled(first.open())
    await before.settled(Promise.resolve(first.push(batchOf(1))))
    before.die()
    let fails = true
    const failing = async (): Promise<never> => {
      throw new Error('EIO')
    }
    const isState = (path: string): boolean => fails && path.endsWith('.state')
    const during = machineOf(disk, (own) => ({
      readFile: (path) => (isState(path) ? failing() : own.readFile(path)),
      unlink: (path) => (isState(path) ? failing() : own.unlink(path)),
    }))
    const second = start(during.machine)
    await during.settled(second.open())
    fails = false
    disk.weather = 'read-only'
    await during.settled(Promise.resolve(second.push(batchOf(2))))
    while (second.shift() !== undefined);
    disk.weather = 'fine'
    await during.machine.clock.advance(5000)
    expect(second.status().problem).toBeUndefined()
    during.die()
    const after = machineOf(disk)
    await after.settled(start(after.machine).open())
    expect(restored()).toEqual([])
  })

  it('sends all that it could not read for a while, also of segments that have the same number', async () => {
    const disk = new SimulatedDisk(new Random(1))
    // Each process meets a disk on which its segment is there, and its folder cannot be read: the next has the same number.
    for (const value of [1, 2]) {
      const { machine, settled, die } = machineOf(disk, () => ({ readdir: async () => [] }))
      const delivery = deliver(exporting(unavailable).exporter, { queue, machine })
      await settled(delivery.open())
      expect(await settled(delivery.offer(batchOf(value)))).toBe('accepted')
      die()
    }
    let fails = true
    const { machine, settled } = machineOf(disk, (own) => ({
      stat: (path) => (fails ? Promise.reject(new Error('EMFILE')) : own.stat(path)),
    }))
    const { exporter, requests } = exporting(async () => undefined)
    const { open, sheet } = deliver(exporter, { queue, machine })
    await settled(open())
    fails = false
    await machine.clock.advance(10_000)
    expect(requests.flat().sort()).toEqual([1, 2])
    expect(sheet.balance()).toMatchObject({ restored: 2, sent: 2, queued: 0 })
  })
})
