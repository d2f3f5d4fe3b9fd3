/** Something the collector has and this version has not, and what does its work here. */
interface Hint {
  /** The path in the configuration; names of components left out. */
  readonly path: RegExp
  readonly message: string
  /** What to write instead, as one line of YAML: a section, or a setting of the exporter. A test loads it. */
  readonly instead?: string
}

const exporter = (settings: string) => `exporters: { datadog_native: ${settings} }`

const MODULE = 'a custom component brought by `modules` can do it'

/** The first that fits counts. */
export const collectorHints: readonly Hint[] = [
  {
    path: /^extensions$/,
    message:
      'there are no extensions: an exporter has its own `headers`, `proxy_url` and `tls`, its queue is kept on disk by `sending_queue.directory`, health is asked for with `service.health`, memory is limited by `service.memory_limiter`, and there is no pprof or zpages endpoint; delete the section',
  },
  {
    path: /^service\.extensions$/,
    message: 'there are no extensions; delete the list',
  },
  {
    path: /^connectors$/,
    message: 'there are no connectors; a receiver and an exporter may stand in several pipelines',
    instead:
      'service: { pipelines: { metrics/a: { receivers: [host_metrics], exporters: [debug] }, metrics/b: { receivers: [host_metrics], exporters: [datadog_native] } } }',
  },
  {
    path: /^service\.pipelines\.profiles(\/.*)?$/,
    message: 'there are no pipelines of profiles in this version; keep this one in the collector',
  },
  {
    path: /^service\.telemetry\.metrics\.(readers|views)$/,
    message:
      'metrics are served to Prometheus on one `address`; for anywhere else, the receiver `internal` gives them to a pipeline',
    instead: 'service: { telemetry: { metrics: { address: "localhost:8888" } } }',
  },
  {
    path: /^service\.telemetry\.(traces|resource)$/,
    message: 'of its own, the pipeline has logs and metrics in this version, with resource attributes of its choice',
  },
  {
    path: /^service\.telemetry\.logs\.(output_paths|error_output_paths|development|sampling|initial_fields|disable_caller|disable_stacktrace|processors)$/,
    message: 'logs have only `level` and `encoding` and go to standard error',
    instead: 'service: { telemetry: { logs: { level: debug, encoding: json } } }',
  },
  {
    path: /^receivers\.(prometheus|statsd|kafka)$/,
    message: `there is no such receiver in this version; host_metrics is there, and ${MODULE}`,
  },
  {
    path: /^receivers\..*\.scrapers\.(process|nfs|hardware)$/,
    message:
      'there is no such scraper in this version; `processes` counts the processes by state, and no scraper looks at single ones',
  },
  {
    path: /^processors\.batch$/,
    message: 'there is no batch processor; batches are made in the queue of each exporter',
    instead: exporter('{ sending_queue: { batch: { flush_timeout: 200ms, min_size: 8192 } } }'),
  },
  {
    path: /^(processors|service)\.memory_?limiter.*\.min_gc_interval_when_(soft|hard)_limited$/,
    message: 'how often garbage is collected is decided by what it costs; delete it',
  },
  {
    path: /^processors\.(resource|attributes)$/,
    message: 'attributes are set by tag_merge',
    instead: 'processors: { tag_merge: { tags: ["env:production"], on_conflict: override } }',
  },
  {
    path: /^processors\.transform$/,
    message: `there is no language for transformations; names, units, labels and scales are changed by rename, a prefix is put before names by metric_prefix, attributes are set by tag_merge, and for anything else ${MODULE}`,
    instead: 'processors: { rename: { transforms: [{ include: system.cpu.time, new_name: cpu.seconds }] } }',
  },
  {
    path: /^processors\.(k8s_?attributes|group_?by_?attrs|probabilistic_?sampler|span|tail_?sampling|delta_?to_?cumulative)$/,
    message: `there is no such processor in this version; ${MODULE}`,
  },
  {
    path: /^exporters\.datadog$/,
    message: 'Datadog is reached by datadog_native (its own API) or by datadog_otlp (OTLP)',
    instead: exporter('{ api_key: "${env:DD_API_KEY}", site: datadoghq.com }'),
  },
  {
    path: /^exporters\.(prometheus|prometheus_?remote_?write|kafka|file)$/,
    message: `there is no such exporter in this version; otlp_http sends OTLP, debug writes OTLP JSON to the terminal, and ${MODULE}`,
    instead: 'exporters: { debug: { format: otlp_json } }',
  },
  {
    path: /^exporters\.logging$/,
    message: 'metrics are shown by debug',
    instead: 'exporters: { debug: { format: table } }',
  },
  {
    path: /^exporters\.debug.*\.(verbosity|sampling_initial|sampling_thereafter|use_internal_logger)$/,
    message: 'debug shows everything; it has only a format',
    instead: 'format: openmetrics',
  },
  {
    path: /^exporters\..*\.sending_queue\.storage$/,
    message: 'a queue is kept on disk by naming a folder, without an extension',
    instead: 'sending_queue: { directory: /var/lib/heka-pipeline, max_disk_size: 1GiB }',
  },
  {
    path: /^exporters\..*\.sending_queue\.blocking$/,
    message: 'it is called block_on_overflow',
    instead: 'sending_queue: { block_on_overflow: true }',
  },
  {
    path: /^exporters\..*\.sending_queue\.wait_for_result$/,
    message: 'without a queue, a batch is taken only when it has been sent',
    instead: 'sending_queue: { enabled: false }',
  },
  {
    path: /^exporters\..*\.sending_queue\.batch\.sizer$/,
    message: 'the sizes of a batch count data points; delete it',
  },
  {
    path: /^exporters\..*\.tls\.insecure$/,
    message: 'whether TLS is used is said by the URL, http:// or https://; certificates are not checked with',
    instead: 'tls: { insecure_skip_verify: true }',
  },
  {
    path: /^exporters\..*\.tls\.(ca|cert|key)_pem$/,
    message: 'certificates and keys are read from files',
    instead: 'tls: { ca_file: /etc/ssl/ca.pem }',
  },
  {
    path: /^exporters\.otlp.*\.(traces|logs|profiles)_endpoint$/,
    message: 'there are only metrics in this version; delete it',
  },
  {
    path: /^exporters\.otlp.*\.(read|write)_buffer_size$/,
    message: 'the buffers of connections are as gRPC has them by default; delete it',
  },
  {
    path: /^exporters\..*\.auth$/,
    message: 'there are no authenticators; what they would add stands in the headers',
    instead: 'headers: { authorization: "Bearer ${env:TOKEN}" }',
  },
  {
    path: /^exporters\.datadog_?(native|otlp).*\.api$/,
    message: 'the key and the site stand in the exporter itself',
    instead: 'api_key: "${env:DD_API_KEY}"',
  },
  {
    path: /^exporters\.datadog_?(native|otlp).*\.(host_metadata|hostname_detection_timeout|only_metadata)$/,
    message: 'no host metadata is sent; the host is named by `hostname`, or by the resource attributes',
    instead: 'hostname: web-1',
  },
]

/** What to do instead of a component or setting of the collector that this version does not have. */
export function collectorHint(path: string): string | undefined {
  const hint = collectorHints.find((each) => each.path.test(path))
  if (hint === undefined) return undefined
  return hint.instead === undefined ? hint.message : `${hint.message}: \`${hint.instead}\``
}
