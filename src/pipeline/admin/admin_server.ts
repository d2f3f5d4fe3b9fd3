import { json, serve } from '../../net/process_server.ts'
import type { Answer, Door } from '../../net/process_server.ts'

/** Answers `POST /reload` with the outcome of `reload`. Returns a function that closes the server. */
export function serveAdmin(door: Door, reload: () => Promise<Answer>): Promise<() => void> {
  return serve({
    ...door,
    setting: 'service.admin.address',
    method: 'POST',
    answer(path, headers) {
      if (path !== '/reload') return json(404, { error: 'Unknown path; known paths: /reload.' })
      // Any web page may make a browser send to this host; only a browser says which page a request comes from.
      if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
        return json(403, { error: 'A page in a browser cannot reload.' })
      }
      return reload()
    },
    listening: (real) =>
      door.log.info('Admin endpoint listening', { event: 'listening', server: 'admin', url: `http://${real}/reload` }),
  })
}
