import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { listBuiltins, listTypes, loadBuiltin, loadModule } from '../../../src/pipeline/modules/load.ts'

const program = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'load-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('a built-in component', () => {
  it('is loaded by its type, or by the same without underscores', async () => {
    const component = await loadBuiltin('processor', 'metric_prefix')
    expect(component).toMatchObject({ kind: 'processor', type: 'metric_prefix' })
    expect(await loadBuiltin('processor', 'metricprefix')).toBe(component)
  })

  it('is loaded by an alias that it declares, among its own kind only', async () => {
    const component = await loadBuiltin('exporter', 'otlp_grpc')
    expect(component).toMatchObject({ kind: 'exporter', type: 'otlp_grpc', aliases: ['otlp'] })
    expect(await loadBuiltin('exporter', 'otlp')).toBe(component)
    expect(await loadBuiltin('exporter', 'otlpgrpc')).toBe(component)
    expect(await loadBuiltin('processor', 'otlp')).toBeUndefined()
  })

  it.each([
    'metricprefi_x',
    'metric__prefix',
    'Metric_Prefix',
    '../processors/metric_prefix',
    'metric_prefix.ts',
    '',
    'constructor',
  ])('is not found by %j', async (type) => {
    expect(await loadBuiltin('processor', type)).toBeUndefined()
  })

  it('is not found among those of another kind', async () => {
    expect(await loadBuiltin('receiver', 'metric_prefix')).toBeUndefined()
  })

  it('stands in the list of its kind, by the name of its file', async () => {
    for (const kind of ['receiver', 'processor', 'exporter'] as const) {
      const components = await listBuiltins(kind)
      expect(components.map(({ type }) => type)).toEqual(await listTypes(kind))
      expect(components.every((component) => component.kind === kind)).toBe(true)
    }
    expect((await listBuiltins()).map(({ kind }) => kind)).toEqual(
      (await Promise.all([listTypes('receiver'), listTypes('processor'), listTypes('exporter')])).flatMap(
        (types, index) => types.map(() => ['receiver', 'processor', 'exporter'][index]),
      ),
    )
  })
})

describe('a module', () => {
  it.each([
    ['own.mjs', 'export default { type: "own" }'],
    ['own.cjs', 'module.exports = { type: "own" }'],
    [
      'compiled.cjs',
      'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = { type: "own" }',
    ],
    ['compiled.js', 'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = { type: "own" }'],
    ['deep/own.mjs', 'export { default } from "./other.mjs"'],
    ['own.ts', 'const type: string = "own"; export default { type }'],
    ['own.mts', 'const type: string = "own"; export default { type }'],
    ['list.ts', 'export default [{ type: "own" } as { type: string }]'],
  ])('is a file beside the YAML: %s', async (name, text) => {
    await write({ [name]: text, 'deep/other.mjs': 'export default { type: "own" }' })
    for (const specifier of [name, `./${name}`, join(directory, name)]) {
      expect(await loadModule(specifier, directory)).toEqual([{ type: 'own' }])
    }
  })

  it('is a package that can be imported from the folder of the YAML', async () => {
    await write({
      'node_modules/extra/package.json':
        '{ "name": "extra", "type": "module", "exports": { "import": "./component.js" } }',
      'node_modules/extra/component.js': 'export default { type: "extra" }',
      'node_modules/@scope/typed.ts/package.json':
        '{ "name": "@scope/typed.ts", "exports": { "./inner": "./inner.ts" } }',
      'extra/readme.txt': 'a folder of the same name',
      'node_modules/@scope/typed.ts/inner.ts': 'export default { type: "typed" as string }',
    })
    expect(await loadModule('extra', directory)).toEqual([{ type: 'extra' }])
    expect(await loadModule('extra', join(directory, 'config'))).toEqual([{ type: 'extra' }])
    expect(await loadModule('@scope/typed.ts/inner', directory)).toEqual([{ type: 'typed' }])
  })

  it('that does not exist is named with the folder where it was looked for', async () => {
    await expect(loadModule('./none.js', directory)).rejects.toThrow(`there is no file ${join(directory, 'none.js')}`)
    await expect(loadModule('no-such-package', directory)).rejects.toThrow(`can be found from ${directory}`)
  })

  it('that has no default export is refused', async () => {
    await write({ 'none.mjs': 'export const component = {}' })
    await expect(loadModule('none.mjs', directory)).rejects.toThrow('it has no default export')
  })

  it('that cannot be read as TypeScript is refused with what is wrong', async () => {
    await write({ 'broken.ts': 'export default {' })
    await expect(loadModule('broken.ts', directory)).rejects.toThrow(/broken\.ts/)
  })
})

