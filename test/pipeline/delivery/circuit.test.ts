import { describe, expect, it } from '@jest/globals'
import { batchOf, deliver, exporter, startDestination, status } from '../../kit/delivering.ts'
import { until } from '../../kit/until.ts'

/** Waits are as long as they are set, so that attempts can be counted. */
const exact = (interval: number) => ({
  initial_interval: interval,
  max_interval: interval,
  randomization_factor: 0,
  max_elapsed_time: 0,
})

describe('a circuit', () => {
  it('has one request at a time tried while the destination fails, and lets all go on when it answers', async () => {
    const [interval, consumers] = [25, 10]
    const destination = await startDestination()
    let [trying, most, since] = [0, 0, 0]
    destination.answerWith((response) => {
      since ||= performance.now()
      trying += 1
      // The first to wait may be tried before the last of those that were under way has its answer.
      if (destination.attempts() > 2 * consumers) most = Math.max(most, trying)
      setImmediate(() => {
        trying -= 1
        response.writeHead(503).end()
      })
    })
    const delivery = deliver(exporter(destination.url), { retry: exact(interval), queue: { num_consumers: consumers } })
    for (let value = 0; value < 30; value += 1) await delivery.offer(batchOf(value))
    await until(() => destination.attempts() >= 2 * consumers + 5)
    const probes = destination.attempts() - consumers
    expect(most).toBe(1)
    expect(probes).toBeLessThanOrEqual((performance.now() - since) / interval + 1)
    destination.answerWith(status(200))
    await until(() => destination.taken.length === 30)
    expect(destination.attempts()).toBeLessThanOrEqual(consumers + probes + 1 + 30)
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ sent: 30, dropped: {} })
  })

  it('keeps all requests waiting for as long as the destination asked one of them to', async () => {
    const arrived: number[] = []
    const destination = await startDestination(status(429, { 'retry-after': '1' }))
    destination.answerWith((response) => {
      arrived.push(performance.now())
      response.writeHead(200).end()
    })
    const delivery = deliver(exporter(destination.url), { retry: exact(1) })
    const started = performance.now()
    await delivery.offer(batchOf(0))
    await until(() => delivery.sheet.failure !== undefined)
    for (let value = 1; value < 5; value += 1) await delivery.offer(batchOf(value))
    await until(() => arrived.length === 5)
    expect(Math.min(...arrived) - started).toBeGreaterThanOrEqual(1000)
    await delivery.drain()
  })

  it('keeps all requests waiting for as long as is set after a 429 that names no time', async () => {
    const arrived: number[] = []
    const destination = await startDestination(status(429))
    destination.answerWith((response) => {
      arrived.push(performance.now())
      response.writeHead(200).end()
    })
    const delivery = deliver(exporter(destination.url), { retry: { ...exact(1), default_retry_after: 1000 } })
    const started = performance.now()
    await delivery.offer(batchOf(0))
    await until(() => delivery.sheet.failure !== undefined)
    await delivery.offer(batchOf(1))
    await until(() => arrived.length === 2)
    expect(Math.min(...arrived) - started).toBeGreaterThanOrEqual(1000)
    await delivery.drain()
  })

  it.each([
    [503, {}],
    [429, { 'retry-after': '0' }],
  ])('does not wait for as long after a %d with %j', async (code, headers) => {
    const destination = await startDestination(status(code, headers))
    const delivery = deliver(exporter(destination.url), { retry: { ...exact(1), default_retry_after: 3_600_000 } })
    await delivery.offer(batchOf(0))
    await until(() => destination.taken.length === 1)
    await delivery.drain()
  })

  it('lets the others go on when a request fails for what is in it, whatever wait is asked of it', async () => {
    const destination = await startDestination()
    let asked = false
    destination.answerWith((response, values) => {
      if (!values.includes(-1)) return void response.writeHead(200).end()
      asked = destination.taken.length > 0
      response.writeHead(503, asked ? { 'retry-after': '300' } : {}).end()
    })
    const delivery = deliver(exporter(destination.url), { retry: exact(10), queue: { num_consumers: 2 } })
    await delivery.offer(batchOf(-1))
    await until(() => delivery.sheet.failure !== undefined)
    await delivery.offer(batchOf(1))
    await until(() => asked)
    for (let value = 2; value < 20; value += 1) await delivery.offer(batchOf(value))
    await until(() => delivery.sheet.sent === 19)
    await delivery.drain(1)
    expect(delivery.sheet.balance()).toMatchObject({ sent: 19, dropped: { shutdown: 1 } })
  })

  it('is tried at once when the process stops, so that nothing is lost to a long interval', async () => {
    const destination = await startDestination(status(503))
    const delivery = deliver(exporter(destination.url), { retry: exact(60_000), queue: { num_consumers: 3 } })
    await delivery.offer(batchOf(1))
    await until(() => delivery.sheet.failure !== undefined)
    for (const value of [2, 3, 4, 5]) await delivery.offer(batchOf(value))
    await delivery.drain()
    expect(destination.taken.flat().sort()).toEqual([1, 2, 3, 4, 5])
    expect(delivery.sheet.balance()).toMatchObject({ sent: 5, dropped: {} })
  })

  it('gives no request up before its own max_elapsed_time, although it was tried more rarely', async () => {
    const destination = await startDestination()
    destination.answerWith(status(503))
    const delivery = deliver(exporter(destination.url), {
      retry: { ...exact(20), max_elapsed_time: 200 },
      queue: { num_consumers: 5 },
    })
    const started = performance.now()
    for (const value of [1, 2, 3, 4, 5]) await delivery.offer(batchOf(value))
    await until(() => delivery.sheet.balance().dropped.retries_exhausted > 0)
    expect(performance.now() - started).toBeGreaterThanOrEqual(180)
    await delivery.drain()
    expect(delivery.sheet.balance()).toMatchObject({ sent: 0, dropped: { retries_exhausted: 5 } })
    expect(delivery.difference()).toBe(0)
  })
})
