import { isIP } from 'node:net'
import convict from 'convict'
import { errorMessage } from './errors.ts'
import { RegularExpression } from './text/regular_expression.ts'

/** The named formats of settings and the TypeScript type that each yields. */
export interface FormatTypes {
  /** Any text; a scalar keeps its own spelling. */
  string: string
  /** `true` or `false`, nothing else. */
  boolean: boolean
  /** A whole number from 0. */
  nat: number
  /** A whole number. */
  int: number
  /** A finite number. */
  number: number
  /** A time with its unit (`10s`, `1m30s`, `500ms`), in milliseconds. */
  duration: number
  /** A size with its unit (`64MiB`, `1GB`, `512B`), in bytes. */
  bytes: number
  /** An absolute http or https URL. */
  url: string
  /** A metric name or prefix of one: a letter, then letters, digits, `_`, `.`, `-`, `/`; no `.` at the end. */
  metric_name: string
  /** A host name that Datadog accepts. */
  hostname: string
  /** One tag in the form `key:value`. */
  tag: string
  /** Tags in the form `key:value`, as a list or as one comma-separated text. */
  tags: readonly string[]
  /**
   * A regular expression in the syntax of RE2, in time linear in the text. It has no flags, and a copy with flags is
   * JavaScript's own again.
   */
  regexp: RegExp
  /** A file or folder; relative ones start at the YAML's folder. */
  path: string
  /** The address to listen on, `host:port`; port 0 lets the system choose. No two settings of a configuration may have the same. */
  address: string
}

interface NamedFormat<T> {
  /** The allowed values, to follow "must be". */
  readonly allowed: string
  /** Reads the text of a YAML scalar; `undefined` if it is not such a value. May throw to say why. */
  parse(text: string): T | undefined
  /** The value that an invalid text was probably meant to be. */
  meant?(text: string): string | undefined
  /** The same as JSON Schema, for editors, for the value as YAML 1.2 reads it. */
  readonly schema: object
}

const NUMBER = /^(?:[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0x[\da-fA-F]+|0o[0-7]+)$/
const DURATION = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/
const BYTES = /^(?:0|(\d+(?:\.\d+)?) ?([KMGT]i?)?B)$/
const BYTES_IN = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 }
const METRIC_NAME = /^[A-Za-z](?:[A-Za-z0-9_.\-/]{0,198}[A-Za-z0-9_\-/])?$/
const HOSTNAME = /^(?=.{1,255}$)[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/
/** `[IPv6]` or another host, and a port. */
export const ADDRESS = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]*)):(\d{1,5})$/
const TAG = /^[^\s:,](?:[^:,]*[^\s:,])?:(?:[^\s,]|[^\s,][^,]*[^\s,])$/
/** Timers of Node hold 31 bits of milliseconds; a longer one would fire at once. */
const LONGEST_DURATION = 2 ** 31 - 1

/** The scheme for an address without one: sending without TLS has to be explicit, unless it stays on this host or network. */
function safestScheme(address: string): 'http' | 'https' {
  const { hostname, port } = new URL(`http://${address}`)
  return port !== '443' && (isIP(hostname) !== 0 || !hostname.includes('.')) ? 'http' : 'https'
}

