import { readdir, readFile, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { startCommand, temporaryFolder } from '../kit/command.ts'

/*
 * How much source a process holds that runs a shipped configuration: V8 keeps every file that was loaded, and what it makes of it.
 */

interface Coverage {
  readonly result: readonly { readonly url: string }[]
}

interface Loaded {
  /** Of the files of the bundle. */
  readonly bytes: number
  /** In these files. */
  readonly libraries: ReadonlySet<string>
  /** What was loaded of Node.js itself. */
  readonly ofNode: readonly string[]
}

async function loadedWith(args: readonly string[], files: Readonly<Record<string, string>> = {}): Promise<Loaded> {
  const folder = await temporaryFolder({
    'at_exit.cjs': `process.on('exit', () => require('fs').writeFileSync(__dirname + '/node.json', JSON.stringify(process.moduleLoadList)))`,
    ...files,
  })
  const command = startCommand([...args, ...Object.keys(files).flatMap((name) => ['--config', folder.path(name)])], {
    env: {
      NODE_V8_COVERAGE: folder.path('coverage'),
      NODE_OPTIONS: `--require ${folder.path('at_exit.cjs')}`,
      DD_API_KEY: 'key',
      NEW_RELIC_LICENSE_KEY: 'key',
    },
  })
  await command.logged('started')
  command.kill('SIGTERM')
  await command.ended
  const urls = new Set<string>()
  for (const name of await readdir(folder.path('coverage'))) {
    const { result } = JSON.parse(await readFile(folder.path(`coverage/${name}`), 'utf8')) as Coverage
    for (const { url } of result) if (url.startsWith('file:')) urls.add(fileURLToPath(url))
  }
  let bytes = 0
  const libraries = new Set<string>()
  for (const file of urls) {
    bytes += (await stat(file)).size
    const map = await readFile(`${file}.map`, 'utf8').catch(() => '{"sources":[]}')
    for (const source of (JSON.parse(map) as { sources: string[] }).sources) {
      const library = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1]
      if (library !== undefined) libraries.add(library)
    }
  }
  return { bytes, libraries, ofNode: JSON.parse(await readFile(folder.path('node.json'), 'utf8')) as string[] }
}

const shipped = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))

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
    const { libraries } = await loadedWith([], {
      'pipeline.yaml': `
receivers: { host_metrics: { scrapers: { load: } } }
processors: { metric_prefix: { prefix: a, exclude: { match_type: regexp, metrics: ['^system[.](cpu|memory)'] } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [metric_prefix], exporters: [debug] } } }
`,
    })
    expect(libraries).toContain('re2js')
  })

  it('is every shipped configuration', async () => {
    expect((await readdir(shipped('.'))).filter((name) => name.endsWith('.yaml'))).toHaveLength(8)
  })
})
