import { deadline, systemClock } from '../time/clock.ts'
import type { Context } from '../component/context.ts'
import type { ConfigOf } from '../component/settings.ts'
import { httpClient, systemNetwork } from '../net/http_client.ts'
import type { HttpResponse } from '../net/answer.ts'
import { answerMessage } from '../net/answer.ts'
import { readJson } from './answers.ts'
import type { datadogSettings } from './settings.ts'

/** Milliseconds. */
const TIMEOUT = 10_000

type Config = Pick<ConfigOf<typeof datadogSettings>, 'site' | 'endpoint' | 'api_key' | 'proxy_url' | 'tls' | 'headers'>

/**
 * Asks Datadog whether it knows the key of an exporter, at the API of its site or at its endpoint, if that is set, over
 * the same route as its requests. Source: Datadog's API reference, Authentication, Validate API key.
 * @throws Error without the key, if there is no answer or another one
 */
export async function isKeyValid(config: Config, log: Context['log']): Promise<boolean> {
  const url = `${(config.endpoint ?? `https://api.${config.site}`).replace(/\/+$/, '')}/api/v1/validate`
  const cleanups: (() => void | Promise<void>)[] = []
  const signal = deadline(systemClock, TIMEOUT)
  const send = httpClient({
    clock: systemClock,
    network: systemNetwork,
    config,
    log,
    signal,
    onStop: (cleanup) => cleanups.push(cleanup),
  })
  let response: HttpResponse
  try {
    const headers = { 'dd-api-key': config.api_key, accept: 'application/json' }
    response = await send(url, { method: 'GET', headers, body: new Uint8Array(), signal, maxResponse: 65_536 })
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  if (response.status === 403) return false
  const valid = response.status === 200 ? readJson(response.body)?.valid : undefined
  if (typeof valid === 'boolean') return valid
  throw new Error(answerMessage(response))
}
