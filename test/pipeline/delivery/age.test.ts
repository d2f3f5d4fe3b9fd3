import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { deliver, exporter, startDestination, status } from '../../kit/delivering.ts'
import { until } from '../../kit/until.ts'

const HOUR = 3_600_000

/** Points of these values, each so many milliseconds old. */
function aged(...points: readonly (readonly [value: number, age: number])[]): MetricBatch {
  return MetricBatch.of({
    metrics: [
      {
        name: 'm',
        type: 'gauge',
        points: points.map(
          ([value, age]) => new NumberPoint({ value, timeUnixNano: BigInt(Date.now() - age) * 1_000_000n }),
        ),
      },
    ],
  })
}

const onTheWire = (batch: MetricBatch): MetricBatch => MetricBatch.fromOtlp(batch.toOtlp())

describe('max_age', () => {
  it('drops and counts the points that are older, however they came, and sends the others', async () => {
    const destination = await startDestination()
    const delivery = deliver(exporter(destination.url), { max_age: HOUR, queue: { num_consumers: 1 } })
    await delivery.offer(aged([1, 0], [2, HOUR + 1000], [3, HOUR - 60_000]))
    await delivery.offer(onTheWire(aged([4, 2 * HOUR], [5, 10], [6, HOUR + 1000])))
    await delivery.offer(onTheWire(aged([7, 2 * HOUR], [8, 3 * HOUR])))
    await delivery.offer(onTheWire(aged([9, 0], [10, 0])))
    await delivery.drain()
    expect(destination.taken).toEqual([[1, 3], [5], [9, 10]])
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 10, sent: 5, dropped: { too_old: 5 } })
    expect(delivery.difference()).toBe(0)
    expect(delivery.messages.filter((message) => message.includes('"event":"items_out_of_age"'))).toEqual([
      expect.stringMatching(/older than max_age.*"items":1/),
    ])
  })

  it('drops what became too old while it was tried again and again', async () => {
    const destination = await startDestination()
    destination.answerWith(status(503))
    const delivery = deliver(exporter(destination.url), { max_age: 1000, retry: { max_elapsed_time: 0 } })
    await delivery.offer(aged([1, 0], [2, 50]))
    await delivery.drain()
    expect(destination.attempts()).toBeGreaterThan(1)
    expect(delivery.sheet.balance()).toMatchObject({ handed_in: 2, sent: 0, dropped: { too_old: 2 } })
    expect(delivery.difference()).toBe(0)
  })

  it('does not keep what is younger from being tried', async () => {
    const destination = await startDestination()
    destination.answerWith(status(503))
    const delivery = deliver(exporter(destination.url), { max_age: 1000, retry: { max_elapsed_time: 0 } })
    await delivery.offer(aged([1, 0]))
    await until(() => delivery.sheet.failure !== undefined)
    await delivery.offer(aged([2, -60_000]))
    await until(() => delivery.sheet.balance().dropped.too_old === 1)
    destination.answerWith(status(200))
    await until(() => destination.taken.length === 1)
    await delivery.drain()
    expect(destination.taken).toEqual([[2]])
  })

  it('drops points that lie too far ahead under another reason, and all points pass without a limit', async () => {
    const destination = await startDestination()
    const limited = deliver(exporter(destination.url), { max_ahead: HOUR })
    await limited.offer(onTheWire(aged([1, -2 * HOUR], [2, -HOUR + 60_000], [3, 1000 * HOUR])))
    await limited.drain()
    expect(limited.sheet.balance()).toMatchObject({ sent: 2, dropped: { too_new: 1 } })
    const unlimited = deliver(exporter(destination.url))
    await unlimited.offer(onTheWire(aged([4, -2000 * HOUR], [5, 2000 * HOUR])))
    await unlimited.drain()
    expect(destination.taken).toEqual([
      [2, 3],
      [4, 5],
    ])
  })
})
