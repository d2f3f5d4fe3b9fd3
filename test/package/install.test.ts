import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeFolder, startProcess } from '../kit/command.ts'
import type { Folder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const KEY = 'k'.repeat(32)

/** A project with nothing but a configuration and a processor and a test of its own. */
async function emptyProject() {
  const project = await makeFolder({
    'package.json': '{ "name": "a-project", "private": true, "type": "module" }',
    'pipeline.yaml': `
modules: [./mine.ts]
receivers: { host_metrics: { scrapers: { cpu: , load: } } }
processors: { mine: , metric_prefix: { prefix: heka } }
exporters: { datadog_native: { api_key: ${KEY} } }
service:
  pipelines: { metrics: { receivers: [host_metrics], processors: [mine, metric_prefix], exporters: [datadog_native] } }
`,
    'mine.ts': `
import { defineComponent } from 'heka-pipeline'
import type { MetricBatch } from 'heka-pipeline'

export default defineComponent({
  kind: 'processor',
  type: 'mine',
  summary: 'Puts mine in front of names.',
  config: {},
  create: () => (batch: MetricBatch) => batch.mapMetrics((metric) => metric.withName('mine.' + metric.name)),
})
`,
    'acme.yaml': `
modules: [heka-acme]
receivers: { acme: }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [acme], exporters: [debug] } } }
`,
    'acme/package.json':
      '{ "name": "heka-acme", "version": "1.0.0", "type": "module", "exports": "./index.js", "peerDependencies": { "heka-pipeline": "*" } }',
    'acme/index.js': `
import { MetricBatch, NumberPoint } from 'heka-pipeline'
export default {
  kind: 'receiver',
  type: 'acme',
  summary: 'Says that it is up.',
  config: { collection_interval: { doc: 'The time between two.', format: 'duration', default: '1s' } },
  async *create() {
    for (const value of [1, 2]) {
      const points = [new NumberPoint({ value, timeUnixNano: BigInt(Date.now()) * 1_000_000n })]
      yield MetricBatch.of({ metrics: [{ name: 'acme.up', type: 'gauge', points }] })
    }
  },
}
`,
    'check.ts': `
import { MetricBatch } from 'heka-pipeline'
import { gauge, testProcessor } from 'heka-pipeline/testing'
import mine from './mine.ts'

const { process } = await testProcessor(mine, 'mine:')
const left = await process(MetricBatch.of({ metrics: [gauge('load', 4)] }))
console.log(left.pointCount, [...left.metrics()][0].metric.name)
`,
  })
  return project
}

const suite = process.env.TEST_PACKAGE === '1' ? describe : describe.skip
suite('the tarball in an empty folder, which `npm run test:package` installs', () => {
  let tarball: string
  let project: Folder
  let packed: Folder

  /** Runs a program in the project; returns what it wrote, or throws it when it failed. */
  async function run(program: string, ...args: readonly string[]): Promise<string> {
    const command = startProcess(program, args, { cwd: project.path('.') })
    if ((await command.ended) !== 0) throw new Error(`${program} failed:\n${command.stdout()}\n${command.stderr()}`)
    return command.stdout()
  }

  beforeAll(async () => {
    project = await emptyProject()
    packed = await makeFolder({})
    await run('npm', 'pack', root, '--ignore-scripts', '--pack-destination', packed.path('.'))
    tarball = packed.path(readdirSync(packed.path('.'))[0])
    await run('npm', 'pack', './acme', '--pack-destination', packed.path('.'))
    const acme = packed.path('heka-acme-1.0.0.tgz')
    await run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball, acme)
  }, 300_000)
  afterAll(() => Promise.all([project.remove(), packed.remove()]))

  it('delivers to Datadog through a processor of the project, started by npx', async () => {
    const intake = await startIntake({ apiKey: KEY })
    const set = `exporters.datadog_native.endpoint=${intake.url}`
    await run('npx', '--no-install', 'heka-pipeline', '--config', 'pipeline.yaml', '--set', set, '--once')
    expect(intake.series().map(({ metric }) => metric)).toEqual(
      expect.arrayContaining(['heka.mine.system.cpu.time', 'heka.mine.system.cpu.load_average.1m']),
    )
  })

  it('has types that compile strictly, also those of the test kit', async () => {
    await run(
      process.execPath,
      join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
      ...['--noEmit', '--strict', '--target', 'es2023', '--module', 'nodenext', '--allowImportingTsExtensions'],
      ...['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node', 'check.ts'],
    )
  })

  it('tests a processor of the project with heka-pipeline/testing', async () => {
    const jiti = join(root, 'node_modules', '.bin', 'jiti')
    expect(await run(jiti, 'check.ts')).toBe('1 mine.load\n')
  })

  it('is a command when it is installed globally', async () => {
    const prefix = project.path('global')
    await run('npm', 'install', '--global', '--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund', tarball)
    const command = join(prefix, 'bin', 'heka-pipeline')
    expect(await run(command, 'validate', '--config', 'pipeline.yaml')).toBeDefined()
    // The project has a copy of its own, which its packages would find.
    expect(await run(command, '--config', 'acme.yaml', '--once')).toMatch(/acme\.up +2/)
  }, 300_000)
})
