/**
 * The rooms of `src/`, and what is in them: layer by layer, each of which may import itself and those before it. Type imports count.
 * docs/architecture.md shows the same list, which a test compares.
 */
export const layers = [
  {
    'errors.ts': 'The kinds of errors.',
    'formats.ts': 'The named formats of settings.',
    'terminal.ts': 'Texts for terminals.',
    'secrets.ts': 'Which texts are secret, and how they are found in texts that came from outside.',
    'clock.ts': 'Time, which everything reads and waits by.',
    'virtual_clock.ts': 'A time that tests move.',
    'turns.ts': 'Long work, which leaves others a turn of the event loop.',
    'in_time.ts': 'Waiting no longer than a limit.',
    'linked_list.ts': 'A list from which any item is removed at once.',
    'small_file.ts': 'Reading files that should be small, and may be pipes.',
    'process_exit.ts': 'Code of users that ends the process.',
    'regular_expression.ts': "Regular expressions: RE2's syntax and linear time.",
    'regular_expression/': 'Which of them V8 runs.',
    'otlp/': 'The data: batch, metrics, points, attributes, protobuf, JSON, differences, aggregation.',
  },
  {
    'component/': 'The shape of a component: its settings, what it is given, and what each kind has to do.',
    'throttled.ts': 'Logs that say the same thing seldom.',
    'part_by_part.ts': 'Processors that work on large batches part by part.',
    'dropped.ts': 'What is logged for each reason under which items are dropped.',
    'metric_selection.ts': 'The settings `include` and `exclude` of processors that work on a choice of metrics.',
    'host/': 'The host that this runs on: its resource attributes; the memory of the process and its container.',
    'http/':
      'Clients for HTTP and gRPC, proxies, TLS, compression, OTLP requests and answers; the small server about the process itself.',
    'datadog/': 'What the Datadog exporters and processors share: host rules, tags, names, sites, seconds of series.',
  },
  {
    'receivers/': 'The receivers, a file each; parts of one in a folder of its name.',
    'processors/': 'The processors, likewise.',
    'exporters/': 'The exporters, likewise.',
  },
  {
    'pipeline/':
      'Configuration, loading, graph, guard, delivery, queue, accounting; `machine.ts`, all it uses of the machine.',
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
