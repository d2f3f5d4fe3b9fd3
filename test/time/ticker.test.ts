import { describe, expect, it } from '@jest/globals'
import type { Clock } from '../../src/time/clock.ts'
import { ticks } from '../../src/time/ticker.ts'

/** A clock that stands still but while it is slept by, and may wake the sleeper late. */
class SimulatedClock implements Pick<Clock, 'monotonic' | 'sleep'> {
  time = 5000
  lateness = 0

  monotonic(): number {
    return this.time
  }

  async sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.time += milliseconds + (milliseconds > 0 ? this.lateness : 0)
  }
}

function start(interval: number, initialDelay: number) {
  const clock = new SimulatedClock()
  const controller = new AbortController()
  const ticker = ticks({ interval, initialDelay }, controller.signal, clock)
  const next = async () => ({ skipped: (await ticker.next()).value, at: clock.time - 5000 })
  return { clock, controller, ticker, next }
}

describe('the ticker', () => {
  it('ticks after the initial delay and then once per interval', async () => {
    const { next } = start(100, 30)
    expect(await next()).toEqual({ skipped: 0, at: 30 })
    expect(await next()).toEqual({ skipped: 0, at: 130 })
    expect(await next()).toEqual({ skipped: 0, at: 230 })
  })

  it('does not drift when each timer fires late and each scrape takes its time', async () => {
    const { clock, next } = start(100, 0)
    clock.lateness = 3
    await next()
    for (let tick = 1; tick <= 1000; tick++) {
      clock.time += 40
      expect(await next()).toEqual({ skipped: 0, at: tick * 100 + 3 })
    }
  })

  it('skips the ticks that pass during a scrape, counts them, and keeps to its times', async () => {
    const { clock, next } = start(100, 0)
    await next()
    clock.time += 250
    expect(await next()).toEqual({ skipped: 2, at: 300 })
    expect(await next()).toEqual({ skipped: 0, at: 400 })
  })

  it('does not tick twice when a timer fires early', async () => {
    const { clock, next } = start(100, 0)
    await next()
    clock.lateness = -0.5
    expect(await next()).toEqual({ skipped: 0, at: 99.5 })
    clock.lateness = 0
    expect(await next()).toEqual({ skipped: 0, at: 200 })
  })

  it('ends when it is aborted, and never starts when it was aborted before', async () => {
    const { controller, ticker, next } = start(100, 0)
    await next()
    controller.abort()
    expect((await ticker.next()).done).toBe(true)
    const aborted = ticks({ interval: 100, initialDelay: 0 }, AbortSignal.abort(), new SimulatedClock())
    expect((await aborted.next()).done).toBe(true)
  })
})
