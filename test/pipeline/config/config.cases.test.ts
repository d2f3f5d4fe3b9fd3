import { readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { ConfigError, formatProblem } from '../../../src/errors.ts'
import type { Problem } from '../../../src/errors.ts'
import { loadConfig, printConfig } from '../../../src/pipeline/config/config.ts'
import type { ConfigInput } from '../../../src/pipeline/config/config.ts'

/*
 * Each folder is one configuration: `pipeline.yaml`, or what `input.json` names with its `files`, `sets` and `env`.
 * `expected.txt` holds its mistakes and warnings, `expected.yaml` what takes effect if there are no mistakes.
 * UPDATE_CASES=1 writes both anew, to be read before they are committed.
 */
const folder = new URL('../../cases/config/', import.meta.url)

describe('a configuration', () => {
  it.each(readdirSync(folder))('gives what %s expects', async (name) => {
    const directory = new URL(`${name}/`, folder)
    const input = await inputOf(directory)
    const [problems, shown] = await outcome(input)
    const lines = problems.map((problem) => `${problem.severity}: ${formatProblem(problem)}\n`)
    await compare(new URL('expected.txt', directory), lines.join('').replaceAll(input.baseDirectory!, '<directory>'))
    await compare(new URL('expected.yaml', directory), shown)
  })
})

async function inputOf(directory: URL): Promise<ConfigInput> {
  const {
    files = ['pipeline.yaml'],
    sets = [],
    env = {},
  } = JSON.parse(await read(new URL('input.json', directory), '{}')) as {
    files?: string[]
    sets?: string[]
    env?: Record<string, string>
  }
  return { files: files.map((path) => ({ path })), sets, env, baseDirectory: fileURLToPath(directory).slice(0, -1) }
}

async function outcome(input: ConfigInput): Promise<[readonly Problem[], string]> {
  try {
    const { warnings } = await loadConfig(input)
    return [warnings, (await printConfig(input)).replaceAll(input.baseDirectory!, '<directory>')]
  } catch (error) {
    if (error instanceof ConfigError) return [error.problems, '']
    throw error
  }
}

async function compare(file: URL, found: string): Promise<void> {
  if (process.env.UPDATE_CASES !== undefined && found !== '') await writeFile(file, found)
  expect(found).toBe(await read(file, ''))
}

async function read(file: URL, otherwise: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => otherwise)
}
