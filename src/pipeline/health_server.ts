import type { Logger } from '../component.ts'
import { json, serve } from '../http/serve.ts'
import type { Answer } from '../http/serve.ts'
import { hidingSecrets } from '../secrets.ts'
import type { Health } from './health.ts'

/** Answers `/healthz`, `/readyz` and `/status` on `address`. `secrets` never appear in an answer. Returns what closes it. */
export function serveHealth(
  address: string,
  health: Health,
  secrets: Iterable<string>,
  log: Logger,
): Promise<() => void> {
  const redact = hidingSecrets(secrets)
  return serve({
    setting: 'service.health.address',
    address,
    answer(path) {
      const answer = answerOf(path, health)
      return { ...answer, body: redact(answer.body) }
    },
    listening: (real) => log.info('Answering for the health', { address: real }),
    log,
  })
}

function answerOf(path: string, health: Health): Answer {
  switch (path) {
    case '/healthz':
      return json(200, { status: 'alive' })
    case '/readyz':
      return json(health.phase === 'ready' ? 200 : 503, { status: health.phase })
    case '/status':
      return json(200, { status: health.phase, components: health.components() })
    default:
      return json(404, { error: 'There are /healthz, /readyz and /status.' })
  }
}
