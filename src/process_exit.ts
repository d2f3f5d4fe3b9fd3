import { fileURLToPath } from 'node:url'

/*
 * `process.exit` in a component would lose all data in flight. So, once the first component is loaded, it ends the
 * process only if this package calls it.
 */

let guarded = false
/** Calls of components under way that may fail. */
let calls = 0
/** Called with failures outside of these calls. */
let fail: ((error: Error) => void) | undefined

/** Makes `process.exit` throw an error unless this package calls it; `report` is given that error first. */
export function forbidExit(report: (error: Error) => void): void {
  fail = report
  guardExit()
}

/** Runs code of a component or a module in which `process.exit` only throws an error. */
export function withoutExit<T>(call: () => T): T {
  guardExit()
  calls += 1
  let isAwaited = false
  try {
    const result = call()
    if (result instanceof Promise) {
      isAwaited = true
      const ended = (): void => void (calls -= 1)
      result.then(ended, ended)
    }
    return result
  } finally {
    if (!isAwaited) calls -= 1
  }
}

function guardExit(): void {
  if (guarded) return
  guarded = true
  const exit = process.exit.bind(process)
  process.exit = (...code) => {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 10
    const error = new Error(`process.exit(${code.join('')}) was called.`)
    Error.stackTraceLimit = stackTraceLimit
    const [here, caller] = placesOf(String(error.stack))
    const isFree = calls === 0 && (fail === undefined || here === undefined)
    if (isFree || isOwn(caller)) return exit(...code)
    if (calls === 0) fail?.(error)
    throw error
  }
}

interface StackPlace {
  readonly file: string
  /** `:line:column` */
  readonly position: string
}

/** The files in a stack, innermost first, without those of Node itself. */
export function placesOf(stack: string): StackPlace[] {
  const lines = stack.matchAll(/^ +at (?:.*\()?((?:file:\/\/|\/|[A-Za-z]:\\).*?)(:\d+:\d+)\)?$/gm)
  return Array.from(lines, ([, file, position]) => ({
    file: file.startsWith('file:') ? fileURLToPath(file.replace(/\?.*/, '')) : file,
    position,
  }))
}

/** The stack of anything thrown; empty if it has none. */
export function stackOf(error: unknown): string {
  try {
    const stack = (error as { stack?: unknown } | null | undefined)?.stack
    return typeof stack === 'string' ? stack : ''
  } catch {
    return ''
  }
}

const folder = fileURLToPath(new URL('.', import.meta.url))

/** Whether a place is in this package. */
export function isOwn(place: StackPlace | undefined): boolean {
  return place?.file.startsWith(folder) === true
}
