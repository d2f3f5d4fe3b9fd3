import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { publint } from 'publint'
import { startProcess } from '../kit/command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the package', () => {
  it('is what its package.json says, as publint sees it', async () => {
    const { messages } = await publint({ pkgDir: root, pack: 'npm', strict: true })
    expect(messages).toEqual([])
  })

  it('holds the program, what to start from and how to use it, and nothing else', async () => {
    const npm = startProcess('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { cwd: root })
    expect(await npm.ended).toBe(0)
    const [{ files }] = JSON.parse(npm.stdout()) as [{ files: { path: string; mode: number }[] }]
    const paths = files.map(({ path }) => path)
    expect(paths).toEqual(
      expect.arrayContaining([
        'dist/cli/main.js',
        'dist/index.js',
        'dist/testing.js',
        'config/default.yaml',
        'README.md',
      ]),
    )
    expect([...new Set(paths.map((path) => path.split('/')[0]))].sort()).toEqual([
      'LICENSE',
      'README.md',
      'config',
      'dist',
      'docs',
      'package.json',
    ])
  })

  it('can be imported by its name, as can its test kit', async () => {
    const script = `
      const { defineComponent } = await import('heka-pipeline')
      const { testProcessor } = await import('heka-pipeline/testing')
      console.log(typeof defineComponent, typeof testProcessor)`
    const node = startProcess(process.execPath, ['--input-type=module', '--eval', script], { cwd: root })
    expect(await node.ended).toBe(0)
    expect(node.stdout()).toBe('function function\n')
  })
})
