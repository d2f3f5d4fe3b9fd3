import { setImmediate } from 'node:timers/promises'

/** Data points that take long enough to work on for others to have a turn before. */
export const LONG = 5_000

let last = Promise.resolve()

/** Resolves in a turn of the event loop that whoever asked before does not use: for work that takes long. */
export function ownTurn(): Promise<void> {
  return (last = last.then(() => setImmediate()))
}
