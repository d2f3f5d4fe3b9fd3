import { formatProblem } from '../errors.ts'
import type { Problem } from '../errors.ts'

/** Exit codes; those above 1 as in BSD's sysexits.h. */
export const ExitCode = {
  ok: 0,
  /** Some data was not delivered. */
  failure: 1,
  /** A bad command line. */
  usage: 64,
  /** A fault in this program or in a custom component. */
  software: 70,
  /** A bad configuration. */
  config: 78,
} as const

/** Milliseconds that the end of the process waits for the file system and for name resolution. */
const GRACE = 500

/**
 * Ends the process. `process.exit` waits for the threads in which Node.js uses the file system and resolves names; if
 * one of them hangs, as on a dead mount, the process kills itself instead. Process 1 cannot, and aborts.
 */
export async function end(code = process.exitCode): Promise<never> {
  if (threadsWork()) {
    const { systemClock } = await import('../time/clock.ts')
    for (const late = systemClock.monotonic() + GRACE; threadsWork(); await systemClock.sleep(10)) {
      if (systemClock.monotonic() < late) continue
      process.kill(process.pid, 'SIGKILL')
      process.abort()
    }
  }
  return process.exit(code)
}

function threadsWork(): boolean {
  return process.getActiveResourcesInfo().some((name) => /^(FSReq|FileHandleCloseReq|GetAddrInfoReq)/.test(name))
}

/** Problems for people, one a line, and the number of mistakes. */
export function problemText(problems: readonly Problem[]): string {
  const lines = problems.map(
    (problem) => `${problem.severity === 'warning' ? 'warning: ' : ''}${formatProblem(problem)}\n`,
  )
  const errors = problems.filter(({ severity }) => severity === 'error').length
  if (errors > 0) lines.push(`\n${errors === 1 ? '1 mistake' : `${errors} mistakes`} in the configuration.\n`)
  return lines.join('')
}
