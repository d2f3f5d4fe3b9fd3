import { pino } from 'pino'
import type { Logger } from '../component/logger.ts'
import { hidingSecrets } from '../text/secrets.ts'
import { visibleJson } from '../text/terminal.ts'
import type { ServiceConfig } from './config/settings.ts'

type LogSettings = ServiceConfig['telemetry']['logs']

/** The logger of a process, and of all its components. */
export interface ProcessLogger extends Logger {
  /** Writes all later lines in another way. */
  configure(settings: LogSettings): void
}

/** The levels, the least severe first. */
const LEVELS: readonly LogSettings['level'][] = ['debug', 'info', 'warn', 'error']

/** The way in which lines are written now. */
interface Writing {
  least: number
  format: (line: string) => string
}

/**
 * Makes the process's logger: one line for each message on `output`, readable or as a JSON object. Every occurrence of
 * a secret, also of one that is added later, is written as `[REDACTED]`, wherever and however it is written in a line.
 */
export function createLogger(
  settings: LogSettings,
  secrets: Iterable<string> = [],
  output: { write(line: string): unknown } = process.stderr,
): ProcessLogger {
  const redact = hidingSecrets(secrets)
  const writing: Writing = { least: 0, format: redact }
  const configure = ({ level, encoding }: LogSettings): void => {
    const format = encoding === 'json' ? visibleJson : consoleFormat(output)
    writing.least = LEVELS.indexOf(level)
    writing.format = (line) => format(redact(line))
  }
  configure(settings)
  const options = { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelName } }
  const destination = { write: (line: string) => void output.write(writing.format(line)) }
  return { ...adapt(pino({ ...options, level: LEVELS[0] }, destination), writing), configure }
}

/** The parts of a line before the fields of a message. */
const OWN = new Set(['level', 'time', 'component', 'msg'])
const COLORS: Readonly<Record<string, number>> = { DEBUG: 34, INFO: 32, WARN: 33, ERROR: 31 }

/** A line of JSON in readable form: `[12:34:56] WARN: component: message {"field":1}`, the level in colour on a terminal. */
function consoleFormat(output: object): (line: string) => string {
  const hasColors = 'isTTY' in output && output.isTTY === true
  return (line) => {
    const json = visibleJson(line)
    const { level, time, component, msg } = JSON.parse(literal(json)) as Record<string, string>
    const fields = Object.entries(JSON.parse(json) as object).filter(([key]) => !OWN.has(key))
    const name = level.toUpperCase()
    const label = hasColors ? `\x1b[${COLORS[name]}m${name}\x1b[39m` : name
    const from = component === undefined ? '' : `${component}: `
    const rest = fields.length === 0 ? '' : ` ${visibleJson(JSON.stringify(Object.fromEntries(fields)))}`
    return `[${new Date(time).toTimeString().slice(0, 8)}] ${label}: ${from}${msg}${rest}\n`
  }
}

/** JSON in which each text looks like its own escape: a line break is a backslash and an `n`. */
function literal(json: string): string {
  return json.replace(/\\./g, (escape) => (/[bfnrtu]$/.test(escape) ? `\\${escape}` : escape))
}

function levelName(label: string): object {
  return { level: label }
}

interface LoggerWithChildren extends Logger {
  child(bindings: object): LoggerWithChildren
}

function adapt(logger: ReturnType<typeof pino>, writing: Writing): LoggerWithChildren {
  const write = (level: LogSettings['level']) => {
    const rank = LEVELS.indexOf(level)
    return (message: string, fields: object = {}): void => {
      if (rank >= writing.least) logger[level](fields, message)
    }
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (bindings) => adapt(logger.child(bindings), writing),
  }
}

/** A logger whose messages name their component, and the pipeline if it may be in several. */
export function componentLogger(log: Logger, component: string, pipeline?: string): Logger {
  const place = pipeline === undefined ? { component } : { component, pipeline }
  return 'child' in log ? (log as LoggerWithChildren).child(place) : log
}
