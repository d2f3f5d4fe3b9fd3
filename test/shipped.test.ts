import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { loadConfig } from '../src/pipeline/config/config.ts'
import { temporaryFolder } from './kit/command.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const configs = readdirSync(join(root, 'config'), { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.yaml'),
)

/** The fenced blocks of a language in the README, in order. */
function blocks(language: string): string[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  return [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , text]) => text)
}

describe('what is shipped', () => {
  it.each(configs)('config/%s loads without a mistake or a warning, and hangs on no changed default', async (path) => {
    const config = await loadConfig({
      files: [{ path: join(root, 'config', path) }],
      env: { DD_API_KEY: 'k', NEW_RELIC_LICENSE_KEY: 'k' },
    })
    expect([...config.warnings, ...config.changedDefaults]).toEqual([])
    expect(config.pipelines.size).toBeGreaterThan(0)
  })

  it("the README's YAML loads, once its secret file is there", async () => {
    const folder = await temporaryFolder({ key: 'k' })
    const [text] = blocks('yaml')
    const config = await loadConfig({
      files: [{ name: 'README.md', text: text.replace('/run/secrets/datadog_api_key', folder.path('key')) }],
      env: { DD_HOSTNAME: 'web-1' },
    })
    expect([...config.warnings, ...config.changedDefaults]).toEqual([])
    expect(config.processors.get('hostname_override')?.config).toMatchObject({ hostname: 'web-1' })
  })

  it("the README's processor loads from a file beside the YAML", async () => {
    const [, snippet] = blocks('yaml')
    const folder = await temporaryFolder({
      'drop_idle.ts': blocks('ts')[0],
      'pipeline.yaml': `${snippet}
receivers: { host_metrics: { scrapers: { disk: } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [drop_idle], exporters: [debug] } } }
`,
    })
    const config = await loadConfig({ files: [{ path: folder.path('pipeline.yaml') }], env: {} })
    expect(config.processors.get('drop_idle')?.config).toEqual({ metric_names: ['system.disk.pending_operations'] })
  })
})
