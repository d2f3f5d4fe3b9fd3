import { json, serve, shared } from '../../net/process_server.ts'
import type { Answer, Door } from '../../net/process_server.ts'
import { hidingSecrets } from '../../text/secrets.ts'
import type { Health } from './health.ts'

/** Answers `/healthz`, `/readyz` and `/status`. `secrets` never appear in an answer. Returns a function that closes the server. */
export function serveHealth(door: Door, health: Health, secrets: Iterable<string>): Promise<() => void> {
  const redact = hidingSecrets(secrets)
  const status = shared(() => {
    const answer = json(200, { status: health.phase, components: health.components() })
    return { ...answer, body: redact(answer.body) }
  })
  return serve({
    ...door,
    setting: 'service.health.address',
    answer(path): Answer | Promise<Answer> {
      switch (path) {
        case '/healthz':
          return json(200, { status: 'alive' })
        case '/readyz':
          return json(health.phase === 'ready' ? 200 : 503, { status: health.phase })
        case '/status':
          return status()
        default:
          return json(404, { error: 'Unknown path; known paths: /healthz, /readyz, /status.' })
      }
    },
    listening: (real) =>
      door.log.info('Health endpoints listening', { event: 'listening', server: 'health', address: real }),
  })
}
