/*
 * Datadog has units of its own, by name, and ignores unknown ones. Sources: datadog-agent,
 * pkg/opentelemetry-mapping-go/otlp/attributes/units.go (2026), which maps units of UCUM and, of the annotations in
 * braces, those that Datadog has; Datadog documentation, metrics/units, for the times and temperatures that are missing
 * there.
 */

const PREFIXES = {
  d: 'deci',
  m: 'milli',
  u: 'micro',
  n: 'nano',
  k: 'kilo',
  M: 'mega',
  G: 'giga',
  T: 'tera',
  P: 'peta',
  E: 'exa',
  Ki: 'kibi',
  Mi: 'mebi',
  Gi: 'gibi',
  Ti: 'tebi',
  Pi: 'pebi',
  Ei: 'exbi',
} as const

/** Datadog's name, and the prefixes that Datadog has for the unit. */
const UNITS: Readonly<Record<string, readonly [name: string, ...(keyof typeof PREFIXES)[]]>> = {
  By: ['byte', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei', 'k', 'M', 'G', 'T', 'P', 'E'],
  bit: ['bit', 'k', 'M', 'G', 'T', 'P', 'E'],
  s: ['second', 'm', 'u', 'n'],
  min: ['minute'],
  h: ['hour'],
  d: ['day'],
  wk: ['week'],
  Hz: ['hertz', 'k', 'M', 'G'],
  W: ['watt', 'd', 'm', 'u', 'n', 'k', 'M', 'G', 'T'],
  V: ['volt', 'm'],
  J: ['joule', 'n', 'm', 'k', 'M'],
  A: ['ampere', 'm'],
  Cel: ['degree celsius', 'd'],
  '[degF]': ['degree fahrenheit'],
  '%': ['percent'],
}

/** The counted things: singular, as in OpenTelemetry's conventions. */
const COUNTED = (
  'alert apdex assertion attempt block buffer build cent check collection column command commit connection container core cpu ' +
  'cursor datagram day decibel-milliwatt device document dollar email entity entry error euro event eviction exception execution ' +
  'fault fetch file flush fraction frame get heap hit hop host index inode instance invocation item job key location lock merge ' +
  'message method minute miss monitor node object occurrence offset operation packet page payload penny permille pound prediction ' +
  'process query question read record refresh request resource response route row run sample scan sector segment service session ' +
  'set shard span split stage step success table task thread throttle ticket time timeout token transaction unit update user ' +
  'vector view volume wait watt-hour week worker write'
).split(' ')

const NAMES: ReadonlyMap<string, string> = new Map([
  ...Object.entries(UNITS).flatMap(([symbol, [name, ...prefixes]]) => [
    [symbol, name] as const,
    ...prefixes.map((prefix) => [prefix + symbol, PREFIXES[prefix] + name] as const),
  ]),
  ...COUNTED.map((name) => [`{${name}}`, name] as const),
  ['{datapoint}', 'item'],
])

/** Datadog's name for a unit of OpenTelemetry, or for a ratio of two units; `undefined` if it has none. */
export function unitName(ucum: string): string | undefined {
  const names = ucum.split('/').map((part) => NAMES.get(part))
  return names.length > 2 || names.includes(undefined) ? undefined : names.join('/')
}
