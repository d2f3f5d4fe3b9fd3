import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { build } from 'esbuild'

/*
 * Bundles src/ into dist/. Every component stays a file of its own, loaded by its name and only when it is configured;
 * what several of them share, and the libraries, go into dist/chunks. Fewer and smaller modules make the process start
 * in half the time with 11 MiB less memory (docs/decisions/0050-bundle.md).
 *
 * A command that runs meanwhile loads files of `dist` when it needs them. So nothing is built unless the sources have changed, each file is
 * replaced at once, the chunks before those that import them, and chunks of earlier builds stay. `--fresh` leaves nothing else, for a package.
 */
const CHUNKS = resolve('dist/chunks')
const STAMP = resolve('dist/.sources')
const fresh = process.argv.includes('--fresh')
const sources = digestOf(['build.js', 'package-lock.json', 'src'])
if (!fresh && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sources) process.exit()

const components = ['receivers', 'processors', 'exporters'].flatMap((folder) =>
  readdirSync(join('src', folder), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join('src', folder, entry.name)),
)

/** Of undici, only what sends: its own index also loads fetch, WebSockets, cookies and the mocks of its tests. */
const agentsOfUndici = {
  name: 'agents of undici',
  setup({ onResolve, onLoad }) {
    const agents = {
      Agent: 'dispatcher/agent',
      Pool: 'dispatcher/pool',
      ProxyAgent: 'dispatcher/proxy-agent',
      buildConnector: 'core/connect',
    }
    // HTTP/2, which none of them is asked for, would load Node's own: 2 MiB of memory.
    onLoad({ filter: /undici\/lib\/dispatcher\/client-h2\.js$/ }, () => ({ contents: 'module.exports = undefined' }))
    onResolve({ filter: /^undici$/ }, ({ path }) => ({ path, namespace: 'agents' }))
    onLoad({ filter: /^undici$/, namespace: 'agents' }, () => ({
      contents: [
        // As the index does.
        `import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'`,
        `import api from 'undici/lib/api/index.js'`,
        `Object.assign(Dispatcher.prototype, api)`,
        ...Object.entries(agents).map(([name, file]) => `export { default as ${name} } from 'undici/lib/${file}.js'`),
      ].join('\n'),
      resolveDir: '.',
    }))
  },
}

/**
 * Of Node's own modules, only the exports in use. `import` reads all of them, which loads what Node itself loads on demand: for `node:http`
 * its whole copy of undici, 11 MiB of memory with Node.js 22 and 24.
 */
const exportsInUse = {
  name: 'exports in use',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'require-call' ? undefined : { path, namespace: 'exports in use' },
    )
    onLoad({ filter: /./, namespace: 'exports in use' }, ({ path }) => ({
      contents: [
        `const $ = process.getBuiltinModule('${path}')`,
        'export default $',
        ...Object.getOwnPropertyNames(process.getBuiltinModule(path))
          .filter((name) => /^[A-Za-z]\w*$/.test(name) && name !== 'default')
          .map((name) => `export const ${name} = /* @__PURE__ */ (() => $.${name})()`),
      ].join('\n'),
    }))
  },
}

/** Of pino, only what writes to a stream in this thread: not its transports, and so no threads. */
const pinoWithoutThreads = {
  name: 'pino without threads',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(worker_threads|thread-stream)$/ }, ({ path, importer }) =>
      /node_modules\/pino\//.test(importer.replaceAll('\\', '/')) ? { path, namespace: 'no threads' } : undefined,
    )
    onLoad({ filter: /./, namespace: 'no threads' }, () => ({ contents: 'exports.isMainThread = true' }))
  },
}

const shared = {
  write: false,
  outbase: 'src',
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node20.18',
  // Not the white space: Node writes the line that failed.
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
}

const modules = await build({
  ...shared,
  entryPoints: [
    'src/cli/main.ts',
    'src/cli/watchdog_thread.ts',
    'src/receivers/otlp/json_thread.ts',
    'src/cli/docs.ts',
    'src/index.ts',
    'src/testing.ts',
    ...components,
  ],
  // One folder deep, like the files of src/ that look for others beside themselves.
  chunkNames: 'chunks/[name]-[hash]',
  splitting: true,
  format: 'esm',
  // Looks for its own files at run time.
  external: ['jiti'],
  // Its modules for bundlers become one; those for Node stay 220, each a function of its own.
  alias: { rxjs: './node_modules/rxjs/dist/esm/index.js' },
  plugins: [agentsOfUndici, pinoWithoutThreads, exportsInUse],
  // CommonJS libraries require Node's own modules.
  banner: {
    js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
  },
})
/** What is loaded by `require`, in the middle of work that does not wait. */
const required = await build({ ...shared, entryPoints: ['src/text/re2.cjs'], outExtension: { '.js': '.cjs' } })
const outputFiles = [...modules.outputFiles, ...required.outputFiles]

const isChunk = ({ path }) => path.startsWith(CHUNKS)
for (const file of [...outputFiles.filter(isChunk), ...outputFiles.filter((file) => !isChunk(file))]) replace(file)
const built = new Set(outputFiles.map(({ path }) => path))
for (const path of filesIn(resolve('dist'))) {
  const isOld = /\.(c?js(\.map)?|LEGAL\.txt)$/.test(path) && !isChunk({ path })
  if ((isOld || fresh) && !built.has(path)) rmSync(path)
}
replace({ path: STAMP, contents: sources })

/** Whoever reads the file gets the one before or the new one. */
function replace({ path, contents }) {
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, contents)
  renameSync(temporary, path)
}

function digestOf(paths) {
  const hash = createHash('sha256')
  for (const path of paths.flatMap(filesIn)) hash.update(`${path}\0`).update(readFileSync(path))
  return hash.digest('hex')
}

/** The files of a folder, or the file itself. */
function filesIn(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesIn(join(path, name)))
}
