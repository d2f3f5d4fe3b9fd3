/*
 * Imports nothing, so that it takes the signals before anything else is loaded. The kernel drops signals that process
 * 1, as in a container, has no listener for.
 */

/** The signals that end a process, and their numbers; a process ended by one exits with 128 plus that number. */
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export type Signal = keyof typeof NUMBERS

/** The signals that came before there was a handler. */
const early: Signal[] = []
let handler = (signal: Signal): void => void early.push(signal)

for (const signal of Object.keys(NUMBERS) as Signal[]) process.on(signal, () => handler(signal))

/** Whether a signal to stop has come before there was a handler. */
export function hasStopped(): boolean {
  return early.some((signal) => signal !== 'SIGHUP')
}

/** Calls `handle` with each signal from now on, and with those that have already come. */
export function onSignal(handle: (signal: Signal) => void): void {
  handler = handle
  for (const signal of early.splice(0)) handle(signal)
}

/** The exit code of a process that a signal ends. */
export function exitCodeOf(signal: Signal): number {
  return 128 + NUMBERS[signal]
}
