import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { listBuiltins } from '../pipeline/modules/load.ts'
import { componentPage, indexPage, pagePath, upgradingPage } from './pages.ts'

/*
 * `npm run docs` writes the pages of docs/ that are generated from the declarations; with `--check` it writes nothing,
 * names each page that differs and exits with 1 if there is one.
 */
const docs = fileURLToPath(new URL('../../docs', import.meta.url))
const check = process.argv.includes('--check')

const components = await listBuiltins()
const pages = new Map(components.map((component) => [pagePath(component), componentPage(component)]))
pages.set('components.md', indexPage(components))
pages.set('upgrading.md', upgradingPage(await readFile(join(docs, 'upgrading.md'), 'utf8'), components))

let differs = false
for (const [path, text] of pages) {
  const present = await readFile(join(docs, path), 'utf8').catch(() => undefined)
  if (present === text) continue
  differs = true
  console.log(check ? `docs/${path} differs from the declaration: npm run docs` : `docs/${path}`)
  if (check) continue
  await mkdir(dirname(join(docs, path)), { recursive: true })
  await writeFile(join(docs, path), text)
}
for (const folder of ['receivers', 'processors', 'exporters']) {
  for (const file of await readdir(join(docs, folder)).catch(() => [])) {
    if (pages.has(`${folder}/${file}`)) continue
    differs = true
    console.log(`docs/${folder}/${file} ${check ? 'is not the page of a component: npm run docs' : 'removed'}`)
    if (!check) await rm(join(docs, folder, file))
  }
}
if (check && differs) process.exitCode = 1
