import { expect, it } from '@jest/globals'
import { Simulation } from './simulation.ts'

it('keeps every promise with hundreds of seeds, in which every fault occurs', async () => {
  const done: Record<string, number> = {}
  for (let seed = 1; seed <= 400; seed++) {
    const outcome = await new Simulation(seed).run(40)
    for (const what of Object.keys(outcome.done)) done[what] = (done[what] ?? 0) + outcome.done[what]
  }
  expect(Object.keys(done).sort()).toEqual([
    ...['clock set', 'crash: kill', 'crash: power'],
    ...['disk: fine', 'disk: flaky', 'disk: full', 'disk: read-only', 'disk: slow', 'disk: stuck'],
    ...['mood: refusing', 'mood: small', 'mood: taking', 'mood: throttling', 'mood: unauthorized', 'mood: unavailable'],
    ...['network: down', 'network: fine', 'network: flaky', 'network: silent', 'network: slow'],
    ...['reload', 'reload: a signal comes', 'reload: a signal goes', 'reload: broken', 'restart'],
  ])
}, 300_000)
