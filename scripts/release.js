import { execFileSync } from 'node:child_process'
import console from 'node:console'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'

/*
 * npm run release -- 0.2.0 [--dry-run]
 *
 * On a clean checkout of main: moves the fragments of changelog.d into CHANGELOG.md, sets the version, commits and tags. It
 * pushes and publishes nothing, but prints the commands that do. `--dry-run` prints the section of the changelog and changes nothing.
 */

/** The types of fragments and their headings, in the order of the changelog; changelog.d/README.md explains them. */
const headings = {
  breaking: 'Breaking changes',
  added: 'Added',
  changed: 'Changed',
  deprecated: 'Deprecated',
  removed: 'Removed',
  fixed: 'Fixed',
  security: 'Security',
}
const UNRELEASED = '## Unreleased\n'

const { values, positionals } = parseArgs({ options: { 'dry-run': { type: 'boolean' } }, allowPositionals: true })
const [version] = positionals
const tag = `v${version}`
const mistakes = []

if (positionals.length !== 1 || !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
  mistakes.push('Give the version, like `npm run release -- 0.2.0`.')
} else if (git('tag', '--list', tag) !== '') {
  mistakes.push(`The tag ${tag} exists already: choose another version.`)
}
const branch = git('branch', '--show-current')
if (branch !== 'main') mistakes.push(`A release is made on main, not on ${branch || 'a detached commit'}.`)
if (git('status', '--porcelain') !== '')
  mistakes.push('There are changes that are not committed: commit or remove them.')

const fragments = readFragments()
const changelog = readFileSync('CHANGELOG.md', 'utf8')
const section = sectionOf(changelog)
if (section === '') mistakes.push('There is nothing to release: changelog.d and the section "Unreleased" are empty.')

if (values['dry-run']) console.log(section)
for (const mistake of mistakes) console.error(mistake)
if (mistakes.length > 0) process.exit(1)

if (values['dry-run']) {
  console.log('\nNothing has changed.')
} else {
  writeFileSync('CHANGELOG.md', released(changelog))
  for (const { path } of fragments) rmSync(path)
  const options = ['--no-git-tag-version', '--allow-same-version', '--ignore-scripts', '--no-update-notifier']
  execFileSync('npm', ['version', version, ...options])
  git('commit', '--all', '--message', `Release ${version}`)
  git('tag', '--annotate', tag, '--message', `Release ${version}`)
  console.log(`Committed and tagged as ${tag}. These commands publish it:

  git push --atomic origin main ${tag}
  npm publish --provenance  # npm accepts provenance from a hosted CI only`)
}

/** The output of a git command. */
function git(...args) {
  return execFileSync('git', args, { encoding: 'utf8' }).trim()
}

/** The fragments in the order of their names; what cannot be one is a mistake. */
function readFragments() {
  return readdirSync('changelog.d')
    .filter((name) => name !== 'README.md')
    .sort()
    .flatMap((name) => {
      const path = join('changelog.d', name)
      const [, type] = /^[a-z0-9-]+\.([a-z]+)\.md$/.exec(name) ?? []
      const text = readFileSync(path, 'utf8').trim()
      if (!Object.hasOwn(headings, type ?? '')) {
        mistakes.push(
          `${path}: must be called <name>.<type>.md, with one of the types ${Object.keys(headings).join(', ')}.`,
        )
      } else if (text === '') mistakes.push(`${path}: is empty.`)
      else return [{ path, type, text }]
      return []
    })
}

/** Where the text below "Unreleased" begins and ends. */
function unreleased(text) {
  const heading = text.indexOf(UNRELEASED)
  if (heading < 0) throw new Error('CHANGELOG.md has no section "## Unreleased".')
  const start = heading + UNRELEASED.length
  const end = text.indexOf('\n## ', start)
  return { start, end: end < 0 ? text.length : end }
}

/** The section of the version: what stands below "Unreleased", then the fragments by type. */
function sectionOf(text) {
  const { start, end } = unreleased(text)
  const lists = Object.entries(headings).map(([type, heading]) => {
    const items = fragments.filter((fragment) => fragment.type === type)
    if (items.length === 0) return ''
    return `### ${heading}\n\n${items.map((item) => `- ${item.text.replace(/\n(?=.)/g, '\n  ')}`).join('\n')}`
  })
  return [text.slice(start, end).trim(), ...lists].filter((part) => part !== '').join('\n\n')
}

/** The changelog with the section under its version, and nothing below "Unreleased". */
function released(text) {
  const { start, end } = unreleased(text)
  const date = new Date().toISOString().slice(0, 10)
  return `${text.slice(0, start)}\n## ${version} (${date})\n\n${section}\n${text.slice(end)}`
}
