import { from, take } from 'rxjs'
import type { Context, ReceiverContext } from '../../component/context.ts'
import type { Component } from '../../component/define.ts'
import type { Logger } from '../../component/logger.ts'
import type { ConfigOf, Settings } from '../../component/settings.ts'
import { ConfigError, errorMessage } from '../../errors.ts'
import type { Problem } from '../../errors.ts'
import type { MemoryGuard } from '../../host/memory_limiter.ts'
import type { Signal } from '../../otlp/signal.ts'
import { Stage } from './chain.ts'
import { isSame } from './changes.ts'
import { inOrder } from '../config/input.ts'
import type { Configured, ConfiguredExporter, PipelineConfig } from '../config/config.ts'
import { signalsOf } from '../config/pipelines.ts'
import { deliveryOf } from '../config/settings.ts'
import { create } from '../modules/create.ts'
import { Delivery } from '../delivery/delivery.ts'
import type { AnyExporter } from '../delivery/sending.ts'
import { Shared } from '../delivery/shared.ts'
import type { Health } from '../telemetry/health.ts'
import { Lifetime } from './lifetime.ts'
import { noting } from '../modules/last_called.ts'
import { fileOf, isBuiltin } from '../modules/load.ts'
import { componentLogger } from '../log.ts'
import type { Machine } from '../machine.ts'
import type { Ports } from './ports.ts'
import { Receiver } from './receiver.ts'
import type { Source } from './receiver.ts'
import type { ExporterSheet, Telemetry } from '../telemetry/telemetry.ts'

/** An exporter with the deliveries around it, one for each signal; either may outlive the settings of the other. */
interface Destination {
  readonly configured: ConfiguredExporter
  readonly exporter: AnyExporter
  readonly lifetime: Lifetime
  readonly deliveries: ReadonlyMap<Signal, Delivery>
  /** The limits that the deliveries share. */
  readonly shared: Shared
}

/** The components that the pipelines of a configuration use. What is not new, another plan has, too. */
export interface Plan {
  readonly config: PipelineConfig
  readonly receivers: ReadonlyMap<string, Receiver>
  /** By the id of the pipeline. */
  readonly stages: ReadonlyMap<string, readonly Stage[]>
  readonly destinations: ReadonlyMap<string, Destination>
  /** The components that are new. */
  readonly lifetimes: readonly Lifetime[]
  /** Of the deliveries that no plan had before, to be forgotten if this one is not to be. */
  readonly sheets: readonly ExporterSheet[]
}

export interface PlanOptions extends Machine {
  readonly log: Logger
  readonly telemetry: Telemetry
  readonly health: Health
  readonly memory: MemoryGuard
  readonly ports: Ports
  readonly once?: boolean
  /** Called when a receiver has ended by itself. */
  readonly ended: (receiver: Receiver) => void
}

type Entry<Section> = Section extends ReadonlyMap<string, infer C> ? C : never
type ReceiverSettings = Entry<PipelineConfig['receivers']>
type ProcessorSettings = Entry<PipelineConfig['processors']>

/** Scrapes of a receiver if the pipeline runs once: two, so that differences and rates exist. */
const SCRAPES_ONCE = 2

/**
 * Creates every component that a pipeline uses, except those that `before` has with the same settings and that still
 * run. Opens nothing. @throws ConfigError about all components that cannot be created
 */
export function createPlan(config: PipelineConfig, before: Plan | undefined, options: PlanOptions): Plan {
  return new Planner(before, options).plan(config)
}

class Planner {
  readonly #lifetimes: Lifetime[] = []
  readonly #sheets: ExporterSheet[] = []
  /** What could not be created, by path: a processor is created once for each of its pipelines. */
  readonly #problems = new Map<string, Problem>()

  constructor(
    private readonly before: Plan | undefined,
    private readonly options: PlanOptions,
  ) {}

