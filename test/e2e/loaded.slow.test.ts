import { readdir, readFile, stat } from 'node:fs/promises'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

/*
 * How much source a process holds: V8 keeps every file that was loaded, and what it makes of it.
 */

interface Loaded {
  /** The files of dist/. */
  readonly files: readonly string[]
  /** The components among them, as `exporters/debug`. */
  readonly components: readonly string[]
  /** The sources that they are bundled from. */
  readonly sources: readonly string[]
  /** The libraries among those. */
  readonly libraries: ReadonlySet<string>
  readonly bytes: number
  /** What was loaded of Node.js itself. */
  readonly ofNode: readonly string[]
}

const dist = fileURLToPath(new URL('../../dist', import.meta.url))
const shipped = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))

/** What a process loads, as Node's coverage reports it, until it has started and `during` has ended. */
async function loadedWith(
  args: readonly string[],
  during?: (command: RunningCommand) => Promise<void>,
): Promise<Loaded> {
  const folder = await temporaryFolder({
    'at_exit.cjs': `process.on('exit', () => require('fs').writeFileSync(__dirname + '/node.json', JSON.stringify(process.moduleLoadList)))`,
  })
  const command = startCommand(args, {
    env: {
      NODE_V8_COVERAGE: folder.path('coverage'),
      NODE_OPTIONS: `--require ${folder.path('at_exit.cjs')}`,
      DD_API_KEY: 'key',
      NEW_RELIC_LICENSE_KEY: 'key',
    },
  })
  await command.logged('started')
  await during?.(command)
  command.kill('SIGTERM')
  expect({ code: await command.ended, stderr: command.stderr() }).toMatchObject({ code: 0 })
  const urls = new Set<string>()
  for (const name of await readdir(folder.path('coverage'))) {
    const { result } = JSON.parse(await readFile(folder.path(`coverage/${name}`), 'utf8')) as {
      result: { url: string }[]
    }
    for (const { url } of result) if (url.startsWith('file:')) urls.add(fileURLToPath(url))
  }
  let bytes = 0
  const sources: string[] = []
  for (const file of urls) {
    bytes += (await stat(file)).size
    const map = await readFile(`${file}.map`, 'utf8').catch(() => '{"sources":[]}')
    sources.push(...(JSON.parse(map) as { sources: string[] }).sources)
  }
  const files = Array.from(urls, (file) => relative(dist, file))
  return {
    files,
    components: files.flatMap((file) => /^(receivers|processors|exporters)\/\w+/.exec(file)?.[0] ?? []).sort(),
    sources,
    libraries: new Set(sources.flatMap((source) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? [])),
    bytes,
    ofNode: JSON.parse(await readFile(folder.path('node.json'), 'utf8')) as string[],
  }
}

/** What the load average of this host loads on its way through an exporter. */
async function loadedFor(exporter: object, during?: (command: RunningCommand) => Promise<void>): Promise<Loaded> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { host_metrics: { initial_delay: 0s, scrapers: { load: } } }
exporters: ${JSON.stringify(exporter)}
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [${Object.keys(exporter).join()}] } } }
`,
  })
  return loadedWith(['--config', folder.path('pipeline.yaml')], during)
}

describe('what is loaded to run', () => {
  // Kilobytes of source at most: some more than it was.
  it.each([
    ['default.yaml', 1600, ['undici', '@grpc/grpc-js', 're2js']],
    ['datadog_native.yaml', 2300, ['@grpc/grpc-js', 're2js']],
    ['datadog_otlp.yaml', 2400, ['@grpc/grpc-js', 're2js']],
    ['heka_names.yaml', 1600, ['undici', '@grpc/grpc-js', 're2js']],
    ['newrelic_otlp.yaml', 2200, ['@grpc/grpc-js', 're2js']],
    ['otlp_http.yaml', 2100, ['@grpc/grpc-js', 're2js']],
    ['otlp_gateway.yaml', 3250, ['re2js']],
    ['sidecar.yaml', 3250, ['re2js']],
  ])('%s is at most %i KB, and none of what it does not need', async (name, most, unneeded) => {
    const ports = /gateway|sidecar/.test(name)
      ? ['grpc', 'http'].flatMap((each) => ['--set', `receivers.otlp.protocols.${each}.endpoint=127.0.0.1:0`])
      : []
    const { bytes, libraries, ofNode } = await loadedWith(['--config', shipped(name), ...ports])
    expect(unneeded.filter((library) => libraries.has(library))).toEqual([])
    expect(ofNode.filter((each) => /\/(undici|webcrypto)$/.test(each))).toEqual([])
    expect(bytes / 1000).toBeLessThan(most)
  })

  it('is re2js where a pattern is more than characters and a choice', async () => {
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
processors: { metric_prefix: { prefix: a, exclude: { match_type: regexp, metrics: ['^system[.](cpu|memory)'] } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [metric_prefix], exporters: [debug] } } }
`,
    })
    const { libraries } = await loadedWith(['--config', folder.path('pipeline.yaml')])
    expect(libraries).toContain('re2js')
  })

  it('is every shipped configuration', async () => {
    expect((await readdir(shipped('.'))).filter((name) => name.endsWith('.yaml'))).toHaveLength(8)
  })

  it('is what is configured, and no compiler, for host metrics in the terminal', async () => {
    const { files, components, libraries } = await loadedFor({ debug: {} })
    expect(components).toEqual(['exporters/debug', 'receivers/host_metrics'])
    expect(libraries).toContain('rxjs')
    for (const library of ['undici', '@grpc/grpc-js', 'jiti', 'systeminformation', '@opentelemetry/sdk-metrics'])
      expect(libraries).not.toContain(library)
    // As modules of their own, what it needs would be some 400.
    expect(files.length).toBeLessThan(90)
  })

  it("has the SDK of OpenTelemetry when somebody asks for the pipeline's own metrics", async () => {
    const { libraries } = await loadedFor({ debug: {} }, async (command) => {
      const { body } = await request(`http://${await command.address('metrics')}/metrics`)
      expect(await body.text()).toContain('otelcol_process_uptime')
    })
    expect(libraries).toContain('@opentelemetry/sdk-metrics')
  })

  it('has what sends of the HTTP client for an exporter over HTTP', async () => {
    const intake = await startIntake()
    const settings = { endpoint: intake.url, api_key: 'k'.repeat(32) }
    const { components, libraries, sources } = await loadedFor({ datadog_native: settings }, () => intake.received(1))
    expect(components).toEqual(['exporters/datadog_native', 'receivers/host_metrics'])
    expect(libraries).toContain('undici')
    expect(sources.filter((source) => /undici\/(index|lib\/(mock|web\/websocket))/.test(source))).toEqual([])
    for (const library of ['@grpc/grpc-js', 'jiti', 'systeminformation']) expect(libraries).not.toContain(library)
  })
})
