import { execFileSync } from 'node:child_process'
import { rm, symlink, writeFile } from 'node:fs/promises'
import { beforeEach, describe, expect, it } from '@jest/globals'
import { main, runCommand, startCommand, startProcess, temporaryFolder } from '../kit/command.ts'

const KEY = 'a-key-of-some-length'

const pipeline = `
receivers: { host_metrics: { collection_interval: 100ms, initial_delay: 0s, scrapers: { load: } } }
exporters: { otlp_http: { endpoint: "http://127.0.0.1:1", headers: { x-key: "\${file:key}" } }, debug: }
service: { shutdown_timeout: 100ms, pipelines: { metrics: { receivers: [host_metrics], exporters: [otlp_http, debug] } } }
`

let path: (file: string) => string
beforeEach(async () => {
  const folder = await temporaryFolder({ 'pipeline.yaml': pipeline, key: `${KEY}\n` })
  path = folder.path
})

/** What stands where a file should, and may never end. */
const others: readonly [string, (file: string) => Promise<unknown> | void, string][] = [
  ['a FIFO', (file) => void execFileSync('mkfifo', [file]), 'cannot be read: it is not a regular file'],
  ['a link to /dev/zero', (file) => symlink('/dev/zero', file), 'cannot be read: it is not a regular file'],
  [
    'a file of more than 1 MiB',
    (file) => writeFile(file, 'x'.repeat(2 ** 20 + 1)),
    'cannot be read: it is larger than 1 MiB',
  ],
  ['a folder', (file) => symlink('/', file), 'is a directory, not a file'],
]

describe.each(others)('%s instead of a file that a configuration names', (_what, make, mistake) => {
  it.each(['key', 'pipeline.yaml', 'variables'])('is a mistake as %s', async (file) => {
    await rm(path(file), { force: true })
    await make(path(file))
    const variables = file === 'variables' ? ['--variables-file', path(file)] : []
    const { code, stderr } = await runCommand(['validate', '--config', path('pipeline.yaml'), ...variables])
    expect(stderr).toContain(`${path(file)}${file === 'key' ? ' ' : ': '}${mistake}\n`)
    expect(code).toBe(78)
  })
})

it.each([
  ['cert_file', 'exporters.otlp_http.tls'],
  ['module', 'modules'],
])('a FIFO as %s is a mistake, and nothing waits for it', async (name) => {
  execFileSync('mkfifo', [path('fifo')])
  const settings =
    name === 'module'
      ? ['--set', `modules=[${path('fifo')}]`]
      : [
          '--set',
          `exporters.otlp_http.tls.cert_file=${path('fifo')}`,
          '--set',
          `exporters.otlp_http.tls.key_file=${path('fifo')}`,
        ]
  const command = startCommand(['--config', path('pipeline.yaml'), ...settings])
  if (name === 'module') {
    await expect(command.ended).resolves.toBe(78)
    expect(command.stderr()).toContain('cannot be loaded')
  } else {
    await command.waitFor(`tls.cert_file: ${path('fifo')} cannot be read: it is not a regular file`)
    await command.waitFor('system.cpu.load_average.1m')
  }
})

it.each(['cat pipeline.yaml | "$0" "$1" validate -c /dev/stdin', '"$0" "$1" validate -c <(cat pipeline.yaml)'])(
  'a configuration is read from a pipe: %s',
  async (script) => {
    // The file is looked for beside the pipe.
    await writeFile(path('pipeline.yaml'), pipeline.replace('file:key', `file:${path('key')}`))
    const options = { cwd: path('.') }
    expect(await startProcess('bash', ['-c', script, process.execPath, main], options).ended).toBe(0)
  },
)

it('a reload with a FIFO in the place of a key is refused, and what runs goes on', async () => {
  const command = startCommand(['--config', path('pipeline.yaml')])
  await command.waitFor('system.cpu.load_average.1m')
  await rm(path('key'))
  execFileSync('mkfifo', [path('key')])
  command.kill('SIGHUP')
  await command.waitFor(`exporters.otlp_http.headers.x-key: ${path('key')} cannot be read: it is not a regular file`)
  await command.logged('reload_failed')
  command.kill('SIGTERM')
  await expect(command.ended).resolves.toBe(0)
})