  plan(config: PipelineConfig): Plan {
    const destinations = mapUsed(config.exporters, (exporter) =>
      this.#destination(exporter, signalsNaming(config, 'exporters', exporter.id)),
    )
    const receivers = mapUsed(config.receivers, (receiver) =>
      this.#receiver(receiver, signalsNaming(config, 'receivers', receiver.id)),
    )
    const stages = new Map(
      [...config.pipelines].map(([id, { processors }]) => {
        const configured = processors.map((processor) => config.processors.get(processor)!)
        return [id, configured.flatMap((processor) => this.#stage(id, processor) ?? [])]
      }),
    )
    if (this.#problems.size > 0) {
      for (const lifetime of this.#lifetimes) void lifetime.stop()
      for (const [id, { deliveries }] of destinations) {
        for (const [signal, delivery] of deliveries) {
          const before = this.before?.destinations.get(id)?.deliveries.get(signal)
          if (before !== delivery) void delivery.drain(AbortSignal.abort())
        }
      }
      for (const sheet of this.#sheets) this.options.telemetry.forget(sheet)
      throw new ConfigError(inOrder([...this.#problems.values()], []))
    }
    return { config, receivers, stages, destinations, lifetimes: this.#lifetimes, sheets: this.#sheets }
  }

  #destination(configured: ConfiguredExporter, signals: ReadonlySet<Signal>): Destination | undefined {
    const { id, delivery: settings } = configured
    const before = this.before?.destinations.get(id)
    const same = before !== undefined && isSame(before.configured, configured) ? before : undefined
    const { exporter, lifetime } = same ?? this.#exporter(configured)
    if (exporter === undefined) return undefined
    const stays = before?.configured.delivery.sending_queue.directory === settings.sending_queue.directory
    const shared = stays && before !== undefined ? before.shared : new Shared()
    const deliveries = new Map<Signal, Delivery>()
    for (const signal of signals) {
      const old = before?.deliveries.get(signal)
      const delivery = stays && old !== undefined ? old : this.#delivery({ configured, exporter, shared }, signal)
      deliveries.set(signal, delivery)
    }
    return { configured, exporter, lifetime, deliveries, shared }
  }

  #delivery(
    { configured, exporter, shared }: Pick<Destination, 'configured' | 'exporter' | 'shared'>,
    signal: Signal,
  ): Delivery {
    const { id, component } = configured
    const { memory, telemetry, log } = this.options
    const isNew = !telemetry.sheetsOf(id).some((sheet) => sheet.signal === signal)
    const sheet = telemetry.exporter(id, signal)
    if (isNew) this.#sheets.push(sheet)
    return new Delivery({
      ...{ exporter, shared, memory, machine: this.options, config: deliveryOf(configured, signal) },
      sheet,
      log: componentLogger(log, id),
      remembers: signalsOf(component)[0] === signal,
      isHeir: this.before?.destinations.get(id)?.deliveries.has(signal) === true,
      custom: !isBuiltin(component),
    })
  }

  #exporter(configured: ConfiguredExporter): { exporter: AnyExporter | undefined; lifetime: Lifetime } {
    const { context, lifetime } = this.#context(configured)
    return { exporter: this.#create(configured, context), lifetime }
  }

  #receiver(configured: ReceiverSettings, signals: ReadonlySet<Signal>): Receiver | undefined {
    const { id, component } = configured
    const { once, log, telemetry, memory, clock, ended } = this.options
    if (once && !collects(component)) {
      log.warn(`Receiver ${id} does not collect by itself and is left out with --once.`)
      return undefined
    }
    const before = this.before?.receivers.get(id)
    if (before !== undefined && isSame(before.configured, configured) && before.over?.failure === undefined) {
      return before
    }
    return new Receiver({
      configured,
      signals,
      memory,
      clock,
      ended,
      sheetOf: (signal, transport) => telemetry.receiver(id, signal, transport),
      create: (given) => this.#source(configured, given),
    })
  }

  #source(receiver: ReceiverSettings, given: Pick<ReceiverContext, 'deliver' | 'takes'>): Source {
    const { once, memory } = this.options
    const settings = once ? { collection_interval: 1000, initial_delay: 0 } : {}
    const config = { ...(receiver.config as object), ...settings }
    const { context, lifetime } = this.#context({ ...receiver, config })
    const own: ReceiverContext<ConfigOf<Settings>> = {
      ...context,
      ...given,
      memoryIsShort: (bytes) => memory.isShort(bytes),
      starting: (opened) => lifetime.starting(opened),
    }
    const batches = from(this.#create(receiver, own) ?? [])
    return { batches: once ? batches.pipe(take(SCRAPES_ONCE)) : batches, lifetime, log: context.log }
  }

  #stage(pipeline: string, configured: ProcessorSettings): Stage | undefined {
    const before = this.before?.stages.get(pipeline)?.find((stage) => isSame(stage.configured, configured))
    if (before !== undefined && before.configured.id === configured.id) return before
    const { context, lifetime } = this.#context(configured)
    const created = this.#create(configured, context)
    const log = componentLogger(this.options.log, configured.id, pipeline)
    const { report } = context
    return created && new Stage({ configured, created, lifetime, log, report, clock: this.options.clock })
  }

  #context({ id, component, config }: Configured<Component>): {
    context: Context<ConfigOf<Settings>>
    lifetime: Lifetime
  } {
    const { clock, network, log, ports, telemetry, health } = this.options
    const lifetime = new Lifetime(componentLogger(log, id), ports)
    this.#lifetimes.push(lifetime)
    const context = lifetime.context(component, {
      ...{ id, config: config as ConfigOf<Settings>, telemetry, clock, network },
      report: (problem) => health.reported(`${component.kind}s.${id}`, problem && String(problem)),
      waiting: (why) => health.waiting(`${component.kind}s.${id}`, why),
    })
    return { context, lifetime }
  }

  #create<C extends Component>(
    { id, component, place }: Configured<C>,
    context: Context<ConfigOf<Settings>>,
  ): ReturnType<C['create']> | undefined {
    try {
      const created = create(component, context)
      return isBuiltin(component)
        ? created
        : noting<C>(component.kind, `${component.kind}s.${id} (${fileOf(component)})`, created)
    } catch (error) {
      const path = `${component.kind}s.${id}`
      this.#problems.set(path, { severity: 'error', place, path, message: errorMessage(error) })
      return undefined
    }
  }
}

/** A receiver that scrapes on a schedule has this setting, as in the Collector. */
function collects(component: ReceiverSettings['component']): boolean {
  return 'collection_interval' in component.config
}

/** The results of `make` for the components that a pipeline names. */
function mapUsed<C extends Configured<Component>, T>(
  components: ReadonlyMap<string, C>,
  make: (component: C) => T | undefined,
): Map<string, T> {
  const made = new Map<string, T>()
  for (const [id, component] of components) {
    const one = component.used ? make(component) : undefined
    if (one !== undefined) made.set(id, one)
  }
  return made
}

/** The signals of the pipelines that name a component. */
function signalsNaming(
  { pipelines }: PipelineConfig,
  section: 'receivers' | 'exporters',
  id: string,
): ReadonlySet<Signal> {
  return new Set([...pipelines.values()].filter((one) => one[section].includes(id)).map(({ signal }) => signal))
}
