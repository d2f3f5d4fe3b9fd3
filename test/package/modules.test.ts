import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from '@jest/globals'
import { runCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

const dist = fileURLToPath(new URL('../../dist', import.meta.url))

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

interface Loaded {
  /** The files of dist/. */
  readonly files: readonly string[]
  /** The components among them, as `exporters/debug`. */
  readonly components: readonly string[]
  /** The libraries that they bundle. */
  readonly libraries: ReadonlySet<string>
}

/** Runs the load average of this host through an exporter, and tells by Node's coverage what was loaded for it. */
async function loadedFor(exporter: string, settings = ''): Promise<Loaded> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
exporters: { ${exporter}: ${settings} }
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [${exporter}] } } }
`,
  })
  cleanups.push(folder.remove)
  const { code, stderr } = await runCommand(['--config', folder.path('pipeline.yaml'), '--once'], {
    env: { NODE_V8_COVERAGE: folder.path('coverage') },
  })
  expect({ code, stderr }).toMatchObject({ code: 0 })
  const [report] = readdirSync(folder.path('coverage'))
  const { result } = JSON.parse(readFileSync(join(folder.path('coverage'), report), 'utf8')) as {
    result: { url: string }[]
  }
  const files = result.filter(({ url }) => url.startsWith('file:')).map(({ url }) => fileURLToPath(url))
  const sources = files.filter((file) => existsSync(`${file}.map`)).flatMap(sourcesOf)
  return {
    files: files.map((file) => relative(dist, file)),
    components: files.flatMap((file) => /^(receivers|processors|exporters)\/\w+/.exec(relative(dist, file))?.[0] ?? []),
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
    expect(files.length).toBeLessThan(60)
  })

  it('has the HTTP client, but no gRPC, for an exporter over HTTP', async () => {
    const intake = await startIntake()
    cleanups.push(() => intake.close())
    const settings = `{ endpoint: "${intake.url}", api_key: ${'k'.repeat(32)} }`
    const { components, libraries } = await loadedFor('datadog_native', settings)
    expect([...components].sort()).toEqual(['exporters/datadog_native', 'receivers/host_metrics'])
    expect(libraries).toContain('undici')
    for (const library of ['@grpc/grpc-js', 'jiti', 'systeminformation']) expect(libraries).not.toContain(library)
  })
})
