import { skippingInformational } from '../../net/informational.ts'

interface Question {
  readonly method?: 'GET' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** A Unix socket to ask over, instead of the host of the URL. */
  readonly socketPath?: string
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** More than any service sends. */
const MAX_ANSWER = 1024 * 1024

/**
 * Asks a service on this machine, past any proxy and on a connection of its own, which is closed afterwards. Resolves
 * with the answer. @throws if it does not answer before `signal` aborts, or the answer is too long
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

/** The text of a successful answer. @throws if the status is anything but 200 */
export async function askFor(url: string, question: Question): Promise<string> {
  const { status, text } = await ask(url, question)
  if (status !== 200) throw new Error(`${question.method ?? 'GET'} ${url}: ${status}`)
  return text
}

/** The same for an answer in JSON. @throws also if it is not an object */
export async function askForJson(url: string, question: Question): Promise<Readonly<Record<string, unknown>>> {
  const value: unknown = JSON.parse(await askFor(url, question))
  if (typeof value !== 'object' || value === null) throw new Error(`GET ${url}: the answer is not an object`)
  return value as Record<string, unknown>
}

/** The value if it is a non-empty text, because services write unknown values as ''. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
