import type { Clock } from './clock.ts'

/**
 * Ticks at `initialDelay`, `initialDelay + interval`, `initialDelay + 2 * interval` ... after the start, without drift.
 * A tick that is due while the consumer is still busy is skipped, not made up for. Ends when `signal` is aborted.
 * @yields the number of ticks skipped since the last one
 */
export async function* ticks(
  { interval, initialDelay }: { interval: number; initialDelay: number },
  signal: AbortSignal,
  clock: Pick<Clock, 'monotonic' | 'sleep'>,
): AsyncGenerator<number, void> {
  const start = clock.monotonic() + initialDelay
  let tick = 0
  let skipped = 0
  while (!signal.aborted) {
    try {
      await clock.sleep(Math.max(0, start + tick * interval - clock.monotonic()), signal)
    } catch {
      return
    }
    yield skipped
    // At least the next one, because a timer may fire a fraction of a millisecond early.
    const next = Math.max(tick + 1, Math.ceil((clock.monotonic() - start) / interval))
    skipped = next - tick - 1
    tick = next
  }
}
