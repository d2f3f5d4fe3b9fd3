import { afterEach } from '@jest/globals'

/** What is run after each test of the file that imports this, the last first. */
export const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup()
})
