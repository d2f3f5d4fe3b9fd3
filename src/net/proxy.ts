import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'
import { retryable } from '../errors.ts'
import { decoded } from '../text/secrets.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A proxy to connect to. */
export interface Proxy {
  /** Its URL, with the user and password as written. */
  readonly href: string
  /** The same without user and password. */
  readonly url: URL
  /** The value of `Proxy-Authorization`, if it wants one. */
  readonly authorization?: string
}

/**
 * The proxy that the environment names for a URL; `undefined` if the URL is reached directly. The variables and rules
 * are those of Go, and so of the OpenTelemetry Collector: golang.org/x/net/http/httpproxy. In addition, blanks may
 * divide `NO_PROXY`.
 * @throws DeliveryError `retryable`, without the value, which may hold a password
 */
export function proxyFromEnvironment(target: URL, env: Environment = process.env): Proxy | undefined {
  const names = target.protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY']
  return proxyFrom(target, names, ['no_proxy', 'NO_PROXY'], env)
}

/** The same for gRPC, whose own variables come first; a proxy for HTTP is used if there is none for HTTPS. */
export function grpcProxyFromEnvironment(target: URL): Proxy | undefined {
  const names = ['grpc_proxy', 'https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY']
  return proxyFrom(target, names, ['no_grpc_proxy', 'no_proxy', 'NO_PROXY'], process.env)
}

function proxyFrom(
  target: URL,
  names: readonly string[],
  exceptions: readonly string[],
  env: Environment,
): Proxy | undefined {
  const isSet = (name: string): boolean => Boolean(env[name])
  const name = names.find(isSet)
  if (name === undefined || goesDirectly(target, env[exceptions.find(isSet) ?? ''] ?? '')) return undefined
  const text = env[name]!
  const url = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (/^(https?|socks5?):\/\/[^/]/i.test(url) && URL.canParse(url)) return readProxy(url)
  const message = `The environment variable ${name} must be the URL of a proxy, like http://proxy.example.org:3128.`
  throw retryable(message, undefined, { reason: 'proxy' })
}

/** Reads the URL of a proxy, with the user and password in it. */
export function readProxy(text: string): Proxy {
  const url = new URL(text)
  const { username, password } = url
  if (username === '' && password === '') return { href: text, url }
  url.username = url.password = ''
  const credentials = `${decoded(username)}:${decoded(password)}`
  return { href: text, url, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
}

/** Whether a URL is reached without a proxy: on this host, or because of an entry of `NO_PROXY`. */
function goesDirectly({ protocol, hostname, port: written }: URL, noProxy: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  const port = written === '' ? (protocol === 'https:' ? '443' : '80') : written
  if (host === 'localhost' || contains(LOOPBACK, host)) return true
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry === '*' || matches(entry, host, port))
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/**
 * Whether an entry of `NO_PROXY` matches that host: an address, a range of addresses or a domain, each except the range
 * with or without a port.
 */
function matches(entry: string, host: string, port: string): boolean {
  const range = subnet(entry)
  // In Go, `::/0` contains no IPv4 address; in BlockList it contains all.
  if (range !== undefined) return contains(range, host) && !(/^[\da-f:]*\/\d+$/.test(entry) && IPV4.test(host))
  const [, bracketed, plain, only] = /^(?:\[(.*)\]|([^:]*)):([^:]*)$/.exec(entry) ?? []
  const named = bracketed ?? plain ?? entry
  if (only && only !== port) return false
  if (isIp(named)) return contains(subnet(`${named}/${isIPv4(named) ? 32 : 128}`)!, host)
  const domain = named.replace(/^\*(?=\.)/, '')
  if (domain === '' || isIp(host)) return false
  const suffix = ascii(domain.startsWith('.') ? domain : `.${domain}`)
  return host.endsWith(suffix) || (!domain.startsWith('.') && host === suffix.slice(1))
}

/** An IPv4 address, also in its IPv6 form. */
const IPV4 = /^[\d.]+$|^::ffff:[\da-f]{1,4}:[\da-f]{1,4}$/

function subnet(text: string): BlockList | undefined {
  const [, address, bits] = /^(.+)\/(\d+)$/.exec(text) ?? []
  if (address === undefined || !isIp(address) || Number(bits) > (isIPv4(address) ? 32 : 128)) return undefined
  const list = new BlockList()
  list.addSubnet(address, Number(bits), isIPv4(address) ? 'ipv4' : 'ipv6')
  return list
}

/** An address as in URLs, without a zone. */
function isIp(text: string): boolean {
  return isIPv4(text) || (isIPv6(text) && !text.includes('%'))
}

function contains(list: BlockList, host: string): boolean {
  return isIp(host) && list.check(host, isIPv4(host) ? 'ipv4' : 'ipv6')
}

/** A domain after a dot, as in URLs: in ASCII. */
function ascii(suffix: string): string {
  return /^[\x20-\x7e]*$/.test(suffix) ? suffix : `.${domainToASCII(suffix.slice(1))}`
}
