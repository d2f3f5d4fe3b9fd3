import type { SchedulerAction } from 'rxjs'
import { schedulerOf, sleepBy } from '../../time/clock.ts'
import type { Clock, Timer } from '../../time/clock.ts'

/** The time as one component is given it. */
export interface ComponentClock extends Clock {
  /** The component starts: what it waits for is its own from now on. */
  begin(): void
  /** Stops all timers of a component that never starts. What waits for one waits for ever, and no other fires. */
  takeBack(): void
}

/** Remembers the timers of a component, which should start none before it has started itself, until then. */
export function componentClock(clock: Clock): ComponentClock {
  let timers: Set<Timer> | undefined = new Set()
  let isOver = false
  const held = (timer: Timer): Timer => {
    if (isOver) clock.clearTimeout(timer)
    else timers?.add(timer)
    return timer
  }
  const early = {
    now: () => clock.now(),
    setTimeout: (act: () => void, milliseconds: number): Timer => {
      const timer = clock.setTimeout(() => {
        timers?.delete(timer)
        act()
      }, milliseconds)
      return held(timer)
    },
    clearTimeout: (timer: Timer | undefined): void => {
      if (timer !== undefined) timers?.delete(timer)
      clock.clearTimeout(timer)
    },
  }
  const earlyScheduler = schedulerOf(early)
  return {
    now: early.now,
    timeOrigin: clock.timeOrigin,
    monotonic: () => clock.monotonic(),
    setTimeout: (act, milliseconds) =>
      timers === undefined ? clock.setTimeout(act, milliseconds) : early.setTimeout(act, milliseconds),
    setInterval: (act, milliseconds) => held(clock.setInterval(act, milliseconds)),
    clearTimeout: early.clearTimeout,
    sleep: (milliseconds, signal) =>
      timers === undefined ? clock.sleep(milliseconds, signal) : sleepBy(early, milliseconds, signal),
    scheduler: {
      now: early.now,
      schedule: <T>(work: (this: SchedulerAction<T>, state?: T) => void, delay?: number, state?: T) =>
        (timers === undefined ? clock.scheduler : earlyScheduler).schedule(work, delay, state),
    },
    begin: () => void (timers = undefined),
    takeBack() {
      isOver = true
      for (const timer of timers ?? []) clock.clearTimeout(timer)
      timers?.clear()
    },
  }
}
