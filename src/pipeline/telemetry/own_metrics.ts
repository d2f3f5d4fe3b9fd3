import { randomUUID } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { IntervalHistogram } from 'node:perf_hooks'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import type { MemoryReading } from '../../host/memory_limiter.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import { fromSdk } from '../../otlp/metrics/sdk.ts'
import type { Signal } from '../../otlp/signal.ts'
import { SIGNALS } from '../../otlp/signals.ts'
import { version } from '../own_files.ts'
import type { QueueStatus } from '../queue/queue.ts'
import { itemsOf } from './telemetry.ts'
import type { ExporterSheet, PipelineSheet, ProcessorSheet, ReceiverSheet, Telemetry } from './telemetry.ts'

/*
 * The metrics of the pipeline itself, in instruments of the OpenTelemetry SDK that read the sheets when they are asked.
 * Metrics that the Collector also has are named as in its `documentation.md` files and on its port 8888 (v0.165.0):
 * names, labels and units.
 */

type Attributes = Readonly<Record<string, string>>

/** One value with its attributes. */
type Value = readonly [value: number, attributes?: Attributes]

interface Instrument {
  readonly kind: 'counter' | 'gauge'
  /** Without the prefix. */
  readonly name: string
  readonly unit: string
  readonly description: string
  readonly read: (telemetry: Telemetry) => Iterable<Value>
}

/** Instruments by name, with the value that each reads from a source; `undefined` if a source has no such value. */
type Table<S> = Readonly<
  Record<
    string,
    readonly [
      Instrument['kind'],
      unit: string,
      description: string,
      read: (source: S, now: number) => number | undefined,
    ]
  >
>

/** The instruments of a table, each with a value for every source that exists at the time. */
function instrumentsOf<S>(sources: (telemetry: Telemetry) => Iterable<readonly [S, Attributes]>, table: Table<S>) {
  return Object.entries(table).map(([name, [kind, unit, description, read]]): Instrument => {
    const values = function* (telemetry: Telemetry): Generator<Value> {
      for (const [source, attributes] of sources(telemetry)) {
        const value = read(source, telemetry.clock.now())
        if (value !== undefined) yield [value, attributes]
      }
    }
    return { kind, name, unit, description, read: values }
  })
}

/** The Collector's word for the items of a signal, in names and as a unit. */
const ITEMS: Readonly<Record<Signal, readonly [name: string, unit: string]>> = {
  metrics: ['metric_points', '{datapoints}'],
  logs: ['log_records', '{records}'],
  traces: ['spans', '{spans}'],
}

/** The Collector's name and unit for a count of a signal. */
function named(name: string, signal: Signal): Pick<Instrument, 'name' | 'unit'> {
  const [items, unit] = ITEMS[signal]
  return { name: `${name}_${items}`, unit }
}

/**
 * The instruments of a table for each signal, with a value for every sheet of it: `receiver_accepted` is
 * `receiver_accepted_metric_points`, and `that were taken` continues `Data points`.
 */
function instrumentsOfItems<S extends { readonly signal: Signal }>(
  sheets: (telemetry: Telemetry) => Iterable<readonly [S, Attributes]>,
  table: Readonly<Record<string, readonly [Instrument['kind'], description: string, read: (sheet: S) => number]>>,
): Instrument[] {
  return SIGNALS.flatMap((signal) =>
    Object.entries(table).map(([name, [kind, description, read]]): Instrument => ({
      kind,
      ...named(name, signal),
      description: `${itemsOf(signal)} ${description}`,
      *read(telemetry) {
        for (const [sheet, attributes] of sheets(telemetry))
          if (sheet.signal === signal) yield [read(sheet), attributes]
      },
    })),
  )
}

const receivers = instrumentsOfItems<ReceiverSheet>(
  ({ receivers }) =>
    Array.from(receivers, (sheet) => {
      const { receiver, transport } = sheet
      const attributes: Attributes = transport === '' ? { receiver } : { receiver, transport }
      return [sheet, attributes]
    }),
  {
    receiver_accepted: ['counter', 'that were accepted from the receiver.', (sheet) => sheet.accepted],
    receiver_refused: ['counter', 'that no pipeline could accept; the sender keeps them.', (sheet) => sheet.refused],
  },
)

