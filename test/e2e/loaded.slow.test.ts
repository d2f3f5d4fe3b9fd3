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

/** The files of the bundle that were loaded, and what the libraries in them are. */
async function loadedWith(args: readonly string[]): Promise<{ bytes: number; libraries: Set<string> }> {
  const folder = await temporaryFolder({})
  const command = startCommand(args, {
    env: { NODE_V8_COVERAGE: folder.path('coverage'), DD_API_KEY: 'key', NEW_RELIC_LICENSE_KEY: 'key' },
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
  return { bytes, libraries }
}

const shipped = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))

describe('what is loaded to run', () => {
  // Kilobytes of source at most: some more than it was.
  it.each([
    ['default.yaml', 1850, ['undici', '@grpc/grpc-js']],
    ['datadog_native.yaml', 2550, ['@grpc/grpc-js']],
    ['datadog_otlp.yaml', 2650, ['@grpc/grpc-js']],
    ['heka_names.yaml', 1850, ['undici', '@grpc/grpc-js']],
    ['newrelic_otlp.yaml', 2450, ['@grpc/grpc-js']],
    ['otlp_http.yaml', 2350, ['@grpc/grpc-js']],
    ['otlp_gateway.yaml', 3500, []],
    ['sidecar.yaml', 3500, []],
  ])('%s is at most %i KB, and none of what it does not need', async (name, most, unneeded) => {
    const ports = /gateway|sidecar/.test(name)
      ? ['grpc', 'http'].flatMap((each) => ['--set', `receivers.otlp.protocols.${each}.endpoint=127.0.0.1:0`])
      : []
    const { bytes, libraries } = await loadedWith(['--config', shipped(name), ...ports])
    expect(unneeded.filter((library) => libraries.has(library))).toEqual([])
    expect(bytes / 1000).toBeLessThan(most)
  })

  it('is every shipped configuration', async () => {
    expect((await readdir(shipped('.'))).filter((name) => name.endsWith('.yaml'))).toHaveLength(8)
  })
})