/** Every named format. Texts are as they are in the YAML, so that nothing is lost before the format is known. */
export const formats: { readonly [Name in keyof FormatTypes]: NamedFormat<FormatTypes[Name]> } = {
  string: {
    allowed: 'a text',
    parse: (text) => text,
    schema: { type: ['string', 'number', 'boolean'] },
  },
  boolean: {
    allowed: '`true` or `false`',
    parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
    meant(text) {
      if (/^(yes|on|y|1|true)$/i.test(text)) return 'true'
      return /^(no|off|n|0|false)$/i.test(text) ? 'false' : undefined
    },
    schema: { enum: [true, false, 'true', 'false'] },
  },
  nat: {
    allowed: 'a whole number from 0',
    parse: (text) => wholeNumber(text, 0),
    schema: {
      anyOf: [
        { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
        { type: 'string', pattern: '^\\d+$' },
      ],
    },
  },
  int: {
    allowed: 'a whole number',
    parse: (text) => wholeNumber(text, -Infinity),
    schema: {
      anyOf: [
        { type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
        { type: 'string', pattern: '^[-+]?\\d+$' },
      ],
    },
  },
  number: {
    allowed: 'a number',
    parse: parseNumber,
    schema: { anyOf: [{ type: 'number' }, { type: 'string', pattern: NUMBER.source }] },
  },
  duration: {
    allowed: 'a time with its unit (h, m, s, ms), like `10s`, `1m30s` or `500ms`',
    parse(text) {
      const match = text === '' ? null : DURATION.exec(text)
      if (match === null) return undefined
      const [hours, minutes, seconds, milliseconds] = match
        .slice(1)
        .map((part: string | undefined) => Number(part ?? 0))
      const duration = ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
      if (duration > LONGEST_DURATION) throw new Error('must be at most 596h')
      return duration
    },
    meant: (text) => (/^\d+(\.\d+)?$/.test(text) ? `${text}s` : undefined),
    schema: { type: 'string', pattern: DURATION.source, minLength: 1 },
  },
  bytes: {
    allowed: 'a size with its unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), like `64MiB`',
    parse(text) {
      const match = BYTES.exec(text)
      if (match === null) return undefined
      const bytes = Number(match[1] ?? 0) * BYTES_IN[(match[2] ?? '') as keyof typeof BYTES_IN]
      return Number.isSafeInteger(bytes) ? bytes : undefined
    },
    meant(text) {
      const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?))?b?$/i.exec(text)
      const meant = match && `${match[1]}${match[2]?.toUpperCase() ?? ''}${match[3]?.toLowerCase() ?? ''}B`
      return meant && this.parse(meant) !== undefined ? meant : undefined
    },
    schema: { anyOf: [{ type: 'string', pattern: BYTES.source }, { const: 0 }] },
  },
  url: {
    allowed: 'an absolute `http` or `https` URL, like `https://example.com:8126/path`',
    parse: (text) => (/^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? text : undefined),
    meant(text) {
      const [, written = '', rest] = /^(?:(https?)[:/]+)?(.*)$/is.exec(text)!
      if (!/^[\w.-]+(:\d+)?(\/|$)/.test(rest) || !URL.canParse(`http://${rest}`)) return undefined
      return `${written === '' ? safestScheme(rest) : written.toLowerCase()}://${rest}`
    },
    schema: { type: 'string', pattern: '^[hH][tT][tT][pP][sS]?://[^/]' },
  },
  metric_name: {
    allowed:
      'a letter followed by letters, digits, `_`, `.`, `-` or `/`, at most 200 characters, without a `.` at the end',
    parse: (text) => (METRIC_NAME.test(text) ? text : undefined),
    meant(text) {
      const bare = text.replace(/\.+$/, '')
      return METRIC_NAME.test(bare) ? bare : undefined
    },
    schema: { type: 'string', pattern: METRIC_NAME.source },
  },
  hostname: {
    allowed: 'a host name: letters, digits, `.`, `-` and `_`, at most 255',
    parse: (text) => (HOSTNAME.test(text) ? text : undefined),
    schema: {
      anyOf: [{ type: 'string', pattern: HOSTNAME.source }, { type: 'number', minimum: 0 }, { type: 'boolean' }],
    },
  },
  tag: {
    allowed: 'a tag in the form `key:value`',
    parse: (text) => (TAG.test(text) ? text : undefined),
    schema: { type: 'string', pattern: TAG.source },
  },
  tags: {
    allowed: 'tags in the form `key:value`, as a list or as one text with commas',
    parse(text) {
      const tags = text.trim() === '' ? [] : text.split(',').map((tag) => tag.trim())
      return tags.every((tag) => TAG.test(tag)) ? tags : undefined
    },
    schema: { type: 'string', pattern: '^\\s*(TAG\\s*(,\\s*TAG\\s*)*)?$'.replaceAll('TAG', TAG.source.slice(1, -1)) },
  },
  regexp: {
    allowed: 'a regular expression',
    parse(text) {
      try {
        return new RegularExpression(text)
      } catch (error) {
        throw new Error(`must be a regular expression: ${errorMessage(error)}`, { cause: error })
      }
    },
    // Not with `format: regex`, by which JSON Schema means JavaScript's.
    schema: { type: ['string', 'number', 'boolean'] },
  },
  path: {
    allowed: 'a file or folder',
    parse: (text) => (text === '' ? undefined : text),
    schema: { anyOf: [{ type: 'string', minLength: 1 }, { type: ['number', 'boolean'] }] },
  },
  address: {
    allowed: '`host:port`, like `localhost:4318`, `0.0.0.0:4318` or `[::1]:4318`',
    parse: (text) => (Number(ADDRESS.exec(text)?.[3]) <= 65_535 ? text : undefined),
    meant: (text) => (/^\d{4,5}$/.test(text) ? `localhost:${text}` : undefined),
    schema: { type: 'string', pattern: ADDRESS.source },
  },
}

