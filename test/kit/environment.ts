import { cleanups } from './cleanups.ts'

/** Sets variables of this process until the test has ended. */
export function environment(variables: Readonly<Record<string, string>>): void {
  const before = { ...process.env }
  cleanups.push(() => void (process.env = before))
  process.env = { ...before, ...variables }
}
