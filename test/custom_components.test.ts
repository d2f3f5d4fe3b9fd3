import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { checkComponent } from '../src/pipeline/config/config.ts'
import { loadModule } from '../src/pipeline/modules/load.ts'
import { runCommand, makeFolder } from './kit/command.ts'

/** The code blocks of docs/custom-components.md that begin with the name of a file. */
const page = readFileSync(new URL('../docs/custom-components.md', import.meta.url), 'utf8')
const files = Object.fromEntries(
  Array.from(page.matchAll(/^```\w+\n(?:\/\/|#) (\S+\.\w+)\n([^]*?)^```$/gm), ([, name, text]) => [name, text]),
)

describe('docs/custom-components.md', () => {
  let folder: Awaited<ReturnType<typeof makeFolder>>

  beforeAll(async () => {
    folder = await makeFolder(files)
  })

  afterAll(() => folder.remove())

  it('shows a receiver, a processor and an exporter whose examples load', async () => {
    const components = await Promise.all(
      Object.keys(files)
        .filter((name) => !name.endsWith('.yaml'))
        .map((name) => loadModule(name, folder.path('.'))),
    )
    expect(new Set(components.flat().map(({ kind }) => kind))).toEqual(new Set(['receiver', 'processor', 'exporter']))
    for (const component of components.flat()) {
      for (const { yaml } of component.examples ?? []) await checkComponent(component, yaml)
    }
  })

  it('shows a pipeline that counts the files in its folder into one of them', async () => {
    const { code, stderr } = await runCommand(['--config', 'pipeline.yaml', '--once'], { cwd: folder.path('.') })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const lines = (await readFile(folder.path('counts.jsonl'), 'utf8')).trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    const before = Object.keys(files).length
    expect(lines[0]).toContain(`"name":"folder.files","unit":"{file}","gauge":{"dataPoints":[{"timeUnixNano":`)
    expect(lines[0]).toContain(`"asInt":"${before}"`)
    expect(lines[1]).toContain(`"asInt":"${before + 1}"`)
  })
})