const processors = instrumentsOf<ProcessorSheet>(
  ({ processors }) =>
    Array.from(processors, (sheet) => {
      const { processor, pipeline, signal } = sheet
      return [sheet, { processor, pipeline, 'otel.signal': signal }]
    }),
  {
    processor_incoming_items: [
      'counter',
      '{items}',
      'Data points, log records or spans that entered the processor.',
      (sheet) => sheet.incoming,
    ],
    processor_outgoing_items: [
      'counter',
      '{items}',
      'Data points, log records or spans that left the processor.',
      (sheet) => sheet.outgoing,
    ],
  },
)

/** accepted + created = filtered + merged + dropped + refused + held + handed on */
const pipelines = instrumentsOfItems<PipelineSheet>(
  ({ pipelines }) => Array.from(pipelines, ([pipeline, sheet]) => [sheet, { pipeline }]),
  {
    pipeline_accepted: ['counter', 'that came from its receivers.', (sheet) => sheet.accepted],
    pipeline_created: ['counter', 'that its processors made.', (sheet) => sheet.created],
    pipeline_filtered: ['counter', 'that were left out intentionally.', (sheet) => sheet.filtered],
    pipeline_merged: ['counter', 'that were merged into others.', (sheet) => sheet.losses.merged],
    pipeline_refused: ['counter', 'that went back to their receiver.', (sheet) => sheet.refused],
    pipeline_held: ['gauge', 'that are in it now.', (sheet) => sheet.held],
    pipeline_handed_on: ['counter', 'that reached its end.', (sheet) => sheet.handedOn],
  },
)

/** handed in + restored + created = sent + rejected + merged + dropped + kept + queued + in flight; and the Collector's counts */
const exporters = instrumentsOfItems<ExporterSheet>(
  ({ exporters }) => Array.from(exporters, (sheet) => [sheet, { exporter: sheet.exporter }]),
  {
    exporter_handed_in: ['counter', 'that came from its pipelines.', (sheet) => sheet.handedIn],
    exporter_restored: ['counter', 'that were found on disk at the start.', (sheet) => sheet.restored],
    exporter_created: ['counter', 'that were made in addition to those handed in.', (sheet) => sheet.created],
    exporter_sent: ['counter', 'that the destination accepted.', (sheet) => sheet.sent],
    exporter_rejected: ['counter', 'refused in requests that the destination accepted.', (sheet) => sheet.rejected],
    exporter_merged: ['counter', 'that were merged into others.', (sheet) => sheet.losses.merged],
    exporter_kept: ['counter', 'that the stop left on disk.', (sheet) => sheet.kept],
    exporter_queued: ['gauge', 'that wait in the queue now.', (sheet) => sheet.queued],
    exporter_in_flight: ['gauge', 'that are being sent, or wait to be sent again.', (sheet) => sheet.inFlight],
    exporter_send_failed: ['counter', 'of requests that were given up, or rejected.', (sheet) => sheet.sendFailed],
    exporter_enqueue_failed: [
      'counter',
      'that a full queue did not accept, even if the sender keeps them.',
      (sheet) => sheet.enqueueFailed,
    ],
  },
)

const drops = (['pipeline', 'exporter'] as const).flatMap((holder) =>
  SIGNALS.map((signal): Instrument => ({
    kind: 'counter',
    ...named(`${holder}_dropped`, signal),
    description: `${itemsOf(signal)} that were lost, by reason.`,
    *read({ pipelines, exporters }) {
      const sheets =
        holder === 'pipeline' ? pipelines : Array.from(exporters, (sheet) => [sheet.exporter, sheet] as const)
      for (const [id, sheet] of sheets) {
        if (sheet.signal !== signal) continue
        for (const [reason, items] of Object.entries(sheet.losses.dropped)) yield [items, { [holder]: id, reason }]
      }
    },
  })),
)

