import { BEFORE, TimeWindow } from '../../otlp/common/time_window.ts'
import type { Batch } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import type { DeliveryConfig } from '../config/settings.ts'

type Limits = Pick<DeliveryConfig, 'max_age' | 'max_ahead'>

/** The log message for items that are left out, by the reason they are counted under. */
const OUT_OF_AGE = {
  too_old: 'are older than max_age; they are dropped and counted.',
  too_new: 'are further in the future than max_ahead allows; they are dropped and counted.',
}

/** The log line for `items`, such as `Data points`, that are left out under `reason`. */
export function outOfAge(items: string, reason: keyof typeof OUT_OF_AGE): string {
  return `${items} ${OUT_OF_AGE[reason]}`
}

const MILLISECOND = 1_000_000n

/** The times that are sent now; `undefined` if all are. */
function windowOf({ max_age: maxAge, max_ahead: maxAhead }: Limits, now: number): TimeWindow | undefined {
  if (maxAge === 0 && maxAhead === 0) return undefined
  const from = maxAge === 0 ? 0n : BigInt(Math.max(0, now - Math.ceil(maxAge))) * MILLISECOND
  const to = maxAhead === 0 ? 2n ** 64n - 1n : BigInt(now + Math.ceil(maxAhead)) * MILLISECOND
  return new TimeWindow(from, to)
}

/** The batch without the items that are older or further ahead than the destination would keep; these are reported to `dropped`. */
export function withinAge(
  batch: Batch,
  limits: Limits,
  now: number,
  dropped: (reason: keyof typeof OUT_OF_AGE, items: number) => void,
): Batch {
  const window = windowOf(limits, now)
  if (window === undefined) return batch
  return signals[batch.signal].within(batch, window, (place, items) => {
    dropped(place === BEFORE ? 'too_old' : 'too_new', items)
  })
}

/** Whether no item of the batch is recent enough any more. */
export function isTooOld(batch: Batch, { max_age }: Limits, now: number): boolean {
  const window = windowOf({ max_age, max_ahead: 0 }, now)
  return window !== undefined && signals[batch.signal].isBefore(batch, window)
}
