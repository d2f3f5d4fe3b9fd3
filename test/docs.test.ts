import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = ['README.md', 'CONTRIBUTING.md']
for (const file of readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })) {
  if (file.endsWith('.md')) pages.push(join('docs', file))
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
