import { setTimeout as sleep } from 'node:timers/promises'

/** A clock that cannot be set back, and how to wait by it. Milliseconds. */
export interface Clock {
  now(): number
  /** @throws when `signal` is aborted */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

const monotonicClock: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
}

/**
 * Ticks at `initialDelay`, `initialDelay + interval`, `initialDelay + 2 * interval` ... after the start, without drift.
 * A tick that is due while the consumer is still busy is skipped, not made up for. Ends when `signal` is aborted.
 * @yields the number of ticks skipped since the last one
 */
export async function* ticks(
  { interval, initialDelay }: { interval: number; initialDelay: number },
  signal: AbortSignal,
  clock: Clock = monotonicClock,
): AsyncGenerator<number, void> {
  const start = clock.now() + initialDelay
  let tick = 0
  let skipped = 0
  while (!signal.aborted) {
    try {
      await clock.sleep(Math.max(0, start + tick * interval - clock.now()), signal)
    } catch {
      return
    }
    yield skipped
    // At least the next one, as a timer may fire a fraction of a millisecond early.
    const next = Math.max(tick + 1, Math.ceil((clock.now() - start) / interval))
    skipped = next - tick - 1
    tick = next
  }
}
