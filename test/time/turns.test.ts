import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { systemClock } from '../../src/time/clock.ts'
import { InTurns, limited } from '../../src/time/turns.ts'
import type { Divided } from '../../src/time/turns.ts'

afterEach(() => void jest.restoreAllMocks())

/** Makes the clock move on by that many milliseconds whenever it is looked at. */
function hurry(milliseconds: number): void {
  let now = 0
  jest.spyOn(systemClock, 'monotonic').mockImplementation(() => (now += milliseconds))
}

function* steps(count: number, end: () => void): Divided<number> {
  try {
    for (let step = 0; step < count; step++) yield
    return count
  } finally {
    end()
  }
}

const MESSAGE = 'the work on one batch must end: its generator has yielded for 60 s and not returned'

describe('work in turns', () => {
  it.each([
    ['left to its turns', () => undefined],
    ['finished at once', (work: InTurns<number>) => work.finish()],
  ])('fails where it never ends, and is cleaned up: %s', async (_title, then) => {
    hurry(10)
    const end = jest.fn()
    const work = new InTurns(limited(steps(Infinity, end)))
    then(work)
    await expect(work.result).rejects.toThrow(MESSAGE)
    expect(end).toHaveBeenCalledTimes(1)
  })

  it('is left where it catches everything and goes on', async () => {
    hurry(10)
    function* stubborn(): Divided<number> {
      for (;;) {
        try {
          yield
        } finally {
          // eslint-disable-next-line no-unsafe-finally -- As a mistake in a loop does.
          continue
        }
      }
    }
    await expect(new InTurns(limited(stubborn())).result).rejects.toThrow(MESSAGE)
  })

  it('may take as long as it wants between its turns', async () => {
    hurry(10)
    const work = new InTurns(limited(steps(4000, () => undefined)))
    await expect(work.result).resolves.toBe(4000)
  })
})
