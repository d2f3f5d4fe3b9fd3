import { json, serve } from '../../net/process_server.ts'
import type { Answer, Door } from '../../net/process_server.ts'

/** Answers `POST /reload` with what `reload` says. Returns what closes it. */
export function serveAdmin(door: Door, reload: () => Promise<Answer>): Promise<() => void> {
  return serve({
    ...door,
    setting: 'service.admin.address',
    method: 'POST',
    answer(path, headers) {
      if (path !== '/reload') return json(404, { error: 'Unknown path; known paths: /reload.' })
      // Any page may let a browser send to this host; only a browser says where the page is from.
      if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
        return json(403, { error: 'A page in a browser cannot reload.' })
      }
      return reload()
    },
    listening: (real) =>
      door.log.info('Admin endpoint listening', { event: 'listening', server: 'admin', url: `http://${real}/reload` }),
  })
}
