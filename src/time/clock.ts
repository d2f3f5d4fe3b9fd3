import { setTimeout as sleep } from 'node:timers/promises'
import { asyncScheduler, Subscription } from 'rxjs'
import type { SchedulerAction, SchedulerLike } from 'rxjs'

/**
 * Time, as all code here reads it and waits for it, so that a test can move it. Times and durations are in milliseconds.
 */
export interface Clock {
  /** Since 1970. It changes when the machine's clock is set, also backwards. */
  now(): number
  /** When the process began, since 1970; never changes. */
  readonly timeOrigin: number
  /** Since an arbitrary moment. It is never set, so it measures durations. */
  monotonic(): number
  setTimeout(act: () => void, milliseconds: number): Timer
  setInterval(act: () => void, milliseconds: number): Timer
  /** Stops a timer of either kind. */
  clearTimeout(timer: Timer | undefined): void
  /** @throws the reason of `signal` if that aborts */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
  /** For RxJS operators that wait, such as `debounceTime`. */
  readonly scheduler: SchedulerLike
}

export interface Timer {
  /** Lets the process end although the timer is still running. */
  unref(): this
}

/** The clock of the machine. The only place that may use it (`eslint.config.js`). */
export const systemClock: Clock = {
  now: () => Date.now(),
  timeOrigin: performance.timeOrigin,
  monotonic: () => performance.now(),
  setTimeout: (act, milliseconds) => setTimeout(act, milliseconds),
  setInterval: (act, milliseconds) => setInterval(act, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
  scheduler: asyncScheduler,
}

/** A signal that aborts after this many milliseconds. It does not keep the process from ending. */
export function deadline(clock: Clock, milliseconds: number): AbortSignal {
  const controller = new AbortController()
  clock.setTimeout(() => controller.abort(new DOMException('The time is up.', 'TimeoutError')), milliseconds).unref()
  return controller.signal
}

/** `Clock.sleep` with the timers of a clock. */
export function sleepBy(
  clock: Pick<Clock, 'setTimeout' | 'clearTimeout'>,
  milliseconds: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const stop = (): void => {
      clock.clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** `Clock.scheduler` with the timers of a clock; RxJS's own schedulers use those of the machine. */
export function schedulerOf(clock: Pick<Clock, 'now' | 'setTimeout' | 'clearTimeout'>): SchedulerLike {
  return {
    now: () => clock.now(),
    schedule<T>(work: (this: SchedulerAction<T>, state?: T) => void, delay = 0, first?: T): Subscription {
      let timer: Timer | undefined
      const action = new Subscription(() => clock.clearTimeout(timer)) as SchedulerAction<T>
      action.schedule = (state, delay = 0) => {
        clock.clearTimeout(timer)
        if (!action.closed) timer = clock.setTimeout(() => work.call(action, state), delay)
        return action
      }
      return action.schedule(first, delay)
    },
  }
}
