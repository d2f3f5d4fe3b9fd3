import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Samples } from '../../src/datadog/samples.ts'
import { SentSeconds } from '../../src/datadog/sent_seconds.ts'

const NOON = 1_767_268_800

function fresh(): SentSeconds {
  const sent = new SentSeconds()
  sent.forget(0)
  return sent
}

/** Where counts of these seconds after noon are sent, each in a batch of its own. NaN: nowhere. */
function places(sent: SentSeconds, ...seconds: readonly number[]): readonly number[] {
  return seconds.map((second) => {
    const own = NOON + second
    return (sent.takeCount(0, own) ? own : sent.move(0, own, Infinity)) - NOON
  })
}

/** What one batch of counts sends: by second after noon, the sum of the values. */
function settled(sent: SentSeconds, ...counts: readonly (readonly [second: number, value: number])[]) {
  const samples = new Samples()
  for (const [second, value] of counts) samples.put(0, NOON + second, value, 0, 0, 'sum', 0)
  const { joined, lost } = samples.settle(sent)
  samples.remove([...joined.map(([index]) => index), ...lost])
  return new Map(
    Array.from({ length: samples.count }, (_, index) => [samples.timestamps[index] - NOON, samples.values[index]]),
  )
}

describe('the second of a count', () => {
  it('is its own where none was sent, also behind a later one', () => {
    expect(places(fresh(), 0, 10, 5, 11, 9, 1000, 999, 969)).toEqual([0, 10, 5, 11, 9, 1000, 999, 969])
  })

  it('is the next in which none was sent', () => {
    expect(places(fresh(), 10, 10, 10, 13, 13, 11)).toEqual([10, 11, 12, 13, 14, 15])
    expect(places(fresh(), 10, 12, 10, 10)).toEqual([10, 12, 11, 13])
  })

  it('is its own where a single source sends late, and nothing is known of that time any more', () => {
    expect(places(fresh(), 0, 100, 0, 68)).toEqual([0, 100, 0, 68])
  })

  it('is known for more than an hour where several sources feed the series', () => {
    const sent = fresh()
    sent.share(0, true)
    const seconds = Array.from({ length: 3600 }, (_, second) => second).filter((second) => second % 10 !== 5)
    expect(places(sent, ...seconds)).toEqual(seconds)
    expect(places(sent, 0, 0, 3000)).toEqual([5, 15, 3005])
  })

  it('is not taken for free where several sources feed the series, and it is not known what was sent', () => {
    const sent = fresh()
    places(sent, 0, 100)
    sent.share(0, true)
    // From second 69 on it is known.
    expect(places(sent, 0, 50)).toEqual([69, 70])
  })

  it('is at most five minutes ahead of what the series has come to: nothing is sent of what would lie further', () => {
    const sent = fresh()
    const moved = Array.from({ length: 400 }, () => places(sent, 0)[0])
    expect(moved.slice(0, 301)).toEqual(Array.from({ length: 301 }, (_, second) => second))
    expect(moved.slice(301)).toEqual(Array.from({ length: 99 }, () => NaN))
    expect(places(sent, 10)).toEqual([301])
  })

  it('is never one that was used before, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 40 }), (seconds) => {
        const used = places(fresh(), ...seconds)
        expect(new Set(used).size).toBe(used.length)
        used.forEach((second, index) => expect(second).toBeGreaterThanOrEqual(seconds[index]))
      }),
    )
  })

  it('is free again for a series that takes the number of another', () => {
    const sent = fresh()
    places(sent, 10, 10)
    sent.forget(0)
    expect(places(sent, 10)).toEqual([10])
  })
})

