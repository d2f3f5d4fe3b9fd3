/*
 * Imports nothing: it takes the signals before anything else is loaded. The kernel drops those that process 1, as in a
 * container, has no listener for.
 */

/** The signals that end a process, and their numbers; a process that one ends exits with 128 and that number. */
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export type Signal = keyof typeof NUMBERS

/** Those that came before anybody wanted them. */
const early: Signal[] = []
let handler = (signal: Signal): void => void early.push(signal)

for (const signal of Object.keys(NUMBERS) as Signal[]) process.on(signal, () => handler(signal))

/** Whether one to stop has come that nobody wanted yet. */
export function hasStopped(): boolean {
  return early.some((signal) => signal !== 'SIGHUP')
}

/** Calls `handle` with each signal from now on, and with those that have come already. */
export function onSignal(handle: (signal: Signal) => void): void {
  handler = handle
  for (const signal of early.splice(0)) handle(signal)
}

/** What a process exits with that a signal ends. */
export function exitCodeOf(signal: Signal): number {
  return 128 + NUMBERS[signal]
}
