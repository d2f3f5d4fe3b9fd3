import type { BySignal, ExporterComponent } from '../../component/exporter.ts'
import type { ConfigOf, Setting, Settings } from '../../component/settings.ts'
import { readText } from '../../formats.ts'
import { memoryLimiterSettings } from '../../host/memory_limiter.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'

/** The settings that every exporter has in addition to its own, for the delivery around it, with the Collector's keys and numbers. */
export const deliverySettings = {
  timeout: {
    doc: 'How long one attempt to send a request may take.',
    format: 'duration',
    default: '5s',
  },
  max_age: {
    doc: 'A data point, log record or span older than this is dropped and counted as `too_old`, because the destination would discard it; `0s` means no limit.',
    format: 'duration',
    default: '0s',
  },
  max_ahead: {
    doc: 'The same for one with a time further in the future than this, counted as `too_new`.',
    format: 'duration',
    default: '0s',
  },
  retry_on_failure: {
    enabled: { doc: 'Whether a request that may succeed later is retried.', format: 'boolean', default: true },
    initial_interval: { doc: 'The wait before the first retry.', format: 'duration', default: '5s' },
    randomization_factor: {
      doc: 'How far, as a fraction of the interval, each wait may randomly differ from it, from 0 to 1.',
      format: 'number',
      default: 0.5,
    },
    multiplier: {
      doc: 'The factor by which the interval grows with each retry, at least 1.',
      format: 'number',
      default: 1.5,
    },
    max_interval: { doc: 'The longest interval.', format: 'duration', default: '30s' },
    default_retry_after: {
      doc: 'The wait after HTTP 429 without `Retry-After`. Default: the interval, as after any other failure.',
      format: 'duration',
      default: undefined,
    },
    max_retry_after: {
      doc: 'The longest wait that a destination can impose with `Retry-After`.',
      format: 'duration',
      default: '300s',
    },
    max_elapsed_time: {
      doc: 'A request that is not delivered within this time is dropped and counted; `0s` means no limit. Default: `300s`, or `0s` with a queue on disk.',
      format: 'duration',
      default: undefined,
    },
  },
  sending_queue: {
    enabled: {
      doc: 'Whether batches wait in a queue. Without a queue, a batch is accepted only when it has been sent.',
      format: 'boolean',
      default: true,
    },
    directory: {
      doc: "A folder that makes the queue durable: a batch is accepted when it is flushed to the exporter's own folder in it, and is sent after a restart if it was not sent before. Several exporters may share the folder, but not several processes.",
      format: 'path',
      default: undefined,
    },
    max_disk_size: {
      doc: 'How much disk space the queue may use, for all signals of the exporter together. Beyond it, the queue is full, but an empty queue still accepts a batch.',
      format: 'bytes',
      default: '1GiB',
    },
    queue_size: {
      doc: 'How much the queue of each signal holds, in units of `sizer`. Default: `1000`, or with a queue on disk as much as `max_disk_size` allows.',
      format: 'nat',
      default: undefined,
    },
    sizer: {
      doc: 'What `queue_size` counts: batches (`requests`), the data points, log records or spans in them (`items`) or their OTLP `bytes`.',
      format: ['requests', 'items', 'bytes'],
      default: 'requests',
    },
    on_full: {
      doc: 'What happens to a batch when the queue is full: `refuse` returns it to its receiver, `drop_oldest` makes room by dropping the oldest batch.',
      format: ['refuse', 'drop_oldest'],
      default: 'refuse',
    },
    block_on_overflow: {
      doc: 'Whether a receiver waits for room in a full queue instead of being refused. A receiver that cannot be refused, such as `host_metrics`, never waits.',
      format: 'boolean',
      default: false,
    },
    join_interval: {
      doc: 'Waiting batches are joined into one, which is sent at most once in this time. The first batch after a pause is sent at once, and so are 100,000 items or a full queue. `0s` joins nothing. An exporter whose destination keeps one value per second of each series declares `1s`.',
      format: 'duration',
      default: '0s',
    },
    num_consumers: {
      doc: 'How many requests may be in flight at once, of all signals together, from 1.',
      format: 'nat',
      default: 10,
    },
    batch: {
      doc: 'Joins small batches and splits large ones before they are encoded. Off by default; `batch:` alone uses the defaults below.',
      format: {
        settings: {
          flush_timeout: {
            doc: 'A batch waits at most this long to grow, or `join_interval` if that is longer.',
            format: 'duration',
            default: '200ms',
          },
          min_size: {
            doc: 'The number of items at which a batch is sent without waiting.',
            format: 'nat',
            default: 8192,
          },
          max_size: {
            doc: 'The most items in a batch, or in a request if `join_interval` joins batches; `0` means no limit.',
            format: 'nat',
            default: 0,
          },
        },
      },
      default: undefined,
    },
  },
} as const satisfies Settings

