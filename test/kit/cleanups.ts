/** What is run after each test, the last first; outside of Jest, as in `test/chaos`, nothing runs it. */
export const cleanups: (() => unknown)[] = []

const { afterEach } = globalThis as { afterEach?: (hook: () => Promise<void>) => void }
afterEach?.(async () => {
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup()
})
