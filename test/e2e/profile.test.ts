import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from '@jest/globals'
import { startCommand, temporaryFolder } from '../kit/command.ts'

/** Whether this Node.js can replace itself, as 22.15 and later can. */
const canReplaceItself = 'execve' in process && process.platform !== 'win32'
const FLAGS = ['--max-semi-space-size=1', '--no-opt']

const RECEIVERS = {
  host_metrics: '{ scrapers: { load: } }',
  otlp: '{ protocols: { http: { endpoint: "127.0.0.1:0" } } }',
}

const configuration = (receivers: readonly (keyof typeof RECEIVERS)[], service = ''): string => `
receivers: { ${receivers.map((id) => `${id}: ${RECEIVERS[id]}`).join(', ')} }
exporters: { debug: { format: otlp_json } }
service: { ${service} pipelines: { metrics: { receivers: [${receivers.join(', ')}], exporters: [debug] } } }
`

/** The command with this configuration, once it has started, and the flags that Node.js runs with. */
async function started(text: string, env: Record<string, string> = {}) {
  const folder = await temporaryFolder({ 'pipeline.yaml': text })
  const command = startCommand(['--config', folder.path('pipeline.yaml')], { env })
  const { profile } = await command.logged('started')
  const line = await readFile(`/proc/${command.pid}/cmdline`, 'utf8').catch(() => '')
  return { command, folder, profile, flags: FLAGS.filter((flag) => line.split('\0').includes(flag)) }
}

const isLinux = process.platform === 'linux'
const flagsOf = (profile: string): string[] => (isLinux && canReplaceItself && profile === 'agent' ? FLAGS : [])

describe('the profile of the process', () => {
  it.each([
    ['agent', 'every receiver collects what this host says', configuration(['host_metrics']), {}],
    ['gateway', 'one receiver listens', configuration(['host_metrics', 'otlp']), {}],
    ['gateway', 'the file says so', configuration(['host_metrics'], 'profile: gateway,'), {}],
    ['agent', 'the environment says so', configuration(['otlp'], 'profile: "${env:PROFILE}",'), { PROFILE: 'agent' }],
  ])('is %s where %s, and Node.js runs with its flags in the same process', async (expected, _why, text, env) => {
    const { profile, flags } = await started(text, env)
    expect({ profile, flags }).toEqual({ profile: expected, flags: flagsOf(expected) })
  })

  it('says which flags are missing where Node.js cannot take them on by itself', async () => {
    const { command } = await started(configuration(['host_metrics']))
    if (canReplaceItself) return expect(command.stderr()).not.toContain('profile_flags')
    await command.logged('profile_flags')
    expect(command.stderr()).toContain(`Start it with: node ${FLAGS.join(' ')} --no-maglev `)
  })

  it('stays until the next start where a reload changes the receivers, which the reload says', async () => {
    const { command, folder } = await started(configuration(['host_metrics']))
    await writeFile(folder.path('pipeline.yaml'), configuration(['otlp']))
    command.kill('SIGHUP')
    await command.waitFor('service.profile, now gateway, takes effect at the next start.')
  })

  it('is not taken on by a process that is to stop, which ends with 0', async () => {
    const folder = await temporaryFolder({
      'stop.mjs': `import { appendFileSync } from 'node:fs'
        appendFileSync(new URL('starts', import.meta.url), 'x')
        const wait = setInterval(() => { if (process.listenerCount('SIGTERM') > 0) { clearInterval(wait); process.kill(process.pid, 'SIGTERM') } })`,
      'pipeline.yaml': configuration(['host_metrics']),
    })
    const env = { NODE_OPTIONS: `--import ${folder.path('stop.mjs')}` }
    const command = startCommand(['--config', folder.path('pipeline.yaml')], { env })
    expect(await command.ended).toBe(0)
    expect(await readFile(folder.path('starts'), 'utf8')).toBe('x')
  })
})