export type DeliveryConfig = ConfigOf<typeof deliverySettings>

type Declared = ExporterComponent<Settings, Batch>

/** The settings of the delivery around an exporter, with the defaults that it declares. */
export function deliverySettingsOf({ timeout, maxAge, maxAhead, joinInterval }: Declared): Settings {
  const withDefault = <S extends Setting>(setting: S, own: BySignal | undefined): Setting =>
    own === undefined
      ? setting
      : typeof own === 'string'
        ? { ...setting, default: own }
        : { ...setting, default: undefined, doc: `${setting.doc} Default: ${inWords(own)}.` }
  return {
    ...deliverySettings,
    timeout: withDefault(deliverySettings.timeout, timeout),
    max_age: withDefault(deliverySettings.max_age, maxAge),
    max_ahead: withDefault(deliverySettings.max_ahead, maxAhead),
    sending_queue: {
      ...deliverySettings.sending_queue,
      join_interval: withDefault(deliverySettings.sending_queue.join_interval, joinInterval),
    },
  }
}

function inWords(own: Exclude<BySignal, string>): string {
  const each = Object.entries(own).map(([signal, text]) => `\`${text}\` for ${signal}`)
  return [...each, ...(each.length < 3 ? ['`0s` for others'] : [])].join(', ')
}

/** The settings of the delivery of one signal; those that the YAML leaves unset may have a default for the signal. */
export function deliveryOf(
  { component, delivery }: { readonly component: Declared; readonly delivery: DeliveryConfig },
  signal: Signal,
): DeliveryConfig {
  const own = (set: number | undefined, declared: BySignal | undefined): number =>
    set ?? (typeof declared === 'object' ? milliseconds(declared[signal]) : 0)
  return {
    ...delivery,
    max_age: own(delivery.max_age, component.maxAge),
    max_ahead: own(delivery.max_ahead, component.maxAhead),
  }
}

/** Of a checked duration. */
function milliseconds(text = '0s'): number {
  const read = readText('duration', text)
  return 'mistake' in read ? 0 : (read.value as number)
}

