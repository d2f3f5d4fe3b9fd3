import type { Clock, Timer } from './time/clock.ts'
import type { Context } from './component/context.ts'
import type { Logger } from './component/logger.ts'

/** How long the same message is suppressed after it was logged. */
const QUIET_MILLISECONDS = 60_000

/**
 * A logger of one component that writes the same message at most once a minute, with the number of times it was
 * suppressed. Its fields are ignored in the comparison: the texts of errors come from outside, and each may be
 * different.
 */
export function throttled(log: Logger, clock: Clock): Logger {
  const seen = new Map<string, { at: number; suppressed: number }>()
  const write =
    (level: keyof Logger) =>
    (message: string, fields: object = {}): void => {
      const now = clock.monotonic()
      const last = seen.get(message)
      if (last !== undefined && now - last.at < QUIET_MILLISECONDS) {
        last.suppressed += 1
        return
      }
      if (seen.size >= 1000) seen.clear()
      seen.set(message, { at: now, suppressed: 0 })
      log[level](message, last?.suppressed ? { ...fields, suppressed: last.suppressed } : fields)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** The most names of metrics that are remembered, and their characters. */
const MAX_NAMES = 10_000
const MAX_CHARACTERS = 1_000_000

/** Makes a function that warns of each metric once. */
export function warnOncePerMetric(log: Pick<Logger, 'warn'>, message: string): (metric: { name: string }) => void {
  const warned = new Set<string>()
  let characters = 0
  return ({ name }) => {
    if (warned.has(name) || warned.size >= MAX_NAMES || characters + name.length > MAX_CHARACTERS) return
    warned.add(name)
    characters += name.length
    log.warn(message, { metric: name })
  }
}

/** How long everything new has to be remembered before the problem counts as solved. */
const ROOM_MILLISECONDS = 60_000
const NO_ROOM =
  'New series are not remembered: memory has reached `service.max_remembered_size`, or a million series. Points that need a previous point are dropped as `too_many_series`; all others are sent, but may overwrite one another within a second.'

/**
 * Makes a function to call whenever there is no room to remember something new: it logs that once a minute, and reports
 * it as long as it happens.
 */
export function noRoomReport({
  clock,
  log,
  onStop,
  report,
}: Pick<Context, 'clock' | 'log' | 'onStop' | 'report'>): () => void {
  const quiet = throttled(log, clock)
  let timer: Timer | undefined
  onStop(() => clock.clearTimeout(timer))
  return () => {
    quiet.warn(NO_ROOM, { event: 'series_limit' })
    report(NO_ROOM)
    clock.clearTimeout(timer)
    timer = clock.setTimeout(() => report(undefined), ROOM_MILLISECONDS).unref()
  }
}
