/*
 * Datadog has units of its own, by name; one that it does not know it ignores. Sources: Datadog documentation, metrics/units;
 * UCUM, and OpenTelemetry's semantic conventions for what stands in braces.
 */

const NAMES: Readonly<Record<string, string>> = {
  bit: 'bit',
  By: 'byte',
  KiBy: 'kibibyte',
  MiBy: 'mebibyte',
  GiBy: 'gibibyte',
  TiBy: 'tebibyte',
  ns: 'nanosecond',
  us: 'microsecond',
  ms: 'millisecond',
  s: 'second',
  min: 'minute',
  h: 'hour',
  d: 'day',
  wk: 'week',
  '%': 'percent',
  Hz: 'hertz',
  kHz: 'kilohertz',
  MHz: 'megahertz',
  GHz: 'gigahertz',
  Cel: 'degree celsius',
  '[degF]': 'degree fahrenheit',
  W: 'watt',
  V: 'volt',
  A: 'ampere',
}

/** What is counted: singular, as in the conventions. */
const COUNTED = new Set(
  (
    'attempt block buffer check column command commit connection container core cpu device email error event exception execution ' +
    'fault file flush fetch get hit host index inode instance item job key lock message method miss node object offset operation ' +
    'packet page process query read record refresh request response row route run sample scan sector segment session set shard ' +
    'stage table task thread ticket timeout transaction unit update user wait worker write'
  ).split(' '),
)

/** Datadog's name for a unit of OpenTelemetry; `undefined` where it has none. */
export function unitName(ucum: string): string | undefined {
  if (Object.hasOwn(NAMES, ucum)) return NAMES[ucum]
  const counted = /^\{([a-z]+)\}$/.exec(ucum)?.[1]
  return counted !== undefined && COUNTED.has(counted) ? counted : undefined
}
