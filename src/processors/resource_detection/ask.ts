import { skippingInformational } from '../../net/informational.ts'

export interface Question {
  readonly method?: 'GET' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** A Unix socket to ask over, instead of the host of the URL. */
  readonly socketPath?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** More than any service has to say. */
const MAX_ANSWER = 1024 * 1024

/**
 * Asks a service on this machine, past any proxy and on a connection of its own, which is closed again.
 * Resolves with whatever it answers. @throws when it does not answer before `signal` aborts, or at too great a length
 */
export async function ask(url: string, { method = 'GET', headers, signal, socketPath }: Question): Promise<Answer> {
  // Only where something is asked: most processes need nothing else of it.
  const { Agent, buildConnector } = await import('undici')
  const agent = new Agent({
    maxResponseSize: MAX_ANSWER,
    connect: skippingInformational(buildConnector({ socketPath })),
  })
  try {
    const { origin, pathname, search } = new URL(url)
    const answer = await agent.request({ origin, path: pathname + search, method, headers, signal })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  } finally {
    await agent.destroy()
  }
}

/** The text of an answer that is as it should be. @throws when the service says anything but 200 */
export async function askFor(url: string, question: Question): Promise<string> {
  const { status, text } = await ask(url, question)
  if (status !== 200) throw new Error(`${question.method ?? 'GET'} ${url}: ${status}`)
  return text
}

/** The same for an answer in JSON. @throws also when it is not an object */
export async function askForJson(url: string, question: Question): Promise<Readonly<Record<string, unknown>>> {
  const value: unknown = JSON.parse(await askFor(url, question))
  if (typeof value !== 'object' || value === null) throw new Error(`GET ${url}: the answer is not an object`)
  return value as Record<string, unknown>
}

/** The value if it is a text, as which services write what they do not know as ''. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
