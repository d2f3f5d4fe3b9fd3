import type { SchedulerLike } from 'rxjs'
import { schedulerOf, sleepBy } from './clock.ts'
import type { Clock, Timer } from './clock.ts'

/** Milliseconds since 1970 at which the time of a test begins: 2026-01-01T00:00:00Z. */
const START = 1_767_225_600_000

/**
 * A clock that stands still until a test moves it. Timers fire in the order of their times, and equal ones in the order
 * in which they were set.
 */
export class VirtualClock implements Clock {
  readonly timeOrigin: number
  readonly scheduler: SchedulerLike
  #now: number
  #monotonic = 0
  /** The next to fire comes last. */
  readonly #timers: VirtualTimer[] = []

  constructor(now = START) {
    this.timeOrigin = this.#now = now
    this.scheduler = schedulerOf(this)
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  setTimeout(act: () => void, milliseconds: number): Timer {
    const timer = new VirtualTimer(act)
    this.#start(timer, milliseconds)
    return timer
  }

  setInterval(act: () => void, milliseconds: number): Timer {
    const timer: VirtualTimer = new VirtualTimer(() => {
      this.#start(timer, milliseconds)
      act()
    })
    this.#start(timer, milliseconds)
    return timer
  }

  clearTimeout(timer: Timer | undefined): void {
    const index = this.#timers.indexOf(timer as VirtualTimer)
    if (index >= 0) this.#timers.splice(index, 1)
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, milliseconds, signal)
  }

  /** Milliseconds until the next timer fires; `undefined` if there is none. */
  get untilNext(): number | undefined {
    const next = this.#timers.at(-1)
    return next && next.due - this.#monotonic
  }

  /** Moves the time on. After each timer that fires, promises that wait for it continue before the time does. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#monotonic + milliseconds
    await settled()
    for (let next = this.#timers.at(-1); next !== undefined && next.due <= end; next = this.#timers.at(-1)) {
      this.#move(next.due)
      this.#timers.pop()
      next.act()
      await settled()
    }
    this.#move(end)
  }

  /** Sets the machine's clock forward or back, which no timer notices. */
  set(now: number): void {
    this.#now = now
  }

  #move(monotonic: number): void {
    this.#now += monotonic - this.#monotonic
    this.#monotonic = monotonic
  }

  /** As in Node, which makes no timer of less than a millisecond. */
  #start(timer: VirtualTimer, milliseconds: number): void {
    timer.due = this.#monotonic + Math.max(1, milliseconds)
    const before = this.#timers.findLastIndex((other) => other.due > timer.due)
    this.#timers.splice(before + 1, 0, timer)
  }
}

class VirtualTimer implements Timer {
  due = 0

  constructor(readonly act: () => void) {}

  unref(): this {
    return this
  }
}

/** Resolves when all promises that can settle without time have settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
