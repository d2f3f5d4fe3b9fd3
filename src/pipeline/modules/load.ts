import { createHook } from 'node:async_hooks'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import nodeModule, { createRequire } from 'node:module'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import * as rxjs from 'rxjs'
import { systemClock } from '../../time/clock.ts'
import type { Component, ComponentKind } from '../../component/define.ts'
import { errorMessage } from '../../errors.ts'
import { inTime } from '../../time/in_time.ts'
import { withoutExit } from '../../process_exit.ts'
import { isFile } from '../../small_file.ts'
import { ownExtension, ownFolder } from '../own_files.ts'
import { contentOf } from './module_content.ts'

const KINDS: readonly ComponentKind[] = ['receiver', 'processor', 'exporter']

/** The types of the built-in components, from the names of their files; no file is loaded for this. */
export async function listTypes(kind: ComponentKind): Promise<string[]> {
  const files = await readdir(folderOf(kind), { withFileTypes: true })
  return files
    .filter((file) => file.isFile() && /^[a-z0-9_]+\.\w+$/.test(file.name) && file.name.endsWith(ownExtension))
    .map((file) => file.name.slice(0, -ownExtension.length))
    .sort()
}

/** Whether `spelling` names the component `type`: the same name, or the Collector's older spelling without underscores. */
export function isSpellingOf(spelling: string, type: string): boolean {
  return spelling === type || spelling === type.replaceAll('_', '')
}

/** Whether this is a name of the component: its type or one of its aliases, in either spelling. */
export function isNameOf(name: string, { type, aliases = [] }: Pick<Component, 'type' | 'aliases'>): boolean {
  return [type, ...aliases].some((own) => isSpellingOf(name, own))
}

/** The built-in component of that name; undefined if there is none. */
export async function loadBuiltin(kind: ComponentKind, name: string): Promise<Component | undefined> {
  const types = await listTypes(kind)
  const type = types.find((known) => isSpellingOf(name, known))
  if (type !== undefined) return load(kind, type)
  // Finding an alias means loading components; most often the alias begins like the type.
  const likely = (known: string) => Number(known.startsWith(name))
  for (const known of types.toSorted((left, right) => likely(right) - likely(left))) {
    const component = await load(kind, known)
    if (isNameOf(name, component)) return component
  }
  return undefined
}

async function load(kind: ComponentKind, type: string): Promise<Component> {
  const module = (await import(new URL(type + ownExtension, folderOf(kind)).href)) as { default: Component }
  builtins.add(module.default)
  return module.default
}

const builtins = new WeakSet<Component>()

/** Whether the component is one of this package, whose components are tested to keep their contract. */
export function isBuiltin(component: Component): boolean {
  return builtins.has(component)
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
 * The components that a module exports: its default export, one or an array.
 * `specifier`: a file, relative to `directory`, or an npm package that `directory` or this package can import.
 * The components are returned as the module exports them, unchecked: the same objects until its file, or a file that it
 * imports by relative paths, changes. Throws the error of loading the module.
 */
export async function loadModule(specifier: string, directory: string): Promise<readonly Component[]> {
  const file = resolve(directory, specifier)
  const path = (await isFile(file)) ? file : await resolvePackage(specifier, directory)
  const current = await loadCurrent(path)
  // Node would end silently if nothing else were left to do.
  const module = await inTime(systemClock, current.loaded, PATIENCE, LATE)
  const exported = isCompiled(module.default) ? module.default.default : module.default
  if (exported === undefined)
    throw new Error('it has no default export; the default export must be a component, or a list of them')
  current.components = (Array.isArray(exported) ? exported : [exported]) as Component[]
  return current.components
}

/** Whether it is the `exports` object that TypeScript or Babel makes of a module for CommonJS. */
function isCompiled(exported: unknown): exported is { readonly default: unknown } {
  return typeof exported === 'object' && exported !== null && '__esModule' in exported && 'default' in exported
}

/** A loaded module. */
export interface CustomModule {
  readonly path: string
  readonly components: readonly Component[]
  /** Whether the file is the module's, one that it imports by relative paths, or one in its package. */
  readonly holds: (file: string) => boolean
  /**
   * Whether the asynchronous resource with that id, such as a timer, was created while the module was loaded; known
   * only for reloaded modules.
   */
  readonly began: (asyncId: number) => boolean
  /** Whether the file was not loaded again since. */
  readonly isCurrent: boolean
}

/** Every load of every module. */
export function customModules(): CustomModule[] {
  return loads.map(({ path, files, components, begun }, index) => ({
    path,
    components,
    began: (asyncId) => begun.has(asyncId),
    isCurrent: modules.get(path) === loads[index],
    holds: (file) =>
      files.some((own) => own === file || realPath(own) === file) || isBelow(file, packageOf(realPath(path))),
  }))
}

/** The file of the module that exports the component; undefined for one of this package. */
export function fileOf(component: Component): string | undefined {
  return loads.findLast(({ components }) => components.includes(component))?.path
}

/** As in the frames of a stack. */
function realPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}

/** The folder of the package that an installed file belongs to. */
function packageOf(path: string): string | undefined {
  return /^.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+[/\\]/.exec(path)?.[0]
}

