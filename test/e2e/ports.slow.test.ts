import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { expect, it } from '@jest/globals'
import { cleanups } from '../kit/cleanups.ts'
import { main, startProcess, temporaryFolder } from '../kit/command.ts'

it('says in the log that it closes connections because no more files may be open, and when it no longer does', async () => {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters: { debug: }
service:
  telemetry: { logs: { encoding: json }, metrics: { level: none } }
  pipelines: { metrics: { receivers: [otlp], exporters: [debug] } }
`,
  })
  const shell = `ulimit -n 150; exec "$0" "$@"`
  const command = startProcess('sh', ['-c', shell, process.execPath, main, '--config', folder.path('pipeline.yaml')])
  const port = Number((await command.address('otlp_http')).split(':')[1])
  const sockets: Socket[] = []
  for (let count = 0; count < 200; count++) sockets.push(connect(port, '127.0.0.1').on('error', () => undefined))
  cleanups.push(() => sockets.forEach((socket) => socket.destroy()))
  await command.logged('connections_refused')
  for (const socket of sockets) socket.destroy()
  await command.logged('connections_accepted')
  command.kill('SIGTERM')
  await expect(command.ended).resolves.toBe(0)
})
