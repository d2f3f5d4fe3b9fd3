/**
 * The rooms of `src/`, and what is in them: layer by layer, each of which may import itself and those before it. Type imports count.
 * docs/architecture.md shows the same list, which a test compares.
 */
export const layers = [
  {
    'errors.ts': 'The kinds of errors.',
    'formats.ts': 'The named formats of settings.',
    'linked_list.ts': 'A list from which any item is removed at once.',
    'small_file.ts': 'Reading files that should be small, and may be pipes.',
    'process_exit.ts': "Keeps users' code from ending the process.",
    'time/': 'Clocks, real and for tests; waiting no longer than a limit; long work in turns.',
    'text/': 'Texts for terminals, secrets in texts, patterns and regular expressions, the Prometheus formats.',
    'otlp/':
      'The data. `wire/` bytes, `common/` attributes and resources, `json/` OTLP/JSON, `metrics/` batch, metrics and points, `delta/` cumulative to delta.',
  },
  {
    'component/': 'The form of a component: its settings, its context, and the contract of each kind.',
    'throttled.ts': 'Rate limits for repeated log lines.',
    'host/': 'The host that this runs on: its resource attributes; the memory of the process and its container.',
    'net/':
      'Clients for HTTP and gRPC, proxies, TLS, compression, OTLP requests and answers; the small server about the process itself.',
    'datadog/': 'Shared by the Datadog exporters and processors: host rules, tags, names, sites, seconds of series.',
  },
  {
    'receivers/': 'The receivers, a file each; parts of one in a folder of its name.',
    'processors/': 'The processors, likewise.',
    'exporters/': 'The exporters, likewise.',
  },
  {
    'pipeline/':
      'The running pipeline. `config/` the file, `modules/` loading code, `graph/` receivers to exporters, `delivery/` and `queue/` in front of each exporter, `telemetry/` accounts and health, `admin/`; `machine.ts` the parts of the machine that it uses.',
  },
  { 'cli/': 'The command, a file per subcommand, and the pages about components.' },
  {
    'index.ts': 'The public API; re-exports only.',
    'testing.ts': 'The test kit, published as `heka-pipeline/testing`; our own tests use it.',
  },
]

const pathOf = (rooms) => `^src/(${rooms.map((room) => room.replace('.', '[.]')).join('|')})`
const components = ['receivers', 'processors', 'exporters']
const all = layers.flatMap((layer) => Object.keys(layer))

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no circles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'only rooms that are listed', severity: 'error', from: { path: '^src/', pathNot: pathOf(all) }, to: {} },
    ...layers.slice(0, -1).map((layer, index) => ({
      name: `no arrow up from ${Object.keys(layer).join(', ')}`,
      severity: 'error',
      from: { path: pathOf(Object.keys(layer)) },
      to: { path: pathOf(layers.slice(index + 1).flatMap((above) => Object.keys(above))) },
    })),
    ...components.map((kind) => ({
      name: `no ${kind} that know of other kinds`,
      severity: 'error',
      from: { path: `^src/${kind}/` },
      to: { path: components.filter((other) => other !== kind).map((other) => `^src/${other}/`) },
    })),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
}