convict.addFormats(
  Object.fromEntries(
    Object.entries<NamedFormat<unknown>>(formats).map(([name, format]) => [
      name,
      // convict gives up at the first coercion that throws, but collects the errors of validation.
      {
        coerce: (text: string) => mistakeOrValue(format, text),
        validate(value: unknown) {
          if (value instanceof Mistake) throw new Error(value.message)
        },
      },
    ]),
  ),
)

/**
 * Reads the text of a scalar as a named format or as one of the allowed words.
 * Each text passes through convict alone, with neither environment nor arguments: so its own order of precedence, its
 * merging of maps with defaults and its dotted paths never come into play.
 */
export function readText(format: ScalarFormat, text: string): { value: unknown } | { mistake: string } {
  const setting = settingOf(format).set('value', text)
  try {
    setting.validate({ allowed: 'strict' })
  } catch (error) {
    const mistake =
      typeof format === 'string' ? (error as Error).message.replace(/^value: /, '') : `must be ${words(format)}`
    return { mistake }
  }
  return { value: setting.get('value') }
}

type ScalarFormat = keyof FormatTypes | readonly string[]

const settings = new Map<ScalarFormat, convict.Config<{ value: unknown }>>()

/** convict's setting of that format. There is one, whose value changes, because making it takes longest. */
function settingOf(format: ScalarFormat): convict.Config<{ value: unknown }> {
  let setting = settings.get(format)
  if (setting === undefined) {
    const schema = { value: { format, default: null, sensitive: true } } as convict.Schema<{ value: unknown }>
    setting = convict(schema, { env: {}, args: [] })
    settings.set(format, setting)
  }
  return setting
}

/** Writes the allowed words of a setting, to follow "must be". */
export function words(allowed: readonly string[]): string {
  const quoted = allowed.map((word) => `\`${word}\``)
  return quoted.length < 2 ? quoted.join() : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`
}

class Mistake {
  constructor(readonly message: string) {}
}

function mistakeOrValue(format: NamedFormat<unknown>, text: string): unknown {
  try {
    return format.parse(text) ?? new Mistake(`must be ${format.allowed}`)
  } catch (error) {
    return new Mistake((error as Error).message)
  }
}

function parseNumber(text: string): number | undefined {
  const value = NUMBER.test(text) ? Number(text) : NaN
  return Number.isFinite(value) ? value : undefined
}

function wholeNumber(text: string, least: number): number | undefined {
  const value = parseNumber(text)
  return value !== undefined && Number.isSafeInteger(value) && value >= least ? value : undefined
}
