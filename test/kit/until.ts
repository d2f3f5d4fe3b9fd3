/** Resolves when `condition` holds; the test that waits in vain fails by its timeout. */
export async function until(condition: () => unknown): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}
