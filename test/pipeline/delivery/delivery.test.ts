import type { ServerResponse } from 'node:http'
import { describe, expect, it } from '@jest/globals'
import type { Exporter } from '../../../src/component/exporter.ts'
import type { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import type { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import type { Answer, ValuesRequest } from '../../kit/delivering.ts'
import { batchOf, deliver, exporter, startDestination, status, valuesOf, valuesRequest } from '../../kit/delivering.ts'
import { temporaryFolder } from '../../kit/command.ts'
import { gone } from '../../kit/garbage.ts'
import { until } from '../../kit/until.ts'

/** Puts a number behind each value and goes on counting where the one before stopped. */
function numbering(url: string): Exporter<ValuesRequest> {
  let seen = 0
  return {
    ...exporter(url),
    prepare: (batch) => batchOf(...valuesOf(batch).map((value) => value * 10 + ++seen)),
    state: {
      beginCheckpoint: () => undefined,
      changes: () => ({ bytes: Buffer.from([seen]), all: true }),
      restore: ([told]) => (seen = told[0].bytes[0]),
    },
  }
}

describe('delivery', () => {
  it('sends what it took and counts it', async () => {
    const destination = await startDestination()
    const delivery = deliver(exporter(destination.url))
    await expect(delivery.offer(batchOf(1, 2))).resolves.toBe('accepted')
    await delivery.drain()
    expect(destination.taken).toEqual([[1, 2]])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 2, sent: 2, queued: 0, in_flight: 0, dropped: {} })
  })

  /** Prepares and encodes large batches for a while each, in turns; notes what it is at. */
  function patient(url: string, events: string[]): Exporter<ValuesRequest> {
    function* work(what: string, { pointCount }: MetricBatch): Generator<void, void> {
      events.push(`begin to ${what} ${pointCount}`)
      const until = performance.now() + 100
      while (performance.now() < until) yield
      events.push(`end to ${what} ${pointCount}`)
    }
    return {
      ...exporter(url),
      prepare(batch) {
        events.push(`prepare ${batch.pointCount}`)
        return batch
      },
      *prepareInTurns(batch) {
        yield* work('prepare', batch)
        return batch
      },
      *encode(batch) {
        events.push(`encode ${batch.pointCount}`)
        yield valuesRequest(valuesOf(batch))
      },
      *encodeInTurns(batch) {
        yield* work('encode', batch)
        return [valuesRequest(valuesOf(batch))]
      },
      state: {
        beginCheckpoint: () => undefined,
        changes() {
          events.push('state')
          return { bytes: Uint8Array.of(1), all: true }
        },
        restore: () => undefined,
      },
    }
  }
  const large = (size: number) => batchOf(...Array.from({ length: size }, (_, index) => index))
  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it('prepares and encodes large batches in turns, and what comes behind them after them', async () => {
    const destination = await startDestination()
    const events: string[] = []
    const delivery = deliver(patient(destination.url, events))
    const offers = [large(6000), batchOf(1), large(7000)].map((batch) => delivery.offer(batch))
    for (let turns = 0; !events.includes('end to encode 6000'); turns++) {
      events.push('turn')
      expect(delivery.difference()).toBe(0)
      await turn()
    }
    expect(await Promise.all(offers)).toEqual(['accepted', 'accepted', 'accepted'])
    await delivery.drain()
    const of = (what: string): string[] => events.filter((event) => event.includes(what))
    expect(of('turn').length).toBeGreaterThan(2)
    expect(of('prepare')).toEqual([
      ...['begin to prepare 6000', 'end to prepare 6000', 'prepare 1', 'begin to prepare 7000', 'end to prepare 7000'],
    ])
    expect(of('encode')).toEqual([
      ...['begin to encode 6000', 'end to encode 6000', 'encode 1', 'begin to encode 7000', 'end to encode 7000'],
    ])
    expect(destination.taken.map(({ length }) => length).sort()).toEqual([1, 6000, 7000])
    expect(delivery.difference()).toBe(0)
  })

  it('refuses what has no room behind a large batch once that is prepared', async () => {
    const destination = await startDestination(...Array.from({ length: 9 }, () => status(503)))
    const delivery = deliver(patient(destination.url, []), { queue: { queue_size: 1, num_consumers: 1 } })
    await delivery.offer(batchOf(0))
    const offers = [large(6000), batchOf(1)].map((batch) => delivery.offer(batch))
    expect(delivery.sheet.enqueueFailed).toBe(0)
    expect(await Promise.all(offers)).toEqual(['accepted', 'refused'])
    await delivery.drain()
    expect(destination.taken.map(({ length }) => length)).toEqual([1, 6000])
    expect(delivery.difference()).toBe(0)
  })

  it('takes at a stop what came while a large batch was prepared', async () => {
    const destination = await startDestination()
    const events: string[] = []
    const delivery = deliver(patient(destination.url, events))
    const offers = [large(6000), large(7000), batchOf(1)].map((batch) => delivery.offer(batch))
    await until(() => events.length > 0)
    await delivery.drain()
    expect(await Promise.all(offers)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(destination.taken.map(({ length }) => length).sort()).toEqual([1, 6000, 7000])
    expect(delivery.difference()).toBe(0)
  })

  it.each(['prepare', 'encode'])(
    'ends in turns to %s a large batch before a reload passes on what was remembered',
    async (what) => {
      const [destination, next] = [await startDestination(), await startDestination()]
      const events: string[] = []
      const delivery = deliver(patient(destination.url, events))
      const offers = [large(6000), batchOf(1)].map((batch) => delivery.offer(batch))
      await until(() => events.includes(`begin to ${what} 6000`))
      events.length = 0
      let isOver = false
      const renewed = delivery.renew(patient(next.url, events)).finally(() => (isOver = true))
      offers.push(delivery.offer(batchOf(1, 2)))
      for (let step = 0; step < 20; step++) await Promise.resolve()
      // Nothing more was done in this turn.
      expect(events).toEqual([])
      while (!isOver) {
        expect(delivery.difference()).toBe(0)
        await turn()
      }
      await renewed
      expect(await Promise.all(offers)).toEqual(['accepted', 'accepted', 'accepted'])
      await delivery.drain()
      const order = [`end to ${what} 6000`, 'state', 'prepare 2']
      expect(events.filter((event) => order.includes(event)).slice(0, 3)).toEqual(order)
      expect([...destination.taken, ...next.taken].map(({ length }) => length).sort()).toEqual([1, 2, 6000])
      expect(delivery.difference()).toBe(0)
    },
  )

  it('lets a reload come before the large batches that wait behind one', async () => {
    const [destination, next] = [await startDestination(), await startDestination()]
    const [before, after]: string[][] = [[], []]
    const delivery = deliver(patient(destination.url, before))
    const offers = [large(6000), large(7000)].map((batch) => delivery.offer(batch))
    await until(() => before.length > 0)
    await delivery.renew(patient(next.url, after))
    expect(await Promise.all(offers)).toEqual(['accepted', 'accepted'])
    await delivery.drain()
    expect(before).not.toContain('begin to prepare 7000')
    expect(after).toContain('end to prepare 7000')
    expect([...destination.taken, ...next.taken].map(({ length }) => length).sort()).toEqual([6000, 7000])
    expect(delivery.difference()).toBe(0)
  })

  it('does not encode with the exporter before what a reload has given to the next one', async () => {
    const [destination, next] = [await startDestination(), await startDestination()]
    const [before, after]: string[][] = [[], []]
    const delivery = deliver(patient(destination.url, before))
    for (const size of [6000, 7000]) await delivery.offer(large(size))
    await until(() => before.includes('begin to encode 6000'))
    await delivery.renew(patient(next.url, after))
    await delivery.drain()
    expect(before).not.toContain('begin to encode 7000')
    expect([...destination.taken, ...next.taken].map(({ length }) => length).sort()).toEqual([6000, 7000])
    expect(delivery.difference()).toBe(0)
  })

  it('does at once, for a stop that has no time left, what a reload waits for', async () => {
    const [destination, next] = [await startDestination(), await startDestination()]
    const events: string[] = []
    const delivery = deliver(patient(destination.url, events))
    const offers = [large(6000), batchOf(1)].map((batch) => delivery.offer(batch))
    await until(() => events.includes('begin to prepare 6000'))
    const renewed = delivery.renew(patient(next.url, events))
    await delivery.drain(0)
    await renewed
    expect(await Promise.all(offers)).toEqual(['accepted', 'accepted'])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 6001, queued: 0, in_flight: 0 })
    expect(delivery.difference()).toBe(0)
  })

  it.each(['prepare', 'encode'])(
    'tells a folder nothing of what is remembered while it begins to %s a large batch',
    async (what) => {
      const destination = await startDestination()
      const events: string[] = []
      const { path } = await temporaryFolder({})
      const delivery = deliver(patient(destination.url, events), { queue: { directory: path('queue') } })
      await delivery.open()
      await delivery.offer(large(6000))
      await Promise.all([large(7000), batchOf(1)].map((batch) => delivery.offer(batch)))
      await until(() => destination.taken.length === 3)
      await delivery.drain()
      const all = events.join()
      expect(all).toContain(`begin to ${what} 7000`)
      expect(all).toContain('state')
      for (const size of [6000, 7000]) {
        const [begin, end] = [events.indexOf(`begin to ${what} ${size}`), events.indexOf(`end to ${what} ${size}`)]
        expect(events.slice(begin, end)).not.toContain('state')
      }
      expect(delivery.difference()).toBe(0)
    },
  )

  it('leaves a large batch that is prepared to the delivery that takes its place, before what came meanwhile', async () => {
    const [destination, next] = [await startDestination(), await startDestination()]
    const [before, after]: string[][] = [[], []]
    const delivery = deliver(patient(destination.url, before))
    const offers = [large(6000), batchOf(1)].map((batch) => delivery.offer(batch))
    await until(() => before.includes('begin to prepare 6000'))
    const bequeathed = delivery.bequeath(patient(next.url, after))
    await turn()
    offers.push(delivery.offer(batchOf(1, 2)))
    const heir = await bequeathed
    expect(await Promise.all(offers)).toEqual(['accepted', 'accepted', 'accepted'])
    await Promise.all([delivery.drain(), heir.drain()])
    expect(before.at(-1)).toBe('state')
    expect(after.filter((event) => event.startsWith('prepare'))).toEqual(['prepare 1', 'prepare 2'])
    expect(destination.taken).toEqual([])
    expect(next.taken.map(({ length }) => length).sort()).toEqual([1, 2, 6000])
    expect(delivery.difference()).toBe(0)
  })

  it('keeps nothing of a request that was delivered', async () => {
    const destination = await startDestination()
    const requests: WeakRef<ValuesRequest>[] = []
    const inner = exporter(destination.url)
    const delivery = deliver({
      ...inner,
      *encode(batch, account) {
        for (const request of inner.encode(batch, account)) {
          requests.push(new WeakRef(request))
          yield request
        }
      },
    })
    await delivery.offer(batchOf(1))
    await until(() => delivery.sheet.sent === 1)
    expect(requests).toHaveLength(1)
    await gone(requests)
  })

  it('sends a request again until it is taken, after broken connections too', async () => {
    const destination = await startDestination(
      status(503),
      (response) => response.destroy(),
      status(429, { 'retry-after': '0' }),
    )
    const delivery = deliver(exporter(destination.url))
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(destination.taken).toEqual([[1]])
    expect(destination.attempts()).toBe(4)
    expect(delivery.sheet.balance()).toMatchObject({ sent: 1, dropped: {} })
    expect(delivery.messages.at(-1)).toContain('"event":"destination_recovered"')
  })

  it('waits as long as the destination asks for, instead of its own interval', async () => {
    const destination = await startDestination(status(429, { 'retry-after': '1' }))
    const delivery = deliver(exporter(destination.url), { retry: { max_elapsed_time: 900 } })
    await delivery.offer(batchOf(1))
    await delivery.drain()
    // A wait of one second does not fit into max_elapsed_time, while its own interval of milliseconds would.
    expect(delivery.sheet.balance()).toMatchObject({ sent: 0, dropped: { retries_exhausted: 1 } })
    expect(destination.attempts()).toBe(1)
  })

  it('gives up after max_elapsed_time and says so', async () => {
    const destination = await startDestination(...Array.from({ length: 1000 }, () => status(503)))
    const delivery = deliver(exporter(destination.url), { retry: { max_elapsed_time: 500 } })
    await delivery.offer(batchOf(1, 2, 3))
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, dropped: { retries_exhausted: 3 } })
    expect(destination.attempts()).toBeGreaterThan(1)
    expect(delivery.difference()).toBe(0)
  })

  it('never sends again what is refused for good, or when retrying is off', async () => {
    const destination = await startDestination(status(400), status(503))
    const delivery = deliver(exporter(destination.url), { retry: { enabled: false }, queue: { num_consumers: 1 } })
    await delivery.offer(batchOf(1))
    await delivery.offer(batchOf(2, 3))
    await delivery.offer(batchOf(4))
    await delivery.drain()
    expect(destination.taken).toEqual([[4]])
    expect(delivery.sheet.balance()).toMatchObject({ sent: 1, dropped: { bad_request: 1, http_503: 2 } })
  })

  it('counts the rejected part of a request and does not send it again', async () => {
    const destination = await startDestination(status(206, { 'x-rejected': '2' }))
    const delivery = deliver(exporter(destination.url))
    await delivery.offer(batchOf(1, 2, 3))
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ sent: 1, rejected: 2 })
    expect(destination.attempts()).toBe(1)
  })

  it('divides what is too large and drops only what cannot be divided', async () => {
    const atMostTwo: Answer = (response, values) =>
      response.writeHead(values.length > 2 || values.includes(13) ? 413 : 200).end()
    const destination = await startDestination(...Array.from({ length: 20 }, () => atMostTwo))
    const delivery = deliver(exporter(destination.url))
    await delivery.offer(batchOf(1, 2, 3, 13, 5, 6, 7))
    await delivery.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 2, 3, 5, 6, 7])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 7, sent: 6, dropped: { too_large: 1 } })
  })

  it('takes an attempt that gets no answer within its timeout for failed', async () => {
    const destination = await startDestination(() => undefined)
    const delivery = deliver(exporter(destination.url), { timeout: 50 })
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(destination.taken).toEqual([[1]])
    expect(delivery.messages[0]).toContain('No answer within 50 ms')
  })

  it('leaves an exporter behind that ignores its signal', async () => {
    const delivery = deliver(
      { ...exporter('http://unused'), send: () => new Promise(() => undefined) },
      { timeout: 20, retry: { enabled: false } },
    )
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(delivery.sheet.balance().dropped).toEqual({ timeout: 1 })
  })

  it('refuses what a full queue cannot take, and counts it where it cannot be refused', async () => {
    const destination = await startDestination((response) => void response)
    const delivery = deliver(exporter(destination.url), { queue: { num_consumers: 1, queue_size: 1 } })
    await expect(delivery.offer(batchOf(1))).resolves.toBe('accepted') // in flight, never answered
    await expect(delivery.offer(batchOf(2))).resolves.toBe('accepted') // waits
    await expect(delivery.offer(batchOf(3))).resolves.toBe('refused')
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 2, queued: 1, in_flight: 1, dropped: {} })
    await expect(delivery.offer(batchOf(4, 5), false)).resolves.toBe('accepted')
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 4, dropped: { queue_full: 2 } })
    expect(delivery.difference()).toBe(0)
    await delivery.drain(10)
    expect(delivery.sheet.balance()).toMatchObject({ queued: 0, in_flight: 0, dropped: { queue_full: 2, shutdown: 2 } })
    expect(delivery.difference()).toBe(0)
  })

  it('drops the oldest to make room when told to', async () => {
    const held: ServerResponse[] = []
    const destination = await startDestination((response) => held.push(response))
    const delivery = deliver(exporter(destination.url), {
      queue: { num_consumers: 1, queue_size: 3, sizer: 'items', on_full: 'drop_oldest' },
    })
    await delivery.offer(batchOf(0))
    await delivery.offer(batchOf(1))
    await delivery.offer(batchOf(2, 3))
    await delivery.offer(batchOf(4))
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
    held[0].writeHead(200).end()
    await delivery.drain()
    expect(destination.taken).toEqual([[0], [2, 3], [4]])
    expect(delivery.sheet.balance()).toMatchObject({ sent: 4, dropped: { queue_full: 1 } })
  })

  it('lets go of what waits for room, and then of the oldest that waits in memory, when memory is short', async () => {
    const destination = await startDestination()
    destination.answerWith(status(503))
    const queue = { num_consumers: 1, queue_size: 2, block_on_overflow: true }
    const delivery = deliver(exporter(destination.url), { queue })
    for (const value of [1, 2, 3]) await delivery.offer(batchOf(value))
    const waiting = delivery.offer(batchOf(4))
    const [shedder] = delivery.shedders
    expect(shedder?.held).toEqual({ batches: 3, oldest: 0 })
    shedder?.shed()
    await expect(waiting).resolves.toBe('refused')
    shedder?.shed()
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, queued: 1, dropped: { memory_limit: 1 } })
    destination.answerWith(status(200))
    await delivery.drain()
    expect(destination.taken).toEqual([[1], [3]])
    expect(delivery.difference()).toBe(0)
    expect(delivery.shedders.size).toBe(0)
  })

  it('accepts a batch only when it has been sent where there is no queue', async () => {
    const held: ServerResponse[] = []
    const destination = await startDestination((response) => held.push(response))
    const delivery = deliver(exporter(destination.url), { queue: { enabled: false, num_consumers: 1 } })
    let accepted = false
    const first = delivery.offer(batchOf(1)).then(() => (accepted = true))
    await expect(delivery.offer(batchOf(2))).resolves.toBe('refused')
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(accepted).toBe(false)
    held[0].writeHead(200).end()
    await first
    expect(destination.taken).toEqual([[1]])
    await delivery.drain()
  })

  it('joins small batches and splits large ones', async () => {
    const destination = await startDestination()
    const delivery = deliver(exporter(destination.url), {
      queue: { num_consumers: 1, batch: { flush_timeout: 60_000, min_size: 4, max_size: 5 } },
    })
    await delivery.offer(batchOf(1, 2))
    expect(delivery.sheet.balance()).toMatchObject({ queued: 2, in_flight: 0 })
    await delivery.offer(batchOf(3, 4, 5, 6, 7, 8))
    await delivery.offer(batchOf(9))
    await delivery.drain()
    expect(destination.taken).toEqual([[1, 2, 3, 4, 5], [6, 7, 8], [9]])
    expect(delivery.difference()).toBe(0)
  })

  it('does not let a small batch wait longer than flush_timeout', async () => {
    const destination = await startDestination()
    const delivery = deliver(exporter(destination.url), {
      queue: { batch: { flush_timeout: 10, min_size: 100, max_size: 0 } },
    })
    await delivery.offer(batchOf(1))
    while (destination.taken.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    expect(destination.taken).toEqual([[1]])
    await delivery.drain()
  })

  describe('with a join interval', () => {
    it('sends the first batch after a pause at once, and joins those that follow within the interval', async () => {
      const destination = await startDestination()
      const delivery = deliver(exporter(destination.url), { queue: { join_interval: 50 } })
      for (const value of [1, 2, 3]) await delivery.offer(batchOf(value))
      expect(delivery.sheet.balance()).toMatchObject({ queued: 2, in_flight: 1 })
      await until(() => destination.taken.length === 2)
      await new Promise((resolve) => setTimeout(resolve, 60))
      await delivery.offer(batchOf(4))
      expect(delivery.sheet.balance()).toMatchObject({ queued: 0, in_flight: 1 })
      await delivery.offer(batchOf(5))
      await delivery.drain()
      expect(destination.taken).toEqual([[1], [2, 3], [4], [5]])
      expect(delivery.difference()).toBe(0)
    })

    it('does not wait when the queue is full, when there is none, or at the end', async () => {
      const destination = await startDestination()
      const hour = { join_interval: 3_600_000 }
      const full = deliver(exporter(destination.url), { queue: { ...hour, queue_size: 2 } })
      for (const value of [1, 2, 3, 4]) await expect(full.offer(batchOf(value))).resolves.toBe('accepted')
      await full.drain()
      expect(destination.taken).toEqual([[1], [2, 3], [4]])
      const without = deliver(exporter(destination.url), { queue: { ...hour, enabled: false } })
      for (const value of [5, 6]) await without.offer(batchOf(value))
      expect(destination.taken.slice(3)).toEqual([[5], [6]])
      await without.drain()
    })

    it('sends no more often where sending_queue.batch would, and divides what was encoded as one by its max_size', async () => {
      const destination = await startDestination()
      const batch = { flush_timeout: 1, min_size: 1, max_size: 2 }
      const encoded: number[][] = []
      const inner = exporter(destination.url)
      const delivery = deliver(
        {
          ...inner,
          encode(batch, account) {
            encoded.push(valuesOf(batch))
            return inner.encode(batch, account)
          },
        },
        { queue: { join_interval: 3_600_000, batch } },
      )
      for (const value of [1, 2, 3, 4, 5, 6]) await delivery.offer(batchOf(value))
      await new Promise((resolve) => setTimeout(resolve, 10))
      expect(delivery.sheet.balance()).toMatchObject({ queued: 5 })
      await delivery.drain()
      expect(encoded).toEqual([[1], [2, 3, 4, 5, 6]])
      expect(destination.taken).toEqual([[1], [2, 3], [4], [5, 6]])
      expect(delivery.difference()).toBe(0)
    })

    it('sends at once what has waited longer than the interval, and a hundred thousand data points', async () => {
      const held: ServerResponse[] = []
      const destination = await startDestination(
        ...[1, 2].map(() => (response: ServerResponse) => void held.push(response)),
      )
      const delivery = deliver(exporter(destination.url), { queue: { join_interval: 30, num_consumers: 1 } })
      for (const value of [1, 2, 3]) await delivery.offer(batchOf(value))
      await new Promise((resolve) => setTimeout(resolve, 40))
      for (const response of held) response.writeHead(200).end()
      await until(() => held.length === 2)
      expect(delivery.sheet.balance()).toMatchObject({ queued: 0, in_flight: 2 })
      held[1].writeHead(200).end()
      await delivery.drain()
      expect(destination.taken).toEqual([[1], [2, 3]])

      const many = Array.from({ length: 50_000 }, (_, index) => index)
      const large = deliver(exporter(destination.url), { queue: { join_interval: 3_600_000 } })
      for (const values of [[1], many, many, many]) await large.offer(batchOf(...values))
      expect(large.sheet.balance()).toMatchObject({ queued: 50_000 })
      await large.drain()
    })

    it('keeps on disk what was joined and not sent, batch by batch', async () => {
      const [destination, folder] = [await startDestination(), await temporaryFolder({})]
      destination.answerWith(status(503))
      const queue = { directory: folder.path(''), join_interval: 20 }
      const before = deliver(exporter(destination.url), { queue })
      await before.open()
      for (const value of [1, 2, 3]) await before.offer(batchOf(value))
      await until(() => before.sheet.inFlight === 3)
      await before.drain()
      expect(before.sheet.balance()).toMatchObject({ sent: 0, kept: 3, dropped: {} })
      destination.answerWith(status(200))
      const after = deliver(exporter(destination.url), { queue })
      await after.open()
      await until(() => after.sheet.sent === 3)
      await after.drain()
      expect(destination.taken).toEqual([[1, 2, 3]])
      expect([before.difference(), after.difference()]).toEqual([0, 0])
    })
  })

  it('counts what an exporter says it left out, and as a fault what it keeps silent about', async () => {
    const destination = await startDestination()
    const delivery = deliver({
      ...exporter(destination.url),
      prepare(batch, account) {
        account.dropped('not_a_number', 1)
        return batch.filterPoints((point) => (point as NumberPoint).value !== 1 && (point as NumberPoint).value !== 2)
      },
    })
    await delivery.offer(batchOf(1, 2, 3))
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ sent: 1, dropped: { not_a_number: 1, unaccounted: 1 } })
    expect(delivery.sheet.faults).toBe(1)
    expect(delivery.difference()).toBe(0)
  })

  it.each(['prepare', 'encode'] as const)('survives an exporter whose %s throws', async (method) => {
    const destination = await startDestination()
    let failures = 0
    const delivery = deliver({
      ...exporter(destination.url),
      [method](batch: MetricBatch) {
        if (failures++ === 0) throw new Error('a bug')
        return method === 'prepare' ? batch : [valuesRequest(valuesOf(batch))]
      },
    })
    await delivery.offer(batchOf(1, 2))
    await delivery.offer(batchOf(3))
    await delivery.drain()
    expect(destination.taken).toEqual([[3]])
    expect(delivery.sheet.balance().dropped).toEqual({ exporter_error: 2 })
  })

  it('drops and counts a request whose failure cannot be looked at', async () => {
    const fail = (): never => {
      throw new Error('q')
    }
    const thrown = new Proxy({}, { get: fail, has: fail, getPrototypeOf: fail }) as Error
    const delivery = deliver({ encode: () => [valuesRequest([1])], send: () => Promise.reject(thrown) })
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ sent: 0, dropped: { exporter_error: 1 } })
    expect(delivery.difference()).toBe(0)
  })

  it.each<[string, Partial<Exporter<ValuesRequest>>, object]>([
    [
      'requests of more data points than it was given',
      { encode: (batch) => [{ ...valuesRequest([1]), items: batch.pointCount + 5 }] },
      { created: 0, sent: 0, dropped: { exporter_error: 2 } },
    ],
    [
      'requests that are too many only together',
      { encode: () => [valuesRequest([1]), valuesRequest([1, 2])] },
      { created: 0, sent: 1, dropped: { exporter_error: 1 } },
    ],
    [
      'more that it has spoken of',
      {
        encode(_batch, account) {
          account.created(5)
          return [valuesRequest([1, 2, 3, 4, 5, 6, 7])]
        },
      },
      { created: 5, sent: 7, dropped: {} },
    ],
    [
      'more dropped than it was given',
      {
        encode(_batch, account) {
          account.dropped('odd', 7)
          return []
        },
      },
      { created: 5, sent: 0, dropped: { odd: 7 } },
    ],
  ])('never counts below zero where an exporter of a user’s own hands over %s', async (_what, own, balance) => {
    const { url } = await startDestination()
    const delivery = deliver({ ...exporter(url), ...own }, { custom: true })
    await delivery.offer(batchOf(1, 2))
    await delivery.drain()
    const { created, sent, dropped } = delivery.sheet.balance()
    expect({ created, sent, dropped }).toEqual(balance)
    expect(delivery.difference()).toBe(0)
  })

  it('understands the kinds of errors thrown by an exporter that imports nothing', async () => {
    let attempts = 0
    const delivery = deliver({
      ...exporter('http://unused'),
      async send() {
        attempts += 1
        if (attempts === 1) throw Object.assign(new Error('busy'), { kind: 'retryable', after: 1 })
        throw Object.assign(new Error('no'), { kind: 'permanent', reason: 'not_mine' })
      },
    })
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(delivery.sheet.balance().dropped).toEqual({ not_mine: 1 })
  })

  it('drops and counts what is not through when the shutdown timeout ends', async () => {
    const destination = await startDestination(...Array.from({ length: 1000 }, () => status(503)))
    const delivery = deliver(exporter(destination.url), {
      retry: { initial_interval: 60_000, max_interval: 60_000, max_elapsed_time: 0 },
      queue: { num_consumers: 1 },
    })
    await delivery.offer(batchOf(1))
    await delivery.offer(batchOf(2, 3))
    await delivery.drain(30)
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, queued: 0, in_flight: 0, dropped: { shutdown: 3 } })
  })

  it('has another exporter encode and send what the one before could not deliver, and counts it once', async () => {
    const [old, next] = [await startDestination(), await startDestination()]
    old.answerWith(status(503))
    const withoutTheFirst = (url: string): Exporter<ValuesRequest> => ({
      ...exporter(url),
      *encode(batch, account) {
        account.dropped('first', 1)
        yield valuesRequest(valuesOf(batch).slice(1))
      },
    })
    const hour = { initial_interval: 3_600_000, max_elapsed_time: 0 }
    const delivery = deliver(withoutTheFirst(old.url), { retry: hour, queue: { num_consumers: 1 } })
    await delivery.offer(batchOf(1, 2, 3))
    await delivery.offer(batchOf(4, 5))
    await until(() => old.attempts() === 1)
    expect(delivery.difference()).toBe(0)
    await delivery.renew(withoutTheFirst(next.url), { queue: { num_consumers: 1 } })
    expect(delivery.difference()).toBe(0)
    await delivery.drain()
    expect(next.taken).toEqual([[2, 3], [5]])
    expect(old.attempts()).toBe(1)
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 5, sent: 3, dropped: { first: 2 }, queued: 0 })
  })

  it('sends the same requests again where other settings find the exporter as it was, for their answer may have been lost', async () => {
    const attempts: number[][] = []
    const destination = await startDestination()
    destination.answerWith((_response, values) => attempts.push(values))
    let encoded = 0
    const numbered: Exporter<ValuesRequest> = {
      ...exporter(destination.url),
      *encode(batch, account) {
        encoded += 1
        account.dropped('first', 1)
        for (const value of valuesOf(batch).slice(1)) yield valuesRequest([value * 10 + encoded])
      },
    }
    const delivery = deliver(numbered, { timeout: 50 })
    await delivery.offer(batchOf(1, 2, 3))
    await until(() => attempts.length === 1)
    destination.answerWith(status(200))
    await delivery.renew(numbered, { timeout: 5000 })
    expect(delivery.difference()).toBe(0)
    await delivery.drain()
    expect([attempts, destination.taken]).toEqual([[[21]], [[21], [31]]])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 3, sent: 2, dropped: { first: 1 }, in_flight: 0 })
  })

  it('gives another exporter what the one before it remembers', async () => {
    const destination = await startDestination()
    const delivery = deliver(numbering(destination.url))
    await delivery.offer(batchOf(1, 1))
    await delivery.renew(numbering(destination.url))
    await delivery.offer(batchOf(1))
    await delivery.drain()
    expect(destination.taken).toEqual([[11, 12], [13]])
  })

  it('leaves what waits for room, and what still comes to it, to the one that takes its place', async () => {
    const [old, next, folder] = [await startDestination(), await startDestination(), await temporaryFolder({})]
    let answer = (): void => undefined
    old.answerWith((response) => (answer = () => status(200)(response, [])))
    const queue = { num_consumers: 1, queue_size: 1, block_on_overflow: true }
    const delivery = deliver(numbering(old.url), { queue })
    const offered = [1, 2, 3].map((value) => delivery.offer(batchOf(value)))
    await until(() => old.attempts() === 1)
    const heir = await delivery.bequeath(numbering(next.url), { queue: { ...queue, directory: folder.path('') } })
    answer()
    await until(() => next.taken.length === 2)
    offered.push(delivery.offer(batchOf(4)), heir.offer(batchOf(5)))
    await until(() => next.taken.length === 4)
    await delivery.drain()
    await heir.drain()
    expect([old.taken, next.taken]).toEqual([[[11]], [[22], [33], [44], [55]]])
    await expect(Promise.all(offered)).resolves.toEqual(Array.from({ length: 5 }, () => 'accepted'))
    expect(delivery.difference()).toBe(0)
  })

  it('leaves the rest of a batch that was delivered in part to the exporter that began with it', async () => {
    const [old, next] = [await startDestination(status(200), status(503)), await startDestination()]
    const oneByOne = (url: string): Exporter<ValuesRequest> => ({
      ...exporter(url),
      encode: (batch) => valuesOf(batch).map((value) => valuesRequest([value])),
    })
    const delivery = deliver(oneByOne(old.url), { retry: { initial_interval: 3_600_000, max_elapsed_time: 0 } })
    await delivery.offer(batchOf(1, 2))
    await until(() => old.attempts() === 2)
    await delivery.renew(oneByOne(next.url))
    expect(old.taken).toEqual([[1], [2]])
    await delivery.offer(batchOf(3))
    await delivery.drain()
    expect(next.taken).toEqual([[3]])
    expect(delivery.difference()).toBe(0)
  })
})
