import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import type { ExporterReport } from '../../src/cli/explain_report.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import { runCommand, temporaryFolder } from '../kit/command.ts'
import { listen } from '../kit/listen.ts'
import { startProxy } from '../kit/proxy.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const KEY = '0123456789abcdef0123456789abcdef'

async function folder(files: Record<string, string> = {}): Promise<Awaited<ReturnType<typeof temporaryFolder>>> {
  return temporaryFolder(files)
}

interface Written {
  receivers: Record<string, { scrapers: Record<string, unknown> }>
  exporters: Record<
    string,
    { api_key?: string; site?: string; endpoint?: string; sending_queue?: { directory: string } }
  >
  service: { pipelines: { metrics: { receivers: string[]; processors?: string[]; exporters: string[] } } }
}

function read(path: string): Written {
  return parse(readFileSync(path, 'utf8')) as Written
}

/** Stands in for the API of Datadog that knows one key. */
async function keyApi(
  status = 403,
  body?: string,
): Promise<{ url: string; asked: { url?: string; headers: IncomingHttpHeaders }[] }> {
  const asked: { url?: string; headers: IncomingHttpHeaders }[] = []
  const server = createServer(({ method, url, headers }, response) => {
    asked.push({ url: `${method} ${url}`, headers })
    response.writeHead(headers['dd-api-key'] === KEY ? 200 : status, { 'content-type': 'application/json' })
    response.end(body ?? JSON.stringify({ valid: headers['dd-api-key'] === KEY, errors: [headers['dd-api-key']] }))
  })
  const { url } = await listen(server)
  return { url, asked }
}

