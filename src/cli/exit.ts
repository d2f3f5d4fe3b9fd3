import { formatProblem } from '../errors.ts'
import type { Problem } from '../errors.ts'

/** Exit codes; those above 1 as in BSD's sysexits.h. */
export const ExitCode = {
  ok: 0,
  /** Something was not delivered. */
  failure: 1,
  /** A bad command line. */
  usage: 64,
  /** A fault in this program or in a custom component. */
  software: 70,
  /** A bad configuration. */
  config: 78,
} as const

/** Problems as people read them, one a line, and how many mistakes there are. */
export function problemText(problems: readonly Problem[]): string {
  const lines = problems.map(
    (problem) => `${problem.severity === 'warning' ? 'warning: ' : ''}${formatProblem(problem)}\n`,
  )
  const errors = problems.filter(({ severity }) => severity === 'error').length
  if (errors > 0) lines.push(`\n${errors === 1 ? '1 mistake' : `${errors} mistakes`} in the configuration.\n`)
  return lines.join('')
}
