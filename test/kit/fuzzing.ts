const { FUZZ_SECONDS } = process.env

/** How long a property is tried: `runs` times in the suite, or for FUZZ_SECONDS as in `npm run fuzz`. */
export function runs(runs: number): { numRuns: number; interruptAfterTimeLimit?: number } {
  if (FUZZ_SECONDS === undefined) return { numRuns: runs }
  return { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: Number(FUZZ_SECONDS) * 1000 }
}
