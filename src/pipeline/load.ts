import { existsSync, readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import * as rxjs from 'rxjs'
import { systemClock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import type { Component, ComponentKind } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { contentOf } from './module_content.ts'

const KINDS: readonly ComponentKind[] = ['receiver', 'processor', 'exporter']

/** `.ts` in the source, `.js` once built. */
const EXTENSION = extname(fileURLToPath(import.meta.url))

/** The types of the built-in components, from the names of their files; none of them is loaded. */
export async function listTypes(kind: ComponentKind): Promise<string[]> {
  const files = await readdir(folderOf(kind), { withFileTypes: true })
  return files
    .filter((file) => file.isFile() && /^[a-z0-9_]+\.\w+$/.test(file.name) && file.name.endsWith(EXTENSION))
    .map((file) => file.name.slice(0, -EXTENSION.length))
    .sort()
}

/** Whether `spelling` names the component `type`: the same, or in the collector's older way, without underscores. */
export function isSpellingOf(spelling: string, type: string): boolean {
  return spelling === type || spelling === type.replaceAll('_', '')
}

/** Whether the component goes by that name: its type or one of its aliases, in either spelling. */
export function isNameOf(name: string, { type, aliases = [] }: Pick<Component, 'type' | 'aliases'>): boolean {
  return [type, ...aliases].some((own) => isSpellingOf(name, own))
}

/** The built-in component that goes by that name; undefined if there is none. */
export async function loadBuiltin(kind: ComponentKind, name: string): Promise<Component | undefined> {
  const types = await listTypes(kind)
  const type = types.find((known) => isSpellingOf(name, known))
  if (type !== undefined) return load(kind, type)
  // To find an alias, components have to be loaded; most often it is how the present name begins.
  const likely = (known: string) => Number(known.startsWith(name))
  for (const known of types.toSorted((left, right) => likely(right) - likely(left))) {
    const component = await load(kind, known)
    if (isNameOf(name, component)) return component
  }
  return undefined
}

async function load(kind: ComponentKind, type: string): Promise<Component> {
  const module = (await import(new URL(type + EXTENSION, folderOf(kind)).href)) as { default: Component }
  return module.default
}

/** Every built-in component, or those of one kind, by kind and type. */
export async function listBuiltins(kind?: ComponentKind): Promise<Component[]> {
  const components: Component[] = []
  for (const each of kind === undefined ? KINDS : [kind]) {
    for (const type of await listTypes(each)) components.push((await loadBuiltin(each, type))!)
  }
  return components
}

/**
 * The components that a module brings: its default export, one or an array.
 * `specifier`: a file, relative to `directory`, or an npm package that `directory` or this package can import.
 * The components are as the module exports them, unchecked: the same objects for as long as neither its file nor what that
 * imports by relative paths has changed. Throws what loading the module throws.
 */
export async function loadModule(specifier: string, directory: string): Promise<Component[]> {
  const file = resolve(directory, specifier)
  const isFile = statSync(file, { throwIfNoEntry: false })?.isFile() === true
  const path = isFile ? file : await resolvePackage(specifier, directory)
  const { default: exported } = await inTime(loadCurrent(path))
  if (exported === undefined) throw new Error('it has no default export; that must be a component, or a list of them')
  return (Array.isArray(exported) ? exported : [exported]) as Component[]
}

/** Milliseconds that a module may take to load. */
const PATIENCE = 10_000

/** @throws when a module awaits what does not come; Node would end without a word where nothing else is left to do */
async function inTime<T>(module: Promise<T>): Promise<T> {
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    const why = `it awaits something at its top level that has not come within ${PATIENCE / 1000} s`
    timer = systemClock.setTimeout(() => reject(new Error(why)), PATIENCE)
  })
  return Promise.race([module, late]).finally(() => systemClock.clearTimeout(timer))
}

interface Loaded {
  digest: string
  readonly module: Promise<{ default?: unknown }>
}

/** By file. */
const loaded = new Map<string, Loaded>()

