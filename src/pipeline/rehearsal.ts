import { defer, ignoreElements } from 'rxjs'
import type { Explanation } from '../component/explain.ts'
import type { Exporter, ExporterComponent, ExportRequest } from '../component/exporter.ts'
import type { Logger } from '../component/logger.ts'
import type { ReceiverComponent } from '../component/receiver.ts'
import { errorMessage } from '../errors.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import { namesIn, SIGNALS, signals } from '../otlp/signals.ts'
import type { AnyBatch } from '../otlp/signals.ts'
import { withinAge } from './delivery/age.ts'
import type { ConfiguredExporter, PipelineConfig } from './config/config.ts'
import { deliveryOf } from './config/settings.ts'
import { deliveryId } from './delivery/id.ts'
import { startPipeline } from './pipeline.ts'
import type { ExporterBalance } from './telemetry/telemetry.ts'

/** The requests that an exporter would have sent for one signal. */
export interface RehearsedExporter {
  /** As in `deliveryId`. */
  readonly id: string
  /** Its id in the YAML. */
  readonly exporter: string
  readonly signal: Signal
  readonly balance: ExporterBalance
  /** The same in words. */
  readonly equation: string
  /** By reason: how many data points of which metrics, or spans of which name, each taken by itself; none of log records. */
  readonly droppedNames: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly requests: readonly ExportRequest[]
  /** What the requests were made of. */
  readonly prepared: Batch
  /** `undefined` when the exporter explains nothing. */
  readonly explanation: Explanation | undefined
}

interface Rehearsal {
  /** What the processors of each pipeline did to the number of items, in words. */
  readonly pipelines: readonly string[]
  readonly exporters: readonly RehearsedExporter[]
  /** Whether a receiver failed. */
  readonly failed: boolean
}

/**
 * Runs a pipeline up to its exporters and sends nothing: no exporter's `send` is called, and no queue on disk is
 * opened. Every pipeline gets `batches` or, without them, the data that its receivers collect in two scrapes a second
 * apart.
 * @throws ConfigError as `startPipeline`
 */
export async function rehearse(
  config: PipelineConfig,
  { log, batches }: { readonly log: Logger; readonly batches?: readonly Batch[] },
): Promise<Rehearsal> {
  const stages = new Map([...config.exporters].map(([id, exporter]) => [id, new Recorder(exporter)]))
  const rehearsed = {
    ...(batches === undefined ? config : fedWith(batches, config)),
    exporters: new Map(
      [...config.exporters].map(([id, exporter]) => [id, onStage(exporter, stages.get(id) as Recorder)]),
    ),
  }
  const pipeline = startPipeline(rehearsed, { log, once: batches === undefined })
  const { failed } = await pipeline.ended
  await pipeline.stop()
  const { telemetry } = pipeline
  const exporters = Array.from(telemetry.exporters, (sheet) => {
    const { exporter, signal } = sheet
    const own = sheet.balance()
    const result = (stages.get(exporter) as Recorder).result(signal, own, log)
    return { id: deliveryId(exporter, signal), exporter, signal, balance: own, equation: sheet.equation(), ...result }
  })
  const pipelines = [...config.pipelines.keys()].map((id) => `pipeline ${id}: ${telemetry.pipeline(id).equation()}`)
  return { pipelines, exporters, failed }
}

/** The one receiver of all pipelines; it gives batches that are there already to those of their signal, as far as there are any. */
function fedWith(batches: readonly Batch[], config: PipelineConfig): PipelineConfig {
  const id = 'from'
  const taken = new Set(Array.from(config.pipelines.values(), ({ signal }) => signal))
  const component: ReceiverComponent = {
    kind: 'receiver',
    type: id,
    signals: SIGNALS,
    summary: 'Gives batches that are there already.',
    config: {},
    create: ({ deliver }) =>
      defer(async () => {
        // What nobody takes is in the balance.
        for (const batch of batches) if (taken.has(batch.signal)) await deliver(batch).catch(() => undefined)
      }).pipe(ignoreElements()),
  }
  const receiver = { id, component, config: {}, place: { source: id }, used: true }
  const pipelines = [...config.pipelines].map(([name, pipeline]) => [name, { ...pipeline, receivers: [id] }] as const)
  return { ...config, receivers: new Map([[id, receiver]]), pipelines: new Map(pipelines) }
}

/** The exporter without a destination. Its queue is in memory, because the one on disk may belong to another process. */
function onStage(exporter: ConfiguredExporter, stage: Recorder): ConfiguredExporter {
  const { component, delivery } = exporter
  const queue = { ...delivery.sending_queue, directory: undefined, block_on_overflow: true }
  return {
    ...exporter,
    component: { ...component, create: (context) => stage.enter(context) },
    delivery: { ...delivery, sending_queue: queue },
  }
}

type ExporterContext = Parameters<ExporterComponent['create']>[0]

