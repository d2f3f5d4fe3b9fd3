import { expect } from '@jest/globals'
import fc from 'fast-check'

const { FUZZ_SECONDS } = process.env

/** How long a property is tried: `runs` times in the suite, or for FUZZ_SECONDS as in `npm run fuzz`, which prints how often that was. */
export function runs<T>(runs: number): fc.Parameters<T> {
  if (FUZZ_SECONDS === undefined) return { numRuns: runs }
  return { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: Number(FUZZ_SECONDS) * 1000, reporter: report }
}

function report<T>(details: fc.RunDetails<T>): void {
  const { currentTestName } = expect.getState()
  process.stderr.write(`${details.numRuns} runs: ${String(currentTestName)}\n`)
  if (details.failed) throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance })
}
