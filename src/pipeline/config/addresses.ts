import { isSetting } from '../../component/settings.ts'
import type { Finding, Format, Settings } from '../../component/settings.ts'
import { parseEndpoint } from '../../net/endpoint.ts'
import type { Address } from '../../net/endpoint.ts'
import { join } from './check.ts'

/** A setting that says where to listen, with its value. */
interface Listener {
  readonly path: string
  readonly address: string
}

/** Every setting of the format `address` that has a value. */
export function* listenersIn(settings: Settings, value: unknown, path: string): Generator<Listener, void> {
  for (const [name, setting] of Object.entries(settings)) {
    const given = (value as Record<string, unknown> | undefined)?.[name]
    const below = join(path, name)
    yield* isSetting(setting) ? listenersOf(setting.format, given, below) : listenersIn(setting, given, below)
  }
}

function* listenersOf(format: Format, value: unknown, path: string): Generator<Listener, void> {
  if (value === undefined) return
  if (format === 'address') yield { path, address: value as string }
  if (typeof format === 'string' || 'length' in format) return
  if ('settings' in format) yield* listenersIn(format.settings, value, path)
  else if ('list' in format) {
    for (const [index, item] of (value as unknown[]).entries())
      yield* listenersOf(format.list, item, `${path}[${index}]`)
  } else {
    for (const [name, item] of Object.entries(value as object)) yield* listenersOf(format.map, item, join(path, name))
  }
}

/** The mistakes of settings that name the same address, or one that is part of another. */
export function* addressesTakenTwice(listeners: readonly Listener[]): Generator<Finding> {
  for (const [index, { path, address }] of listeners.entries()) {
    const before = listeners.slice(0, index).find((other) => overlap(other.address, address))
    if (before === undefined) continue
    const at = before.address === address ? '' : ` (${before.address})`
    yield {
      path,
      message: `cannot listen on ${address}, because ${before.path}${at} already does; choose another port`,
    }
  }
}

function overlap(left: string, right: string): boolean {
  const [one, other] = [left, right].map((address) => parseEndpoint(address) as Address)
  if (one.port === 0 || one.port !== other.port) return false
  const [host, otherHost] = [one, other].map(hostOf)
  return host === otherHost || takesAll(host, otherHost) || takesAll(otherHost, host)
}

/** The canonical spelling of a host. */
function hostOf({ host }: Address): string {
  if (host === '' || host === 'localhost') return host === '' ? '[::]' : '127.0.0.1'
  const written = host.includes(':') ? `[${host}]` : host
  return URL.canParse(`http://${written}`) ? new URL(`http://${written}`).hostname : host
}

/** Whether listening on `host` also takes the port of `other`; `[::]` takes IPv4 too. */
function takesAll(host: string, other: string): boolean {
  return host === '[::]' || (host === '0.0.0.0' && !other.startsWith('['))
}