const reloads: Instrument = {
  kind: 'counter',
  name: 'config_reloads',
  unit: '{reloads}',
  description: 'Reloads of the configuration; after a failed one, the previous configuration keeps running.',
  read: ({ reloads }) => Object.entries(reloads).map(([outcome, count]) => [count, { outcome }]),
}

const requests = instrumentsOf<ExporterSheet>(
  ({ exporters }) => Array.from(exporters, (sheet) => [sheet, { exporter: sheet.exporter, data_type: sheet.signal }]),
  {
    exporter_requests: ['counter', '{requests}', 'Attempts to send a request.', (sheet) => sheet.attempts],
    exporter_retries: ['counter', '{requests}', 'Attempts that followed a failed one.', (sheet) => sheet.retries],
    exporter_in_flight_requests: [
      'gauge',
      '{requests}',
      'Requests that are being sent, or wait for a retry.',
      (sheet) => sheet.requestsInFlight,
    ],
  },
)

const queues = instrumentsOf<QueueStatus>(
  ({ exporters }) =>
    Array.from(exporters).flatMap(({ exporter, signal, queueStatus }) =>
      queueStatus === undefined ? [] : [[queueStatus(), { exporter, data_type: signal }]],
    ),
  {
    exporter_queue_size: [
      'gauge',
      '{batches}',
      'Data waiting in the queue, in units of its sizer.',
      ({ size }) => size,
    ],
    exporter_queue_capacity: [
      'gauge',
      '{batches}',
      'Capacity of the queue, in units of its sizer.',
      ({ capacity }) => capacity,
    ],
    exporter_queue_disk_bytes: ['gauge', 'By', 'Bytes that a queue uses on disk.', (status) => status.bytes_on_disk],
    exporter_queue_disk_failed: [
      'gauge',
      '1',
      'Whether a queue on disk is currently kept in memory, because the disk fails.',
      ({ bytes_on_disk: onDisk, problem }) => (onDisk === undefined ? undefined : Number(problem !== undefined)),
    ],
    exporter_oldest_batch_age_seconds: [
      'gauge',
      's',
      'Age of the oldest batch that is neither delivered nor given up; 0 if there is none.',
      ({ oldest }, now) => (oldest === undefined ? 0 : Math.max(0, (now - oldest) / 1000)),
    ],
  },
)

const memory = instrumentsOf<MemoryReading>(
  ({ memory }) => {
    const reading = memory()
    return reading === undefined ? [] : [[reading, {}]]
  },
  {
    memory_limiter_used_bytes: ['gauge', 'By', 'Memory in use, as last measured by the limiter.', ({ used }) => used],
    memory_limiter_soft_limit_bytes: ['gauge', 'By', 'Memory in use above which data is refused.', ({ soft }) => soft],
    memory_limiter_limit_bytes: [
      'gauge',
      'By',
      'Memory in use above which data waiting in memory is dropped.',
      ({ hard }) => hard,
    ],
    memory_limiter_refusing: [
      'gauge',
      '1',
      'Whether data is refused because memory is short.',
      ({ short }) => Number(short),
    ],
  },
)

/** Their sums start with the process, not with the pipeline. */
const processMetrics = instrumentsOf<NodeJS.MemoryUsage>(() => [[process.memoryUsage(), {}]], {
  process_uptime: ['counter', 's', 'Uptime of the process.', () => process.uptime()],
  process_cpu_seconds: ['counter', 's', 'CPU time, user and system.', () => cpuSeconds()],
  process_memory_rss: ['gauge', 'By', 'Physical memory (resident set size).', ({ rss }) => rss],
  process_runtime_heap_alloc_bytes: [
    'gauge',
    'By',
    'Bytes of JavaScript objects (V8: used heap).',
    ({ heapUsed }) => heapUsed,
  ],
  process_runtime_total_sys_memory_bytes: [
    'gauge',
    'By',
    'Memory reserved by the runtime (V8: the heap, and memory that objects hold outside of it).',
    ({ heapTotal, external }) => heapTotal + external,
  ],
})

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

const instruments = [
  ...[...receivers, ...processors, ...pipelines, ...exporters, ...drops, reloads],
  ...[...requests, ...queues, ...memory, ...processMetrics],
]

