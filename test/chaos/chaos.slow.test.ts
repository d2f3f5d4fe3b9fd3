import { fileURLToPath } from 'node:url'
import { expect, it } from '@jest/globals'
import { startProcess } from '../kit/command.ts'

const program = fileURLToPath(new URL('chaos.ts', import.meta.url))

it('loses no acknowledged item of any signal when it is killed, stopped or reloaded under load or refused, and its sheets balance', async () => {
  const chaos = startProcess(process.execPath, ['--import', 'jiti/register', program, '--short'])
  const code = await chaos.ended
  expect(chaos.stderr()).toBe('')
  expect(chaos.stdout()).toMatch(/\| 4 x kill -9 +\|.*\| 0 +\| holds \|/)
  expect(chaos.stdout()).toMatch(/\| 6 x reload under load, every third broken \|.*\| 0 \| holds \|/)
  expect(chaos.stdout()).toMatch(/\| 3 x kill -9, deltas of counters \|.*\| 0 +\| holds \|/)
  expect(chaos.stdout()).toMatch(/\| the intake answers 413 \|.*too_large \d+ \| 0 \| holds \|/)
  expect(code).toBe(0)
}, 120_000)