type AnyExporter = Exporter<ExportRequest, Batch>

/** The input of an exporter for one signal, and the requests that it made of it. */
interface Seen {
  readonly received: Batch[]
  readonly prepared: Batch[]
  readonly requests: ExportRequest[]
}

/** Records one exporter. */
class Recorder {
  readonly #seen = new Map<Signal, Seen>()
  #exporter: AnyExporter | undefined
  #context: ExporterContext | undefined

  constructor(private readonly configured: Pick<ConfiguredExporter, 'component' | 'delivery'>) {}

  /** The exporter whose requests go nowhere. */
  enter(context: ExporterContext): AnyExporter {
    this.#context = context
    const exporter = this.configured.component.create(context)
    // The code that creates it reports its mistakes.
    if (typeof exporter?.encode !== 'function' || typeof exporter.send !== 'function') return exporter
    this.#exporter = exporter
    return {
      prepare: (batch, account) => {
        this.#seenOf(batch.signal).received.push(batch)
        return exporter.prepare?.(batch, account) ?? batch
      },
      encode: (batch, account) => {
        this.#seenOf(batch.signal).prepared.push(batch)
        const requests = [...exporter.encode(batch, account)]
        this.#seenOf(batch.signal).requests.push(...requests)
        return requests
      },
      send: () => Promise.resolve(),
    }
  }

  #seenOf(signal: Signal): Seen {
    const seen = this.#seen.get(signal) ?? { received: [], prepared: [], requests: [] }
    this.#seen.set(signal, seen)
    return seen
  }

  result(
    signal: Signal,
    balance: ExporterBalance,
    log: Logger,
  ): Pick<RehearsedExporter, 'requests' | 'prepared' | 'explanation' | 'droppedNames'> {
    const { received, requests, ...seen } = this.#seenOf(signal)
    const type = signals[signal]
    const prepared = type.merge(seen.prepared)
    let explanation: Explanation | undefined
    try {
      explanation = this.#exporter?.explain?.({
        received: type.merge(received),
        prepared,
        requests,
      })
      if (explanation !== undefined && !isExplanation(explanation)) {
        throw new TypeError('`explain` must return `{ values, requests, notSent, billedMetrics }`')
      }
      if (explanation?.sent !== undefined) type.handedOver(explanation.sent)
    } catch (error) {
      explanation = undefined
      log.error(`The exporter ${this.#context?.id} failed to explain its requests.`, { error: errorMessage(error) })
    }
    const droppedNames = Object.keys(balance.dropped).length === 0 ? new Map() : this.#droppedNames(received)
    return { requests, prepared, explanation, droppedNames }
  }

  /** Asks a new exporter about every name by itself, since of all together only the reasons are known. */
  #droppedNames(received: readonly Batch[]): RehearsedExporter['droppedNames'] {
    const dropped = new Map<string, Map<string, number>>()
    const batchesOf = new Map<string, Batch[]>()
    for (const batch of received) {
      for (const name of new Set(namesIn(batch))) {
        const batches = batchesOf.get(name) ?? []
        batches.push(partOf(batch, name))
        batchesOf.set(name, batches)
      }
    }
    for (const [name, batches] of batchesOf) {
      const exporter = this.configured.component.create({ ...this.#context!, log: silent })
      const account = {
        created: () => undefined,
        merged: () => undefined,
        dropped: (reason: string, items: number) => {
          const metrics = dropped.get(reason) ?? new Map<string, number>()
          dropped.set(reason, metrics.set(name, (metrics.get(name) ?? 0) + items))
        },
      }
      for (const batch of batches) {
        try {
          const delivery = deliveryOf(this.configured, batch.signal)
          const now = this.#context!.clock.now()
          const near = withinAge(batch, { ...delivery, max_age: 0 }, now, account.dropped)
          const timely = withinAge(exporter.prepare?.(near, account) ?? near, delivery, now, account.dropped)
          // A generator makes only the requests that are asked for.
          if (timely.itemCount > 0) Array.from(exporter.encode(timely, account))
        } catch {
          account.dropped('exporter_error', batch.itemCount)
        }
      }
    }
    return dropped
  }
}

/** The metrics or spans of a name. */
function partOf(given: Batch, name: string): Batch {
  const batch = given as AnyBatch
  if (batch.signal === 'metrics') return batch.filterMetrics((metric) => metric.name === name)
  return batch.signal === 'traces' ? batch.filterSpans((span) => span.name === name) : batch
}

function isExplanation({ values, requests, notSent }: Explanation): boolean {
  const isValue = ({ name, tags, from, host }: Explanation['values'][number]): boolean =>
    typeof name === 'string' && Array.isArray(tags) && Array.isArray(from) && typeof host.rule === 'string'
  return [values, requests, notSent].every((list) => Array.isArray(list)) && values.every(isValue)
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
