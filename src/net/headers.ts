import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { Finding } from '../component/settings.ts'

/** Headers that describe the request and its connection. The sender sets them; another value would make the request unreadable. */
const SET_BY_SENDER: readonly string[] = [
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** The headers of a `headers` setting that the user must not set. */
export function* checkOwnedHeaders(headers: Readonly<Record<string, string>>): Generator<Finding> {
  for (const name of Object.keys(headers)) {
    if (SET_BY_SENDER.includes(name.toLowerCase())) {
      yield { path: `headers.${name}`, message: 'is set by the exporter itself; leave it out' }
    }
  }
}

/** The rules of a `headers` setting for HTTP. No message shows a value, because it may be a secret. */
export function* checkHeaders(headers: Readonly<Record<string, string>>): Generator<Finding> {
  for (const [name, value] of Object.entries(headers)) {
    const path = `headers.${name}`
    if (throws(() => validateHeaderName(name))) {
      yield { path, message: "is not a name for a header: letters, digits and any of !#$%&'*+-.^_`|~" }
    } else if (throws(() => validateHeaderValue(name, value))) {
      yield { path, message: 'holds a character that no header can carry, perhaps a line break or one beyond Latin-1' }
    }
  }
  yield* checkOwnedHeaders(headers)
}

function throws(check: () => void): boolean {
  try {
    check()
    return false
  } catch {
    return true
  }
}
