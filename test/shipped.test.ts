import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { loadConfig } from '../src/pipeline/config/config.ts'
import { AGENT_FLAGS } from '../src/cli/profile.ts'
import { profileOfInput } from '../src/pipeline/config/profile.ts'
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

/** The configurations in a file: the file itself, or those in its ConfigMaps. */
function pipelinesIn(text: string): string[] {
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown> | null)
  return documents.flatMap((document) => {
    if (document?.receivers !== undefined) return [text]
    if (document?.kind !== 'ConfigMap') return []
    return Object.values(document.data as Record<string, string>)
  })
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

  it('starts in the profile for its receivers, wherever it is shipped', async () => {
    const profiles: Record<string, string> = {}
    for (const folder of ['config', 'deploy']) {
      for (const path of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
        if (!/\.ya?ml$/.test(path)) continue
        for (const text of pipelinesIn(readFileSync(join(root, folder, path), 'utf8'))) {
          profiles[`${folder}/${path}`] = await profileOfInput({ files: [{ name: path, text }], env: {} })
        }
      }
    }
    expect(profiles).toEqual({
      'config/custom-processor/pipeline.yaml': 'agent',
      'config/datadog_native.yaml': 'agent',
      'config/datadog_otlp.yaml': 'agent',
      // Also in the image.
      'config/default.yaml': 'agent',
      'config/heka_names.yaml': 'agent',
      'config/newrelic_otlp.yaml': 'agent',
      'config/otlp_gateway.yaml': 'gateway',
      'config/otlp_http.yaml': 'agent',
      'config/sidecar.yaml': 'gateway',
      'deploy/compose/pipeline.yaml': 'gateway',
      'deploy/kubernetes/daemonset.yaml': 'agent',
      'deploy/kubernetes/gateway.yaml': 'gateway',
      'deploy/kubernetes/sidecar.yaml': 'gateway',
      'deploy/systemd/pipeline.yaml': 'agent',
    })
  })

  it.each(['deploy/Dockerfile', 'deploy/systemd/heka-pipeline.service', 'deploy/compose/docker-compose.yml'])(
    '%s has no flags of Node.js, which would be those of a gateway too',
    (path) => {
      const commands = readFileSync(join(root, path), 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#'))
      for (const flag of AGENT_FLAGS) expect(commands.join('\n')).not.toContain(flag.split('=')[0])
    },
  )

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
