import { parseArgs } from 'node:util'
import { Simulation } from './simulation.ts'

/*
 * Simulates the pipeline under faults that a seed decides: `npm run simulate -- [--seed N] [--seeds K] [--steps S]`. Ends with 1 at the
 * first seed that breaks a promise, with the end of its trace; the same seed and steps show it again.
 */

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '40' },
  },
})
const [first, seeds, steps] = (['seed', 'seeds', 'steps'] as const).map((name) => {
  const number = Number(options[name])
  if (Number.isSafeInteger(number) && number >= 0) return number
  throw new Error(`--${name} must be a whole number, not "${options[name]}"`)
})

const done: Record<string, number> = {}
const begin = performance.now()
for (let seed = first; seed < first + seeds; seed++) {
  try {
    const outcome = await new Simulation(seed).run(steps)
    for (const [what, times] of Object.entries(outcome.done)) done[what] = (done[what] ?? 0) + times
    if (seeds === 1) console.log(`seed ${seed}: trace ${outcome.hash}`)
    else if ((seed - first + 1) % 1000 === 0)
      console.error(`${seed - first + 1} seeds, up to ${seed}, without a failure`)
  } catch (error) {
    console.error((error as Error).message)
    process.exit(1)
  }
}
const seconds = (performance.now() - begin) / 1000
console.log(`${seeds} seeds of ${steps} steps kept every promise, in ${seconds.toFixed(1)} s.`)
for (const what of Object.keys(done).sort()) console.log(`  ${what}: ${done[what]}`)
