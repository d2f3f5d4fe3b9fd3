import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** The text of relative imports, wherever they stand; one in a comment does no harm. */
const IMPORT = /\b(?:from|import|require)\s*\(?\s*(['"`])(\.{1,2}\/[^'"`\n]+)\1/g

/** Of packages, and of parts of Node without `node:`. */
const PACKAGE = /\b(?:from|import|require)\s*\(?\s*(['"`])(?![./]|node:)[^'"`\n]+\1/

/** Types in a comment name packages that nobody imports. */
const COMMENT = /\/\*[^]*?\*\//g

/** Read when an import leaves the extension out. */
const EXTENSIONS = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json']

export interface ModuleContent {
  /** The same as long as no file has changed. */
  readonly digest: string
  /** The module and all that it imports by relative paths, directly or not. Packages are not looked into. */
  readonly files: readonly string[]
  /** Whether it imports packages. */
  readonly importsPackages: boolean
}

/** What a module is made of on disk now. */
export function contentOf(path: string): ModuleContent {
  const hash = createHash('sha256')
  const files = new Set([path])
  let importsPackages = false
  // A set gives what is added to it on the way, too.
  for (const file of files) {
    const text = read(file)
    importsPackages ||= PACKAGE.test(text.replace(COMMENT, ''))
    hash.update(`${file}\0${text.length}\0${text}`)
    for (const [, , specifier] of text.matchAll(IMPORT)) {
      const imported = find(resolve(dirname(file), specifier))
      if (imported !== undefined) files.add(imported)
    }
  }
  return { digest: hash.digest('hex'), files: [...files], importsPackages }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Whoever loads it says so.
    return ''
  }
}

function find(path: string): string | undefined {
  const typescript = path.replace(/\.([mc]?)js$/, '.$1ts')
  const extended = [path, `${path}/index`].flatMap((stem) => EXTENSIONS.map((extension) => stem + extension))
  return [path, typescript, ...extended].find((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true)
}
