import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { componentPage, upgradingPage } from '../src/cli/pages.ts'
import type { ProcessorComponent } from '../src/component/processor.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = readdirSync(root).filter((file) => file.endsWith('.md'))
for (const folder of ['docs', 'changelog.d']) {
  for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    // The links of a fragment are those of the changelog that it moves to.
    if (file.endsWith('.md') && (folder === 'docs' || file === 'README.md')) pages.push(join(folder, file))
  }
}

/** The anchor that a heading gets, as GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')

describe('the documentation', () => {
  it.each(pages)('has no broken link in %s', (page) => {
    const text = readFileSync(join(root, page), 'utf8').replace(/^```[^]*?^```/gm, '')
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue
      const [path, anchor] = link.split('#')
      const target = path === '' ? join(root, page) : join(root, dirname(page), path)
      expect({ link, exists: existsSync(target) }).toEqual({ link, exists: true })
      if (anchor === undefined) continue
      const headings = readFileSync(target, 'utf8').matchAll(/^#+ (.+)$/gm)
      expect(Array.from(headings, ([, heading]) => anchorOf(heading))).toContain(anchor)
    }
  })
})

describe('the page about the architecture', () => {
  it('names each room of `src/` in its layer, as the linter does', async () => {
    const rules: string = '../.dependency-cruiser.js'
    const { layers } = (await import(rules)) as { layers: Record<string, string>[] }
    const page = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8')
    const rows = page.matchAll(/^\| (\d) +\| `src\/(.*?)` +\| (.*?) +\|$/gm)
    const shown = Array.from(rows, ([, layer, room, text]) => [Number(layer), room, text])
    const listed = layers.flatMap((rooms, index) =>
      Object.entries(rooms).map(([room, text]) => [index + 1, room, text]),
    )
    const byRoom = (left: unknown[], right: unknown[]) => String(left[1]).localeCompare(String(right[1]))
    expect(shown.sort(byRoom)).toEqual(listed.sort(byRoom))
  })
})

describe('the decisions', () => {
  const folder = join(root, 'docs', 'decisions')
  const notes = readdirSync(folder).filter((file) => file !== 'README.md')

  it('are all in the index, each with its title and status', () => {
    const expected = notes.map((file) => {
      const text = readFileSync(join(folder, file), 'utf8')
      const [, number, title] = /^# (\d{4}): (.+)/.exec(text) ?? []
      const [, status] = /^Status: (.+)/m.exec(text) ?? []
      // Without links and without the words that say what is no longer true.
      const short = status?.replace(/\]\([^)]+\)|\[/g, '').replace(/ \(.*|\.$/g, '')
      return `- [${number}](${file}) ${title} (${short ?? 'accepted'})`
    })
    const index = readFileSync(join(folder, 'README.md'), 'utf8')
    expect(index.match(/^- \[.*/gm)?.sort()).toEqual(expected.sort())
  })

  it('that were overtaken name the later notes, with links', () => {
    const states = notes.flatMap((file) => /^Status: .*/m.exec(readFileSync(join(folder, file), 'utf8')) ?? [])
    const named = /^Status: (superseded|revised) by (\[(\d{4})\]\(\3-[\w-]+\.md\)(, | and )?)+( \(.+\))?\.$/
    expect(states.filter((status) => !named.test(status))).toEqual([])
  })
})

describe('the table of the events in the log', () => {
  it('names those in `src/`, each once', () => {
    const page = readFileSync(join(root, 'docs', 'telemetry.md'), 'utf8')
    const table = page.slice(page.indexOf('## Events in the log'))
    const shown = Array.from(table.matchAll(/^\| `(\w+)`/gm), ([, event]) => event)
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    )
    const logged = sources.flatMap((file) =>
      Array.from(readFileSync(join(root, 'src', file), 'utf8').matchAll(/\bevent: '(\w+)'/g), ([, event]) => event),
    )
    expect(shown.sort()).toEqual([...new Set(logged)].sort())
  })
})

describe('the component specification', () => {
  it('numbers its rules in sequence, and each has a test', () => {
    const spec = readFileSync(join(root, 'docs', 'component-spec.md'), 'utf8')
    const rules = Array.from(spec.matchAll(/^(\d+)\. /gm), ([, number]) => Number(number))
    expect(rules).toEqual(rules.map((_, index) => index + 1))
    const tests = readFileSync(join(root, 'test', 'contract.test.ts'), 'utf8').matchAll(/\bit\('(\d+)\. /g)
    expect([...new Set(Array.from(tests, ([, number]) => Number(number)))].sort((a, b) => a - b)).toEqual(rules)
  })
})

describe('a default that a version changed', () => {
  const component: ProcessorComponent = {
    kind: 'processor',
    type: 'rounding',
    summary: 'Rounds.',
    config: {
      digits: { doc: 'Digits.', format: 'nat', default: 2, changed: { in: '1.2.0', from: 0 } },
      mode: { doc: 'How.', format: 'string', default: 'down' },
    },
    create: () => (batch) => batch,
  }

  it('stands in the table of docs/upgrading.md, and the text around it stays', () => {
    const page = readFileSync(join(root, 'docs', 'upgrading.md'), 'utf8')
    const row = '| [rounding](processors/rounding.md) | `digits` | 1.2.0 | `0` | `2` |'
    const made = upgradingPage(page, [component])
    expect(made.split('\n').filter((line) => line.includes('rounding'))).toEqual([row])
    const around = (text: string) =>
      text.split(/<!-- prettier-ignore-(?:start|end) -->/).filter((_, index) => index !== 1)
    expect(around(made)).toEqual(around(page))
    expect(upgradingPage(made, [component])).toBe(made)
  })

  it("is said on the component's page", () => {
    expect(componentPage(component)).toContain('| Digits. Before 1.2.0, the default was `0`. |')
  })
})
