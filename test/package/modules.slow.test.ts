import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

const dist = fileURLToPath(new URL('../../dist', import.meta.url))

interface Loaded {
  /** The files of dist/. */
  readonly files: readonly string[]
  /** The components among them, as `exporters/debug`. */
  readonly components: readonly string[]
  /** What they are bundled from. */
  readonly sources: readonly string[]
  /** The libraries among that. */
  readonly libraries: ReadonlySet<string>
}

/**
 * Runs the load average of this host through an exporter, and tells by Node's coverage what was loaded for it. `during`: what
 * is done while it runs, told where its own metrics are; without it, it runs once.
 */
async function loadedFor(exporter: string, settings = '', during?: (url: string) => Promise<void>): Promise<Loaded> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
exporters: { ${exporter}: ${settings} }
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [${exporter}] } } }
`,
  })
  const command = startCommand(
    ['--config', folder.path('pipeline.yaml'), ...(during === undefined ? ['--once'] : [])],
    {
      env: { NODE_V8_COVERAGE: folder.path('coverage') },
    },
  )
  if (during !== undefined) {
    await during(`http://${await command.address('metrics')}/metrics`)
    command.kill('SIGTERM')
  }
  const code = await command.ended
  expect({ code, stderr: command.stderr() }).toMatchObject({ code: 0 })
  const [report] = readdirSync(folder.path('coverage'))
  const { result } = JSON.parse(readFileSync(join(folder.path('coverage'), report), 'utf8')) as {
    result: { url: string }[]
  }
  const files = result.filter(({ url }) => url.startsWith('file:')).map(({ url }) => fileURLToPath(url))
  const sources = files.filter((file) => existsSync(`${file}.map`)).flatMap(sourcesOf)
  return {
    files: files.map((file) => relative(dist, file)),
    components: files.flatMap((file) => /^(receivers|processors|exporters)\/\w+/.exec(relative(dist, file))?.[0] ?? []),
    sources,
    libraries: new Set(sources.flatMap((source) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? [])),
  }
}

function sourcesOf(file: string): readonly string[] {
  return (JSON.parse(readFileSync(`${file}.map`, 'utf8')) as { sources: string[] }).sources
}

describe('what is loaded', () => {
  it('is what is configured: no HTTP client, no gRPC and no compiler for host metrics in the terminal', async () => {
    const { files, components, libraries } = await loadedFor('debug')
    expect([...components].sort()).toEqual(['exporters/debug', 'receivers/host_metrics'])
    expect(libraries).toContain('rxjs')
    for (const library of ['undici', '@grpc/grpc-js', 'jiti', 'systeminformation', '@opentelemetry/sdk-metrics'])
      expect(libraries).not.toContain(library)
    // As modules of their own, what it needs would be some 400.
    expect(files.length).toBeLessThan(90)
  })

  it("has the SDK of OpenTelemetry only when somebody asks for the pipeline's own metrics", async () => {
    const unasked = await loadedFor('debug', '', async () => undefined)
    expect(unasked.libraries).not.toContain('@opentelemetry/sdk-metrics')
    const asked = await loadedFor('debug', '', async (url) => {
      const { body } = await request(url)
      expect(await body.text()).toContain('otelcol_process_uptime')
    })
    expect(asked.libraries).toContain('@opentelemetry/sdk-metrics')
  })

  it('has what sends of the HTTP client, but no gRPC, for an exporter over HTTP', async () => {
    const intake = await startIntake()
    const settings = `{ endpoint: "${intake.url}", api_key: ${'k'.repeat(32)} }`
    const { components, libraries, sources } = await loadedFor('datadog_native', settings)
    expect([...components].sort()).toEqual(['exporters/datadog_native', 'receivers/host_metrics'])
    expect(libraries).toContain('undici')
    expect(sources.filter((source) => /undici\/(index|lib\/(mock|web\/websocket))/.test(source))).toEqual([])
    for (const library of ['@grpc/grpc-js', 'jiti', 'systeminformation']) expect(libraries).not.toContain(library)
  })
})
