import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from '@jest/globals'
import { startProcess, temporaryFolder } from './kit/command.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const CHANGELOG = `# Changelog

## Unreleased

A text by hand.

## 0.1.0 (2026-01-01)

The first version.
`

/** A clean repository on main that is to be released, with these files. */
async function repository(files: Readonly<Record<string, string>>) {
  const { path } = await temporaryFolder({
    'project/package.json': '{ "name": "a-project", "version": "0.1.0" }',
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`project/${name}`, text])),
    'home/.gitconfig': '[user]\n  name = A person\n  email = person@example.com\n',
  })
  const cwd = path('project')
  const run = async (program: string, ...args: string[]) => {
    const started = startProcess(program, args, { cwd, env: { HOME: path('home') } })
    return { code: await started.ended, stdout: started.stdout(), stderr: started.stderr() }
  }
  const git = async (...args: string[]) => {
    const { code, stdout, stderr } = await run('git', ...args)
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    return stdout.trim()
  }
  await git('init', '--quiet', '--initial-branch', 'main')
  await git('add', '.')
  await git('commit', '--quiet', '--message', 'First')
  return {
    git,
    release: (...args: string[]) => run(process.execPath, join(root, 'scripts/release.js'), ...args),
    read: (name: string) => readFileSync(join(cwd, name), 'utf8'),
    has: (name: string) => existsSync(join(cwd, name)),
  }
}

describe('npm run release', () => {
  let project: Awaited<ReturnType<typeof repository>>
  beforeEach(async () => {
    project = await repository({
      'CHANGELOG.md': CHANGELOG,
      'changelog.d/README.md': 'How to write one.',
      'changelog.d/b.added.md': 'A second thing.\n',
      'changelog.d/a.added.md': 'A thing,\nin two lines.\n',
      'changelog.d/c.breaking.md': 'Another format.\n',
    })
  })

  it('moves the fragments into the changelog, sets the version, commits and tags', async () => {
    const { code, stdout, stderr } = await project.release('0.2.0')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(project.read('CHANGELOG.md')).toBe(`# Changelog

## Unreleased

## 0.2.0 (${new Date().toISOString().slice(0, 10)})

A text by hand.

### Breaking changes

- Another format.

### Added

- A thing,
  in two lines.
- A second thing.

## 0.1.0 (2026-01-01)

The first version.
`)
    expect(JSON.parse(project.read('package.json'))).toEqual({ name: 'a-project', version: '0.2.0' })
    expect(await project.git('status', '--porcelain')).toBe('')
    expect(await project.git('ls-files', 'changelog.d')).toBe('changelog.d/README.md')
    expect(await project.git('log', '-1', '--format=%s', 'v0.2.0')).toBe('Release 0.2.0')
    expect(stdout).toContain('git push --atomic origin main v0.2.0\n  npm publish --provenance')
  })

  it('shows the section with --dry-run, and changes nothing', async () => {
    const { code, stdout } = await project.release('0.2.0', '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toContain('### Breaking changes\n\n- Another format.\n\n### Added\n\n- A thing,\n  in two lines.\n')
    expect(project.read('CHANGELOG.md')).toBe(CHANGELOG)
    expect(await project.git('tag')).toBe('')
    expect(await project.git('status', '--porcelain')).toBe('')
  })

  it('reports everything that stands in the way together, and changes nothing', async () => {
    const broken = await repository({
      'CHANGELOG.md': '# Changelog\n\n## Unreleased\n',
      'changelog.d/a.improved.md': 'A thing.\n',
      'changelog.d/b.fixed.md': '',
    })
    await broken.git('checkout', '--quiet', '-b', 'other')
    await broken.git('tag', 'v0.1.0')
    await broken.git('rm', '--quiet', '--cached', 'package.json')
    const { code, stderr } = await broken.release('0.1.0')
    expect(code).toBe(1)
    expect(stderr.trim().split('\n')).toEqual([
      'The tag v0.1.0 exists already: choose another version.',
      'A release is made on main, not on other.',
      'There are changes that are not committed: commit or remove them.',
      'changelog.d/a.improved.md: must be called <name>.<type>.md, with one of the types breaking, added, changed, deprecated, removed, fixed, security.',
      'changelog.d/b.fixed.md: is empty.',
      'There is nothing to release: changelog.d and the section "Unreleased" are empty.',
    ])
    expect(broken.has('changelog.d/b.fixed.md')).toBe(true)
    expect((await broken.release('next')).stderr).toContain('Give the version, like `npm run release -- 0.2.0`.')
  })

  it('can fold the fragments that wait in this repository', async () => {
    const names = readdirSync(join(root, 'changelog.d')).map((name) => `changelog.d/${name}`)
    // Right after a release there are none.
    const files: Record<string, string> = { 'changelog.d/one-more.added.md': 'A thing.' }
    for (const name of ['CHANGELOG.md', ...names]) files[name] = readFileSync(join(root, name), 'utf8')
    const { release } = await repository(files)
    const { code, stderr } = await release('99.0.0', '--dry-run')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})