describe('counts of a batch', () => {
  it('whose second is taken are added to the next of the batch, so that a series does not run ahead of its time', () => {
    const sent = fresh()
    for (let second = 0; second < 1000; second++) {
      // Each batch has what the one before missed of its last second.
      expect(settled(sent, [second, 3], [second + 1, 7])).toEqual(
        new Map(
          second === 0
            ? [
                [0, 3],
                [1, 7],
              ]
            : [[second + 1, 10]],
        ),
      )
    }
  })

  it('take one further second together, where the batch has none that is free', () => {
    const sent = fresh()
    settled(sent, [10, 1], [11, 1], [12, 1])
    expect(settled(sent, [10, 2], [11, 4], [12, 8])).toEqual(new Map([[13, 14]]))
  })

  it('take a second that is nearer than the next of the batch', () => {
    const sent = fresh()
    settled(sent, [10, 1], [20, 1])
    expect(settled(sent, [10, 2], [15, 4])).toEqual(
      new Map([
        [11, 2],
        [15, 4],
      ]),
    )
  })

  it('that come late are added to what is on time, where no second near theirs is free', () => {
    const sent = fresh()
    sent.share(0, true)
    for (let second = 0; second <= 900; second++) settled(sent, [second, 1])
    expect(settled(sent, [100, 2], [110, 4], [901, 8])).toEqual(new Map([[901, 14]]))
  })

  it('cover together the time of both, in whatever second they meet', () => {
    const sent = fresh()
    sent.share(0, true)
    const samples = new Samples()
    const put = (nanoseconds: number, covered: number): void => {
      const second = NOON + Math.floor(nanoseconds / 1e9)
      samples.put(
        0,
        second,
        1,
        Number(BigInt.asIntN(32, BigInt(NOON) * 10n ** 9n + BigInt(nanoseconds))),
        covered,
        'sum',
        0,
      )
    }
    put(5.2e9, 10e9)
    samples.settle(sent)
    samples.clear()
    put(5.9e9, 10e9)
    put(40.3e9, 1e9)
    for (let second = 6; second < 40; second++) sent.takeCount(0, NOON + second)
    const { joined } = samples.settle(sent)
    expect(joined).toEqual([[0, 1]])
    expect(samples.covered[1]).toBeCloseTo(44.4e9, -3)
  })

  it('lose nothing and overwrite nothing, whatever comes in how many batches', () => {
    const batch = fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 9 })), { maxLength: 12 })
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 40 }), fc.boolean(), (batches, isShared) => {
        const sent = fresh()
        if (isShared) sent.share(0, true)
        const stored = new Map<number, number>()
        for (const counts of batches) {
          for (const [second, value] of settled(sent, ...counts)) {
            if (isShared) expect(stored).not.toHaveProperty(String(second))
            stored.set(second, value)
          }
        }
        const total = batches.flat().reduce((sum, [, value]) => sum + value, 0)
        if (isShared) expect([...stored.values()].reduce((sum, value) => sum + value, 0)).toBe(total)
      }),
    )
  })
})

describe('a batch that comes twice in a row', () => {
  it('takes the same seconds again, and one that comes later takes others', () => {
    const sent = fresh()
    const [first, second] = [{}, {}]
    const take = (batch: object, ...seconds: number[]): readonly number[] => {
      sent.begin(batch)
      return places(sent, ...seconds)
    }
    expect(take(first, 10, 10, 50)).toEqual([10, 11, 50])
    expect(take(first, 10, 10, 50)).toEqual([10, 11, 50])
    expect(take(second, 10, 50, 51, 49)).toEqual([12, 51, 52, 49])
    expect(take(second, 10, 50, 51, 49)).toEqual([12, 51, 52, 49])
    expect(take(first, 50, 49)).toEqual([53, 54])
  })
})

describe('a gauge', () => {
  it('is newer than another within a second, over the end of 32 bits', () => {
    const sent = fresh()
    sent.takeGauge(0, NOON, -10)
    expect(sent.isNewest(0, NOON, -11)).toBe(false)
    expect(sent.isNewest(0, NOON, 10)).toBe(true)
    sent.takeGauge(0, NOON, 2 ** 31 - 5)
    expect(sent.isNewest(0, NOON, -(2 ** 31) + 5)).toBe(true)
    expect(sent.isNewest(0, NOON - 1, 0)).toBe(false)
  })

  it('of several sources is known for more than an hour', () => {
    const sent = fresh()
    for (const second of [0, 10]) sent.takeGauge(0, NOON + second, 0)
    sent.share(0, false)
    for (const second of [20, 3600]) sent.takeGauge(0, NOON + second, 0)
    expect([0, 10, 20, 21, 3600].map((second) => sent.holdsGauge(0, NOON + second))).toEqual([
      false,
      true,
      true,
      false,
      true,
    ])
  })
})