describe('heka-pipeline init', () => {
  const presets = ['agent', 'sidecar', 'gateway']
  const exporters = ['datadog_native', 'datadog_otlp', 'newrelic_otlp', 'otlp_http']

  for (const preset of presets) {
    it.each(exporters)(`writes the preset ${preset} to %s, which is valid and holds no key`, async (exporter) => {
      const { path } = await folder()
      const args = ['--preset', preset, '--exporter', exporter, '--output', path('pipeline.yaml')]
      const env = { DD_API_KEY: KEY, NEW_RELIC_LICENSE_KEY: KEY }
      const { code, stdout, stderr } = await runCommand(['init', ...args], { env })
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain(`heka-pipeline --config ${path('pipeline.yaml')}\n`)
      const text = readFileSync(path('pipeline.yaml'), 'utf8')
      expect(text).not.toContain(KEY)
      expect(text).toMatch(new RegExp(`^# ${preset}, to ${exporter}: .*\\.\n#\n#   `))
      expect(text.match(/^ *# .*/gm)?.length).toBeGreaterThan(3)
      expect((await loadConfig({ files: [{ path: path('pipeline.yaml') }], env })).warnings).toEqual([])

      const { receivers, exporters, service } = read(path('pipeline.yaml'))
      const { metrics } = service.pipelines
      expect(Object.keys(exporters)).toEqual([exporter])
      expect(metrics.exporters).toEqual([exporter])
      const variable = { newrelic_otlp: '${env:NEW_RELIC_LICENSE_KEY}', otlp_http: undefined }
      expect(exporters[exporter].api_key).toBe(
        exporter in variable ? variable[exporter as 'otlp_http'] : '${env:DD_API_KEY}',
      )
      expect(Object.keys(receivers)).toEqual(
        { agent: ['host_metrics'], sidecar: ['otlp', 'host_metrics'], gateway: ['otlp'] }[preset],
      )
      if (preset === 'sidecar') expect(Object.keys(receivers.host_metrics.scrapers)).toEqual(['container'])
      if (preset === 'gateway') expect(exporters[exporter].sending_queue?.directory).toMatch(/heka-pipeline/)
      expect(metrics.processors?.includes('cumulative_to_delta') ?? false).toBe(exporter === 'newrelic_otlp')
    })
  }

  it('writes the agent to Datadog where nothing is asked and nobody can answer, and says what it costs', async () => {
    const { path } = await folder()
    const written = await runCommand(['init'], { cwd: path('.') })
    const explained = await runCommand(['explain', '--config', path('pipeline.yaml'), '--format', 'json'], {
      env: { DD_API_KEY: KEY },
    })
    const [exporter] = (JSON.parse(explained.stdout) as { exporters: ExporterReport[] }).exporters
    expect(written).toEqual({
      code: 0,
      stdout: `Wrote pipeline.yaml. It sends about ${exporter.billed_metrics} custom metrics from this machine. Next:

  export DD_API_KEY=<key>
  heka-pipeline validate --config pipeline.yaml
  heka-pipeline --config pipeline.yaml
`,
      stderr: '',
    })
    const { exporters } = read(path('pipeline.yaml'))
    expect(exporters.datadog_native).toMatchObject({
      site: '${env:DD_SITE:-datadoghq.com}',
      api_key: '${env:DD_API_KEY}',
    })
    // The Agent's names, which Datadog does not bill, and beside them only what the Agent has no name for, whatever the CPUs.
    const names = new Set(exporter.series?.map(({ name }) => name))
    for (const name of ['system.cpu.user', 'system.mem.usable', 'system.load.norm.1']) expect(names).toContain(name)
    expect([...names].filter((name) => !name.startsWith('system.'))).toEqual([])
    expect(exporter.series?.filter(({ name }) => /^system\.(cpu\.(time|utilization)|memory\.)/.test(name))).toEqual([])
    // No tag that nobody asked for.
    const keys = exporter.series?.flatMap(({ tags }) => tags.map(({ tag }) => tag.split(':', 1)[0]))
    expect(new Set(keys)).not.toContain('env')
    expect(new Set(keys)).not.toContain('team')
    expect(new Set(exporter.series?.map(({ host }) => host.name))).toEqual(new Set([hostname()]))
  })

  it.each([
    [
      ['--preset', 'gateway'],
      'How many custom metrics it sends depends on its applications; `heka-pipeline explain --from',
    ],
    [['--exporter', 'otlp_http'], 'Next:'],
  ])('with %j says nothing of what only others know', async (args, sentence) => {
    const { path } = await folder()
    const { stdout } = await runCommand(['init', ...args], { cwd: path('.') })
    expect(stdout).toContain(`Wrote pipeline.yaml. ${sentence}`)
  })

  it('writes the file all the same when nothing can be counted, and says why', async () => {
    const { path } = await folder()
    const { code, stdout } = await runCommand(['init'], { cwd: path('.'), env: { DD_SITE: 'datadoghq.de' } })
    expect(code).toBe(0)
    expect(stdout).toMatch(/could not be counted: pipeline\.yaml:\d+:\d+ exporters\.datadog_native\.site: must be /)
  })

  it('overwrites a file only when it is forced to', async () => {
    const { path } = await folder({ 'pipeline.yaml': 'mine' })
    const { code, stdout, stderr } = await runCommand(['init'], { cwd: path('.') })
    expect({ code, stdout, stderr }).toEqual({
      code: 64,
      stdout: '',
      stderr: 'heka-pipeline init: pipeline.yaml already exists; --force overwrites it\n',
    })
    expect(readFileSync(path('pipeline.yaml'), 'utf8')).toBe('mine')
    expect((await runCommand(['init', '--preset', 'gateway', '--force'], { cwd: path('.') })).code).toBe(0)
    expect(Object.keys(read(path('pipeline.yaml')).exporters)).toEqual(['datadog_native'])
  })

  it.each([
    [['--preset', 'agents'], '--preset must be `agent`, `sidecar` or `gateway`'],
    [['--exporter', 'datadog'], '--exporter must be `datadog_native`, `datadog_otlp`, `newrelic_otlp` or `otlp_http`'],
    [['--site', 'datadoghq.de'], '--site must be `datadoghq.com`, '],
    [['--endpoint', 'localhost'], '--endpoint must be '],
    [['--api-key', ''], '--api-key must not be empty'],
    [['--exporter', 'otlp_http', '--site', 'datadoghq.eu'], 'otlp_http has no --site'],
    [['--exporter', 'otlp_http', '--api-key', 'k'], 'otlp_http has no --api-key'],
    [['--exporter', 'newrelic_otlp', '--check-key'], '--check-key is for keys of Datadog, not for newrelic_otlp'],
  ])('refuses %j and writes nothing', async (args, message) => {
    const { path } = await folder()
    const { code, stderr } = await runCommand(['init', ...args], { cwd: path('.') })
    expect(code).toBe(64)
    expect(stderr).toContain(`heka-pipeline init: ${message}`)
    expect(() => statSync(path('pipeline.yaml'))).toThrow('ENOENT')
  })

  it('puts a key into the file only when it is given for that, and then for nobody else to read', async () => {
    const { path } = await folder()
    const args = ['init', '--preset', 'gateway', '--exporter', 'datadog_otlp', '--api-key']
    expect((await runCommand([...args, KEY], { cwd: path('.') })).code).toBe(0)
    expect(read(path('pipeline.yaml')).exporters.datadog_otlp.api_key).toBe(KEY)
    expect(statSync(path('pipeline.yaml')).mode & 0o777).toBe(0o600)
    const reference = '${file:/run/secrets/datadog_api_key}'
    const { stdout } = await runCommand([...args, reference, '--force'], { cwd: path('.') })
    expect(stdout).not.toContain('export')
    expect(read(path('pipeline.yaml')).exporters.datadog_otlp.api_key).toBe(reference)
    expect(statSync(path('pipeline.yaml')).mode & 0o044).toBe(0o044)
  })
})

describe('heka-pipeline init --check-key', () => {
  it('asks Datadog about the key, through the proxy of the environment', async () => {
    const { path } = await folder()
    const api = await keyApi()
    const proxy = await startProxy({ to: Number(new URL(api.url).port) })
    const endpoint = 'http://datadog.example:8126'
    const { code, stdout, stderr } = await runCommand(
      ['init', '--preset', 'gateway', '--check-key', '--endpoint', endpoint],
      {
        cwd: path('.'),
        env: { DD_API_KEY: KEY, HTTP_PROXY: proxy.url },
      },
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Datadog knows the key\.\nWrote pipeline\.yaml\./)
    expect(api.asked).toMatchObject([{ url: 'GET /api/v1/validate', headers: { 'dd-api-key': KEY } }])
    expect(proxy.forwarded.map(({ target }) => target)).toEqual([`${endpoint}/api/v1/validate`])
    expect(read(path('pipeline.yaml')).exporters.datadog_native).toMatchObject({
      endpoint,
      api_key: '${env:DD_API_KEY}',
    })
  })

  it.each([
    [403, undefined, 'Datadog does not know the key at this site; nothing was written\n'],
    [
      500,
      undefined,
      'Datadog could not be asked about the key: GET URL/api/v1/validate: 500 {"valid":false,"errors":["[REDACTED]"]}; nothing was written\n',
    ],
    [200, undefined, 'Datadog does not know the key at this site; nothing was written\n'],
    [
      200,
      '{"valid":',
      'Datadog could not be asked about the key: GET URL/api/v1/validate: 200 {"valid":; nothing was written\n',
    ],
    [
      200,
      '<html>',
      'Datadog could not be asked about the key: GET URL/api/v1/validate: 200 with a web page instead of an answer; perhaps a proxy asks for a login, or the endpoint is wrong: <html>; nothing was written\n',
    ],
  ])('writes nothing when the answer is %d %s, and never shows the key', async (status, body, message) => {
    const { path } = await folder()
    const { url } = await keyApi(status, body)
    const { code, stdout, stderr } = await runCommand(['init', '--check-key', '--endpoint', url], {
      cwd: path('.'),
      env: { DD_API_KEY: 'another-key' },
    })
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr: `heka-pipeline init: ${message.replace('URL', url)}`,
    })
    expect(() => statSync(path('pipeline.yaml'))).toThrow('ENOENT')
  })

  it('says which variable has no key', async () => {
    const { path } = await folder()
    const { code, stderr } = await runCommand(['init', '--check-key'], { cwd: path('.') })
    expect(code).toBe(78)
    expect(stderr).toContain('exporters.datadog_native.api_key: the environment variable DD_API_KEY is not set')
  })
})

