import { pino } from 'pino'
import type { Level } from 'pino'
import type { Logger } from '../component.ts'
import type { ServiceConfig } from './settings.ts'

/**
 * Makes the process's logger: one line a message on `output`, readable or as a JSON object.
 * Every occurrence of a secret is written as `[REDACTED]`, wherever it stands in a line.
 */
export async function createLogger(
  { level, encoding }: ServiceConfig['telemetry']['logs'],
  secrets: readonly string[] = [],
  output: { write(line: string): unknown } = process.stderr,
): Promise<Logger> {
  const redact = redaction(secrets)
  const destination = { write: (line: string) => void output.write(redact(line)) }
  const options = { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelName } }
  if (encoding === 'json') return adapt(pino({ ...options, level }, destination))
  const { default: pinoPretty } = await import('pino-pretty')
  const pretty = pinoPretty.prettyFactory({
    colorize: 'isTTY' in output && output.isTTY === true,
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    ignore: 'component',
    messageFormat: '{if component}{component}: {end}{msg}',
  })
  return adapt(pino({ ...options, level }, { write: (line) => void output.write(redact(pretty(line))) }))
}

function levelName(label: string): object {
  return { level: label }
}

/** Hides secrets as they are and as they stand inside JSON text. */
export function redaction(secrets: readonly string[]): (line: string) => string {
  const forms = new Set(secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]))
  forms.delete('')
  return (line) => [...forms].reduce((text, form) => text.replaceAll(form, '[REDACTED]'), line)
}

interface LoggerWithChildren extends Logger {
  child(bindings: object): LoggerWithChildren
}

function adapt(logger: ReturnType<typeof pino>): LoggerWithChildren {
  const write =
    (level: Level) =>
    (message: string, fields: object = {}) =>
      logger[level](fields, message)
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (bindings) => adapt(logger.child(bindings)),
  }
}

/** A logger whose messages carry the component they come from. */
export function componentLogger(log: Logger, component: string): Logger {
  return 'child' in log ? (log as LoggerWithChildren).child({ component }) : log
}

/** How long the same message with the same error stays quiet after it was logged. */
const QUIET_MILLISECONDS = 60_000

/** A logger that writes the same message about the same error at most once a minute, with how often it was left out. */
export function throttled(log: Logger): Logger {
  const seen = new Map<string, { at: number; suppressed: number }>()
  const write =
    (level: keyof Logger) =>
    (message: string, fields: object = {}): void => {
      const key = `${message} ${'error' in fields ? String(fields.error) : ''}`
      const now = performance.now()
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