/** Jest has a loader of its own, so only a process of the program proves how it loads TypeScript. */
describe('the program', () => {
  it('says what to do when JavaScript elsewhere imports what it cannot find there', async () => {
    await write({
      'pipeline.yaml': 'modules: [rx.mjs]',
      'rx.mjs': "import { map } from 'rxjs'\nexport default { map }",
    })
    const run = promisify(execFile)(process.execPath, [program, 'validate', '--config', 'pipeline.yaml'], {
      cwd: directory,
    })
    const { code, stderr } = (await run.catch((error: unknown) => error)) as { code: number; stderr: string }
    expect(code).toBe(78)
    expect(stderr).toMatch(/^pipeline\.yaml:1:11 modules\[0\]: .*'rxjs'.*leave the import out/m)
  })

  it.each(['module', 'commonjs', undefined])(
    'loads .js written as a module, and hands it its own copies, where package.json says %p',
    async (type) => {
      await write({
        'pipeline.yaml': yaml.replace('.ts', '.js'),
        'own/checked.js': component
          .replace(', type MetricBatch', '')
          .replace('(batch: MetricBatch)', '(batch)')
          .replace('enum Unit { Seconds = 1000 }', 'const Unit = { Seconds: 1000 }')
          .replace("'./unit'", "'./unit.js'"),
        'own/unit.js': 'export const unit = "s"',
        'package.json': JSON.stringify({ type }),
      })
      const { stdout, stderr } = await promisify(execFile)(
        process.execPath,
        // As Node was before 20.19, which guessed from what the file holds.
        ['--no-experimental-detect-module', program, 'validate', '--config', join(directory, 'pipeline.yaml')],
        { cwd: directory },
      )
      expect([stdout, stderr]).toEqual(['The configuration is valid.\n', ''])
    },
  )

  const yaml = `
modules: [own/checked.ts]
receivers: { host_metrics: { scrapers: { load: } } }
processors: { checked: { window: 5s } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], processors: [checked], exporters: [debug] } } }
`
  const component = `
import { map, Observable } from 'rxjs'
import { defineComponent, type MetricBatch } from 'heka-pipeline'
import { gauge } from 'heka-pipeline/testing'
import { unit } from './unit'

enum Unit { Seconds = 1000 }

export default defineComponent({
  kind: 'processor',
  type: 'checked',
  summary: 'Finds out what it was given.',
  config: { window: { doc: 'A time.', format: 'duration', default: null } },
  create({ config, rxjs }) {
    if (rxjs.Observable !== Observable) throw new Error('another copy of RxJS')
    if (config.window !== 5 * Unit.Seconds) throw new Error('another configuration')
    if (gauge('a', 1, {}, { unit }).unit !== 's') throw new Error('another kit')
    return { operator: map((batch: MetricBatch) => batch) }
  },
})
`

  it('loads TypeScript from any folder, hands it its own copies, and writes nothing to disk', async () => {
    await write({
      'pipeline.yaml': yaml,
      'own/checked.ts': component,
      'own/unit.ts': 'export const unit: string = "s"',
    })
    const temporary = join(directory, 'tmp')
    await mkdir(temporary)
    const before = await readdir(directory, { recursive: true })
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [program, 'validate', '--config', join(directory, 'pipeline.yaml')],
      { cwd: directory, env: { HOME: temporary, TMPDIR: temporary } },
    )
    expect([stdout, stderr]).toEqual(['The configuration is valid.\n', ''])
    expect(await readdir(directory, { recursive: true })).toEqual(before)
  })
})

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), text)
  }
}
