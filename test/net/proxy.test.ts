import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { proxyFromEnvironment } from '../../src/net/proxy.ts'
import type { Proxy } from '../../src/net/proxy.ts'

/*
 * Which proxy Go's golang.org/x/net/http/httpproxy takes, the package behind net/http. The file holds its results, written by
 * test/interop/go_proxy: `npm run go:proxy` makes them again.
 */

interface Case {
  readonly env: Readonly<Record<string, string>>
  readonly proxies: Readonly<Record<string, string>>
}

const cases = JSON.parse(
  readFileSync(fileURLToPath(new URL('../cases/go_proxy.json', import.meta.url)), 'utf8'),
) as readonly Case[]

function written(proxy: Proxy | undefined): string {
  if (proxy === undefined) return ''
  const { url, authorization } = proxy
  const [, credentials = ''] = authorization?.split(' ') ?? []
  const user = credentials === '' ? '' : `${Buffer.from(credentials, 'base64').toString()}@`
  return `${url.protocol}//${user}${url.host}`
}

describe('the proxy of the environment', () => {
  it('is the one that Go takes', () => {
    expect(cases.length).toBeGreaterThan(80)
    const ours = cases.map(({ env, proxies }) => ({
      env,
      proxies: Object.fromEntries(
        Object.keys(proxies).map((url) => [url, written(proxyFromEnvironment(new URL(url), env))]),
      ),
    }))
    expect(ours).toEqual(cases)
  })
})