const inTerminal = process.platform === 'linux' ? describe : describe.skip

inTerminal('heka-pipeline init in a terminal', () => {
  /** Runs it in a pseudo terminal; `talk` are pieces of what it shows, each with what is typed then. */
  async function converse(cwd: string, talk: readonly (readonly [shown: string, typed: string])[]) {
    const child = spawn(
      'script',
      ['--quiet', '--return', '--command', `${process.execPath} ${main} init`, '/dev/null'],
      {
        cwd,
        env: { PATH: process.env.PATH, TERM: 'dumb' },
      },
    )
    const waiting = [...talk]
    let shown = ''
    let read = 0
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text
      for (let next = waiting[0]; next !== undefined && shown.includes(next[0], read); next = waiting[0]) {
        read = shown.indexOf(next[0], read) + next[0].length
        child.stdin.write(next[1])
        waiting.shift()
      }
    })
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { code, shown, unasked: waiting }
  }

  it('asks what it is to do, and again when the answer is none', async () => {
    const { path } = await folder()
    const { code, shown, unasked } = await converse(path('.'), [
      ['Which preset? [agent] ', 'gatewy\n'],
      ['It must be `agent`, `sidecar` or `gateway`.', ''],
      ['Which preset? [agent] ', 'gateway\n'],
      ['Where should the data go (datadog_native, datadog_otlp, newrelic_otlp, otlp_http)? [datadog_native] ', '\n'],
      ['What is the Datadog site of your account? [datadoghq.com] ', 'datadoghq.eu\n'],
      ['Check the key with Datadog (y, n)? [n] ', '\n'],
    ])
    expect({ code, unasked }).toEqual({ code: 0, unasked: [] })
    expect(shown).toContain('export DD_API_KEY=<key>')
    const { receivers, exporters } = read(path('pipeline.yaml'))
    expect(Object.keys(receivers)).toEqual(['otlp'])
    expect(exporters.datadog_native.site).toBe('datadoghq.eu')
  })

  it.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('writes nothing when %s ends it', async (_keys, typed) => {
    const { path } = await folder()
    const { code, shown } = await converse(path('.'), [['Which preset? [agent] ', typed]])
    expect(code).toBe(1)
    expect(shown).toContain('nothing was written')
    expect(() => statSync(path('pipeline.yaml'))).toThrow('ENOENT')
  })
})