/**
 * Milliseconds between two checks of the event loop. A delay of this length is always seen; at 10 there would be ten
 * times as many wake-ups.
 */
const RESOLUTION = 100

/** One for all readers: a process is one instance. */
const instance = randomUUID()

/** Reads the sheets and counters of a pipeline, its process, and the delay of the event loop since the last reading. */
export class OwnMetrics {
  readonly #reader = new PullReader()
  readonly #meter
  readonly #known = new Set<string>()
  readonly #processNames: ReadonlySet<string>
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION })

  /** @param prefix the beginning of the names; the monitoring of the event loop ends when `signal` is aborted */
  constructor(
    private readonly telemetry: Telemetry,
    private readonly prefix: string,
    signal: AbortSignal,
  ) {
    const resource = resourceFromAttributes({
      'service.name': 'heka-pipeline',
      'service.version': version,
      'service.instance.id': instance,
    })
    this.#meter = new MeterProvider({ resource, readers: [this.#reader] }).getMeter('heka-pipeline', version)
    for (const instrument of instruments) this.#observe(instrument)
    this.#observe({
      kind: 'gauge',
      name: 'process_runtime_event_loop_delay_seconds',
      unit: 's',
      description: 'Delay of due work in the event loop since the last reading; quantile 1 is the maximum.',
      read: () => delays(this.#delay),
    })
    this.#processNames = new Set(processMetrics.map(({ name }) => `${prefix}_${name}`))
    if (signal.aborted) return
    this.#delay.enable()
    signal.addEventListener('abort', () => void this.#delay.disable(), { once: true })
  }

  /** @throws errors of reading */
  async collect(): Promise<MetricBatch> {
    this.#observeComponents()
    const { resourceMetrics, errors } = await this.#reader.collect()
    if (errors.length > 0) throw errors[0]
    const [start, processStart] = [this.telemetry.start, this.telemetry.clock.timeOrigin].map(nanoseconds)
    // To the SDK, a sum starts at its first reading; a reader that takes differences would lose everything counted before.
    return fromSdk(resourceMetrics).mapPoints((point, { name, type }) =>
      point.kind === 'number' && type === 'sum'
        ? point.with({ startTimeUnixNano: this.#processNames.has(name) ? processStart : start })
        : point,
    )
  }

  /** Components may create their counters at any time. */
  #observeComponents(): void {
    for (const { component, name, description, unit = '', values } of this.telemetry.componentCounters) {
      const { kind, type } = component
      const read = (): Value[] =>
        Array.from(values.values(), ({ id, attributes, value }) => [value, { [kind]: id, ...attributes }])
      const instrument = { kind: 'counter', name: `${kind}_${type}_${name}`, unit, description, read } as const
      if (!this.#known.has(instrument.name)) this.#observe(instrument)
    }
  }

  #observe({ kind, name, unit, description, read }: Instrument): void {
    this.#known.add(name)
    const options = { unit, description }
    const instrument =
      kind === 'counter'
        ? this.#meter.createObservableCounter(`${this.prefix}_${name}`, options)
        : this.#meter.createObservableGauge(`${this.prefix}_${name}`, options)
    instrument.addCallback((result) => {
      for (const [value, attributes] of read(this.telemetry)) result.observe(value, attributes)
    })
  }
}

/** Nothing is read before it is asked for. */
class PullReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}

  protected override async onShutdown(): Promise<void> {}
}

/** Node counts the time from one check to the next, in nanoseconds. */
function delays(histogram: IntervalHistogram): Value[] {
  if (histogram.count === 0) return []
  const seconds = (value: number): number => Math.max(0, value / 1e9 - RESOLUTION / 1000)
  const values: Value[] = [
    [seconds(histogram.percentile(50)), { quantile: '0.5' }],
    [seconds(histogram.percentile(99)), { quantile: '0.99' }],
    [seconds(histogram.max), { quantile: '1' }],
  ]
  histogram.reset()
  return values
}

function nanoseconds(milliseconds: number): bigint {
  return BigInt(Math.round(milliseconds)) * 1_000_000n
}
