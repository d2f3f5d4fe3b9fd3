import type { Clock } from './clock.ts'
import type { Logger } from './component.ts'

/** How long the same message with the same error stays quiet after it was logged. */
const QUIET_MILLISECONDS = 60_000

/** A logger that writes the same message about the same error at most once a minute, with how often it was left out. */
export function throttled(log: Logger, clock: Clock): Logger {
  const seen = new Map<string, { at: number; suppressed: number }>()
  const write =
    (level: keyof Logger) =>
    (message: string, fields: object = {}): void => {
      const key = `${message} ${'error' in fields ? String(fields.error) : ''}`
      const now = clock.monotonic()
      const last = seen.get(key)
      if (last !== undefined && now - last.at < QUIET_MILLISECONDS) {
        last.suppressed += 1
        return
      }
      if (seen.size >= 1000) seen.clear()
      seen.set(key, { at: now, suppressed: 0 })
      log[level](message, last?.suppressed ? { ...fields, suppressed: last.suppressed } : fields)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** Names of metrics remembered at most. */
const MAX_NAMES = 10_000

/** Makes the function that warns of each metric once. */
export function warnOncePerMetric(log: Pick<Logger, 'warn'>, message: string): (metric: { name: string }) => void {
  const warned = new Set<string>()
  return ({ name }) => {
    if (warned.has(name) || warned.size >= MAX_NAMES) return
    warned.add(name)
    log.warn(message, { metric: name })
  }
}
