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
    doc: 'A data point, log record or span older than this is dropped and counted as `too_old`, because the destination would discard it; `0s` means never.',
    format: 'duration',
    default: '0s',
  },
  max_ahead: {
    doc: 'The same for one whose time lies further ahead than this, counted as `too_new`.',
    format: 'duration',
    default: '0s',
  },
  retry_on_failure: {
    enabled: { doc: 'Whether a request that may succeed later is sent again.', format: 'boolean', default: true },
    initial_interval: { doc: 'The wait before the first retry.', format: 'duration', default: '5s' },
    randomization_factor: {
      doc: 'Each wait is chosen at random within this fraction around the interval, from 0 to 1.',
      format: 'number',
      default: 0.5,
    },
    multiplier: { doc: 'The interval grows by this factor with each retry, from 1.', format: 'number', default: 1.5 },
    max_interval: { doc: 'The interval grows no further than this.', format: 'duration', default: '30s' },
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
      doc: 'A request that is not delivered after this time is dropped and counted; `0s` means never. Default: `300s`, or `0s` where the queue is on disk.',
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
      doc: 'A folder that makes the queue durable: a batch is accepted when it is flushed to a folder of this exporter in it, and is sent after a restart if it was not sent before. Several exporters may share it, several processes may not.',
      format: 'path',
      default: undefined,
    },
    max_disk_size: {
      doc: 'How much space the queue may use on disk; the queues of all signals of an exporter together. Beyond it, the queue is full, but an empty one accepts a batch.',
      format: 'bytes',
      default: '1GiB',
    },
    queue_size: {
      doc: 'How much the queue of each signal holds, in units of `sizer`. Default: `1000`, or as much as `max_disk_size` allows where the queue is on disk.',
      format: 'nat',
      default: undefined,
    },
    sizer: {
      doc: 'What `queue_size` counts: batches (`requests`), the data points, log records or spans in them (`items`) or their OTLP `bytes`.',
      format: ['requests', 'items', 'bytes'],
      default: 'requests',
    },
    on_full: {
      doc: 'What happens to a batch when the queue is full: `refuse` it to its receiver, or `drop_oldest` to make room.',
      format: ['refuse', 'drop_oldest'],
      default: 'refuse',
    },
    block_on_overflow: {
      doc: 'Whether a full queue lets a receiver that can be refused wait for room instead. A receiver that cannot be refused, like `host_metrics`, never waits.',
      format: 'boolean',
      default: false,
    },
    join_interval: {
      doc: 'Batches that wait are joined into one and sent at most once in this time; the first after a pause goes at once, and so do 100,000 items or a full queue. `0s` joins nothing. An exporter whose destination keeps one value a second of each series declares `1s`.',
      format: 'duration',
      default: '0s',
    },
    num_consumers: {
      doc: 'How many requests may be in flight at once, of all signals together, from 1.',
      format: 'nat',
      default: 10,
    },
    batch: {
      doc: 'Joins small batches and splits large ones before they are encoded. Off unless given; `batch:` alone uses the defaults.',
      format: {
        settings: {
          flush_timeout: {
            doc: 'A batch waits no longer than this to grow, or than `join_interval` where that is longer.',
            format: 'duration',
            default: '200ms',
          },
          min_size: { doc: 'Items at which a batch is sent without waiting.', format: 'nat', default: 8192 },
          max_size: {
            doc: 'Items a batch may hold at most, or a request where `join_interval` joins batches; `0` means no limit.',
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
        doc: 'How logs are written to standard error: readable lines, or a JSON object a line.',
        format: ['console', 'json'],
        default: 'console',
      },
    },
    metrics: {
      level: {
        doc: "Whether the pipeline's own metrics are served: not with `none`. The Collector's other levels all mean all metrics.",
        format: ['none', 'basic', 'normal', 'detailed'],
        default: 'normal',
      },
      address: {
        doc: 'Where they are served to Prometheus, under `/metrics`; `host:port`. Port 0 lets the system choose.',
        format: 'address',
        default: 'localhost:8888',
      },
      prefix: {
        doc: "The prefix of their names, followed by `_`. By default they have the Collector's names.",
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
          doc: 'Where it listens, `host:port`; port 0 lets the system choose.',
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
          doc: 'Where it listens, `host:port`; port 0 lets the system choose. Beyond loopback, every client that can connect can reload.',
          format: 'address',
          default: 'localhost:13134',
        },
      },
    },
    default: undefined,
  },
  allowed_hosts: {
    doc: 'Names that the servers of `health`, `admin` and `telemetry.metrics` answer to, in addition to IP addresses, `localhost` and the name of this host. On loopback they answer to no other, because a page in a browser could use one; elsewhere they answer to any, unless names are given here.',
    format: { list: 'hostname' },
    default: undefined,
  },
  memory_limiter: {
    doc: 'Keeps the memory of the process, or of its container, below a limit: above the soft limit receivers refuse new data, above the hard limit data that waits in memory is dropped, oldest first. Without it, only the limits of the queues bound it.',
    format: { settings: memoryLimiterSettings },
    default: undefined,
  },
  max_remembered_size: {
    doc: 'How much memory all components together may use to remember series, resources and names. Beyond it, new series find room only where others have ended. Default: 64 MiB, or a tenth of the limit of `memory_limiter`, or of the container, if that is more.',
    format: 'bytes',
    default: undefined,
  },
  processor_timeout: {
    doc: 'How long a processor may take over a batch. After that, the batch is dropped and counted, and the next one has its turn; `0s` means no limit.',
    format: 'duration',
    default: '1m',
  },
  start_timeout: {
    doc: 'How long receivers may take to start. As long as one waits for its port, the process is not ready; after this time it ends with 1, and a reload is undone.',
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
    doc: 'Ids of the receivers that feed the pipeline, at least one.',
    format: { list: 'string' },
    default: [],
  },
  processors: {
    doc: 'Ids of the processors, in the order in which a batch passes through them.',
    format: { list: 'string' },
    default: [],
  },
  exporters: {
    doc: 'Ids of the exporters, each of which gets every batch; at least one.',
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
