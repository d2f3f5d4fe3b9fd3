import { describe, expect, it } from '@jest/globals'
import { Simulation } from './simulation.ts'

describe('the simulation', () => {
  it('keeps every promise with a few seeds', async () => {
    for (let seed = 1; seed <= 3; seed++) await new Simulation(seed).run(20)
  })

  it('shows the same seed as the same course of events, byte for byte, whatever ran before it', async () => {
    const first = await new Simulation(77).run(15)
    await new Simulation(78).run(5)
    expect(await new Simulation(77).run(15)).toEqual(first)
    expect((await new Simulation(78).run(15)).hash).not.toBe(first.hash)
  })
})
