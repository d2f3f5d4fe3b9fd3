/** Milliseconds after which nothing is waited for any more; longer than a test may take. */
const PATIENCE = 60_000

/** Resolves when `condition` holds. */
export async function until(condition: () => unknown): Promise<void> {
  for (const end = performance.now() + PATIENCE; !(await condition());) {
    if (performance.now() > end) throw new Error(`waited in vain for ${String(condition)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
