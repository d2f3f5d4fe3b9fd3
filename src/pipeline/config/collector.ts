/** A feature of the Collector that this version does not have, and its replacement here. */
interface Hint {
  /** The path in the configuration, without the names of components. */
  readonly path: RegExp
  readonly message: string
  /** One line of YAML to write instead: a section, or a setting of the exporter. A test loads it. */
  readonly instead?: string
}

const exporter = (settings: string) => `exporters: { datadog_native: ${settings} }`

const MODULE = 'a custom component from `modules` can take its place'

/** The first match is used. */
export const collectorHints: readonly Hint[] = [
  {
    path: /^extensions$/,
    message:
      'there are no extensions: an exporter has its own `headers`, `proxy_url` and `tls`, `sending_queue.directory` keeps its queue on disk, `service.health` serves health endpoints, memory is limited by `service.memory_limiter`, and there are no pprof and zpages endpoints; delete the section',
  },
  {
    path: /^service\.extensions$/,
    message: 'there are no extensions; delete the list',
  },
  {
    path: /^connectors$/,
    message: 'there are no connectors; a receiver or an exporter may be in several pipelines',
    instead:
      'service: { pipelines: { metrics/a: { receivers: [host_metrics], exporters: [debug] }, metrics/b: { receivers: [host_metrics], exporters: [datadog_native] } } }',
  },
  {
    path: /^service\.pipelines\.profiles(\/.*)?$/,
    message: 'this version has no pipelines for profiles; keep this one in the Collector',
  },
  {
    path: /^service\.telemetry\.metrics\.(readers|views)$/,
    message:
      'metrics are served to Prometheus on one `address`; to send them elsewhere, the receiver `internal` feeds them to a pipeline',
    instead: 'service: { telemetry: { metrics: { address: "localhost:8888" } } }',
  },
  {
    path: /^service\.telemetry\.(traces|resource)$/,
    message: 'this version has logs and metrics of its own, and chooses their resource attributes itself',
  },
  {
    path: /^service\.telemetry\.logs\.(output_paths|error_output_paths|development|sampling|initial_fields|disable_caller|disable_stacktrace|processors)$/,
    message: 'logs have only `level` and `encoding` and go to standard error',
    instead: 'service: { telemetry: { logs: { level: debug, encoding: json } } }',
  },
  {
    path: /^receivers\.(prometheus|statsd|kafka)$/,
    message: `this version has no such receiver; it has host_metrics, and ${MODULE}`,
  },
  {
    path: /^receivers\..*\.scrapers\.(process|nfs|hardware)$/,
    message:
      'this version has no such scraper; `processes` counts processes by state, and no scraper reports single processes',
  },
  {
    path: /^processors\.batch$/,
    message: 'there is no batch processor; the queue of each exporter makes batches',
    instead: exporter('{ sending_queue: { batch: { flush_timeout: 200ms, min_size: 8192 } } }'),
  },
  {
    path: /^(processors|service)\.memory_?limiter.*\.min_gc_interval_when_(soft|hard)_limited$/,
    message: 'garbage collection runs as often as its cost allows; delete it',
  },
  {
    path: /^processors\.(resource|attributes)$/,
    message: 'tag_merge sets attributes',
    instead: 'processors: { tag_merge: { tags: ["env:production"], on_conflict: override } }',
  },
  {
    path: /^processors\.transform$/,
    message: `there is no language for transformations; rename changes names, units, labels and scales, metric_prefix puts a prefix before names, tag_merge sets attributes, and for anything else ${MODULE}`,
    instead: 'processors: { rename: { transforms: [{ include: system.cpu.time, new_name: cpu.seconds }] } }',
  },
  {
    path: /^processors\.(k8s_?attributes|group_?by_?attrs|probabilistic_?sampler|span|tail_?sampling|delta_?to_?cumulative)$/,
    message: `this version has no such processor; ${MODULE}`,
  },
  {
    path: /^exporters\.datadog$/,
    message: 'datadog_native (its own API) or datadog_otlp (OTLP) sends to Datadog',
    instead: exporter('{ api_key: "${env:DD_API_KEY}", site: datadoghq.com }'),
  },
  {
    path: /^exporters\.(prometheus|prometheus_?remote_?write|kafka|file)$/,
    message: `this version has no such exporter; otlp_http sends OTLP, debug writes OTLP JSON to the terminal, and ${MODULE}`,
    instead: 'exporters: { debug: { format: otlp_json } }',
  },
  {
    path: /^exporters\.logging$/,
    message: 'debug shows metrics',
    instead: 'exporters: { debug: { format: table } }',
  },
  {
    path: /^exporters\.debug.*\.(verbosity|sampling_initial|sampling_thereafter|use_internal_logger)$/,
    message: 'debug shows everything; its only setting is the format',
    instead: 'format: openmetrics',
  },
  {
    path: /^exporters\..*\.sending_queue\.storage$/,
    message: 'to keep a queue on disk, name a folder; no extension is needed',
    instead: 'sending_queue: { directory: /var/lib/heka-pipeline, max_disk_size: 1GiB }',
  },
  {
    path: /^exporters\..*\.sending_queue\.blocking$/,
    message: 'it is called block_on_overflow',
    instead: 'sending_queue: { block_on_overflow: true }',
  },
  {
    path: /^exporters\..*\.sending_queue\.wait_for_result$/,
    message: 'without a queue, a batch is accepted only when it has been sent',
    instead: 'sending_queue: { enabled: false }',
  },
  {
    path: /^exporters\..*\.sending_queue\.batch\.sizer$/,
    message: 'the sizes of a batch count data points; delete it',
  },
  {
    path: /^exporters\..*\.tls\.insecure$/,
    message: 'the URL decides whether TLS is used, http:// or https://; to skip the check of certificates',
    instead: 'tls: { insecure_skip_verify: true }',
  },
  {
    path: /^exporters\..*\.tls\.(ca|cert|key)_pem$/,
    message: 'certificates and keys are read from files',
    instead: 'tls: { ca_file: /etc/ssl/ca.pem }',
  },
  {
    path: /^exporters\.otlp.*\.(traces|logs|profiles)_endpoint$/,
    message: 'this version has only metrics; delete it',
  },
  {
    path: /^exporters\.otlp.*\.(read|write)_buffer_size$/,
    message: "connections use gRPC's default buffers; delete it",
  },
  {
    path: /^exporters\..*\.auth$/,
    message: 'there are no authenticators; write the headers that they would add',
    instead: 'headers: { authorization: "Bearer ${env:TOKEN}" }',
  },
  {
    path: /^exporters\.datadog_?(native|otlp).*\.api$/,
    message: 'the key and the site are settings of the exporter itself',
    instead: 'api_key: "${env:DD_API_KEY}"',
  },
  {
    path: /^exporters\.datadog_?(native|otlp).*\.(host_metadata|hostname_detection_timeout|only_metadata)$/,
    message: 'no host metadata is sent; the host is named by `hostname`, or by the resource attributes',
    instead: 'hostname: web-1',
  },
]

/** The advice for a component or setting of the Collector that this version does not have. */
export function collectorHint(path: string): string | undefined {
  const hint = collectorHints.find((each) => each.path.test(path))
  if (hint === undefined) return undefined
  return hint.instead === undefined ? hint.message : `${hint.message}: \`${hint.instead}\``
}