/** The module as its files are now. */
function loadCurrent(path: string): Loaded['module'] {
  const { digest, files } = contentOf(path)
  const known = loaded.get(path)
  if (known?.digest === digest) return known.module
  const module = known !== undefined ? loadAnew(path, files) : isForJiti(path) ? loadByJiti(path) : loadNatively(path)
  const current = { digest, module }
  loaded.set(path, current)
  // Why it failed may have been something else than its files.
  module.catch(() => (current.digest = ''))
  return module
}

function folderOf(kind: ComponentKind): URL {
  return new URL(`../${kind}s/`, import.meta.url)
}

async function resolvePackage(name: string, directory: string): Promise<string> {
  if (isAbsolute(name) || /^\.\.?[/\\]/.test(name)) throw new Error(`there is no file ${resolve(directory, name)}`)
  const { createJiti } = await import('jiti')
  const jiti = createJiti(import.meta.url, { fsCache: false })
  const parents = [pathToFileURL(resolve(directory, 'pipeline.yaml')).href, import.meta.url]
  for (const parentURL of parents) {
    const found = jiti.esmResolve(name, { parentURL, try: true })
    if (found !== undefined) return found.startsWith('file:') ? fileURLToPath(found) : found
  }
  throw new Error(`there is no such file, and no package of that name can be found from ${directory}`)
}

/** Whether Node, in every version we run on, needs help: with TypeScript, and with import and export in what it takes for CommonJS. */
function isForJiti(path: string): boolean {
  return /\.[mc]?ts$/.test(path) || (path.endsWith('.js') && !isModulePackage(dirname(path)) && !isCommonJs(path))
}

/** Whether the nearest package.json says that `.js` files are ECMAScript modules. */
function isModulePackage(folder: string): boolean {
  const file = join(folder, 'package.json')
  if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { type?: unknown }).type === 'module'
  return folder !== dirname(folder) && isModulePackage(dirname(folder))
}

function isCommonJs(path: string): boolean {
  try {
    compileFunction(readFileSync(path, 'utf8'))
    return true
  } catch {
    return false
  }
}

async function loadNatively(path: string): Promise<{ default?: unknown }> {
  try {
    return (await import(pathToFileURL(path).href)) as { default?: unknown }
  } catch (error) {
    if (!/^Cannot find package '(heka-pipeline|rxjs)'/.test(errorMessage(error))) throw error
    if (path.endsWith('.js')) return loadByJiti(path)
    const hint =
      'leave the import out: the bare object will do, and `create` is given `rxjs`; or rename the file to .js'
    throw new Error(`${errorMessage(error)}; ${hint}`, { cause: error })
  }
}

/**
 * Loads TypeScript and `.js` on every version of Node, with nothing written to disk. A file outside this package cannot
 * import from it by itself, so it is handed our own copies; every other file is imported natively.
 */
async function loadByJiti(path: string): Promise<{ default?: unknown }> {
  const jiti = await jitiFor(path)
  return jiti.import<{ default?: unknown }>(path)
}

/** Node imports a file only once; jiti, as long as it need not wait for the module, forgets what it is told to. */
async function loadAnew(path: string, files: readonly string[]): Promise<{ default?: unknown }> {
  const jiti = await jitiFor(path)
  const { cache } = createRequire(import.meta.url)
  for (const file of files) delete cache[file]
  try {
    const module = jiti(path) as { default?: unknown }
    return /\.cjs$/.test(path) || (path.endsWith('.js') && isCommonJs(path)) ? { default: module } : module
  } catch (error) {
    if (!/^await is only valid/.test(errorMessage(error))) throw error
    const why = 'it has changed, and awaits something at its top level; such a change takes effect at the next start'
    throw new Error(why, { cause: error })
  }
}

async function jitiFor(path: string) {
  const { createJiti } = await import('jiti')
  const own = (name: string) => new URL(`../${name}${EXTENSION}`, import.meta.url)
  return createJiti(pathToFileURL(path).href, {
    fsCache: false,
    interopDefault: false,
    extensions: ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'],
    virtualModules: { 'heka-pipeline': (await import(own('index').href)) as object, rxjs },
    alias: { 'heka-pipeline/testing': fileURLToPath(own('testing')) },
  })
}
