import { cpSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from '@jest/globals'
import { startProcess, temporaryFolder } from '../kit/command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

it('builds only what has changed, and takes nothing away from a command that runs', async () => {
  const { path } = await temporaryFolder({})
  for (const name of ['build.js', 'package.json', 'package-lock.json', 'src', 'config']) {
    cpSync(join(root, name), path(name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), path('node_modules'))
  const build = async (...args: string[]): Promise<void> => {
    expect(await startProcess(process.execPath, ['build.js', ...args], { cwd: path('.') }).ended).toBe(0)
  }
  const chunks = (): string[] => readdirSync(path('dist/chunks'))
  await build()
  const first = { chunks: chunks(), written: statSync(path('dist/cli/main.js')).mtimeMs }
  await build()
  expect(statSync(path('dist/cli/main.js')).mtimeMs).toBe(first.written)
  const command = startProcess(
    process.execPath,
    ['dist/cli/main.js', '--set', 'service.telemetry.metrics.level=none'],
    {
      cwd: path('.'),
    },
  )
  await command.logged('started')

  writeFileSync(path('dist/receivers/gone.js'), 'export default {}')
  const source = path('src/cli/signals.ts')
  writeFileSync(source, `${readFileSync(source, 'utf8')}\nexport const changed = true\nconsole.error('changed')\n`)
  await build()
  expect(chunks()).toEqual(expect.arrayContaining(first.chunks))
  expect(chunks().length).toBeGreaterThan(first.chunks.length)
  expect(readdirSync(path('dist/receivers'))).not.toContain('gone.js')
  const again = startProcess(process.execPath, ['dist/cli/main.js', '--version'], { cwd: path('.') })
  expect(await again.ended).toBe(0)
  expect(again.stderr()).toBe('changed\n')

  command.kill('SIGTERM')
  await expect(command.ended).resolves.toBe(0)
  await build('--fresh')
  expect(chunks().length).toBeLessThanOrEqual(first.chunks.length)
})
