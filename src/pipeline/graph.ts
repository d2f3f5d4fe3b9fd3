import { from, merge, Subject, take, tap } from 'rxjs'
import type { Observable, Subscription } from 'rxjs'
import type {
  Component,
  ConfigOf,
  Context,
  Logger,
  ProcessorComponent,
  ReceiverComponent,
  Settings,
} from '../component.ts'
import { ConfigError, errorMessage } from '../errors.ts'
import type { Problem } from '../errors.ts'
import { MetricBatch } from '../otlp/batch.ts'
import { inOrder } from './config/input.ts'
import type { Configured, PipelineConfig } from './config.ts'
import { create } from './create.ts'
import { Delivery } from './delivery.ts'
import { guard } from './guard.ts'
import type { Health } from './health.ts'
import { Lifetime } from './lifetime.ts'
import { componentLogger } from './log.ts'
import { Receipt } from './receipt.ts'
import type { Envelope } from './receipt.ts'
import type { PipelineSheet, ReceiverSheet, Telemetry } from './telemetry.ts'

export interface GraphOptions {
  readonly log: Logger
  readonly telemetry: Telemetry
  readonly health: Health
  /** Receivers that collect do so twice, a second apart, and complete; others are left out. */
  readonly once?: boolean
}

/** Scrapes of a receiver when the pipeline runs once: two, so that differences and rates exist. */
const SCRAPES_ONCE = 2

/**
 * The configured components, wired into Observables: each receiver one shared source, each pipeline one chain of
 * operators, each exporter one sink. Building it creates every component that a pipeline uses and opens nothing; it throws a
 * ConfigError about every component that cannot be created.
 */
export class Graph {
  readonly #receivers: Receiver[] = []
  readonly #deliveries = new Map<string, Delivery>()
  readonly #processorLifetimes: Lifetime[] = []
  readonly #exporterLifetimes: Lifetime[] = []
  readonly #flushed: Promise<unknown>
  /** What could not be created, by path: a processor is created once for each of its pipelines. */
  readonly #problems = new Map<string, Problem>()
  readonly #exporters: PipelineConfig['exporters']