/** The `service` section, except `pipelines`. */
export const serviceSettings = {
  telemetry: {
    logs: {
      level: {
        doc: 'The least severe messages that are logged.',
        format: ['debug', 'info', 'warn', 'error'],
        default: 'info',
      },
      encoding: {
        doc: 'How logs are written to standard error: as readable lines, or as one JSON object per line.',
        format: ['console', 'json'],
        default: 'console',
      },
    },
    metrics: {
      level: {
        doc: "Whether the pipeline's own metrics are served: `none` turns them off. All other levels of the Collector mean all metrics.",
        format: ['none', 'basic', 'normal', 'detailed'],
        default: 'normal',
      },
      address: {
        doc: 'The address, `host:port`, at which Prometheus gets them under `/metrics`. Port 0 lets the system choose.',
        format: 'address',
        default: 'localhost:8888',
      },
      prefix: {
        doc: "A prefix for their names, followed by `_`. By default they have the Collector's names.",
        format: 'metric_name',
        default: 'otelcol',
      },
    },
  },
  health: {
    doc: 'Serves health endpoints over HTTP: `/healthz`, `/readyz` and `/status`. Without it, nothing listens.',
    format: {
      settings: {
        address: {
          doc: 'The address to listen on, `host:port`; port 0 lets the system choose.',
          format: 'address',
          default: 'localhost:13133',
        },
      },
    },
    default: undefined,
  },
  admin: {
    doc: 'Serves `POST /reload`, which reloads the configuration, to every client that can connect. Without it, nothing listens; SIGHUP also reloads.',
    format: {
      settings: {
        address: {
          doc: 'The address to listen on, `host:port`; port 0 lets the system choose. Beyond loopback, every client that can connect can reload.',
          format: 'address',
          default: 'localhost:13134',
        },
      },
    },
    default: undefined,
  },
  allowed_hosts: {
    doc: 'Names under which the servers of `health`, `admin` and `telemetry.metrics` may be reached, in addition to IP addresses, `localhost` and the name of this host. On loopback, requests with any other name are refused, because a page in a browser could send them; elsewhere any name is accepted, unless names are given here.',
    format: { list: 'hostname' },
    default: undefined,
  },
  memory_limiter: {
    doc: 'Keeps the memory of the process, or of its container, below a limit: above the soft limit, receivers refuse new data; above the hard limit, data waiting in memory is dropped, oldest first. Without it, only the sizes of the queues limit memory.',
    format: { settings: memoryLimiterSettings },
    default: undefined,
  },
  profile: {
    doc: 'The purpose of the process: an `agent` takes less memory (a fifth with Node.js 24), but handles only a tenth of the data per core. `auto` means `agent` if every receiver is host_metrics or internal, and otherwise `gateway`. Takes effect at the start.',
    format: ['auto', 'agent', 'gateway'],
    default: 'auto',
  },
  max_remembered_size: {
    doc: 'How much memory all components together may use to remember series, resources and names. Beyond it, a new series finds room only when another has ended. Default: 64 MiB, or a tenth of the limit of `memory_limiter` or of the container, if that is more.',
    format: 'bytes',
    default: undefined,
  },
  processor_timeout: {
    doc: 'How long a processor may take for one batch. After that, the batch is dropped and counted, and the next one is processed; `0s` means no limit.',
    format: 'duration',
    default: '1m',
  },
  start_timeout: {
    doc: 'How long receivers may take to start. While one waits for its port, the process is not ready; after this time it exits with 1, or a reload is undone.',
    format: 'duration',
    default: '1m',
  },
  shutdown_timeout: {
    doc: 'How long queues may take to empty when the process stops or a reload removes them. A component that still hangs a second later is abandoned.',
    format: 'duration',
    default: '10s',
  },
} as const satisfies Settings

export type ServiceConfig = ConfigOf<typeof serviceSettings>

/** One entry of `service.pipelines`. */
export const pipelineSettings = {
  receivers: {
    doc: 'IDs of the receivers that feed the pipeline, at least one.',
    format: { list: 'string' },
    default: [],
  },
  processors: {
    doc: 'IDs of the processors, in the order in which a batch passes through them.',
    format: { list: 'string' },
    default: [],
  },
  exporters: {
    doc: 'IDs of the exporters, at least one. Each gets every batch.',
    format: { list: 'string' },
    default: [],
  },
} as const satisfies Settings

/** The ids of the components of one pipeline. */
export type PipelineReferences = ConfigOf<typeof pipelineSettings>

export const modulesSetting = {
  doc: 'Files, relative to the YAML, or npm packages with custom components.',
  format: { list: 'string' },
  default: [],
} as const satisfies Setting

/** The purpose of a process: little data in little memory, or much data. */
export type Profile = Exclude<ServiceConfig['profile'], 'auto'>
