import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { SentSeconds } from '../../../src/exporters/datadog_native/sent_seconds.ts'

const NOON = 1_767_268_800

function fresh(): SentSeconds {
  const sent = new SentSeconds()
  sent.forget(0)
  return sent
}

/** Where counts of these seconds after noon are sent, one after the other. */
function places(sent: SentSeconds, ...seconds: readonly number[]): readonly number[] {
  return seconds.map((second) => sent.takeCount(0, NOON + second) - NOON)
}

describe('the second of a count', () => {
  it('is its own where none was sent, also behind a later one', () => {
    expect(places(fresh(), 0, 10, 5, 11, 9, 1000, 999, 969)).toEqual([0, 10, 5, 11, 9, 1000, 999, 969])
  })

  it('is the next in which none was sent', () => {
    expect(places(fresh(), 10, 10, 10, 13, 13, 11)).toEqual([10, 11, 12, 13, 14, 15])
    expect(places(fresh(), 10, 12, 10, 10)).toEqual([10, 12, 11, 13])
  })

  it('is its own where nothing is known: before the window, unless that is full', () => {
    expect(places(fresh(), 0, 100, 0, 68, 69)).toEqual([0, 100, 0, 68, 69])
    const full = Array.from({ length: 32 }, (_, second) => second)
    expect(places(fresh(), ...full, -1, 0)).toEqual([...full, 32, 33])
  })

  it('is never more than five minutes ahead of its own', () => {
    const sent = fresh()
    const moved = Array.from({ length: 1000 }, () => places(sent, 0)[0])
    expect(Math.max(...moved)).toBe(300)
    expect(new Set(moved.slice(0, 301)).size).toBe(301)
  })

  it('is never one that was used within the last 32 seconds', () => {
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
    places(sent, 10)
    sent.forget(0)
    expect(places(sent, 10)).toEqual([10])
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
    expect(take(second, 10, 50, 51, 49)).toEqual([10, 51, 52, 49])
    expect(take(second, 10, 50, 51, 49)).toEqual([10, 51, 52, 49])
    expect(take(first, 50, 49)).toEqual([53, 54])
  })
})

describe('the time of a gauge', () => {
  it('tells the later within a second, over the end of 32 bits', () => {
    const sent = fresh()
    sent.takeGauge(0, NOON, -10)
    expect(sent.holdsLater(0, NOON, -11)).toBe(true)
    expect(sent.holdsLater(0, NOON, 10)).toBe(false)
    sent.takeGauge(0, NOON, 2 ** 31 - 5)
    expect(sent.holdsLater(0, NOON, -(2 ** 31) + 5)).toBe(false)
    expect(sent.holdsLater(0, NOON - 1, 0)).toBe(false)
  })
})
