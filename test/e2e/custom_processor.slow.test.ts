import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { runCommand, temporaryFolder } from '../kit/command.ts'

const shipped = fileURLToPath(new URL('../../config/custom-processor', import.meta.url))

interface WrittenMetric {
  name: string
  unit?: string
  gauge?: { dataPoints: { asDouble?: number }[] }
  sum?: { isMonotonic: boolean }
}

function metricsOf(stdout: string): WrittenMetric[] {
  return stdout
    .trimEnd()
    .split('\n')
    .flatMap(
      (line) =>
        (JSON.parse(line) as { resourceMetrics: { scopeMetrics: { metrics: WrittenMetric[] }[] }[] }).resourceMetrics,
    )
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap(({ metrics }) => metrics)
}

describe('the pipeline in config/custom-processor', () => {
  let elsewhere: string

  beforeAll(async () => {
    elsewhere = await mkdtemp(join(tmpdir(), 'custom-processor-'))
    await cp(shipped, elsewhere, { recursive: true })
  })

  afterAll(() => rm(elsewhere, { recursive: true }))

  it.each([
    ['where it is shipped', () => shipped],
    ['copied to a folder outside this package', () => elsewhere],
  ])('scales and makes rates %s, and writes nothing beside its files', async (_place, folder) => {
    const before = await readdir(folder())
    const result = await runCommand(
      ['--config', 'pipeline.yaml', '--once', '--set', 'exporters.debug.format=otlp_json'],
      { cwd: folder() },
    )
    expect(result).toMatchObject({ code: 0 })
    const metrics = metricsOf(result.stdout)
    const memory = metrics.filter(({ name }) => name === 'system.memory.usage')
    expect(new Set(memory.map(({ unit }) => unit))).toEqual(new Set(['MiBy']))
    const io = metrics.filter(({ name }) => name === 'system.network.io')
    expect(io.map(({ unit }) => unit)).toEqual(['By/s'])
    for (const { asDouble } of io[0].gauge?.dataPoints ?? []) expect(asDouble).toBeGreaterThanOrEqual(0)
    const idle = metrics
      .filter(({ name }) => name === 'system.cpu.time')
      .flatMap(({ gauge }) => gauge?.dataPoints ?? [])
    expect(idle.length).toBeGreaterThan(0)
    for (const { asDouble } of idle) expect(asDouble).toBeLessThan(1.5)
    expect(metrics.filter(({ sum }) => sum?.isMonotonic)).toEqual([])
    expect(await readdir(folder())).toEqual(before)
  })

  it('has its settings checked like any other', async () => {
    const result = await runCommand(
      [
        ...['validate', '--config', 'pipeline.yaml'],
        ...['--set', 'processors.rate.window=500ms', '--set', 'processors.scale.factor=ten'],
        ...['--set', 'processors.scale.factr=1'],
      ],
      { cwd: elsewhere },
    )
    expect(result.code).toBe(78)
    expect(result.stderr).toContain('processors.rate.window: must be at least 1s')
    expect(result.stderr).toContain('processors.scale.factor: must be a number')
    expect(result.stderr).toContain('processors.scale.factr')
    expect(result.stderr).toContain('did you mean "factor"?')
  })
})

describe('what a processor throws', () => {
  it('costs its batch even where it has no text, and a level of debug says where an error came from', async () => {
    const folder = await temporaryFolder({
      'broken.ts': `
const broken = (type: string, fail: () => never) =>
  ({ kind: 'processor', type, summary: 'Fails.', config: {}, create: () => fail })
export default [
  broken('speechless', () => { throw Object.create(null) }),
  broken('mistaken', () => { throw new TypeError('nothing is where it should be') }),
]
`,
      'pipeline.yaml': `
modules: [./broken.ts]
receivers: { host_metrics: { collection_interval: 1s, scrapers: { load: } } }
processors: { speechless: , mistaken: }
exporters: { debug: }
service:
  telemetry: { logs: { level: debug, encoding: json }, metrics: { level: none } }
  pipelines:
    metrics/a: { receivers: [host_metrics], processors: [speechless], exporters: [debug] }
    metrics/b: { receivers: [host_metrics], processors: [mistaken], exporters: [debug] }
`,
    })
    const { code, stderr } = await runCommand(['--config', folder.path('pipeline.yaml'), '--once'])
    expect(code).toBe(1)
    expect(stderr).toContain('"error":"a value without a message was thrown"')
    expect(stderr).toMatch(/"stack":"TypeError: nothing is where it should be[^"]*broken\.ts:/)
    expect(stderr.match(/accepted 6 = handed on 0 \+ dropped\(processor_error\) 6/g)).toHaveLength(2)
  })
})
