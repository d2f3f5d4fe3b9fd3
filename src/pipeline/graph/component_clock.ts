import type { SchedulerAction } from 'rxjs'
import { schedulerOf, sleepBy } from '../../time/clock.ts'
import type { Clock, Timer } from '../../time/clock.ts'

/** The clock that one component is given. */
interface ComponentClock extends Clock {
  /** The component starts: from now on, its waits are its own. */
  begin(): void
  /** Stops all timers of a component that never starts. A promise that waits for one never settles, and no other timer fires. */
  takeBack(): void
}

/** Remembers the timers of a component until it has started; it should start none before that. */
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
