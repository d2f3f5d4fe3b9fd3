import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { runCommand } from '../kit/command.ts'

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
