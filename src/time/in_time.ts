import type { Clock } from './clock.ts'

/**
 * Waits for `work`, at most this many milliseconds; after that, its result is ignored.
 * @throws an error that says `message`
 */
export function inTime<T>(clock: Clock, work: Promise<T>, milliseconds: number, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => reject(new Error(message)), milliseconds)
    work.then(resolve, reject).finally(() => clock.clearTimeout(timer))
  })
}
