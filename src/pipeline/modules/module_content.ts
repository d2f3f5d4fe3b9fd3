import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { readFailure } from '../../errors.ts'
import { isFile, readSmallFile } from '../../small_file.ts'

/** The text of relative imports anywhere in a file; one in a comment does no harm. */
const IMPORT = /\b(?:from|import|require)\s*\(?\s*(['"`])(\.{1,2}\/[^'"`\n]+)\1/g

/** Imports of packages, and of parts of Node without `node:`. */
const PACKAGE = /\b(?:from|import|require)\s*\(?\s*(['"`])(?![./]|node:)[^'"`\n]+\1/

/** Types in a comment may name packages that are not imported. */
const COMMENT = /\/\*[^]*?\*\//g
/** The most bytes that a file of a module may have; bundled files are larger than handwritten ones. */
const MAX_SIZE = 64 * 2 ** 20

/** Tried if an import leaves the extension out. */
const EXTENSIONS = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json']

interface ModuleContent {
  /** The same as long as no file has changed. */
  readonly digest: string
  /** The module and all files that it imports by relative paths, directly or indirectly. Packages are not searched. */
  readonly files: readonly string[]
  /** Whether it imports packages. */
  readonly importsPackages: boolean
}

/** The files of a module as they are on disk now. @throws if a file is too large, or does not answer */
export async function contentOf(path: string): Promise<ModuleContent> {
  const hash = createHash('sha256')
  const files = new Set([path])
  let importsPackages = false
  // Iterating over a set includes the items that are added meanwhile.
  for (const file of files) {
    const text = await read(file)
    importsPackages ||= PACKAGE.test(text.replace(COMMENT, ''))
    hash.update(`${file}\0${text.length}\0${text}`)
    for (const [, , specifier] of text.matchAll(IMPORT)) {
      const imported = await find(resolve(dirname(file), specifier))
      if (imported !== undefined) files.add(imported)
    }
  }
  return { digest: hash.digest('hex'), files: [...files], importsPackages }
}

async function read(file: string): Promise<string> {
  try {
    return (await readSmallFile(file, MAX_SIZE)).toString()
  } catch (error) {
    // Loading the file will report the error of the file system.
    if ((error as NodeJS.ErrnoException).code !== undefined) return ''
    throw new Error(`${file} ${readFailure(error)}`, { cause: error })
  }
}

async function find(path: string): Promise<string | undefined> {
  const typescript = path.replace(/\.([mc]?)js$/, '.$1ts')
  const extended = [path, `${path}/index`].flatMap((stem) => EXTENSIONS.map((extension) => stem + extension))
  for (const file of [path, typescript, ...extended]) if (await isFile(file)) return file
  return undefined
}