function isBelow(file: string, folder: string | undefined): boolean {
  return folder !== undefined && file.startsWith(folder)
}

/** Milliseconds that a module may take to load. */
const PATIENCE = 10_000

const LATE = `it awaits something at its top level that has not settled within ${PATIENCE / 1000} s`

interface Loaded {
  readonly path: string
  digest: string
  readonly files: readonly string[]
  readonly loaded: Promise<{ default?: unknown }>
  components: readonly Component[]
  /** The ids of the asynchronous resources that were created while it was loaded. */
  readonly begun: Set<number>
}

/** The last load of each module, by file. */
const modules = new Map<string, Loaded>()

const loads: Loaded[] = []

/** The module in the current state of its files. */
async function loadCurrent(path: string): Promise<Loaded> {
  const { digest, files, importsPackages } = await contentOf(path)
  const known = modules.get(path)
  if (known?.digest === digest) return known
  const load = known !== undefined ? loadAnew : isForJiti(path) ? loadByJiti : loadNatively
  const lending = importsPackages && load === loadNatively ? lendOwn() : Promise.resolve()
  const begun = new Set<number>()
  const loaded = lending.then(() => withoutExit(() => load(path, files, begun)))
  const current: Loaded = { path, digest, files, loaded, components: [], begun }
  modules.set(path, current)
  loads.push(current)
  // The failure may have had another cause than its files.
  loaded.catch(() => (current.digest = ''))
  return current
}

function folderOf(kind: ComponentKind): URL {
  return new URL(`${kind}s/`, ownFolder)
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

/**
 * Whether any supported version of Node needs help with the file: with TypeScript, or with import and export in a file
 * that Node takes for CommonJS.
 */
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
    if (!/^Cannot find package 'rxjs'/.test(errorMessage(error))) throw error
    if (path.endsWith('.js')) return loadByJiti(path)
    const hint =
      'leave the import out: a plain object is enough, and `create` is given `rxjs`; or rename the file to .js'
    throw new Error(`${errorMessage(error)}; ${hint}`, { cause: error })
  }
}

/**
 * Loads TypeScript and `.js` on every version of Node, without writing to disk. A file outside this package cannot
 * import from it, so it is given our own copies; every other file is imported natively.
 */
async function loadByJiti(path: string): Promise<{ default?: unknown }> {
  const jiti = await jitiFor(path)
  return jiti.import<{ default?: unknown }>(path)
}

/** Node imports a file only once; jiti can forget a file as long as it need not wait for the module. */
async function loadAnew(path: string, files: readonly string[], begun: Set<number>): Promise<{ default?: unknown }> {
  const jiti = await jitiFor(path)
  const { cache } = createRequire(import.meta.url)
  for (const file of files) delete cache[file]
  const watch = createHook({ init: (id) => void begun.add(id) }).enable()
  try {
    const module = jiti(path) as { default?: unknown }
    return /\.cjs$/.test(path) || (path.endsWith('.js') && isCommonJs(path)) ? { default: module } : module
  } catch (error) {
    if (!/^await is only valid/.test(errorMessage(error))) throw error
    const why = 'it has changed and uses await at its top level; such a change takes effect at the next start'
    throw new Error(why, { cause: error })
  } finally {
    watch.disable()
  }
}

async function jitiFor(path: string) {
  const { createJiti } = await import('jiti')
  return createJiti(pathToFileURL(path).href, {
    fsCache: false,
    interopDefault: false,
    extensions: ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'],
    virtualModules: { 'heka-pipeline': (await import(OWN['heka-pipeline'])) as object, rxjs },
    alias: { 'heka-pipeline/testing': fileURLToPath(OWN['heka-pipeline/testing']) },
  })
}

const ownFile = (name: string): string => new URL(`${name}${ownExtension}`, ownFolder).href

/** The modules that can be imported from this package, by name. */
const OWN = { 'heka-pipeline': ownFile('index'), 'heka-pipeline/testing': ownFile('testing') }

let lent: Promise<void> | undefined

/**
 * Makes every import of this package resolve to the copy that runs, wherever the importing file is and whatever is
 * installed next to it: a batch or a point of another copy would be of other classes.
 */
function lendOwn(): Promise<void> {
  return (lent ??= lend())
}

async function lend(): Promise<void> {
  const hook = `const own = ${JSON.stringify(OWN)}
export const resolve = (name, context, next) =>
  Object.hasOwn(own, name) ? { url: own[name], shortCircuit: true } : next(name, context)`
  const source = `data:text/javascript,${encodeURIComponent(hook)}`
  if ('registerHooks' in nodeModule) {
    // Since Node 22.15, for `import` and `require`, without a separate thread.
    const { resolve } = (await import(source)) as { resolve: unknown }
    ;(nodeModule.registerHooks as (hooks: object) => void)({ resolve })
    return
  }
  nodeModule.register(source)
  const own: Record<string, unknown> = {}
  for (const [name, url] of Object.entries(OWN)) own[name] = await import(url)
  const modules = nodeModule as unknown as { _load: (name: string, ...rest: unknown[]) => unknown }
  const load = modules._load
  modules._load = (name, ...rest) => (Object.hasOwn(own, name) ? own[name] : load(name, ...rest))
}