  constructor(
    config: PipelineConfig,
    private readonly options: GraphOptions,
  ) {
    this.#exporters = config.exporters
    for (const exporter of used(config.exporters)) {
      const { context, lifetime } = this.#context(exporter)
      this.#exporterLifetimes.push(lifetime)
      const sheet = options.telemetry.exporter(exporter.id)
      options.health.starting(`exporters.${exporter.id}`, sheet)
      const created = this.#create(exporter, context)
      if (created === undefined) continue
      this.#deliveries.set(exporter.id, new Delivery(created, exporter.delivery, sheet, context.log, exporter.id))
    }
    const sources = new Map<string, Receiver>()
    for (const receiver of used(config.receivers)) {
      if (options.once && !collects(receiver.component)) {
        options.log.warn(`Receiver ${receiver.id} does not collect by itself and is left out with --once.`)
        continue
      }
      const path = `receivers.${receiver.id}`
      options.health.starting(path)
      const sheetOf = (transport?: string) => options.telemetry.receiver(receiver.id, transport)
      const source = new Receiver(path, options.health, sheetOf, (deliver) => this.#source(receiver, deliver))
      sources.set(receiver.id, source)
      this.#receivers.push(source)
    }
    const flushed: Promise<unknown>[] = []
    for (const [id, pipeline] of config.pipelines) {
      const receivers = pipeline.receivers.flatMap((receiver) => sources.get(receiver) ?? [])
      const processors = pipeline.processors.map((processor) => config.processors.get(processor) as Processor)
      const deliveries = pipeline.exporters.flatMap((exporter) => this.#deliveries.get(exporter) ?? [])
      flushed.push(this.#pipeline(id, receivers, processors, deliveries))
    }
    this.#flushed = Promise.all(flushed)
    if (this.#problems.size > 0) throw new ConfigError(inOrder([...this.#problems.values()], []))
  }

  /**
   * Opens the queues, then starts the receivers. Resolves when all of them have ended by themselves, with whether one failed.
   * @throws ConfigError when another process has the directory of a queue
   */
  async run(): Promise<{ failed: boolean }> {
    await Promise.all([...this.#deliveries].map(([id, delivery]) => delivery.open().catch(this.#inUse(id))))
    if (this.#problems.size > 0) throw new ConfigError(inOrder([...this.#problems.values()], []))
    const ending = this.#receivers.map((receiver) => receiver.run())
    this.options.health.started()
    const ends = await Promise.all(ending)
    return { failed: ends.includes('failed') }
  }

  /**
   * Stops receivers, lets processors release what they hold, then drains the queues; what is not through when
   * `deadline` aborts is dropped and counted. May be called without `run` and more than once.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    const late = new Promise<void>((resolve) => {
      if (deadline.aborted) resolve()
      deadline.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([Promise.all(this.#receivers.map((receiver) => receiver.stop())), late])
    await Promise.race([this.#flushed, late])
    await Promise.race([Promise.all(this.#processorLifetimes.map((lifetime) => lifetime.stop())), late])
    await Promise.all([...this.#deliveries.values()].map((delivery) => delivery.drain(deadline)))
    await Promise.race([Promise.all(this.#exporterLifetimes.map((lifetime) => lifetime.stop())), late])
  }

  #context(
    { id, component, config }: Configured<Component>,
    deliver: Context['deliver'] = notAReceiver,
  ): { context: Context<ConfigOf<Settings>>; lifetime: Lifetime } {
    const lifetime = new Lifetime(componentLogger(this.options.log, id))
    const { telemetry } = this.options
    const context = lifetime.context(component, { id, config: config as ConfigOf<Settings>, telemetry, deliver })
    return { context, lifetime }
  }

  #create<C extends Component>(
    { id, component, place }: Configured<C>,
    context: Context<ConfigOf<Settings>>,
  ): ReturnType<C['create']> | undefined {
    try {
      return create(component, context)
    } catch (error) {
      const path = `${component.kind}s.${id}`
      this.#problems.set(path, { severity: 'error', place, path, message: errorMessage(error) })
      return undefined
    }
  }

  #inUse(id: string): (error: Error) => void {
    return (error) => {
      const path = `exporters.${id}.sending_queue.directory`
      this.#problems.set(path, {
        severity: 'error',
        place: this.#exporters.get(id)!.place,
        path,
        message: error.message,
      })
    }
  }

  #source(receiver: Configured<ReceiverComponent>, deliver: Context['deliver']): Source {
    const once = this.options.once ? { collection_interval: 1000, initial_delay: 0 } : {}
    const config = { ...(receiver.config as object), ...once }
    const { context, lifetime } = this.#context({ ...receiver, config }, deliver)
    const batches = from(this.#create(receiver, context) ?? [])
    return { batches: this.options.once ? batches.pipe(take(SCRAPES_ONCE)) : batches, lifetime, log: context.log }
  }

  /** Resolves when everything that went into the pipeline has come out of it. */
  #pipeline(
    id: string,
    receivers: readonly Receiver[],
    processors: readonly Processor[],
    deliveries: readonly Delivery[],
  ): Promise<void> {
    const { telemetry } = this.options
    const sheet = telemetry.pipeline(id)
    let chain: Observable<Envelope> = merge(...receivers.map((receiver) => receiver.output(sheet)))
    for (const processor of processors) {
      const { context, lifetime } = this.#context(processor)
      this.#processorLifetimes.push(lifetime)
      this.options.health.starting(`processors.${processor.id}`)
      const created = this.#create(processor, context)
      if (created === undefined) continue
      const counts = telemetry.processor(processor.id, id)
      chain = chain.pipe(
        tap(({ batch }) => void (counts.incoming += batch.pointCount)),
        guard(created, processor.component.changes, sheet, context.log),
        tap(({ batch }) => void (counts.outgoing += batch.pointCount)),
      )
    }
    return new Promise((resolve) => {
      chain.subscribe({ next: (envelope) => handOn(envelope, deliveries, sheet), complete: () => resolve() })
    })
  }
}

type Processor = Configured<ProcessorComponent>

/** A receiver that scrapes on a schedule has this setting, as in the collector. */
function collects(component: ReceiverComponent): boolean {
  return 'collection_interval' in component.config
}

function used<C extends { readonly used: boolean }>(components: ReadonlyMap<string, C>): C[] {
  return [...components.values()].filter((component) => component.used)
}

function notAReceiver(): Promise<never> {
  return Promise.reject(new Error('Only receivers can deliver.'))
}

/** The end of a pipeline: the same batch, without a copy, to each of its exporters. */
function handOn(envelope: Envelope, deliveries: readonly Delivery[], sheet: PipelineSheet): void {
  const points = envelope.batch.pointCount
  sheet.held += points
  envelope.receipt.whenSettled((refused) => {
    sheet.held -= points
    if (refused) sheet.refused += points
    else sheet.handedOn += points
  })
  envelope.receipt.branch(deliveries.length - 1)
  for (const delivery of deliveries) delivery.offer(envelope)
}

/** What a receiver's `create` gave, with its life. */
interface Source {
  readonly batches: Observable<MetricBatch>
  readonly lifetime: Lifetime
  readonly log: Logger
}

/** One receiver as the shared source of its pipelines. */
class Receiver {
  readonly #source: Source
  readonly #output = new Subject<Envelope>()
  readonly #sheets: PipelineSheet[] = []
  #subscription: Subscription | undefined
  #stopped = false
  #end: ((end: 'completed' | 'failed') => void) | undefined

  constructor(
    private readonly path: string,
    private readonly health: Health,
    private readonly sheetOf: (transport?: string) => ReceiverSheet,
    create: (deliver: Context['deliver']) => Source,
  ) {
    this.#source = create((batch, transport) => this.#deliver(batch, transport))
  }

  /** What the receiver emits, for the pipeline whose sheet counts it. */
  output(sheet: PipelineSheet): Observable<Envelope> {
    this.#sheets.push(sheet)
    return this.#output
  }

  /** Subscribes; resolves when the receiver has ended, by itself or because it was stopped. */
  run(): Promise<'completed' | 'failed'> {
    if (this.#stopped) return Promise.resolve('completed')
    return new Promise((resolve) => {
      this.#end = resolve
      this.#subscription = this.#source.batches.subscribe({
        next: (batch) => this.#emit(batch),
        error: (error: unknown) => {
          this.#source.log.error('The receiver failed and has ended; the others go on.', { error: errorMessage(error) })
          this.health.ended(this.path, errorMessage(error))
          resolve('failed')
        },
        complete: () => {
          this.health.ended(this.path)
          resolve('completed')
        },
      })
    })
  }

  async stop(): Promise<void> {
    await this.#source.lifetime.stop()
    this.#subscription?.unsubscribe()
    this.#stopped = true
    this.#output.complete()
    this.#end?.('completed')
  }

  /** `Context.deliver`: the outcome over all pipelines. */
  #deliver(batch: MetricBatch, transport?: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#emit(batch, transport, (refusal) => (refusal === undefined ? resolve() : reject(refusal)))
    })
  }

  #emit(batch: MetricBatch, transport?: string, tell?: (refusal: Error | undefined) => void): void {
    if (!(batch instanceof MetricBatch)) {
      this.#source.log.error('The receiver emitted something that is not a MetricBatch; it is ignored.')
      tell?.(new TypeError('A receiver must deliver a MetricBatch.'))
      return
    }
    if (this.#stopped || batch.pointCount === 0) {
      tell?.(this.#stopped ? new Error('The pipeline has stopped.') : undefined)
      return
    }
    const points = batch.pointCount
    for (const sheet of this.#sheets) sheet.accepted += points
    const receipt = new Receipt(this.#sheets.length, tell)
    const sheet = this.sheetOf(transport)
    receipt.whenSettled((refused) => void (sheet[refused ? 'refused' : 'accepted'] += points))
    this.#output.next({ batch, receipt })
  }
}
